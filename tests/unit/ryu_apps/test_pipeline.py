"""What the static flows promise, whatever the layout."""

import pytest

from ryu_apps import cookies, pipeline
from ryu_apps.cookies import Category
from ryu_apps.flowspec import CONTROLLER, NORMAL, FlowSpec, Output, Resubmit
from ryu_apps.pipeline import BridgeLayout, Punt, Table

LAYOUT = BridgeLayout(
    home_agent="2001:db8:1::2",
    link_layer_address="02:00:00:00:00:02",
    prefixes=("2001:db8:1::/64", "2001:db8:2::/64"),
    tunnel_port=11,
    uplink_ports=(2, 3),
    tunnel_mtu=1460,
    next_table=None,
)


def _flows(**changes: object) -> list[FlowSpec]:
    import dataclasses

    layout = dataclasses.replace(LAYOUT, **changes)  # type: ignore[arg-type]
    return pipeline.static_flows(layout, 0)


def _to_controller(flow: FlowSpec) -> bool:
    return any(isinstance(action, Output) and action.port == CONTROLLER for action in flow.actions)


def test_every_flow_to_the_controller_has_its_own_meter() -> None:
    flows = [flow for flow in _flows() if _to_controller(flow)]
    assert {flow.table for flow in flows} == {Table.PUNT}
    meters = [flow.meter for flow in flows]
    assert None not in meters
    assert len(set(meters)) == len(meters) == len(Punt)
    offered = {meter.meter_id for meter in pipeline.meters(dict.fromkeys(Punt, 100))}
    assert offered == set(meters)


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


@pytest.mark.parametrize("prefix", LAYOUT.prefixes)
def test_each_home_prefix_is_intercepted(prefix: str) -> None:
    assert any(
        flow.table == Table.CLASSIFY and dict(flow.match).get("ipv6_dst") == prefix and flow.goto == Table.BINDINGS
        for flow in _flows()
    )
