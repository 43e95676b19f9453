"""The command line of mip6ctl."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from mip6core import addresses
from mip6core.addresses import Prefix
from rest.cli.failure import Exit, Failure

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"

EXIT_STATUSES: Final = """\
exit status: 0 done; 1 failed, or there is no such thing; 2 wrong command line or configuration file;
3 the server does not answer"""

# Of deploy.config.associations, which commands that need no keys do not load.
KINDS: Final = ("binding", "prefix_discovery", "return_routability")
ENCRYPTIONS: Final = ("aes-gcm", "aes-cbc", "3des-cbc", "null")
INTEGRITIES: Final = ("hmac-sha1-96", "hmac-sha256-128", "hmac-sha384-192", "hmac-sha512-256")

# Of ryu_apps.cookies.
FLOW_CATEGORIES: Final = (
    *("pipeline", "punt", "tunnel", "reverse_tunnel", "proxy_nd", "watch", "neighbour", "home_test"),
    *("route_out", "route_in", "narrow_path"),
)

KEYS_HELP: Final = """\
Makes the security associations that a mobile node shares with its home agent (RFC 3776), and writes a key file for
the home agent and one or two files for the mobile node, readable for their owner only. No key is printed."""

OVS_HELP: Final = """\
Provisions the bridges of home links and correspondent links: bridge, uplinks, tunnel port, controller, the bridge's
own address, its way out, and the wire format adapter. What is in place stays as it is, and setup a second time does
nothing.
Run it at each start of the machine or of Open vSwitch: addresses, routes, MTU and adapter do not outlive that.

