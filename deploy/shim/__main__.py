"""`python -m deploy.shim`: attach, detach and show the wire format adapter of the userspace datapath."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields

from deploy.shim import AdapterError, AdapterStatus, Correspondents, Endpoint, Limits, adapter_for
from mip6core import addresses
from mip6core.addresses import Prefix

_LIMITS = {
    "signalling": "Mobility Headers a second to home agents",
    "return_routability": "Mobility Headers a second to correspondents",
    "esp": "ESP packets a second to home agents",
    "new_sources": "new sources of tunnel packets a second",
    "known_sources": "care-of addresses, and networks, that are remembered",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done (status: attached), 1 not, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()  # here, where a reader that is gone can be told apart
        return status
    except AdapterError as error:
        print(f"shim: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m deploy.shim", description="Wire format adapter of an uplink device.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    attach = commands.add_parser("attach", help="convert on a device; again to change end points or programs")
    attach.add_argument("--device", required=True, help="where tunnelled packets leave and arrive")
    attach.add_argument(
        *("--home-agent", "-a"),
        default=[],
        action="append",
        metavar="ADDRESS",
        help="home agent's address; may be repeated",
    )
    attach.add_argument(
        *("--bridge-mac", "-m"),
        default=[],
        action="append",
        metavar="MAC",
        help="MAC address of the bridge that holds the home agent's address: one for all, or one for each",
    )
    attach.add_argument(
        *("--correspondents", "-c"),
        default=[],
        action="append",
        nargs=3,
        metavar=("PREFIX", "ADDRESS", "MAC"),
        help="correspondents' prefix, tunnel end point address and MAC address of their bridge; may be repeated",
    )
    for key in fields(Limits):
        attach.add_argument(
            f"--{key.name.replace('_', '-')}",
            type=int,
            default=key.default,
            metavar="NUMBER",
            help=f"{_LIMITS[key.name]} (default: {key.default})",
        )
    attach.set_defaults(run=_attach)

    detach = commands.add_parser("detach", help="take away what attach made")
    detach.add_argument("--device", required=True)
    detach.set_defaults(run=_detach)

    status = commands.add_parser("status", help="show what is attached; exit status 1 if anything is not")
    status.add_argument("--device", help="this device only")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    status.set_defaults(run=_status)
    return parser


def _attach(options: argparse.Namespace) -> int:
    home_agents, macs = options.home_agent, options.bridge_mac
    if len(macs) == 1:
        macs = macs * len(home_agents)
    if len(macs) != len(home_agents):
        raise AdapterError("give one --bridge-mac for all home agents, or one for each")
    try:
        endpoints = [
            Endpoint(addresses.parse(address), _mac(mac)) for address, mac in zip(home_agents, macs, strict=True)
        ]
        correspondents = [
            Correspondents(Prefix.parse(prefix), addresses.parse(address), _mac(mac))
            for prefix, address, mac in options.correspondents
        ]
        rates = Limits(**{key.name: getattr(options, key.name) for key in fields(Limits)})
    except ValueError as error:
        raise AdapterError(str(error)) from error
    status = adapter_for("netdev").attach(options.device, endpoints, correspondents, rates)
    print(f"{status.device}: attached, ingress {status.ingress}, egress {status.egress}")
    return 0


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _detach(options: argparse.Namespace) -> int:
    found = adapter_for("netdev").detach(options.device)
    print(f"{options.device}: {'detached' if found else 'nothing was attached'}")
    return 0


def _status(options: argparse.Namespace) -> int:
    adapter = adapter_for("netdev")
    found = [adapter.status(device) for device in ([options.device] if options.device else adapter.devices())]
    if options.output == "json":
        print(json.dumps([status.as_dict() for status in found], indent=2))
    else:
        print("\n\n".join(map(_table, found)) or "nothing is attached in this network namespace")
    return 0 if all(status.attached for status in found) else 1


def _table(status: AdapterStatus) -> str:
    rows = [
        ("device", status.device),
        ("attached", "yes" if status.attached else "no"),
        ("ingress", status.ingress or "-"),
        ("egress", status.egress or "-"),
        *(("problem", problem) for problem in status.problems),
        *(
            ("home agent", f"{addresses.text(point.home_agent)} (bridge {point.bridge_mac.hex(':')})")
            for point in status.endpoints
        ),
        *(
            (
                "correspondents",
                f"{hosts.prefix} (tunnel end point {addresses.text(hosts.tunnel_end_point)}, "
                f"bridge {hosts.bridge_mac.hex(':')}{', ESP is signalling' if hosts.esp_is_signalling else ''})",
            )
            for hosts in status.correspondents
        ),
        *(
            ("limit", f"{value} {_LIMITS[name]}")
            for name, value in (asdict(status.limits) if status.limits else {}).items()
        ),
        *((name, str(value)) for name, value in status.counters.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
