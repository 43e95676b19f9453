"""The flow pipeline of a home link's bridge as data: tables, priorities, registers, punts, meters, flows.

    classify (0) -- from the tunnel --> reverse tunnel (10) --+
       |                                                      v
       +-- to a home prefix ------------------------------> bindings (20) -- bound --> encapsulate (30) --> output (31)
       |                                                      |
       +-- Neighbor Discovery --> neighbor discovery (50)     +-- from the tunnel, not bound --> forward (40)
       |                              |                       +-- else --> NORMAL
       |                              +-- bound target --> proxy reply (51, 52)
       +-- Mobility Header, ESP, requests about home agents and prefixes --> punt (60), the only table that outputs to
       |                                                                the controller, each kind through its meter
       +-- Router Advertisements --> on their way, and a copy to punt (60)
       +-- anything else --> NORMAL, or the table that the operator names

Table numbers are ours from `first_table` on, so that the application can share a bridge.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Prefix, home_agents_anycast, text
from ryu_apps.cookies import Category, cookie
from ryu_apps.flowspec import (
    CONTROLLER,
    IN_PORT,
    LOCAL,
    NORMAL,
    NXM_LOCAL,
    NXM_NONE,
    Action,
    CheckPacketLarger,
    DecrementHopLimit,
    FlowSpec,
    Load,
    MeterSpec,
    Move,
    Output,
    Resubmit,
    SetField,
    SetNdField,
    match,
)


class Table(enum.IntEnum):
    CLASSIFY = 0
    REVERSE_TUNNEL = 10
    BINDINGS = 20
    ENCAPSULATE = 30
    TUNNEL_OUTPUT = 31
    FORWARD = 40
    NEIGHBOR_DISCOVERY = 50
    PROXY_REPLY = 51
    PROXY_SEND = 52
    PUNT = 60


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


TOO_BIG: Final = "reg0"  # bit 0: longer than the tunnel MTU
FROM_TUNNEL: Final = "reg1"  # 1: came out of the reverse tunnel
PUNT_KIND: Final = "reg2"
SOURCE_CHECKED: Final = "reg3"  # 1: may come from its mobile node as it is, says the IPsec policy
DESTINATION_CHECKED: Final = "reg4"  # 1: may go to its mobile node as it is

METER_BASE: Final = 0x6D00  # meters of other applications on the bridge have other numbers
ETHERNET_HEADER: Final = 14
IPV6: Final = 0x86DD
ICMPV6: Final = 58
GRE: Final = 47
ESP: Final = 50
MOBILITY_HEADER: Final = 135
ROUTER_SOLICITATION: Final = 133  # ICMPv6 types
ROUTER_ADVERTISEMENT: Final = 134
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
HA_ADDRESS_DISCOVERY_REQUEST: Final = 144
MOBILE_PREFIX_SOLICITATION: Final = 146
ND_HOP_LIMIT: Final = 255
ND_RESERVED: Final = 1
ND_OPTIONS_TYPE: Final = 2
SOLICITED: Final = 0x40000000  # R=0 S=1 O=0: what a proxy answers (RFC 4861 section 7.2.8)
TARGET_LINK_LAYER_ADDRESS: Final = 2
WHOLE_PACKET: Final = 0xFFFF  # OFPCML_NO_BUFFER
ERROR_QUOTE: Final = 1300  # octets, enough for an ICMPv6 error of 1280

PRIORITY_BINDING: Final = 100
PRIORITY_HOME_TEST: Final = 120
PRIORITY_HOME_TEST_INIT: Final = 130
PRIORITY_WATCH: Final = 200
PRIORITY_NEIGHBOUR: Final = 90


@dataclass(frozen=True, slots=True)
class BridgeLayout:
    """What the flows of a home link need to know about its bridge. Addresses are text."""

    home_agent: str
    link_layer_address: str  # of the bridge's LOCAL port, the home agent's
    prefixes: tuple[str, ...]
    tunnel_port: int
    uplink_ports: tuple[int, ...]  # ports of this bridge by which tunnelled packets leave and arrive
    tunnel_mtu: int  # longest inner packet, octets
    next_table: int | None  # the operator's table for what is not ours; None: NORMAL
    ipsec: bool = False  # mobile nodes have associations with the home agent
    advertises: bool = False  # the home agent sends Router Advertisements, and answers solicitations for them

    @property
    def onward(self) -> Action:
        """What happens to a packet that is none of our business."""
        return Output(NORMAL) if self.next_table is None else Resubmit(self.next_table)

    @property
    def anycast_addresses(self) -> list[str]:
        """The Mobile IPv6 Home-Agents anycast address of each prefix that has one (RFC 6275 section 10.5)."""
        found = (home_agents_anycast(Prefix.parse(prefix)) for prefix in self.prefixes)
        return [text(address) for address in found if address is not None]


def meters(rates: dict[Punt, int]) -> list[MeterSpec]:
    """One meter for each kind of punt, so that a flood of one cannot starve another."""
    return [MeterSpec(METER_BASE + kind, rate, burst=rate) for kind, rate in sorted(rates.items())]


def punt(kind: Punt, *first: Action) -> tuple[tuple[Action, ...], int]:
    """Actions and next table that bring a packet to the controller as `kind`, after the actions `first`."""
    return (*first, SetField(PUNT_KIND, int(kind))), Table.PUNT


def static_flows(layout: BridgeLayout, generation: int) -> list[FlowSpec]:
    """All flows that do not depend on bindings or neighbours."""
    flows: list[FlowSpec] = []
    pipeline = cookie(Category.PIPELINE, generation)

    def add(
        table: Table, priority: int, fields: Mapping[str, object], *actions: Action, goto: int | None = None
    ) -> None:
        flows.append(FlowSpec(table, priority, match(**fields), actions, goto, cookie=pipeline))

    def add_punt(table: Table, priority: int, fields: Mapping[str, object], kind: Punt, *first: Action) -> None:
        actions, goto = punt(kind, *first)
        add(table, priority, fields, *actions, goto=goto)

    own = layout.home_agent
    mac = layout.link_layer_address
    ipv6 = {"eth_type": IPV6}
    to_own = {**ipv6, "ipv6_dst": own}
    nd = {**ipv6, "ip_proto": ICMPV6, "icmpv6_code": 0, "nw_ttl": ND_HOP_LIMIT}
    solicitation = {**nd, "icmpv6_type": NEIGHBOR_SOLICITATION}
    advertisement = {**nd, "icmpv6_type": NEIGHBOR_ADVERTISEMENT}

    # From here on a packet out of the tunnel looks as if the home agent's own port had sent it: OVS then lets it
    # leave by any port, and NORMAL learns the bridge's address where it belongs.
    add(
        Table.CLASSIFY,
        200,
        {"in_port": layout.tunnel_port},
        SetField(FROM_TUNNEL, 1),
        Load("in_port_nxm", NXM_LOCAL, 16),
        goto=Table.REVERSE_TUNNEL,
    )
    # GRE is the form that tunnelled packets have between the tunnel port and the shim on the uplink. It reaches the
    # tunnel port only from there, or a neighbour could forge the care-of address that the flows check (10.4.5).
    for port in layout.uplink_ports:
        add(Table.CLASSIFY, 190, {**to_own, "in_port": port, "ip_proto": GRE}, Output(LOCAL))
    out = Output(layout.uplink_ports[0]) if len(layout.uplink_ports) == 1 else layout.onward
    add(Table.CLASSIFY, 190, {**ipv6, "in_port": LOCAL, "eth_src": mac, "ip_proto": GRE}, out)
    add(Table.CLASSIFY, 180, {**to_own, "ip_proto": GRE})
    add_punt(Table.CLASSIFY, 170, {**to_own, "ip_proto": MOBILITY_HEADER}, Punt.SIGNALLING)
    if layout.ipsec:
        add_punt(Table.CLASSIFY, 170, {**to_own, "ip_proto": ESP}, Punt.ESP)
    # Behind a Home Address option, too: Open vSwitch looks for the type behind extension headers. Other home agents on
    # the link have the same anycast address; what goes to them is known by the link-layer address.
    for icmpv6_type in (HA_ADDRESS_DISCOVERY_REQUEST, MOBILE_PREFIX_SOLICITATION):
        fields = {**to_own, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}
        add_punt(Table.CLASSIFY, 170, fields, Punt.HOME_DISCOVERY)
    for anycast in layout.anycast_addresses:
        to_anycast = {**ipv6, "eth_dst": mac, "ipv6_dst": anycast, "ip_proto": ICMPV6}
        fields = {**to_anycast, "icmpv6_type": HA_ADDRESS_DISCOVERY_REQUEST}
        add_punt(Table.CLASSIFY, 170, fields, Punt.HOME_DISCOVERY)
    add(Table.CLASSIFY, 160, solicitation, goto=Table.NEIGHBOR_DISCOVERY)
    add(Table.CLASSIFY, 160, advertisement, goto=Table.NEIGHBOR_DISCOVERY)
    heard = (ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT) if layout.advertises else (ROUTER_ADVERTISEMENT,)
    for icmpv6_type in heard:
        add_punt(Table.CLASSIFY, 160, {**nd, "icmpv6_type": icmpv6_type}, Punt.ROUTER_DISCOVERY, layout.onward)
    for icmpv6_type in (133, 134, 135, 136, 137):  # Neighbor Discovery is never tunnelled
        add(Table.CLASSIFY, 150, {**ipv6, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}, layout.onward)
    add(Table.CLASSIFY, 110, to_own, layout.onward)
    for prefix in layout.prefixes:
        add(Table.CLASSIFY, 100, {**ipv6, "ipv6_dst": prefix}, goto=Table.BINDINGS)
    add(Table.CLASSIFY, 0, {}, layout.onward)

    # 10.4.5: what no binding accepts is dropped (the counter of this flow tells how much)
    add(Table.REVERSE_TUNNEL, 0, {})

    add(Table.BINDINGS, 10, {FROM_TUNNEL: 1}, goto=Table.FORWARD)
    add(Table.BINDINGS, 0, {}, layout.onward)

    # A router's duties before it tunnels: hop limit, packet size, scope of the source (RFC 4291 section 2.5.6)
    for hop_limit in (0, 1):
        add_punt(Table.ENCAPSULATE, 100, {**ipv6, "nw_ttl": hop_limit}, Punt.TUNNEL_ERROR)
    add(Table.ENCAPSULATE, 90, {**ipv6, "ipv6_src": "fe80::/10"})
    add(
        Table.ENCAPSULATE,
        0,
        ipv6,
        CheckPacketLarger(layout.tunnel_mtu + ETHERNET_HEADER, register=0),
        goto=Table.TUNNEL_OUTPUT,
    )
    add_punt(Table.TUNNEL_OUTPUT, 10, {**ipv6, TOO_BIG: 1}, Punt.TUNNEL_ERROR)
    add(Table.TUNNEL_OUTPUT, 0, ipv6, DecrementHopLimit(), SetField("tunnel_id", 0), Output(layout.tunnel_port))

    # Out of the reverse tunnel to the home agent itself, to a neighbour on the home link, or on to the router.
    # The router is a neighbour whose flow is `router_flow`; neighbours' flows are `neighbour_flow`.
    add(Table.FORWARD, 120, {**ipv6, "ipv6_dst": "fe80::/10"})
    add(Table.FORWARD, 120, {**ipv6, "ipv6_dst": "ff00::/8"})
    add(
        Table.FORWARD,
        110,
        to_own,
        SetField("eth_src", mac),
        SetField("eth_dst", mac),
        Load("in_port_nxm", NXM_NONE, 16),
        Output(LOCAL),
    )
    for hop_limit in (0, 1):
        add_punt(Table.FORWARD, 100, {**ipv6, "nw_ttl": hop_limit}, Punt.TUNNEL_ERROR)
    for prefix in layout.prefixes:
        add_punt(Table.FORWARD, 50, {**ipv6, "ipv6_dst": prefix}, Punt.UNRESOLVED)

    # Advertisements to the home agent are how its neighbours are resolved; they also go on, since the kernel and the
    # tunnel port resolve theirs the same way.
    actions, goto = punt(Punt.NEIGHBOR_DISCOVERY, layout.onward)
    add(Table.NEIGHBOR_DISCOVERY, 150, {**advertisement, "ipv6_dst": own}, *actions, goto=goto)
    # The anycast address is every home agent's on the link, each of which answers (10.5, RFC 4861 section 7.2.7).
    for anycast in layout.anycast_addresses:
        fields = {**solicitation, "ipv6_nd_target": anycast}
        add_punt(Table.NEIGHBOR_DISCOVERY, 150, fields, Punt.NEIGHBOR_DISCOVERY, layout.onward)
    add(Table.NEIGHBOR_DISCOVERY, 0, {}, layout.onward)

    # The solicitation becomes the advertisement, in steps because each field can be set only where the match implies
    # it. Without a source link-layer address there is no option to turn into the target's: the engine answers.
    no_option = {**solicitation, "ipv6_nd_sll": "00:00:00:00:00:00"}
    add_punt(Table.PROXY_REPLY, 30, {**solicitation, "ipv6_src": "::"}, Punt.NEIGHBOR_DISCOVERY)
    add_punt(Table.PROXY_REPLY, 20, no_option, Punt.NEIGHBOR_DISCOVERY)
    add(
        Table.PROXY_REPLY,
        0,
        solicitation,
        SetField("icmpv6_type", NEIGHBOR_ADVERTISEMENT),
        SetNdField(ND_OPTIONS_TYPE, TARGET_LINK_LAYER_ADDRESS),
        SetNdField(ND_RESERVED, SOLICITED),
        goto=Table.PROXY_SEND,
    )
    add(
        Table.PROXY_SEND,
        0,
        advertisement,
        Move("eth_src", "eth_dst", 48),
        SetField("eth_src", mac),
        Move("ipv6_src", "ipv6_dst", 128),
        SetField("ipv6_src", own),
        SetField("ipv6_nd_tll", mac),
        Output(IN_PORT),
    )

    for kind in Punt:
        length = ERROR_QUOTE if kind is Punt.TUNNEL_ERROR else WHOLE_PACKET
        flows.append(
            FlowSpec(
                Table.PUNT,
                100,
                match(**{PUNT_KIND: int(kind)}),
                (Output(CONTROLLER, length),),
                meter=METER_BASE + kind,
                cookie=cookie(Category.PUNT, generation, kind),
            )
        )
    return flows


def tunnel_flow(home_address: str, care_of_address: str, value: int, hard_timeout: int) -> FlowSpec:
    """Interception of packets for a home address (10.4.1, 10.4.2)."""
    return FlowSpec(
        Table.BINDINGS,
        PRIORITY_BINDING,
        match(eth_type=IPV6, ipv6_dst=home_address),
        (SetField("tun_ipv6_dst", care_of_address),),
        goto=Table.ENCAPSULATE,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def reverse_tunnel_flow(home_address: str, care_of_address: str, value: int, hard_timeout: int) -> FlowSpec:
    """The reverse tunnel is accepted from the care-of address for the home address only (10.4.5)."""
    return FlowSpec(
        Table.REVERSE_TUNNEL,
        PRIORITY_BINDING,
        match(eth_type=IPV6, ipv6_src=home_address, tun_ipv6_src=care_of_address),
        goto=Table.BINDINGS,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def home_test_flow(home_address: str, value: int, hard_timeout: int) -> FlowSpec:
    """Mobility Headers to a mobile node that is away: Home Tests are wrapped by the controller (10.4.6)."""
    actions, goto = punt(Punt.HOME_TEST)
    fields = {"eth_type": IPV6, "ip_proto": MOBILITY_HEADER, "ipv6_dst": home_address, DESTINATION_CHECKED: 0}
    return FlowSpec(
        Table.BINDINGS, PRIORITY_HOME_TEST, match(**fields), actions, goto, cookie=value, hard_timeout=hard_timeout
    )


def home_test_init_flow(home_address: str, value: int, hard_timeout: int) -> FlowSpec:
    """Mobility Headers out of the reverse tunnel: no Home Test Init may come in clear if it has to be protected."""
    actions, goto = punt(Punt.HOME_TEST_INIT)
    fields = {"eth_type": IPV6, "ip_proto": MOBILITY_HEADER, "ipv6_src": home_address, FROM_TUNNEL: 1}
    return FlowSpec(
        Table.BINDINGS,
        PRIORITY_HOME_TEST_INIT,
        match(**fields, **{SOURCE_CHECKED: 0}),
        actions,
        goto,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def proxy_flow(target: str, value: int, hard_timeout: int) -> FlowSpec:
    """Neighbor Solicitations for a home address, or its link-local address, are answered inside the switch (10.4.1)."""
    return FlowSpec(
        Table.NEIGHBOR_DISCOVERY,
        PRIORITY_BINDING,
        match(eth_type=IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOR_SOLICITATION, ipv6_nd_target=target),
        goto=Table.PROXY_REPLY,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def watch_flows(layout: BridgeLayout, target: str, generation: int) -> list[FlowSpec]:
    """While Duplicate Address Detection runs for `target`, its advertisements and others' probes are punted too."""
    actions, goto = punt(Punt.NEIGHBOR_DISCOVERY, layout.onward)
    value = cookie(Category.WATCH, generation)
    return [
        FlowSpec(
            Table.NEIGHBOR_DISCOVERY,
            PRIORITY_WATCH,
            match(eth_type=IPV6, ip_proto=ICMPV6, icmpv6_type=icmpv6_type, ipv6_nd_target=target),
            actions,
            goto,
            cookie=value,
        )
        for icmpv6_type in (NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT)
    ]


def neighbour_flow(layout: BridgeLayout, address: str, link_layer_address: str, generation: int, idle: int) -> FlowSpec:
    """Packets out of the reverse tunnel to a node on the home link. Its removal tells that it is no longer used."""
    return FlowSpec(
        Table.FORWARD,
        PRIORITY_NEIGHBOUR,
        match(eth_type=IPV6, ipv6_dst=address),
        _next_hop(layout, link_layer_address),
        cookie=cookie(Category.NEIGHBOUR, generation),
        idle_timeout=idle,
        notify_removal=True,
    )


def router_flow(layout: BridgeLayout, link_layer_address: str, generation: int) -> FlowSpec:
    """Packets out of the reverse tunnel to anywhere off the home link."""
    return FlowSpec(
        Table.FORWARD,
        0,
        match(eth_type=IPV6),
        _next_hop(layout, link_layer_address),
        cookie=cookie(Category.NEIGHBOUR, generation),
    )


def _next_hop(layout: BridgeLayout, link_layer_address: str) -> tuple[Action, ...]:
    return (
        DecrementHopLimit(),
        SetField("eth_src", layout.link_layer_address),
        SetField("eth_dst", link_layer_address),
        layout.onward,
    )