The bridges are put into fail mode "secure": while no controller is connected, and has not been since the bridge
came up, they forward nothing. Start mip6-manager with the same file."""


Subparsers = argparse._SubParsersAction  # argparse gives it no public name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is one of `Exit`."""
    options = parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()  # here, where a reader that is gone can be told apart
        return status
    except Failure as failure:
        print(f"mip6ctl: {failure}", file=sys.stderr)
        return failure.status
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, like all errors."""
        self.exit(Exit.USAGE, f"{self.prog}: {message} (--help says more)\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top: argparse.ArgumentParser = _Parser(
        "mip6ctl",
        description="Shows and manages a Mobile IPv6 home agent.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_show(commands.add_parser("show", help="bindings, correspondents, switches, flows, statistics and more"))
    _add_clear(commands.add_parser("clear", help="bindings, as if their lifetime had ended; statistics"))
    _add_set(commands.add_parser("set", help="static bindings"))
    _add_watch(commands)
    _add_config(commands.add_parser("config", help="the configuration file, and its reload"))
    _add_debug(commands)
    _add_keys(commands.add_parser("keys", help="keys between mobile nodes and the home agent"))
    _add_token(commands.add_parser("token", help="tokens for the REST API"))
    _add_ovs(
        commands.add_parser(
            "ovs",
            help="this machine's Open vSwitch",
            description=OVS_HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    completion = commands.add_parser("completion", help="completion of these words for a shell")
    _command(completion.add_subparsers(required=True, metavar="SHELL"), "bash", "completion:bash", "a script for bash")
    return top


def _add_show(parser: argparse.ArgumentParser) -> None:
    objects = parser.add_subparsers(required=True, metavar="OBJECT")
    bindings = _remote(objects, "bindings", "show:show_bindings", "mobile nodes that are away from home")
    bindings.add_argument("--home-address", type=_address_or_prefix, metavar="ADDRESS|PREFIX")
    bindings.add_argument("--care-of-prefix", type=_address_or_prefix, metavar="PREFIX")
    bindings.add_argument("--home-link", metavar="NAME")
    bindings.add_argument("--counters", action="store_true", help="packets and octets, for which the switch is asked")
    bindings.add_argument("--limit", type=_positive, metavar="N", help="not more than N (default: all)")
    bindings.add_argument("--cursor", help="go on where an earlier answer ended")
    what = "bindings of correspondents, by which routes are optimised"
    correspondents = _remote(objects, "correspondents", "show:show_correspondents", what)
    correspondents.add_argument("--correspondent", type=_address_or_prefix, metavar="ADDRESS|PREFIX")
    correspondents.add_argument("--home-address", type=_address_or_prefix, metavar="ADDRESS|PREFIX")
    correspondents.add_argument("--care-of-prefix", type=_address_or_prefix, metavar="PREFIX")
    correspondents.add_argument("--correspondent-link", metavar="NAME")
    correspondents.add_argument("--limit", type=_positive, metavar="N", help="not more than N (default: all)")
    correspondents.add_argument("--cursor", help="go on where an earlier answer ended")
    _remote(objects, "switches", "show:show_switches", "switches of the configuration")
    for name, run, what in (
        ("home-agents", "show:show_home_agents", "home agents of the home links, this one and others"),
        ("prefixes", "show:show_prefixes", "home prefixes, and their lifetimes"),
    ):
        listed = _remote(objects, name, run, what)
        listed.add_argument("--home-link", metavar="NAME")
    _remote(objects, "statistics", "show:show_statistics", "counters")
    events = _remote(objects, "events", "show:show_events", "what has happened, newest first")
    _add_event_filters(events)
    events.add_argument("--limit", type=_positive, metavar="N", help="not more than N (default: 100)")
    what = "nonces of return routability: indices and ages, never values"
    _remote(objects, "nonces", "show:show_nonces", what)
    config = _remote(objects, "config", "configuration:show", "what the server runs with, without secrets")
    config.set_defaults(config=None)
    what = "the application's flows in the switches, explained"
    flows = _remote(objects, "flows", "flows:show", what)
    flows.add_argument("--bridge", metavar="NAME", help="by ovs-ofctl on this machine, as root; needs no server")
    flows.add_argument("--link", metavar="NAME", help="the bridge of this link")
    flows.add_argument("--home-address", type=_address, metavar="ADDRESS")
    flows.add_argument("--table", metavar="TABLE", help="by name or number")
    flows.add_argument("--category", choices=FLOW_CATEGORIES)


def _add_set(parser: argparse.ArgumentParser) -> None:
    objects = parser.add_subparsers(required=True, metavar="OBJECT")
    what = "a static binding, which Binding Updates do not change; `clear bindings` ends it"
    binding = _remote(objects, "binding", "show:set_binding", what)
    binding.add_argument("home_address", type=_address, metavar="HOME_ADDRESS")
    binding.add_argument("--care-of-address", required=True, type=_address, metavar="ADDRESS")
    binding.add_argument("--home-link", required=True, metavar="NAME")
    binding.add_argument("--lifetime", type=_positive, metavar="SECONDS", help="(default: for ever)")


def _add_event_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home-address", type=_address_or_prefix, metavar="ADDRESS|PREFIX")
    parser.add_argument("--link", metavar="NAME")
    parser.add_argument("--kind", metavar="KIND", help="such as registered, moved, expired, switch_gone")


def _add_watch(commands: Subparsers[argparse.ArgumentParser]) -> None:
    _add_event_filters(_remote(commands, "watch", "watch:watch", "events as they happen, until Ctrl-C"))


def _add_debug(commands: Subparsers[argparse.ArgumentParser]) -> None:
    what = "detailed logging of a topic, on or off; without a topic: which there are"
    debug = _remote(commands, "debug", "debug:debug", what)
    debug.add_argument("topic", nargs="?", metavar="TOPIC")
    debug.add_argument("state", nargs="?", choices=("on", "off"))
    what = "signalling that switches hand up and that is sent, into a pcapng file"
    capture = _remote(commands, "capture", "debug:capture", what)
    capture.add_argument("file", metavar="FILE", help="made anew")
    capture.add_argument("--seconds", type=_positive, default=60, metavar="N", help="(default: %(default)s)")
    capture.add_argument("--home-address", type=_address_or_prefix, metavar="ADDRESS|PREFIX")
    what = "what happens to a packet between these two, both ways, and why; on the machine of the switch, as root"
    trace = _remote(commands, "trace", "trace:trace", what)
    trace.add_argument("home_address", type=_address, metavar="HOME_ADDRESS")
    trace.add_argument("correspondent", type=_address, metavar="CORRESPONDENT")
    bundle = _remote(commands, "bundle", "bundle:bundle", "what a bug report needs, in one archive without keys")
    bundle.add_argument("file", nargs="?", metavar="FILE", help="made anew (default: mip6-bundle-DATE.tar.gz)")
    bundle.add_argument("--log", metavar="FILE", help="the controller's log (default: the journal's)")


def _add_clear(parser: argparse.ArgumentParser) -> None:
    objects = parser.add_subparsers(required=True, metavar="OBJECT")
    binding = _remote(objects, "bindings", "show:clear_binding", "one binding, or all of a prefix", "binding")
    which = binding.add_mutually_exclusive_group(required=True)
    which.add_argument("home_address", nargs="?", type=_address, metavar="HOME_ADDRESS")
    which.add_argument("--prefix", type=_address_or_prefix, help="all whose home address is in this prefix")
    what = "a binding of a correspondent"
    correspondent = _remote(objects, "correspondents", "show:clear_correspondent", what, "correspondent")
    correspondent.add_argument("correspondent", type=_address, metavar="CORRESPONDENT")
    correspondent.add_argument("home_address", type=_address, metavar="HOME_ADDRESS")
    _remote(objects, "statistics", "show:clear_statistics", "let the counters begin at zero")


def _add_config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    check = _command(actions, "check", "configuration:check", "say whether the file is good, or where it is not")
    check.add_argument("--config", required=True, metavar="FILE")
    show = _remote(actions, "show", "configuration:show", "what counts, with all defaults, and without secrets")
    show.add_argument("--config", metavar="FILE", help="of this file (default: what the server runs with)")
    diff = _remote(actions, "diff", "configuration:diff", "what a file changes, and whether that needs a restart")
    diff.add_argument("--config", required=True, metavar="FILE")
    diff.add_argument(
        "--from", dest="before", metavar="FILE", help="the earlier one (default: what the server runs with)"
    )
    what = "have the server read its file again, and apply what needs no restart"
    _remote(actions, "reload", "configuration:reload", what)
    _command(actions, "schema", "configuration:schema", "the file's JSON Schema, for editors")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    what = "fresh IPsec keys for a mobile node, in files for both ends"
    generate = _command(actions, "generate", "keys:generate", what, KEYS_HELP)
    generate.add_argument("--home-address", required=True, type=_address, metavar="ADDRESS")
    generate.add_argument("--home-agent", required=True, type=_address, metavar="ADDRESS", help="on the home link")
    generate.add_argument("--format", choices=("ip-xfrm", "setkey", "umip"), default="ip-xfrm", help="for the node")
    generate.add_argument("--encryption", choices=ENCRYPTIONS, default="aes-cbc")
    what = "default: hmac-sha256-128; for setkey: hmac-sha512-256"
    generate.add_argument("--integrity", choices=INTEGRITIES, help=what)
    generate.add_argument("--kind", action="append", choices=KINDS, help="what to protect (default: everything)")
    generate.add_argument("--spi", type=_positive, metavar="N", help="the first one; others follow (default: random)")
    generate.add_argument("--directory", default=".", help="where the files are written (default: here)")


def _add_ovs(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, what in (
        ("setup", "make what is missing or differs"),
        ("teardown", "take away what setup made, put back what it changed"),
        ("status", "what is in place; exit status 1 if anything is missing"),
    ):
        action = _command(actions, name, f"local:ovs_{name}", what, OVS_HELP)
        action.add_argument("--config", required=True, metavar="FILE")
        if name != "status":
            action.add_argument("--dry-run", action="store_true", help="print the commands, change nothing")

    what = "what the wire format adapters of this machine have counted"
    counters = _command(actions, "counters", "adapters:counters", what)
    counters.add_argument("--write", metavar="FILE", help="leave it in FILE, for the controller's /metrics")
    counters.add_argument("--every", type=_positive, metavar="SECONDS", help="again and again")


def _command(
    parent: Subparsers[argparse.ArgumentParser], name: str, run: str, what: str, description: str = "", *aliases: str
) -> argparse.ArgumentParser:
    parser = parent.add_parser(
        name,
        aliases=aliases,
        help=what,
        description=description or f"{what[0].upper()}{what[1:]}.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    parser.set_defaults(run=_later(run))
    return parser


def _remote(
    parent: Subparsers[argparse.ArgumentParser], name: str, run: str, what: str, *aliases: str
) -> argparse.ArgumentParser:
    parser = _command(parent, name, run, what, "", *aliases)
    parser.add_argument(
        "--server",
        default=os.environ.get("MIP6CTL_SERVER") or DEFAULT_SERVER,
        metavar="URL",
        help="the REST API (default: MIP6CTL_SERVER of the environment, else %(default)s)",
    )
    parser.add_argument("--token-file", metavar="FILE", help="with a bearer token (default: MIP6CTL_TOKEN)")
    parser.add_argument("--ca-file", metavar="FILE", help="who vouches for the server (default: the system's)")
    parser.add_argument("--certificate", metavar="FILE", help="of this client, with its key, PEM")
    return parser


def _add_token(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    what = "a fresh bearer token for the REST API, and its entry for the configuration"
    generate = _command(actions, "generate", "tokens:generate", what)
    generate.add_argument("name", metavar="NAME", help="of who will use it")
    generate.add_argument("--scope", choices=("read", "admin"), default="read", help="admin: changes, too")
    generate.add_argument("--file", required=True, help="where the token is written, readable for its owner only")


def _later(run: str) -> Callable[[argparse.Namespace], Exit]:
    """The function MODULE:NAME of this package, imported when it is called: each command loads what it needs."""
    module, _, name = run.partition(":")

    def call(options: argparse.Namespace) -> Exit:
        result: Exit = getattr(importlib.import_module(f"rest.cli.{module}"), name)(options)
        return result

    return call


def _address(value: str) -> str:
    try:
        return addresses.text(addresses.parse(value))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not an IPv6 address") from None


def _address_or_prefix(value: str) -> str:
    if "/" not in value:
        return _address(value)
    try:
        return str(Prefix.parse(value))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not an IPv6 prefix") from None


def _positive(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and int(value) > 0):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number from 1 on")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
