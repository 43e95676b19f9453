"""What the static flows promise, whatever the layout."""

import dataclasses
from ipaddress import IPv6Address

import pytest

from ryu_apps import cookies, correspondent_pipeline, home_pipeline, pipeline
from ryu_apps.cookies import Category
from ryu_apps.correspondent_pipeline import CorrespondentLayout
from ryu_apps.flowspec import CONTROLLER, LOCAL, NORMAL, FlowSpec, Output, Resubmit, SetField
from ryu_apps.home_pipeline import HomeLayout
from ryu_apps.pipeline import BridgeLayout, Punt, Table

PREFIXES = ("2001:db8:1::/64", "2001:db8:2::/64")
LAYOUT = BridgeLayout(
    address="2001:db8:1::2",
    link_layer_address="02:00:00:00:00:02",
    on_link=PREFIXES,
    tunnel_port=11,
    uplink_ports=(2, 3),
    next_table=None,
    route_mtu=1476,
)
HOME = HomeLayout(prefixes=PREFIXES, tunnel_mtu=1460)


def _flows(next_table: int | None = None, **home: bool) -> list[FlowSpec]:
    layout = dataclasses.replace(LAYOUT, next_table=next_table)
    return pipeline.static_flows(layout, 0) + home_pipeline.static_flows(layout, dataclasses.replace(HOME, **home), 0)


def _with_correspondents(home: bool) -> list[FlowSpec]:
    """A correspondent link, on the home link's bridge or on one of its own."""
    correspondents = CorrespondentLayout(("2001:db8:1::/64", "2001:db8:c::/64"), PREFIXES if home else ())
    own = correspondent_pipeline.static_flows(LAYOUT, correspondents, 0)
    return own + (_flows() if home else pipeline.static_flows(LAYOUT, 0))


@pytest.mark.parametrize("home", [False, True], ids=["alone", "with a home link"])
def test_flows_of_correspondents_fit_in(home: bool) -> None:
    flows = _with_correspondents(home)
    identities = [(flow.table, flow.priority, flow.match) for flow in flows]
    assert len(set(identities)) == len(identities)
    assert all(flow.goto is None or flow.goto > flow.table for flow in flows)
    assert {flow.table for flow in flows if _to_controller(flow)} == {Table.PUNT, Table.PUNT_BY_NETWORK}
    if not home:  # each table that is gone to has flows, but for what comes out of a home link's reverse tunnel
        tables = {flow.table for flow in flows}
        there = [flow for flow in flows if flow.goto is not None and flow.goto not in tables]
        assert all(flow.goto == Table.FORWARD and pipeline.FROM_TUNNEL in dict(flow.match) for flow in there)


def test_optimised_packets_to_the_home_agent_are_not_taken_for_those_to_a_host() -> None:
    """Its address is in the correspondents' prefix."""
    flows = [flow for flow in _found(_with_correspondents(True), tunnel_id=1) if "ip_proto" not in dict(flow.match)]
    to_own = [flow for flow in flows if dict(flow.match)["ipv6_dst"] == LAYOUT.address]
    to_hosts = [flow for flow in flows if flow.goto == Table.HOME_ADDRESS_OPTION]
    assert len(to_hosts) == 2
    assert min(flow.priority for flow in to_own) > max(flow.priority for flow in to_hosts)


def test_a_mobility_header_takes_no_optimised_route() -> None:
    """RFC 6275 section 9.3.2; a Mobility Header to a host is looked at, unless a home agent tunnels it."""
    flows = _with_correspondents(True)
    route = correspondent_pipeline.route_out_flow("2001:db8:c::1", "2001:db8:1::100", "2001:db8:f1::1", 0, 0)
    headers = [flow for flow in _found(flows, ip_proto=135) if flow.table == Table.ROUTE_OPTIMIZATION]
    assert headers and all(flow.priority > route.priority for flow in headers)
    binding = home_pipeline.tunnel_flow("2001:db8:1::100", "2001:db8:f1::1", 0, 0)
    punts = [flow for flow in flows if SetField(pipeline.PUNT_KIND, int(Punt.CORRESPONDENT_SIGNALLING)) in flow.actions]
    assert {dict(flow.match)["ipv6_dst"] for flow in punts} == {"2001:db8:1::/64", "2001:db8:c::/64"}
    assert all(flow.table == binding.table and flow.priority < binding.priority for flow in punts)


