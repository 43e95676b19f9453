"""The flow pipeline as data: tables, registers, punts, meters, and the flows that every role of a bridge shares.

    classify (0) -- from the tunnel --> reverse tunnel (10) --+
       |                                                      v
       +-- to a home prefix ------------------------------> bindings (20) -- bound --> encapsulate (30) --> output (31)
       |                                                      |
       +-- Neighbor Discovery --> neighbor discovery (50)     +-- from the tunnel, not bound --> forward (40), and
       |                              |                       |                                  then deliver (41)
       |                              |                       +-- else --> NORMAL
       |                              +-- bound target --> proxy reply (51, 52)
       +-- Mobility Header, ESP, requests about home agents and prefixes --> punt (60), the way to the controller: each
       |                                                                kind through its meter, and what comes from
       |                                                                anywhere also through one for its network (61)
       +-- Router Advertisements, ICMPv6 errors and later fragments to the home agent --> on their way, and a copy to
       |                                                                punt (60)
       +-- anything else --> NORMAL, or the table that the operator names

A binding whose tunnel is on a path of the minimum MTU goes by narrow path (25) to encapsulate.

The flows of a home link are in `home_pipeline.py`, those of optimised routes in `correspondent_pipeline.py`. Table
numbers are fixed; what is not ours goes to the operator's table, so that the application can share a bridge.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from ryu_apps.cookies import Category, cookie
from ryu_apps.flowspec import (
    CONTROLLER,
    LOCAL,
    NORMAL,
    NXM_LOCAL,
    NXM_NONE,
    Action,
    CheckPacketLarger,
    FlowSpec,
    Load,
    MeterSpec,
    Output,
    Resubmit,
    SetField,
    match,
)


class Table(enum.IntEnum):
    CLASSIFY = 0
    REVERSE_TUNNEL = 10
    HOME_ADDRESS_OPTION = 11
    ROUTE_OPTIMIZATION = 15
    BINDINGS = 20
    NARROW_PATH = 25
    ENCAPSULATE = 30
    TUNNEL_OUTPUT = 31
    FORWARD = 40
    DELIVER = 41
    NEIGHBOR_DISCOVERY = 50
    PROXY_REPLY = 51
    PROXY_SEND = 52
    PUNT = 60
    PUNT_BY_NETWORK = 61


class Punt(enum.IntEnum):
    """Why a packet comes to the controller; the object part of the punt flow's cookie, and its meter's offset."""

    SIGNALLING = 1  # Mobility Header
    NEIGHBOR_DISCOVERY = 2  # about an address that is being probed, defended or resolved
    TUNNEL_ERROR = 3  # too big for the tunnel, or hop limit used up: an ICMPv6 error is due
    UNRESOLVED = 4  # out of the reverse tunnel to a neighbour on the home link that is not resolved yet
    HOME_DISCOVERY = 5  # a request about home agents or home prefixes (RFC 6275 sections 6.5 and 6.7)
    ROUTER_DISCOVERY = 6  # a Router Advertisement, or a Router Solicitation where the home agent advertises
    ESP = 7  # to the home agent: protected signalling, or return routability in a protected tunnel
    HOME_TEST = 8  # a Mobility Header to a mobile node whose return routability may have to be protected
    HOME_TEST_INIT = 9  # a Mobility Header out of the reverse tunnel, from such a node
    UNBOUND = 10  # it had a Home Address option that no binding accepts: a Binding Error is due (9.3.1)
    ROUTE_TOO_BIG = 11  # too big with a Type 2 Routing header
    UNREACHABLE = 12  # to an address that is nowhere, or must not be tunnelled to: an ICMPv6 error is due
    CORRESPONDENT_SIGNALLING = 13  # a Mobility Header to a correspondent
    CORRESPONDENT_ERROR = 14  # a Destination Unreachable to a correspondent: a route may no longer work (9.3.4)
    CORRESPONDENT_PROBLEM = 16  # a Parameter Problem of a correspondent: it may be about what it need not know
    UNBOUND_CORRESPONDENT = 15  # as UNBOUND, to a correspondent that is not the home agent
    HOST_PROBLEM = 17  # a Parameter Problem of the home agent's host, as CORRESPONDENT_PROBLEM
    ICMPV6_ERROR = 20  # to the home agent: it may be about a packet in the tunnel (RFC 2473 section 8)
    UPLINK_FRAGMENT = 22  # to the home agent, by an uplink; or a tunnel packet that the adapter has left alone
    LINK_FRAGMENT = 23  # to the home agent, from the link
    NARROW_PATH = 24  # to be tunnelled in fragments, or too big even for that
    TUNNELLED_DISCOVERY = 21  # a request about home agents out of the reverse tunnel


# Punts of which the controller must know where they came from: their handlers get the packet-in's match.
WITH_ORIGIN: Final = frozenset(
    (
        Punt.UNBOUND,
        Punt.CORRESPONDENT_SIGNALLING,
        Punt.CORRESPONDENT_PROBLEM,
        Punt.UNBOUND_CORRESPONDENT,
    )
)
# Punts that only an ICMPv6 error is made of.
CUT: Final = frozenset((Punt.TUNNEL_ERROR, Punt.ROUTE_TOO_BIG, Punt.UNREACHABLE))


TOO_BIG: Final = "reg0"  # bit 0: longer than the tunnel MTU
FROM_TUNNEL: Final = "reg1"  # 1: came out of the reverse tunnel, or had a Home Address option
PUNT_KIND: Final = "reg2"
SOURCE_CHECKED: Final = "reg3"  # 1: may come from its mobile node as it is, says the IPsec policy
DESTINATION_CHECKED: Final = "reg4"  # 1: may go to its mobile node as it is
OPTIMIZED: Final = "reg5"  # 1: had a Home Address option, or is to get a Type 2 Routing header
FROM_KNOWN_NETWORK: Final = "reg6"  # 1: somebody is registered from where this punt comes

TUNNEL_KEY: Final = 0  # GRE keys between the tunnel port and the adapter: IPv6 in IPv6,
ROUTE_KEY: Final = 1  # Home Address option and Type 2 Routing header

METER_BASE: Final = 0x6D00  # meters of other applications on the bridge have other numbers
# What comes from anywhere, and what mobile nodes need: a flood from some networks must not starve the others. Networks
# from where nobody is registered share meters by some bits of their addresses, those from where somebody is have others
# (`known_networks.py`). Interface identifiers count for nothing: whoever may send from a network may invent them.
BY_NETWORK: Final = (Punt.SIGNALLING, Punt.ESP, Punt.CORRESPONDENT_SIGNALLING)
STRANGER_BITS: Final = "0:0:11:1111::"  # the lowest bit of six hexadecimal digits: numbers in a row differ in one
STRANGER_METERS: Final = 64
KNOWN_METERS: Final = 16
METERS_PER_KIND: Final = 128  # numbers
STRANGERS_PART: Final = 2  # strangers get one part in so many of a kind's rate, on top of what others get
NETWORK_PART: Final = 2  # one network gets at most one part in so many of what all strangers, or all others, get
ETHERNET_HEADER: Final = 14
IPV6: Final = 0x86DD
ICMPV6: Final = 58
GRE: Final = 47
FRAGMENT: Final = 44  # what Open vSwitch says the protocol of a fragment behind the first is
ESP: Final = 50
MOBILITY_HEADER: Final = 135
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
NEIGHBOR_DISCOVERY: Final = (133, 134, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT, 137)
ND_HOP_LIMIT: Final = 255
WHOLE_PACKET: Final = 0xFFFF  # OFPCML_NO_BUFFER
ERROR_QUOTE: Final = 1300  # octets, enough for an ICMPv6 error of 1280

PRIORITY_NEIGHBOUR: Final = 90
PRIORITY_KNOWN_NETWORK: Final = 110

_VALID: Final = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_code": 0, "nw_ttl": ND_HOP_LIMIT}
SOLICITATION: Final[Mapping[str, object]] = {**_VALID, "icmpv6_type": NEIGHBOR_SOLICITATION}
ADVERTISEMENT: Final[Mapping[str, object]] = {**_VALID, "icmpv6_type": NEIGHBOR_ADVERTISEMENT}


@dataclass(frozen=True, slots=True)
class BridgeLayout:
    """What the flows need to know about a bridge, whatever its roles. Addresses are text."""

    address: str  # the bridge's own: home agent, tunnel end point
    link_layer_address: str  # of the bridge's LOCAL port
    on_link: tuple[str, ...]  # prefixes of the hosts on the bridge
    tunnel_port: int
    uplink_ports: tuple[int, ...]  # ports of this bridge by which tunnelled packets leave and arrive
    next_table: int | None  # the operator's table for what is not ours; None: NORMAL
    route_mtu: int  # octets: the longest packet that a Type 2 Routing header can be added to

    @property
    def onward(self) -> Action:
        """What happens to a packet that is none of our business."""
        return Output(NORMAL) if self.next_table is None else Resubmit(self.next_table)


class Flows(list[FlowSpec]):
    """The flows of one generation that do not depend on bindings or neighbours, as they are written down."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self._cookie = cookie(Category.PIPELINE, generation)

    def add(
        self, table: Table, priority: int, fields: Mapping[str, object], *actions: Action, goto: int | None = None
    ) -> None:
        self.append(FlowSpec(table, priority, match(**fields), actions, goto, cookie=self._cookie))

    def punt(self, table: Table, priority: int, fields: Mapping[str, object], kind: Punt, *first: Action) -> None:
        """To the controller as `kind`, after the actions `first`."""
        actions, goto = punt(kind, *first)
        self.add(table, priority, fields, *actions, goto=goto)


