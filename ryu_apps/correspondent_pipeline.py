"""The flows of a correspondent link: optimised routes in both directions, and return routability to the engine.

    classify (0) -- a Home Address option taken off --> home address option (11) -- of a binding --> deliver (41)
       |                                                                         +-- else --> punt (60): Binding Error
       +-- from a host --> route optimization (15) -- bound --> encapsulate (30), with a routing header
       |                                           +-- else --> as if there were no correspondents
       +-- Mobility Header to a host --> bindings (20) -- unless a home agent tunnels it --> punt (60)

What comes out of a home agent's reverse tunnel for a host gets to table 20 as well, so that a Home Test Init is found
there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ryu_apps.flowspec import NXM_LOCAL, FlowSpec, Load, SetField, match
from ryu_apps.pipeline import (
    ESP,
    FROM_TUNNEL,
    ICMPV6,
    IPV6,
    MOBILITY_HEADER,
    OPTIMIZED,
    ROUTE_KEY,
    BridgeLayout,
    Flows,
    Punt,
    Table,
)

DESTINATION_UNREACHABLE: Final = 1  # ICMPv6 types
PARAMETER_PROBLEM: Final = 4
PRIORITY_ROUTE: Final = 100


@dataclass(frozen=True, slots=True)
class CorrespondentLayout:
    """What the flows of a correspondent link need to know beside the bridge."""

    prefixes: tuple[str, ...]  # of the correspondents
    home_prefixes: tuple[str, ...] = ()  # of the home link on the same bridge


def static_flows(layout: BridgeLayout, correspondents: CorrespondentLayout, generation: int) -> list[FlowSpec]:
    """All flows of a correspondent link that do not depend on bindings."""
    flows = Flows(generation)
    add, add_punt = flows.add, flows.punt

    ipv6 = {"eth_type": IPV6}
    signalling = {**ipv6, "ip_proto": MOBILITY_HEADER}
    unreachable = {**ipv6, "ip_proto": ICMPV6, "icmpv6_type": DESTINATION_UNREACHABLE}
    for prefix in correspondents.prefixes:
        to_host = {"ipv6_dst": prefix}
        add(
            Table.CLASSIFY,
            198,
            {**ipv6, **to_host, "in_port": layout.tunnel_port, "tunnel_id": ROUTE_KEY},
            Load("in_port_nxm", NXM_LOCAL, 16),
            goto=Table.HOME_ADDRESS_OPTION,
        )
        add(Table.CLASSIFY, 165, {**signalling, **to_host}, goto=Table.BINDINGS)
        add(Table.CLASSIFY, 165, {**unreachable, **to_host}, goto=Table.BINDINGS)
        # What hosts send themselves: an error about a mobile node's packet goes like any packet to it.
        from_host = {**ipv6, "ipv6_src": prefix}
        add(Table.CLASSIFY, 166, {**unreachable, "ipv6_src": prefix}, goto=Table.ROUTE_OPTIMIZATION)
        problem = {**from_host, "ip_proto": ICMPV6, "icmpv6_type": PARAMETER_PROBLEM}
        add_punt(Table.CLASSIFY, 166, problem, Punt.CORRESPONDENT_PROBLEM)
        add(Table.CLASSIFY, 102, from_host, goto=Table.ROUTE_OPTIMIZATION)
        add_punt(Table.BINDINGS, 30, {**signalling, **to_host}, Punt.CORRESPONDENT_SIGNALLING)
        # 9.3.4: an error tells of a route that no longer works. It goes on, and a copy to the controller.
        add(Table.BINDINGS, 31, {**unreachable, **to_host, FROM_TUNNEL: 1}, goto=Table.FORWARD)
        add_punt(Table.BINDINGS, 30, {**unreachable, **to_host}, Punt.CORRESPONDENT_ERROR, layout.onward)

    # 9.3.1: what IPsec protects needs no binding.
    add(Table.HOME_ADDRESS_OPTION, 110, {**ipv6, "ip_proto": ESP}, goto=Table.DELIVER)
    add_punt(Table.HOME_ADDRESS_OPTION, 0, {}, Punt.UNBOUND_CORRESPONDENT)

    # A Mobility Header never goes by way of a binding (9.3.2); all else that is not bound goes where it always did.
    for prefix in correspondents.home_prefixes:
        to_home = {"ipv6_dst": prefix}
        add(Table.ROUTE_OPTIMIZATION, 120, {**signalling, **to_home}, goto=Table.BINDINGS)
        add(Table.ROUTE_OPTIMIZATION, 10, {**ipv6, **to_home}, goto=Table.BINDINGS)
    add(Table.ROUTE_OPTIMIZATION, 110, signalling, layout.onward)
    add(Table.ROUTE_OPTIMIZATION, 0, {}, layout.onward)
    return flows


def route_out_flow(
    correspondent: str, home_address: str, care_of_address: str, value: int, hard_timeout: int
) -> FlowSpec:
    """Packets of a correspondent for a home address go straight to the care-of address (9.3.2)."""
    return FlowSpec(
        Table.ROUTE_OPTIMIZATION,
        PRIORITY_ROUTE,
        match(eth_type=IPV6, ipv6_src=correspondent, ipv6_dst=home_address),
        (SetField("tun_ipv6_dst", care_of_address), SetField(OPTIMIZED, 1)),
        goto=Table.ENCAPSULATE,
        cookie=value,
        hard_timeout=hard_timeout,
    )


def route_in_flow(
    correspondent: str, home_address: str, care_of_address: str, value: int, hard_timeout: int
) -> FlowSpec:
    """A Home Address option counts where there is a binding of it to the packet's source (9.3.1)."""
    return FlowSpec(
        Table.HOME_ADDRESS_OPTION,
        PRIORITY_ROUTE,
        match(eth_type=IPV6, ipv6_src=home_address, ipv6_dst=correspondent, tun_ipv6_src=care_of_address),
        goto=Table.DELIVER,
        cookie=value,
        hard_timeout=hard_timeout,
    )