def _to_controller(flow: FlowSpec) -> bool:
    return any(isinstance(action, Output) and action.port == CONTROLLER for action in flow.actions)


def test_every_flow_to_the_controller_has_its_own_meter() -> None:
    flows = [flow for flow in _flows() if _to_controller(flow)]
    assert {flow.table for flow in flows} == {Table.PUNT, Table.PUNT_BY_NETWORK}
    meters = [flow.meter for flow in flows]
    assert None not in meters
    assert len(set(meters)) == len(meters)
    assert {cookies.item(flow.cookie) for flow in flows} == set(Punt)
    networks = [flow.meter for flow in _flows() if flow.goto == Table.PUNT_BY_NETWORK]
    assert len(set(networks)) == len(networks) == len(pipeline.BY_NETWORK) * pipeline.STRANGER_METERS
    known = {pipeline.known_meter(kind, slot) for kind in pipeline.BY_NETWORK for slot in range(1000)}
    assert len(known) == len(pipeline.BY_NETWORK) * pipeline.KNOWN_METERS
    assert not known & set(meters) and not known & set(networks)
    offered = [meter.meter_id for meter in pipeline.meters(dict.fromkeys(Punt, 100))]
    assert len(set(offered)) == len(offered)
    assert set(offered) == {*meters, *networks, *known}
    assert max(offered) < 1 << 16  # as many as Open vSwitch has


