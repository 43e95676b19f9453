"""`deploy/bench datapath`: throughput of tunnels and optimised routes against plain forwarding by the same switch.

A one-armed home link (`home_link.py`) with the real controller, Open vSwitch, shim and registered mobile nodes, and
its hosts as correspondents (`routes.py`). Six kinds of packets go through the same bridge and pipeline, each as fast as
they can be sent:

plain          host on the home link -> off the link, as an operator's ordinary traffic
tunnel         host on the home link -> home address: encapsulated, counted as next header 41 behind the shim
optimized out  host -> home address with a binding at the host: next header 43 (Type 2 Routing header) behind the shim
reverse plain  from off the link -> host on the home link
reverse        the same from a home address, in a tunnel packet from the care-of address: checked and decapsulated
optimized in   the same from the care-of address with a Home Address option: checked, and as plain at the host

A size is that of the IPv6 packet at the host in octets: 14 less than its Ethernet frame, 40 less than the tunnel
packet, 24 less than the optimised one.
What is compared runs next to each other, in random order, in every round; a ratio is the median of the rounds' ratios,
`..._of_medians` the ratio of the figures shown. Throughput is packets a second of the switch's processor time (see
`traffic.Rate`), as a machine may do other things as well; `arrived_kpps` is what did arrive in that. In the end the
flows' own counters must have all that arrived, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any, Final

from deploy.benchmarks import routes
from deploy.benchmarks.home_link import (
    HOME_AGENT,
    HOST,
    HOST_MAC,
    ROUTER_MAC,
    HomeLink,
    care_of_address,
    elsewhere,
    flow_packets,
    home_address,
)
from deploy.benchmarks.routes import Routes
from deploy.benchmarks.traffic import (
    NEXT_IPV6,
    NEXT_ROUTING,
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
from mip6core.addresses import Address
from mip6core.codec import ipv6
from ryu_apps.cookies import Category
from topo import lab
from topo.lab import LabError, Network

SIZES: Final = (100, 1400)
# What is compared: everything in a group with the first of it.
GROUPS: Final = (("plain", "tunnel", "optimized_out"), ("reverse_plain", "reverse", "optimized_in"))
KINDS: Final = tuple(kind for group in GROUPS for kind in group)
# What carries them: the kind of flows that mobile nodes have for it.
FLOWS: Final = {
    "tunnel": Category.TUNNEL,
    "optimized_out": Category.ROUTE_OUT,
    "reverse": Category.REVERSE_TUNNEL,
    "optimized_in": Category.ROUTE_IN,
}
WALL_CLOCK: Final = ("arrived", "offered")
# More must be offered than arrives by this factor, or it is the generator that is measured.
OVERLOAD: Final = 1.2

Results = dict[tuple[str, int], list[Rate]]  # by kind of packets and size, one for each round


def streams(link: HomeLink, at_router: Sink, at_host: Sink, size: int, active: int) -> dict[str, Stream]:
    """All kinds of packets, of or for `active` mobile nodes in turn (plain: as many addresses)."""
    homes = [home_address(index) for index in range(active)]
    care_ofs = [care_of_address(index) for index in range(active)]
    plain = [frame(ROUTER_MAC, HOST_MAC, udp_packet(HOST, elsewhere(index), size)) for index in range(active)]
    tunnel = [frame(link.bridge_mac, HOST_MAC, udp_packet(HOST, home, size)) for home in homes]
    reverse_plain = [frame(HOST_MAC, ROUTER_MAC, udp_packet(care_of, HOST, size)) for care_of in care_ofs]
    reverse = [
        frame(link.bridge_mac, ROUTER_MAC, ipv6.build(care_of, HOME_AGENT, NEXT_IPV6, udp_packet(home, HOST, size)))
        for home, care_of in zip(homes, care_ofs, strict=True)
    ]
    elsewhere_homes = [routes.home_address(index) for index in range(active)]
    optimized_out = [frame(ROUTER_MAC, HOST_MAC, udp_packet(HOST, home, size)) for home in elsewhere_homes]
    optimized_in = [
        frame(HOST_MAC, ROUTER_MAC, _with_home_address_option(udp_packet(home, HOST, size), care_of))
        for home, care_of in zip(elsewhere_homes, care_ofs, strict=True)
    ]
    return {
        "plain": Stream("host", "host0", tuple(plain), at_router, NEXT_UDP),
        "tunnel": Stream("host", "host0", tuple(tunnel), at_router, NEXT_IPV6),
        "optimized_out": Stream("host", "host0", tuple(optimized_out), at_router, NEXT_ROUTING),
        "reverse_plain": Stream("router", "router0", tuple(reverse_plain), at_host, NEXT_UDP),
        "reverse": Stream("router", "router0", tuple(reverse), at_host, NEXT_UDP),
        "optimized_in": Stream("router", "router0", tuple(optimized_in), at_host, NEXT_UDP),
    }


def _with_home_address_option(packet: bytes, care_of: Address) -> bytes:
    """A packet of a mobile node as it is on the wire on an optimised route."""
    return ipv6.build(care_of, packet[24:40], packet[6], packet[40:], home_address=packet[8:24])


def measure(rounds: int, seconds: float, bindings: int, active: int) -> Results:
    """All rounds."""
    processors = sorted(os.sched_getaffinity(0))
    # One for the switch, one for the generator and what the kernel does to bring its packets to the switch
    first, last = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    results: Results = {}
    with Network() as network, contextlib.ExitStack() as sinks:
        link = HomeLink(network)
        link.register(bindings)
        optimized = Routes(active)
        generator = Generator(compile_generator(network.directory), last, Switch(first))
        program = compile_sink(network.directory)
        at_router = sinks.enter_context(contextlib.closing(Sink(program, "router", "router0")))
        at_host = sinks.enter_context(contextlib.closing(Sink(program, "host", "host0")))
        kinds = {size: streams(link, at_router, at_host, size, active) for size in SIZES}
        for by_kind in kinds.values():
            for stream in by_kind.values():
                stream.probe()
        for _ in range(rounds):
            optimized.refresh()
            for size, by_kind in kinds.items():
                for group in GROUPS:
                    for kind in random.sample(group, len(group)):
                        rate = generator.measure(by_kind[kind], seconds)
                        results.setdefault((kind, size), []).append(rate)
        check_flows(results)
    return results


def check_flows(results: Results) -> None:
    """LabError if flows of mobile nodes have not carried all that has arrived: something else was measured."""
    for kind, category in FLOWS.items():
        arrived = sum(rate.packets for size in SIZES for rate in results[kind, size])
        what = f"{arrived} {kind.replace('_', ' ')} packets in the counters of the flows"
        lab.wait_until(partial(_have_carried, category, arrived), what)


def _have_carried(category: Category, packets: int) -> bool:
    return flow_packets(category) >= packets


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
    for plain, *others in GROUPS:
        for kind in others:
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
        for group in GROUPS:
            for kind in group:
                line = f"{size:>6}  {kind.replace('_', ' '):14}{found[f'{kind}_kpps'][size]:7.1f}"
                if kind != group[0]:
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
