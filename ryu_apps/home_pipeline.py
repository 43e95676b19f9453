"""The flows of a home link: interception, tunnel, reverse tunnel, proxy Neighbor Discovery, punts to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Prefix, home_agents_anycast, text
from mip6core.constants import MINIMUM_MTU
from ryu_apps.cookies import Category, cookie
from ryu_apps.flowspec import (
    IN_PORT,
    LOCAL,
    NXM_LOCAL,
    CheckPacketLarger,
    DecrementHopLimit,
    FlowSpec,
    Load,
    Move,
    Output,
    SetField,
    SetNdField,
    match,
)
from ryu_apps.parameter_problems import ERRONEOUS_FIELD, UNRECOGNIZED_OPTION
from ryu_apps.pipeline import (
    ADVERTISEMENT,
    DESTINATION_CHECKED,
    ESP,
    ETHERNET_HEADER,
    FRAGMENT,
    FROM_TUNNEL,
    GRE,
    ICMPV6,
    IPV6,
    MOBILITY_HEADER,
    ND_HOP_LIMIT,
    NEIGHBOR_ADVERTISEMENT,
    OPTIMIZED,
    ROUTE_KEY,
    SOLICITATION,
    SOURCE_CHECKED,
    TOO_BIG,
    TUNNEL_KEY,
    BridgeLayout,
    Flows,
    Punt,
    Table,
    punt,
)

ICMPV6_ERRORS: Final = (1, 2, 3, 4)  # ICMPv6 types
DESTINATION_UNREACHABLE: Final = 1
PARAMETER_PROBLEM: Final = 4
ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
HA_ADDRESS_DISCOVERY_REQUEST: Final = 144
MOBILE_PREFIX_SOLICITATION: Final = 146
ND_RESERVED: Final = 1
ND_OPTIONS_TYPE: Final = 2
SOLICITED: Final = 0x40000000  # R=0 S=1 O=0: what a proxy answers (RFC 4861 section 7.2.8)
TARGET_LINK_LAYER_ADDRESS: Final = 2
FIRST_FRAGMENT: Final = 1  # a value of ip_frag
# Link-local (RFC 4291 section 2.5.6) and multicast, unspecified (2.5.2) and loopback (2.5.3) addresses
NEVER_FORWARDED: Final = ("fe80::/10", "ff00::/8", "::", "::1")
TUNNEL: Final = 41  # IPv6 in IPv6
NARROW_MTU: Final = MINIMUM_MTU - 40  # octets in the tunnel on a path of the minimum MTU
PRIORITY_BINDING: Final = 100
PRIORITY_NARROW_PATH: Final = 105
PRIORITY_HOME_TEST: Final = 120
PRIORITY_HOME_TEST_INIT: Final = 130
PRIORITY_WATCH: Final = 200


@dataclass(frozen=True, slots=True)
class HomeLayout:
    """What the flows of a home link need to know beside the bridge."""

    prefixes: tuple[str, ...]
    tunnel_mtu: int  # longest inner packet, octets
    ipsec: bool = False  # mobile nodes have associations with the home agent
    advertises: bool = False  # the home agent sends Router Advertisements, and answers solicitations for them
    virtual: bool = False  # no link has the prefixes

    @property
    def anycast_addresses(self) -> list[str]:
        """The Mobile IPv6 Home-Agents anycast address of each prefix that has one (RFC 6275 section 10.5)."""
        found = (home_agents_anycast(Prefix.parse(prefix)) for prefix in self.prefixes)
        return [text(address) for address in found if address is not None]


def static_flows(layout: BridgeLayout, home: HomeLayout, generation: int) -> list[FlowSpec]:
    """All flows of a home link that do not depend on bindings."""
    flows = Flows(generation)
    add, add_punt = flows.add, flows.punt

    own = layout.address
    mac = layout.link_layer_address
    ipv6 = {"eth_type": IPV6}
    to_own = {**ipv6, "ipv6_dst": own}

    add_punt(Table.CLASSIFY, 170, {**to_own, "ip_proto": MOBILITY_HEADER}, Punt.SIGNALLING)
    if home.ipsec:
        add_punt(Table.CLASSIFY, 170, {**to_own, "ip_proto": ESP}, Punt.ESP)
    # What may be signalling, or a tunnel packet by an uplink, is put together again by the controller. What a fragment
    # behind the first belongs to cannot be seen, so the host gets those as well.
    signalling = (MOBILITY_HEADER, ESP) if home.ipsec else (MOBILITY_HEADER,)
    by_uplinks = [(174, {**to_own, "in_port": port}, Punt.UPLINK_FRAGMENT) for port in layout.uplink_ports]
    for priority, fields, kind in (*by_uplinks, (172, to_own, Punt.LINK_FRAGMENT)):
        for protocol in signalling:
            add_punt(Table.CLASSIFY, priority, {**fields, "ip_proto": protocol, "ip_frag": FIRST_FRAGMENT}, kind)
        add_punt(Table.CLASSIFY, priority, {**fields, "ip_proto": FRAGMENT}, kind, layout.onward)
    for priority, fields, kind in by_uplinks:  # whole ones are those with headers that the adapter does not know
        add_punt(Table.CLASSIFY, priority, {**fields, "ip_proto": TUNNEL}, kind)
    # Behind a Home Address option, too: Open vSwitch looks for the type behind extension headers. Other home agents on
    # the link have the same anycast address; what goes to them is known by the link-layer address.
    for icmpv6_type in (HA_ADDRESS_DISCOVERY_REQUEST, MOBILE_PREFIX_SOLICITATION):
        fields = {**to_own, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}
        add_punt(Table.CLASSIFY, 170, fields, Punt.HOME_DISCOVERY)
    for anycast in home.anycast_addresses:
        to_anycast = {**ipv6, "eth_dst": mac, "ipv6_dst": anycast, "ip_proto": ICMPV6}
        fields = {**to_anycast, "icmpv6_type": HA_ADDRESS_DISCOVERY_REQUEST}
        add_punt(Table.CLASSIFY, 170, fields, Punt.HOME_DISCOVERY)
    # The host that the home agent runs on has to see them as well.
    for icmpv6_type in ICMPV6_ERRORS:
        fields = {**to_own, "ip_proto": ICMPV6, "icmpv6_type": icmpv6_type}
        add_punt(Table.CLASSIFY, 170, fields, Punt.ICMPV6_ERROR, layout.onward)
    heard = (ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT) if home.advertises else (ROUTER_ADVERTISEMENT,)
    for icmpv6_type in heard:
        fields = {**ipv6, "ip_proto": ICMPV6, "icmpv6_code": 0, "icmpv6_type": icmpv6_type}
        add(Table.CLASSIFY, 160, fields, goto=Table.NEIGHBOR_DISCOVERY)
        valid = {**fields, "nw_ttl": ND_HOP_LIMIT}
        add_punt(Table.NEIGHBOR_DISCOVERY, 150, valid, Punt.ROUTER_DISCOVERY, layout.onward)
    for prefix in home.prefixes:
        add(Table.CLASSIFY, 100, {**ipv6, "ipv6_dst": prefix}, goto=Table.BINDINGS)
    if not home.virtual:  # a link-local address may be defended too
        add(Table.CLASSIFY, 100, {**ipv6, "eth_dst": mac, "ipv6_dst": "fe80::/10"}, goto=Table.BINDINGS)

    # The home agent is a correspondent of its mobile nodes, with the home registrations for a Binding Cache: what had a
    # Home Address option is checked like the reverse tunnel (9.3.1), what its host sends gets a routing header (9.3.2).
    optimized = {**to_own, "in_port": layout.tunnel_port, "tunnel_id": ROUTE_KEY}
    add(
        Table.CLASSIFY,
        200,
        optimized,
        SetField(FROM_TUNNEL, 1),
        SetField(OPTIMIZED, 1),
        Load("in_port_nxm", NXM_LOCAL, 16),
        goto=Table.REVERSE_TUNNEL,
    )
    add_punt(Table.REVERSE_TUNNEL, 10, {OPTIMIZED: 1}, Punt.UNBOUND)
    add(Table.BINDINGS, 140, {OPTIMIZED: 1, FROM_TUNNEL: 1}, goto=Table.DELIVER)
    for prefix in home.prefixes:
        from_own = {**ipv6, "in_port": LOCAL, "ipv6_src": own, "ipv6_dst": prefix}
        add(Table.CLASSIFY, 105, from_own, SetField(OPTIMIZED, 1), goto=Table.BINDINGS)
        for protocol in (MOBILITY_HEADER, ESP):
            add(Table.CLASSIFY, 106, {**from_own, "ip_proto": protocol}, goto=Table.BINDINGS)
        # What correspondents say is unreachable, on a bridge that has some, is looked at with this priority less 1.
        unreachable = {**from_own, "ip_proto": ICMPV6, "icmpv6_type": DESTINATION_UNREACHABLE}
        add(Table.CLASSIFY, 167, unreachable, SetField(OPTIMIZED, 1), goto=Table.BINDINGS)
    # Its kernel may not know Type 2 Routing headers nor the Home Address option, which some fragments bring it. That it
    # knows no Mobility Header is true of what comes out of the reverse tunnel: the sender may learn it.
    for code in (ERRONEOUS_FIELD, UNRECOGNIZED_OPTION):
        problem = {"icmpv6_type": PARAMETER_PROBLEM, "icmpv6_code": code}
        fields = {**ipv6, "in_port": LOCAL, "ipv6_src": own, "ip_proto": ICMPV6, **problem}
        add_punt(Table.CLASSIFY, 164, fields, Punt.HOST_PROBLEM)

    # A mobile node may ask for home agents by way of its tunnel, too (10.5). There it has no link-layer address to tell
    # which of those with the anycast address is asked.
    for asked in (own, *home.anycast_addresses):
        fields = {**ipv6, "ipv6_dst": asked, "ip_proto": ICMPV6, "icmpv6_type": HA_ADDRESS_DISCOVERY_REQUEST}
        add_punt(Table.BINDINGS, 30, {**fields, FROM_TUNNEL: 1}, Punt.TUNNELLED_DISCOVERY)
    # Nobody has an address of a virtual link that is not bound: by way of the router it would come back.
    for prefix in home.prefixes if home.virtual else ():
        unbound = {**ipv6, "ipv6_dst": prefix}
        add_punt(Table.BINDINGS, 20, {**unbound, FROM_TUNNEL: 1}, Punt.UNREACHABLE)
        add_punt(Table.BINDINGS, 20, {**unbound, "eth_dst": mac}, Punt.UNREACHABLE)
    add(Table.BINDINGS, 10, {FROM_TUNNEL: 1}, goto=Table.FORWARD)
    add(Table.BINDINGS, 0, {}, layout.onward)

    # RFC 2473 section 7.1 (b): what does not fit into the tunnel of a narrow path is fragmented by the controller.
    add_punt(Table.NARROW_PATH, 10, {**ipv6, TOO_BIG: 1}, Punt.NARROW_PATH)
    add(Table.NARROW_PATH, 0, ipv6, goto=Table.ENCAPSULATE)

    # A router's duties before it tunnels: hop limit, packet size, scope of the source
    for hop_limit in (0, 1):
        add_punt(Table.ENCAPSULATE, 100, {**ipv6, "nw_ttl": hop_limit}, Punt.TUNNEL_ERROR)
    for source in NEVER_FORWARDED:
        add(Table.ENCAPSULATE, 90, {**ipv6, "ipv6_src": source})
    add(
        Table.ENCAPSULATE,
        0,
        ipv6,
        CheckPacketLarger(home.tunnel_mtu + ETHERNET_HEADER, register=0),
        goto=Table.TUNNEL_OUTPUT,
    )
    add_punt(Table.TUNNEL_OUTPUT, 10, {**ipv6, TOO_BIG: 1}, Punt.TUNNEL_ERROR)
    add(
        Table.TUNNEL_OUTPUT, 0, ipv6, DecrementHopLimit(), SetField("tunnel_id", TUNNEL_KEY), Output(layout.tunnel_port)
    )

    # Out of the reverse tunnel: the same duties of a router, except towards the home agent itself
    for destination in NEVER_FORWARDED:
        add(Table.FORWARD, 120, {**ipv6, "ipv6_dst": destination})
    add(Table.FORWARD, 118, {**to_own, "ip_proto": GRE})  # the tunnel port would take it apart once more
    add(Table.FORWARD, 110, to_own, goto=Table.DELIVER)
    for hop_limit in (0, 1):
        add_punt(Table.FORWARD, 100, {**ipv6, "nw_ttl": hop_limit}, Punt.TUNNEL_ERROR)
    add(Table.FORWARD, 0, ipv6, DecrementHopLimit(), goto=Table.DELIVER)

    # The anycast address is every home agent's on the link, each of which answers (10.5, RFC 4861 section 7.2.7).
    for anycast in home.anycast_addresses:
        fields = {**SOLICITATION, "ipv6_nd_target": anycast}
        add_punt(Table.NEIGHBOR_DISCOVERY, 150, fields, Punt.NEIGHBOR_DISCOVERY, layout.onward)

    # The solicitation becomes the advertisement, in steps because each field can be set only where the match implies
    # it. Without a source link-layer address there is no option to turn into the target's: the engine answers.
    no_option = {**SOLICITATION, "ipv6_nd_sll": "00:00:00:00:00:00"}
    add_punt(Table.PROXY_REPLY, 30, {**SOLICITATION, "ipv6_src": "::"}, Punt.NEIGHBOR_DISCOVERY)
    add_punt(Table.PROXY_REPLY, 20, no_option, Punt.NEIGHBOR_DISCOVERY)
    add(
        Table.PROXY_REPLY,
        0,
        SOLICITATION,
        Move("ipv6_nd_sll", "eth_dst", 48),
        SetField("icmpv6_type", NEIGHBOR_ADVERTISEMENT),
        SetNdField(ND_OPTIONS_TYPE, TARGET_LINK_LAYER_ADDRESS),
        SetNdField(ND_RESERVED, SOLICITED),
        goto=Table.PROXY_SEND,
    )
    add(
        Table.PROXY_SEND,
        0,
        ADVERTISEMENT,
        SetField("eth_src", mac),
        Move("ipv6_src", "ipv6_dst", 128),
        SetField("ipv6_src", own),
        SetField("ipv6_nd_tll", mac),
        Output(IN_PORT),
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


def narrow_path_flow(home_address: str, care_of_address: str, generation: int, hard_timeout: int) -> FlowSpec:
    """Instead of `tunnel_flow` where the path to the care-of address has the minimum MTU."""
    return FlowSpec(
        Table.BINDINGS,
        PRIORITY_NARROW_PATH,
        match(**{"eth_type": IPV6, "ipv6_dst": home_address, OPTIMIZED: 0}),
        (SetField("tun_ipv6_dst", care_of_address), CheckPacketLarger(NARROW_MTU + ETHERNET_HEADER, register=0)),
        goto=Table.NARROW_PATH,
        cookie=cookie(Category.NARROW_PATH, generation),
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
        match(**SOLICITATION, ipv6_nd_target=target),
        goto=Table.PROXY_REPLY,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def link_local_flow(address: str, value: int, hard_timeout: int) -> FlowSpec:
    """Packets to a link-local address that is defended must not be tunnelled; their senders are told (10.4.2)."""
    actions, goto = punt(Punt.UNREACHABLE)
    return FlowSpec(
        Table.BINDINGS,
        PRIORITY_BINDING,
        match(eth_type=IPV6, ipv6_dst=address),
        actions,
        goto,
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
            match(**valid, ipv6_nd_target=target),
            actions,
            goto,
            cookie=value,
        )
        for valid in (SOLICITATION, ADVERTISEMENT)
    ]
