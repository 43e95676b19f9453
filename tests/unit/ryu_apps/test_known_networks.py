"""Networks of registered mobile nodes: their flows come, stay, and give way."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

from ryu_apps import known_networks, pipeline
from ryu_apps.flowspec import FlowSpec
from ryu_apps.known_networks import KnownNetworks
from ryu_apps.of_compat import ofproto


class Bridge:
    """What the flows are put on."""

    def __init__(self) -> None:
        self.generation = 3
        self.statistics: dict[str, int] = defaultdict(int)
        self.flows: dict[Any, FlowSpec] = {}
        self.changes = 0

    def put_flow(self, flow: FlowSpec, command: int = ofproto.OFPFC_ADD) -> None:
        self.changes += 1
        key = (flow.table, flow.priority, flow.match)
        if command == ofproto.OFPFC_DELETE_STRICT:
            del self.flows[key]
        else:
            self.flows[key] = flow

    def sources(self) -> set[str]:
        return {str(dict(flow.match)["ipv6_src"]) for flow in self.flows.values()}


def made() -> tuple[KnownNetworks, Bridge]:
    bridge = Bridge()
    return KnownNetworks(cast(Any, bridge)), bridge


def care_of(network: int, interface: int = 1) -> bytes:
    return (0x20010DB8_00000000 | network).to_bytes(8, "big") + interface.to_bytes(8, "big")


def test_a_network_gets_its_flows_once() -> None:
    known, bridge = made()
    for interface in range(1, 5):
        known.seen(care_of(0xF1_0000, interface), 0.0)
    assert bridge.sources() == {"2001:db8:f1::/64"}
    assert bridge.changes == len(bridge.flows) == len(pipeline.BY_NETWORK)
    for flow in bridge.flows.values():
        assert flow.priority > 100 and flow.cookie >> 32 & 0xFF == 3


def test_networks_are_spread_over_the_meters() -> None:
    known, bridge = made()
    for network in range(2 * pipeline.KNOWN_METERS):
        known.seen(care_of(network), 0.0)
    used = [flow.meter for flow in bridge.flows.values()]
    assert len(set(used)) == pipeline.KNOWN_METERS * len(pipeline.BY_NETWORK)
    assert all(used.count(meter) == 2 for meter in used)


def test_those_in_use_stay_when_there_is_no_room() -> None:
    known, bridge = made()
    for network in range(known_networks.CAPACITY + 10):
        known.seen(care_of(network), 0.0)
    assert len(known) == known_networks.CAPACITY
    assert len(bridge.flows) == known_networks.CAPACITY * len(pipeline.BY_NETWORK)
    assert bridge.statistics["known_networks_full"] == 10
    assert "2001:db8::/64" in bridge.sources()


def test_the_one_that_was_silent_for_longest_gives_way() -> None:
    known, bridge = made()
    for network in range(known_networks.CAPACITY):
        known.seen(care_of(network), 0.0)
    known.seen(care_of(0), 100.0)  # a refresh
    known.seen(care_of(0xFFFF), known_networks.KEEP)
    assert len(known) == known_networks.CAPACITY
    assert "2001:db8::/64" in bridge.sources()
    assert "2001:db8:0:1::/64" not in bridge.sources()
    assert "2001:db8:0:ffff::/64" in bridge.sources()