def meters(rates: Mapping[Punt, int]) -> list[MeterSpec]:
    """Every kind of punt has meters of its own, so that a flood of one cannot starve another.

    What is metered by network passes two: its network's, and then that of all strangers or of all known networks.
    """
    found = []
    for kind, rate in sorted(rates.items()):
        found.append(_meter(METER_BASE + kind, rate))
        if kind in BY_NETWORK:
            strangers = rate // STRANGERS_PART
            found.append(_meter(all_strangers_meter(kind), strangers))
            for bucket in range(STRANGER_METERS):
                found.append(_meter(stranger_meter(kind, bucket), strangers // NETWORK_PART))
            for slot in range(KNOWN_METERS):
                found.append(_meter(known_meter(kind, slot), rate // NETWORK_PART))
    return found


def _meter(number: int, rate: int) -> MeterSpec:
    return MeterSpec(number, max(1, rate), burst=max(1, rate))


def stranger_meter(kind: Punt, bucket: int) -> int:
    """The number of a meter for networks from where nobody is registered."""
    return METER_BASE + kind * METERS_PER_KIND + bucket


def known_meter(kind: Punt, slot: int) -> int:
    """The number of a meter for networks from where somebody is registered."""
    return METER_BASE + kind * METERS_PER_KIND + STRANGER_METERS + slot % KNOWN_METERS


def all_strangers_meter(kind: Punt) -> int:
    """The number of the meter for all networks from where nobody is registered; the others' is the kind's own."""
    return METER_BASE + kind * METERS_PER_KIND + METERS_PER_KIND - 1


def punt(kind: Punt, *first: Action) -> tuple[tuple[Action, ...], int]:
    """Actions and next table that bring a packet to the controller as `kind`, after the actions `first`."""
    return (*first, SetField(PUNT_KIND, int(kind))), Table.PUNT


def static_flows(layout: BridgeLayout, generation: int) -> list[FlowSpec]:
    """What every bridge has, whatever its roles."""
    flows = Flows(generation)
    add, add_punt = flows.add, flows.punt

    own = layout.address
    mac = layout.link_layer_address
    ipv6 = {"eth_type": IPV6}
    to_own = {**ipv6, "ipv6_dst": own}

    # From here on a packet out of the tunnel looks as if the bridge's own port had sent it: OVS then lets it
    # leave by any port, and NORMAL learns the bridge's address where it belongs.
    add(
        Table.CLASSIFY,
        200,
        {"in_port": layout.tunnel_port, "tunnel_id": TUNNEL_KEY},
        SetField(FROM_TUNNEL, 1),
        Load("in_port_nxm", NXM_LOCAL, 16),
        goto=Table.REVERSE_TUNNEL,
    )
    add(Table.CLASSIFY, 195, {"in_port": layout.tunnel_port})
    for icmpv6_type in NEIGHBOR_DISCOVERY:  # never by way of a Home Address option; nor does the adapter convert it
        message = {**ipv6, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}
        add(Table.CLASSIFY, 220, {**message, "in_port": layout.tunnel_port, "tunnel_id": ROUTE_KEY})
    # GRE is the form that tunnelled packets have between the tunnel port and the shim on the uplink. It reaches the
    # tunnel port only from there, or a neighbour could forge the care-of address that the flows check (10.4.5).
    for port in layout.uplink_ports:
        add(Table.CLASSIFY, 190, {**to_own, "in_port": port, "ip_proto": GRE}, Output(LOCAL))
    out = Output(layout.uplink_ports[0]) if len(layout.uplink_ports) == 1 else layout.onward
    add(Table.CLASSIFY, 190, {**ipv6, "in_port": LOCAL, "eth_src": mac, "ip_proto": GRE}, out)
    add(Table.CLASSIFY, 180, {**to_own, "ip_proto": GRE})
    for icmpv6_type in (NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT):
        # The next table looks at the hop limit. A match on it here would make Open vSwitch look at it for every packet,
        # and keep what it has decided once for each of 256 hop limits.
        fields = {**ipv6, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type, "icmpv6_code": 0}
        add(Table.CLASSIFY, 160, fields, goto=Table.NEIGHBOR_DISCOVERY)
    for icmpv6_type in NEIGHBOR_DISCOVERY:  # never tunnelled
        add(Table.CLASSIFY, 150, {**ipv6, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}, layout.onward)
    add(Table.CLASSIFY, 110, to_own, layout.onward)
    add(Table.CLASSIFY, 0, {}, layout.onward)

    # 10.4.5: what no binding accepts is dropped (the counter of this flow tells how much)
    add(Table.REVERSE_TUNNEL, 0, {})

    # With a Type 2 Routing header a correspondent sends: it forwards nothing, so no hop is counted (9.3.2).
    optimized = {**ipv6, OPTIMIZED: 1}
    check = CheckPacketLarger(layout.route_mtu + ETHERNET_HEADER, register=0)
    add(Table.ENCAPSULATE, 110, optimized, check, goto=Table.TUNNEL_OUTPUT)
    add_punt(Table.TUNNEL_OUTPUT, 30, {**optimized, TOO_BIG: 1}, Punt.ROUTE_TOO_BIG)
    add(Table.TUNNEL_OUTPUT, 20, optimized, SetField("tunnel_id", ROUTE_KEY), Output(layout.tunnel_port))

    # To the bridge's own host, to a neighbour, or to the router, who is a neighbour whose flow is `router_flow`;
    # the others' are `neighbour_flow`.
    add(
        Table.DELIVER,
        110,
        to_own,
        SetField("eth_src", mac),
        SetField("eth_dst", mac),
        Load("in_port_nxm", NXM_NONE, 16),
        Output(LOCAL),
    )
    for prefix in layout.on_link:
        add_punt(Table.DELIVER, 50, {**ipv6, "ipv6_dst": prefix}, Punt.UNRESOLVED)

    # Advertisements to the bridge are how its neighbours are resolved; they also go on, since the kernel and the
    # tunnel port resolve theirs the same way.
    add_punt(Table.NEIGHBOR_DISCOVERY, 150, {**ADVERTISEMENT, "ipv6_dst": own}, Punt.NEIGHBOR_DISCOVERY, layout.onward)
    add(Table.NEIGHBOR_DISCOVERY, 0, {}, layout.onward)

    for kind in Punt:
        is_kind = {PUNT_KIND: int(kind)}
        if kind not in BY_NETWORK:
            flows.append(_to_controller(Table.PUNT, kind, is_kind, METER_BASE + kind, generation))
            continue
        for bucket in range(STRANGER_METERS):
            source = f"{_stranger_bits(bucket)}/{STRANGER_BITS}"
            flows.append(_by_network(kind, 100, source, stranger_meter(kind, bucket), False, generation))
        for known, meter in ((0, all_strangers_meter(kind)), (1, METER_BASE + kind)):
            fields = {**is_kind, FROM_KNOWN_NETWORK: known}
            flows.append(_to_controller(Table.PUNT_BY_NETWORK, kind, fields, meter, generation))
    return flows


def known_network_flow(kind: Punt, network: str, slot: int, generation: int) -> FlowSpec:
    """What comes from a network, from where somebody is registered, through a meter that few others share."""
    return _by_network(kind, PRIORITY_KNOWN_NETWORK, network, known_meter(kind, slot), True, generation)


def _by_network(kind: Punt, priority: int, source: str, meter: int, known: bool, generation: int) -> FlowSpec:
    return FlowSpec(
        Table.PUNT,
        priority,
        match(eth_type=IPV6, ipv6_src=source, **{PUNT_KIND: int(kind)}),
        (SetField(FROM_KNOWN_NETWORK, 1),) if known else (),
        Table.PUNT_BY_NETWORK,
        meter=meter,
        cookie=cookie(Category.PIPELINE, generation),
    )


def _to_controller(table: Table, kind: Punt, fields: Mapping[str, object], meter: int, generation: int) -> FlowSpec:
    return FlowSpec(
        table,
        100,
        match(**fields),
        (Output(CONTROLLER, ERROR_QUOTE if kind in CUT else WHOLE_PACKET),),
        meter=meter,
        cookie=cookie(Category.PUNT, generation, kind),
    )


def _stranger_bits(bucket: int) -> str:
    """The bits of `bucket` where STRANGER_BITS has ones."""
    mask, value = int(IPv6Address(STRANGER_BITS)), 0
    for position in range(128):
        if mask >> position & 1:
            value |= (bucket & 1) << position
            bucket >>= 1
    return str(IPv6Address(value))


def neighbour_flow(layout: BridgeLayout, address: str, link_layer_address: str, generation: int, idle: int) -> FlowSpec:
    """Packets to a node on the link. Its removal tells that it is no longer used."""
    return FlowSpec(
        Table.DELIVER,
        PRIORITY_NEIGHBOUR,
        match(eth_type=IPV6, ipv6_dst=address),
        _next_hop(layout, link_layer_address),
        cookie=cookie(Category.NEIGHBOUR, generation),
        idle_timeout=idle,
        notify_removal=True,
    )


def router_flow(layout: BridgeLayout, link_layer_address: str, generation: int) -> FlowSpec:
    """Packets to anywhere off the link."""
    return FlowSpec(
        Table.DELIVER,
        0,
        match(eth_type=IPV6),
        _next_hop(layout, link_layer_address),
        cookie=cookie(Category.NEIGHBOUR, generation),
    )


def _next_hop(layout: BridgeLayout, link_layer_address: str) -> tuple[Action, ...]:
    return (
        SetField("eth_src", layout.link_layer_address),
        SetField("eth_dst", link_layer_address),
        layout.onward,
    )