def test_a_kind_has_its_rate_strangers_half_of_it_more_and_one_network_half_of_that() -> None:
    for rate in (1, 500, 10_000):
        for kind in Punt:
            rates = {meter.meter_id: meter.rate_pps for meter in pipeline.meters({kind: rate})}
            assert min(rates.values()) >= 1
            assert rates[pipeline.METER_BASE + kind] == rate
            if kind not in pipeline.BY_NETWORK:
                assert len(rates) == 1
            elif rate > 1:
                assert rates[pipeline.all_strangers_meter(kind)] == rate // 2
                assert {rates[pipeline.stranger_meter(kind, bucket)] for bucket in range(64)} == {rate // 4}
                assert {rates[pipeline.known_meter(kind, slot)] for slot in range(16)} == {rate // 2}


@pytest.mark.parametrize("kind", pipeline.BY_NETWORK)
def test_every_source_has_one_meter_by_its_network(kind: Punt) -> None:
    """An interface identifier does not choose it; numbers of neighbouring networks do."""
    flows = [
        flow
        for flow in _flows()
        if dict(flow.match).get(pipeline.PUNT_KIND) == kind and flow.goto == Table.PUNT_BY_NETWORK
    ]

    def meter(source: str) -> int | None:
        (found,) = [flow.meter for flow in flows if _covers(str(dict(flow.match)["ipv6_src"]), source)]
        return found

    assert meter("2001:db8:106:1000::1") == meter("2001:db8:106:1000:ffff:ffff:ffff:ffff")
    for number in range(0x200):
        assert meter(f"2001:db8:{number:x}::") != meter(f"2001:db8:{number + 1:x}::") or number & 0xFF == 0xFF
        assert meter(f"2001:db8:1:{number:x}::") != meter(f"2001:db8:1:{number + 1:x}::")
    assert len({meter(f"2001:db8:106:{number}::") for number in (1000, 1100, 2700)}) == 3


def _covers(masked: str, address: str) -> bool:
    value, mask = (int(IPv6Address(part)) for part in masked.split("/"))
    return int(IPv6Address(address)) & mask == value


def test_a_punt_flow_tells_its_kind_by_its_cookie() -> None:
    for flow in _flows():
        if _to_controller(flow):
            assert cookies.category(flow.cookie) == Category.PUNT
            assert dict(flow.match)[pipeline.PUNT_KIND] == cookies.item(flow.cookie)


def test_no_two_flows_are_the_same_to_the_switch() -> None:
    identities = [(flow.table, flow.priority, flow.match) for flow in _flows()]
    assert len(set(identities)) == len(identities)


def test_goto_leads_forward() -> None:
    """OpenFlow refuses a goto to the same or an earlier table."""
    for flow in _flows():
        assert flow.goto is None or flow.goto > flow.table


def test_traffic_that_is_not_ours_goes_to_the_operators_table() -> None:
    flows = _flows(next_table=100)
    assert not any(Output(NORMAL) in flow.actions for flow in flows)
    default = next(flow for flow in flows if flow.table == Table.CLASSIFY and flow.priority == 0)
    assert default.actions == (Resubmit(100),)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_home_prefix_is_intercepted(prefix: str) -> None:
    assert any(
        flow.table == Table.CLASSIFY and dict(flow.match).get("ipv6_dst") == prefix and flow.goto == Table.BINDINGS
        for flow in _flows()
    )


def _found(flows: list[FlowSpec], **fields: object) -> list[FlowSpec]:
    """The flows whose match has these fields."""
    return [flow for flow in flows if fields.items() <= dict(flow.match).items()]


SET_ROUTER_DISCOVERY = SetField(pipeline.PUNT_KIND, int(Punt.ROUTER_DISCOVERY))
ANYCAST = ["2001:db8:1:0:fdff:ffff:ffff:fffe", "2001:db8:2:0:fdff:ffff:ffff:fffe"]


def test_home_discovery_is_punted_to_the_home_agent_alone() -> None:
    """RFC 6275 section 10.5: other home agents have the same anycast address, but not the link-layer address."""
    flows = [*_found(_flows(), icmpv6_type=144), *_found(_flows(), icmpv6_type=146)]
    flows = [flow for flow in flows if flow.table != Table.BINDINGS]  # out of the tunnel
    assert sorted(str(dict(flow.match)["ipv6_dst"]) for flow in flows) == sorted([LAYOUT.address] * 2 + ANYCAST)
    for flow in flows:
        assert flow.goto == Table.PUNT and flow.table == Table.CLASSIFY
        if dict(flow.match)["ipv6_dst"] in ANYCAST:
            assert dict(flow.match)["eth_dst"] == LAYOUT.link_layer_address


def test_fragments_of_signalling_and_of_tunnel_packets_are_punted() -> None:
    """A later one shows only that it is one, so that the host has to have it too."""
    for ipsec, signalling in ((False, {135}), (True, {50, 135})):
        first = _found(_flows(ipsec=ipsec), ip_frag=1)
        later = _found(_flows(ipsec=ipsec), ip_proto=44)
        for port in (*LAYOUT.uplink_ports, None):
            found = [dict(flow.match) for flow in first if dict(flow.match).get("in_port") == port]
            assert {match["ip_proto"] for match in found} == signalling
        ports = {dict(flow.match).get("in_port") for flow in later}
        assert ports == {*LAYOUT.uplink_ports, None} and len(later) == len(ports)
        for flow in (*first, *later):
            assert (LAYOUT.onward in flow.actions) == (flow in later)
            kind = Punt.UPLINK_FRAGMENT if "in_port" in dict(flow.match) else Punt.LINK_FRAGMENT
            assert SetField(pipeline.PUNT_KIND, int(kind)) in flow.actions
    tunnels = _found(_flows(), ip_proto=41)
    assert sorted(int(str(dict(flow.match)["in_port"])) for flow in tunnels) == list(LAYOUT.uplink_ports)


def test_router_discovery_is_heard_on_its_way() -> None:
    for advertises, types in ((False, {134}), (True, {133, 134})):
        punts = [flow for flow in _flows(advertises=advertises) if SET_ROUTER_DISCOVERY in flow.actions]
        assert {dict(flow.match)["icmpv6_type"] for flow in punts} == types
        for flow in punts:
            assert flow.actions[0] == Output(NORMAL)


def test_solicitations_for_the_anycast_address_are_punted_on_their_way() -> None:
    for address in ANYCAST:
        (flow,) = _found(_flows(), ipv6_nd_target=address)
        assert flow.table == Table.NEIGHBOR_DISCOVERY and flow.goto == Table.PUNT
        assert flow.actions[0] == Output(NORMAL)


def test_esp_is_ours_only_where_there_are_associations() -> None:
    """Otherwise the host may have IPsec of its own."""
    assert not _found(_flows(), ip_proto=50, ipv6_dst=LAYOUT.address)
    found = _found(_flows(ipsec=True), ip_proto=50, ipv6_dst=LAYOUT.address)
    (flow,) = [flow for flow in found if "ip_frag" not in dict(flow.match)]
    assert (flow.table, flow.goto, flow.actions) == (
        Table.CLASSIFY,
        Table.PUNT,
        (SetField(pipeline.PUNT_KIND, int(Punt.ESP)),),
    )


def test_home_tests_are_looked_at_before_they_enter_the_tunnel() -> None:
    """And a packet that has been looked at is not looked at again."""
    binding = home_pipeline.tunnel_flow("2001:db8:1::100", "2001:db8:f1::100", 0, 0)
    for flow in (
        home_pipeline.home_test_flow("2001:db8:1::100", 0, 0),
        home_pipeline.home_test_init_flow("2001:db8:1::100", 0, 0),
    ):
        assert flow.table == binding.table and flow.priority > binding.priority
        assert flow.goto == Table.PUNT
        checked = {pipeline.SOURCE_CHECKED, pipeline.DESTINATION_CHECKED} & dict(flow.match).keys()
        assert [dict(flow.match)[register] for register in checked] == [0]


def test_nothing_of_the_tunnel_port_goes_on_unchecked() -> None:
    """Each key has its table; a packet of any other key ends."""
    of_tunnel = [flow for flow in _flows() if dict(flow.match).get("in_port") == LAYOUT.tunnel_port]
    rest = min(of_tunnel, key=lambda flow: flow.priority)
    assert rest.match == (("in_port", LAYOUT.tunnel_port),) and not rest.actions and rest.goto is None
    assert rest.priority > max(f.priority for f in _flows() if f.table == Table.CLASSIFY and f not in of_tunnel)
    onward = [flow for flow in of_tunnel if flow.goto == Table.REVERSE_TUNNEL]
    assert {dict(flow.match)["tunnel_id"] for flow in onward} == {0, 1}
    assert [dict(f.match)["ipv6_dst"] for f in onward if dict(f.match)["tunnel_id"]] == [LAYOUT.address]


def test_neighbor_discovery_has_no_home_address_option() -> None:
    """It is about a link that the mobile node is not on."""
    found = [flow for flow in _flows() if flow.table == Table.CLASSIFY and flow.priority == 220]
    assert {dict(flow.match)["icmpv6_type"] for flow in found} == {133, 134, 135, 136, 137}
    assert all(dict(flow.match)["tunnel_id"] == 1 and not flow.actions and flow.goto is None for flow in found)


def test_mobility_headers_of_the_home_agents_host_get_no_routing_header() -> None:
    """RFC 6275 section 6.1.1, and ESP is signalling."""
    for prefix in PREFIXES:
        flows = _found(_flows(), in_port=LOCAL, ipv6_src=LAYOUT.address, ipv6_dst=prefix)
        marked = [flow for flow in flows if SetField(pipeline.OPTIMIZED, 1) in flow.actions]
        plain = [flow for flow in flows if flow not in marked]
        assert {dict(flow.match)["ip_proto"] for flow in plain} == {135, 50}
        assert {dict(flow.match).get("ip_proto") for flow in marked} == {None, 58}
        everything = [flow.priority for flow in marked if "ip_proto" not in dict(flow.match)]
        assert min(flow.priority for flow in plain) > max(everything)
        assert all(flow.goto == Table.BINDINGS for flow in flows)


def test_unbound_addresses_of_a_virtual_link_do_not_go_to_the_router() -> None:
    for virtual in (False, True):
        flows = [flow for flow in _flows(virtual=virtual) if SetField("reg2", int(Punt.UNREACHABLE)) in flow.actions]
        assert {dict(flow.match)["ipv6_dst"] for flow in flows} == (set(PREFIXES) if virtual else set())
