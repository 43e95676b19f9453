"""The arithmetic of the scenario with route optimisation: ways, round trips, segments, and what the verdict says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import HAO, MIP6MH_BA, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, PadN
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from mip6core import addresses
from topo.scenarios import capture
from topo.scenarios.route_figures import round_trip, route_facts, ways

HOME_ADDRESS = "2001:db8:106:2700::100"
CARE_OF_ADDRESS = "2001:db8:106:1100:0:ff:fe00:100"
LOCAL, REMOTE = "2001:db8:106:2700::3", "2001:db8:106:3000::3"
CORRESPONDENTS = {"local": LOCAL, "remote": REMOTE}


# --- ways ---


def event(name: str, at: float, correspondent: str | None = None) -> dict[str, Any]:
    return (
        {"event": name, "at": at}
        if correspondent is None
        else {"event": name, "at": at, "correspondent": correspondent}
    )


def step(care_of_address: str | None, *timeline: dict[str, Any]) -> dict[str, Any]:
    return {"care_of_address": care_of_address, "seconds": 9.0, "timeline": list(timeline)}


def found(one: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    return [(way["correspondent"], way["way"], way["from"], way["to"]) for way in ways(one, CORRESPONDENTS)]


def test_the_way_changes_when_the_route_is_optimised() -> None:
    one = step(CARE_OF_ADDRESS, event("binding_acknowledgement", 1200.0), event("route_optimized", 4500.0, REMOTE))
    assert found(one) == [
        ("local", "home agent", 1200.0, 9000.0),
        ("remote", "home agent", 1200.0, 4500.0),
        ("remote", "direct", 4500.0, 9000.0),
    ]


def test_a_way_of_a_moment_is_left_out() -> None:
    one = step(CARE_OF_ADDRESS, event("binding_acknowledgement", 100.0), event("route_optimized", 150.0, REMOTE))
    assert found(one)[1:] == [("remote", "direct", 150.0, 9000.0)]


def test_at_home_the_plain_way_begins_when_the_correspondent_knows() -> None:
    one = step(None, event("at_home", 60.0), event("correspondent_deregistered", 90.0, REMOTE))
    assert found(one) == [("local", "home", 60.0, 9000.0), ("remote", "home", 90.0, 9000.0)]
    assert found(step(None)) == [("local", "home", 0.0, 9000.0), ("remote", "home", 0.0, 9000.0)]


def test_round_trips_are_those_of_pings_in_the_window() -> None:
    sent = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    pings = {"sent": sent, "replies": [1.5, 2.021, 3.022, None, 5.023, 6.9]}
    assert round_trip(pings, 2.0, 6.0) == 22.0
    assert round_trip(pings, 4.0, 5.0) is None


# --- segments ---


@pytest.fixture
def pcap(tmp_path: Path) -> Path:
    """What is between the correspondent's edge switch and the router."""
    option = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0"), HAO(hoa=HOME_ADDRESS)], autopad=0)
    routing = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS])
    frames: list[tuple[float, Packet]] = [
        (1.0, IPv6(src=REMOTE, dst=HOME_ADDRESS) / TCP()),
        (1.1, IPv6(src=HOME_ADDRESS, dst=REMOTE) / TCP()),
        (1.2, IPv6(src=HOME_ADDRESS, dst=REMOTE) / TCP()),
        (1.3, IPv6(src=HOME_ADDRESS, dst=REMOTE) / UDP()),
        (2.0, IPv6(src=REMOTE, dst=CARE_OF_ADDRESS) / routing / TCP()),
        (2.1, IPv6(src=REMOTE, dst=CARE_OF_ADDRESS) / routing / MIP6MH_BA()),
        (2.2, IPv6(src=CARE_OF_ADDRESS, dst=REMOTE) / option / TCP()),
        (2.3, IPv6(src=CARE_OF_ADDRESS, dst=REMOTE) / option / UDP()),
        (2.4, IPv6(src=CARE_OF_ADDRESS, dst=REMOTE) / TCP()),
        (2.5, IPv6(src=REMOTE, dst=HOME_ADDRESS) / TCP()),
    ]
    file = tmp_path / "edge.pcap"
    packets = []
    for at, packet in frames:
        frame = Ether(src="02:00:00:00:30:01", dst="02:00:00:00:30:02") / packet
        frame.time = at
        packets.append(frame)
    wrpcap(str(file), packets)
    return file


