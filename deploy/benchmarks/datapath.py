"""`deploy/bench datapath`: throughput of tunnel and reverse tunnel against plain forwarding by the same switch.

A one-armed home link (`home_link.py`) with the real controller, Open vSwitch, shim and registered mobile nodes. Four
kinds of packets go through the same bridge and pipeline, each as fast as they can be sent:

plain          host on the home link -> off the link, as an operator's ordinary traffic
tunnel         host on the home link -> home address: encapsulated, counted as next header 41 behind the shim
reverse plain  from off the link -> host on the home link
reverse        the same from a home address, in a tunnel packet from the care-of address: checked and decapsulated

A size is that of the inner IPv6 packet in octets: 14 less than its Ethernet frame, 40 less than the tunnel packet.
What is compared runs next to each other, in random order, in every round; a ratio is the median of the rounds' ratios,
`..._of_medians` the ratio of the figures shown. Throughput is packets a second of the switch's processor time (see
`traffic.Rate`), as a machine may do other things as well; `arrived_kpps` is what did arrive in that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from deploy.benchmarks.home_link import (
    HOME_AGENT,
    HOST,
    HOST_MAC,
    ROUTER_MAC,
    HomeLink,
    care_of_address,
    elsewhere,
    home_address,
)
from deploy.benchmarks.traffic import (
    NEXT_IPV6,
    NEXT_UDP,
    Generator,
    Rate,
    Sink,
    Stream,
    Switch,
    compile_generator,
    compile_sink,
    frame,
    udp_packet,
)
from deploy.ovs import ProvisionError
from mip6core.codec import ipv6
from topo.lab import LabError, Network

SIZES: Final = (100, 1400)
PAIRS: Final = (("plain", "tunnel"), ("reverse_plain", "reverse"))
KINDS: Final = tuple(kind for pair in PAIRS for kind in pair)
WALL_CLOCK: Final = ("arrived", "offered")
# More must be offered than arrives by this factor, or it is the generator that is measured.
OVERLOAD: Final = 1.2

Results = dict[tuple[str, int], list[Rate]]  # by kind of packets and size, one for each round


def streams(link: HomeLink, at_router: Sink, at_host: Sink, size: int, active: int) -> dict[str, Stream]:
    """The four kinds of packets, of or for `active` mobile nodes in turn (plain: as many addresses)."""
    homes = [home_address(index) for index in range(active)]
    care_ofs = [care_of_address(index) for index in range(active)]
    plain = [frame(ROUTER_MAC, HOST_MAC, udp_packet(HOST, elsewhere(index), size)) for index in range(active)]
    tunnel = [frame(link.bridge_mac, HOST_MAC, udp_packet(HOST, home, size)) for home in homes]
    reverse_plain = [frame(HOST_MAC, ROUTER_MAC, udp_packet(care_of, HOST, size)) for care_of in care_ofs]
    reverse = [
        frame(link.bridge_mac, ROUTER_MAC, ipv6.build(care_of, HOME_AGENT, NEXT_IPV6, udp_packet(home, HOST, size)))
        for home, care_of in zip(homes, care_ofs, strict=True)
    ]
    return {
        "plain": Stream("host", "host0", tuple(plain), at_router, NEXT_UDP),
        "tunnel": Stream("host", "host0", tuple(tunnel), at_router, NEXT_IPV6),
        "reverse_plain": Stream("router", "router0", tuple(reverse_plain), at_host, NEXT_UDP),
        "reverse": Stream("router", "router0", tuple(reverse), at_host, NEXT_UDP),
    }


def measure(rounds: int, seconds: float, bindings: int, active: int) -> Results:
    """All rounds."""
    processors = sorted(os.sched_getaffinity(0))
    # One for the switch, one for the generator and what the kernel does to bring its packets to the switch
    first, last = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    results: Results = {}
    with Network() as network, contextlib.ExitStack() as sinks:
        link = HomeLink(network)
        link.register(bindings)
        generator = Generator(compile_generator(network.directory), last, Switch(first))
        program = compile_sink(network.directory)
        at_router = sinks.enter_context(contextlib.closing(Sink(program, "router", "router0")))
        at_host = sinks.enter_context(contextlib.closing(Sink(program, "host", "host0")))
        kinds = {size: streams(link, at_router, at_host, size, active) for size in SIZES}
        for by_kind in kinds.values():
            for stream in by_kind.values():
                stream.probe()
        for _ in range(rounds):
            for size, by_kind in kinds.items():
                for pair in PAIRS:
                    for kind in random.sample(pair, len(pair)):
                        rate = generator.measure(by_kind[kind], seconds)
                        results.setdefault((kind, size), []).append(rate)
    return results


def summary(results: Results) -> dict[str, Any]:
    """Medians and ratios, by size."""

    def medians(kind: str, figure: str) -> dict[str, float]:
        return {str(size): round(median(getattr(rate, figure) for rate in results[kind, size]), 1) for size in SIZES}

    def ratios_of_medians(kind: str, plain: str, figure: str) -> dict[str, float]:
        above, below = medians(kind, figure), medians(plain, figure)
        return {size: round(above[size] / below[size], 3) for size in above}

    def ratios_by_round(kind: str, plain: str, figure: str) -> dict[str, float]:
        found = {}
        for size in SIZES:
            rounds = zip(results[kind, size], results[plain, size], strict=True)
            found[str(size)] = round(median(getattr(one, figure) / getattr(other, figure) for one, other in rounds), 3)
        return found

    found: dict[str, Any] = {}
    for plain, kind in PAIRS:
        found[f"{kind}_ratio"] = ratios_by_round(kind, plain, "forwarded")
        found[f"{kind}_ratio_of_medians"] = ratios_of_medians(kind, plain, "forwarded")
        found[f"{kind}_ratio_arrived"] = ratios_by_round(kind, plain, "arrived")
    for kind in KINDS:
        found[f"{kind}_kpps"] = medians(kind, "forwarded")
    for figure in WALL_CLOCK:
        found[f"{figure}_kpps"] = {kind: medians(kind, figure) for kind in KINDS}
    return found


def not_the_switch(found: dict[str, Any]) -> list[str]:
    """Kinds and sizes for which too little was offered to keep the switch busy."""
    arrived, offered = found["arrived_kpps"], found["offered_kpps"]
    return [
        f"{kind} {size}"
        for kind in KINDS
        for size in arrived[kind]
        if offered[kind][size] < OVERLOAD * arrived[kind][size]
    ]


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'octets':>6}  {'':14}{'kpps':>7}{'ratio':>8}{'of medians':>12}{'arrived':>9}{'offered':>9}"]
    for size in map(str, SIZES):
        for pair in PAIRS:
            for kind in pair:
                line = f"{size:>6}  {kind.replace('_', ' '):14}{found[f'{kind}_kpps'][size]:7.1f}"
                if kind == pair[1]:
                    line += f"{found[f'{kind}_ratio'][size]:8.3f}{found[f'{kind}_ratio_of_medians'][size]:12.3f}"
                else:
                    line += " " * 20
                lines.append(line + "".join(f"{found[f'{figure}_kpps'][kind][size]:9.1f}" for figure in WALL_CLOCK))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if the network cannot be made or traffic does not get through."""
    parser = argparse.ArgumentParser(
        prog="deploy/bench datapath", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each measurement (default: 0.3)")
    parser.add_argument("--bindings", type=int, default=1, help="registered mobile nodes (default: 1)")
    parser.add_argument("--active", type=int, default=1, help="how many of them have traffic (default: 1)")
    options = parser.parse_args(argv)
    if min(options.rounds, options.seconds, options.active) <= 0 or options.active > options.bindings:
        parser.error("numbers must be positive, and --active not more than --bindings")
    try:
        found = summary(measure(options.rounds, options.seconds, options.bindings, options.active))
    except (LabError, ProvisionError) as error:
        print(f"bench datapath: {error}", file=sys.stderr)
        return 1
    for what in not_the_switch(found):
        print(f"bench datapath: {what}: the generator is too slow to measure the switch", file=sys.stderr)
    settings = {name: getattr(options, name) for name in ("rounds", "seconds", "bindings", "active")}
    if options.json:
        print(json.dumps({**found, "size": "octets of the inner IPv6 packet", **settings}))
    else:
        print(table(found))
        print(", ".join(f"{name} {value}" for name, value in settings.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
