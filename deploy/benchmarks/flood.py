"""`deploy/bench flood`: mobile nodes that register and move, while strangers send 100,000 packets a second.

A home link with the real controller, Open vSwitch and shim. Mobile nodes behind the router, each with a key (RFC 4285),
refresh their bindings, move, and register for the first time, which takes a second of Duplicate Address Detection; from
networks where others are, and from networks where nobody ever was. Nobody else may register. At the same time one kind
of flood comes in by the uplink, as the packets of the mobile nodes do, or from a host on the home link.

An attempt is a Binding Update with the retransmissions of RFC 6275 section 11.8, for 4 s; `at once` is without any.
Latency is from the first Binding Update to the acknowledgement of any. All of it shares this machine's processors,
the senders' work included; `offered` is what the flood's generator has got rid of.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deploy.benchmarks.home_link import CONFIG, HomeLink, api
from deploy.benchmarks.hostile import Flood, floods
from deploy.benchmarks.roaming import KINDS, PATIENCE, Attempt, Roamers, fared
from deploy.benchmarks.traffic import compile_generator
from deploy.ovs import ProvisionError
from topo import lab
from topo.lab import LabError, Network

LEAD: Final = 0.5  # seconds of flood before the first attempt
PAUSE: Final = 1.0  # seconds between two floods
WITHOUT: Final = "none"
SECURITY: Final = "security: {unprotected_signalling: accept}"
RATES: Final = "limits: {punt_rates: {signalling: 1000000}}\n"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All floods, one after the other, with one without any before and after them."""
    found: dict[str, Any] = {}
    with Network() as network:
        newcomers = int((len(options.only or range(17)) + 2) * options.seconds * options.attempts * 2 / len(KINDS)) + 1
        link, roamers = _build(network, newcomers, options.virtual)
        generator = compile_generator(network.directory)
        kinds = floods(link, roamers.homes(), roamers.networks, random.Random(6275))
        chosen = [name for name in kinds if not options.only or any(part in name for part in options.only)]
        for name in (WITHOUT, *chosen, WITHOUT):
            flood = kinds[name]() if name in kinds else None
            before, memory, began = _punted(), _memory(link), time.monotonic()
            offered, attempts = _under(flood, generator, roamers, options)
            seconds = time.monotonic() - began
            entry = {
                "offered_per_second": offered,
                "punted_per_second": round((_punted() - before) / seconds),
                "controller_mib_before": memory,
                "controller_mib_after": _memory(link),
                "megaflows": len(lab.run("ovs-appctl dpctl/dump-flows").stdout.splitlines()),
                "load": os.getloadavg()[0],
                **fared(attempts),
            }
            found[name if name not in found else f"{name}, afterwards"] = entry
            if not options.json:
                print(table(name, entry), flush=True)
            time.sleep(PAUSE)
    return found


def _build(network: Network, newcomers: int, virtual: bool) -> tuple[HomeLink, Roamers]:
    roamers = Roamers(newcomers)
    config = CONFIG.replace(RATES, "")  # the rates are the default ones
    if virtual:  # and then it has no correspondents
        config = config[: config.index("correspondent_links:")] + "    virtual: true\n"
    link = HomeLink(network, config.replace(SECURITY, f"security:\n  mobile_nodes: {roamers.configuration()}"), "info")
    lab.run("ip -6 route add blackhole default", "router")  # where answers to strangers end
    roamers.connect(network)
    return link, roamers


def _under(
    flood: Flood | None, generator: Path, roamers: Roamers, options: argparse.Namespace
) -> tuple[int, list[Attempt]]:
    """Attempts of the mobile nodes meanwhile, and how many packets a second strangers have sent."""
    if flood is None:
        return 0, roamers.roam(options.seconds, options.attempts)
    with lab.inside(flood.ns):
        words = [str(generator), flood.device, str(LEAD + options.seconds + PATIENCE), str(options.rate)]
        words.append(str(flood.varying))
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    with process:
        process.stdin.write(b"".join(len(octets).to_bytes(2, "big") + octets for octets in flood.frames))
        process.stdin.close()
        time.sleep(LEAD)
        attempts = roamers.roam(options.seconds, options.attempts)
        sent, seconds = process.stdout.read().split()
    return round(int(sent) / float(seconds)), attempts


def _punted() -> int:
    """Packets that came to the controller so far."""
    shell: dict[str, int] = api("/v1/statistics")["shell"]
    return sum(count for name, count in shell.items() if name.startswith("punted_"))


def _memory(link: HomeLink) -> float:
    """MiB of the controller's own."""
    status = Path(f"/proc/{link.controller.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found
    return round(int(found[1]) / 1024, 1)


def table(name: str, entry: dict[str, Any]) -> str:
    """One flood for people."""
    lines = [
        f"{name}: {entry['offered_per_second']} packets/s offered, {entry['punted_per_second']} to the controller,"
        f" {entry['megaflows']} megaflows, controller {entry['controller_mib_before']} MiB ->"
        f" {entry['controller_mib_after']} MiB, load {entry['load']:.1f}"
    ]
    for kind in KINDS:
        of = entry.get(kind)
        if of is not None:
            median, late = (f"{of[key]:.1f} ms" if of[key] is not None else "-" for key in ("median_ms", "p99_ms"))
            lines.append(
                f"  {kind:27} {of['success']:7.1%} of {of['attempts']}, at once {of['success_at_once']:6.1%};"
                f" median {median:>10}, 99 % {late:>10}"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if the network cannot be made."""
    parser = argparse.ArgumentParser(
        prog="deploy/bench flood", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rate", type=int, default=100_000, help="packets a second of each flood (default: 100000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of attempts under each flood (default: 10)")
    parser.add_argument("--attempts", type=float, default=40.0, help="of mobile nodes a second (default: 40)")
    parser.add_argument("--virtual", action="store_true", help="the home link is a virtual one")
    parser.add_argument("--only", nargs="+", metavar="PART", help="floods whose names hold one of these words")
    options = parser.parse_args(argv)
    if min(options.rate, options.seconds, options.attempts) <= 0:
        parser.error("numbers must be positive")
    try:
        found = measure(options)
    except (LabError, ProvisionError) as error:
        print(f"bench flood: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