@pytest.mark.parametrize(
    ("source", "start", "end", "plain", "direct"),
    [
        (REMOTE, 1.0, 2.0, 1, 0),
        (HOME_ADDRESS, 1.0, 2.0, 2, 0),
        (REMOTE, 2.0, 3.0, 1, 1),
        (HOME_ADDRESS, 2.0, 3.0, 0, 1),
        (REMOTE, 2.0, 2.5, 0, 1),
    ],
)
def test_segments_are_told_apart(pcap: Path, source: str, start: float, end: float, plain: int, direct: int) -> None:
    packets = list(capture.read(pcap))
    assert capture.segments(packets, addresses.parse(source), start, end) == capture.Segments(plain, direct)


# --- the verdict ---


def good_run() -> dict[str, Any]:
    def way(name: str, way: str, round_trip: float, *hops: str) -> dict[str, Any]:
        kind, other = ("direct", "plain") if way == "direct" else ("plain", "direct")
        segments = {kind: 200, other: 0}
        one = {"correspondent": name, "way": way, "round_trip": round_trip, "hops": list(hops)}
        return {**one, "segments_to": dict(segments), "segments_from": dict(segments)} if name == "remote" else one

    def step(place: str, care_of_address: str | None, *ways: dict[str, Any]) -> dict[str, Any]:
        bound = {"correspondent": REMOTE, "care_of_address": care_of_address}
        return {
            "place": place,
            "care_of_address": care_of_address,
            "correspondents": [bound] if care_of_address else [],
            "direct": {"packets_out": 400, "packets_in": 410, "pings": 100},
            "edge_flows": ["out", "in"] if care_of_address else [],
            "ways": list(ways),
        }

    home = way("local", "home", 1.0, "local"), way("remote", "home", 11.0, "r", "remote")
    detour = way("local", "home agent", 12.0, "visitnet", "r", "home agent", "local")
    return {
        "steps": [
            step("home", None, *home),
            step(
                "visitnet",
                CARE_OF_ADDRESS,
                detour,
                way("remote", "home agent", 22.0, "visitnet", "r", "home agent", "r", "remote"),
                way("remote", "direct", 2.0, "visitnet", "r", "remote"),
            ),
            step("visitnet2", "2001:db8:106:1000::1", detour, way("remote", "direct", 2.1, "visitnet2", "r", "remote")),
            step("home", None, *copy.deepcopy(home)),
        ],
        "edge": {"type_2_routing": 900, "home_address_option": 900, "gre": 0},
    }


def test_a_good_run_holds_in_everything() -> None:
    facts = route_facts(good_run(), CORRESPONDENTS)
    assert [fact.name for fact in facts if not fact.holds] == []
    assert len(facts) == 7


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        ("steps.1.correspondents", [], ["correspondent_bindings"]),
        ("steps.3.correspondents", [{"correspondent": REMOTE, "care_of_address": "::1"}], ["correspondent_bindings"]),
        ("steps.2.correspondents.0.care_of_address", CARE_OF_ADDRESS, ["correspondent_bindings"]),
        ("steps.1.ways.2.segments_to.plain", 1, ["tcp_moved"]),
        ("steps.1.ways.2.segments_from.direct", 0, ["tcp_moved"]),
        ("steps.1.ways.1.segments_from.direct", 1, ["tcp_moved"]),
        ("steps.3.ways.1.segments_from.direct", 1, ["tcp_moved"]),
        ("steps.3.ways.1.segments_to.plain", 0, ["tcp_moved"]),
        ("steps.2.ways", [], ["tcp_moved"]),
        ("steps.2.direct.packets_in", 99, ["direct_flows_carry_data"]),
        ("steps.1.direct.packets_out", 0, ["direct_flows_carry_data"]),
        ("steps.1.direct.pings", 0, ["direct_flows_carry_data"]),
        ("steps.1.ways.2.round_trip", 23.0, ["shorter"]),
        ("steps.1.ways.2.round_trip", None, ["shorter"]),
        ("steps.1.ways.2.hops", ["visitnet", "r", "home agent", "r", "remote"], ["shorter"]),
        ("steps.2.ways.0.way", "direct", ["others_by_home_agent"]),
        ("steps.3.edge_flows", ["out"], ["no_flows_at_home"]),
        ("edge.gre", 1, ["rfc6275_on_the_wire"]),
        ("edge.type_2_routing", 0, ["rfc6275_on_the_wire"]),
        ("edge.home_address_option", 0, ["rfc6275_on_the_wire"]),
    ],
)
def test_each_fact_falls_by_itself(path: str, value: Any, names: list[str]) -> None:
    figures = good_run()
    where: Any = figures
    *parents, last = (int(word) if word.isdigit() else word for word in path.split("."))
    for word in parents:
        where = where[word]
    where[last] = value
    assert [fact.name for fact in route_facts(figures, CORRESPONDENTS) if not fact.holds] == names
