"""Figures and facts about the ways that packets took. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from topo.scenarios.figures import Fact, Figures

# Ways between correspondent and mobile node
HOME_LINK: Final = "home"  # the mobile node is at home
HOME_AGENT: Final = "home agent"  # through its tunnel
DIRECT: Final = "direct"
LASTING: Final = 0.3  # seconds after and before a change that do not count: the two sides change one after the other


def ways(step: Figures, correspondents: Mapping[str, str]) -> list[Figures]:
    """When which way was taken, milliseconds from the begin of the step; by the mobile node's account."""
    end = step["seconds"] * 1000
    timeline = step["timeline"]

    def when(event: str, address: str | None = None) -> float:
        times = (one["at"] for one in timeline if one["event"] == event and one.get("correspondent") == address)
        return next(times, math.inf)

    found = []
    for name, address in correspondents.items():
        if step["care_of_address"] is None:
            back = [when("correspondent_deregistered", address), when("at_home"), 0.0]  # the first of these that was
            parts = [(HOME_LINK, next(at for at in back if at != math.inf), end)]
        else:
            optimized = min(when("route_optimized", address), end)
            parts = [(HOME_AGENT, when("binding_acknowledgement"), optimized), (DIRECT, optimized, end)]
        found += [
            {"correspondent": name, "way": way, "from": start, "to": stop}
            for way, start, stop in parts
            if stop - start > 3 * LASTING * 1000
        ]
    return found


def round_trip(pings: Mapping[str, Any], start: float, end: float) -> float | None:
    """The median of the round-trip times of pings sent from start to end, in milliseconds."""
    times = [
        reply - sent
        for sent, reply in zip(pings["sent"], pings["replies"], strict=True)
        if reply is not None and start <= sent < end
    ]
    return round(median(times) * 1000, 1) if times else None


def route_facts(figures: Figures, correspondents: Mapping[str, str]) -> list[Fact]:
    """What has to hold of a run with route optimisation, besides the facts of any run."""
    steps = figures["steps"]
    away = [step for step in steps if step["care_of_address"] is not None]
    taken = [way for step in steps for way in step["ways"]]
    carried = [step["direct"] for step in away]
    edge = figures["edge"]
    return [
        Fact(
            "correspondent_bindings",
            all(_bindings_right(step, correspondents["remote"]) for step in steps),
            "the edge switch kept the right binding for the remote correspondent at each step: "
            + ", ".join(f"{step['place']} {_care_of_addresses(step)}" for step in steps),
        ),
        _moved_fact([way for way in taken if way["correspondent"] == "remote"]),
        Fact(
            "direct_flows_carry_data",
            bool(away) and all(min(one["packets_out"], one["packets_in"]) >= one["pings"] > 0 for one in carried),
            "its flows carried the data: "
            + ", ".join(f"{one['packets_out']} packets out and {one['packets_in']} in" for one in carried),
        ),
        Fact(
            "no_flows_at_home",
            not any(step["edge_flows"] for step in steps if step["care_of_address"] is None),
            "at home the edge switch had no flow for the mobile node",
        ),
        _shorter_fact([way for way in taken if way["correspondent"] == "remote"]),
        Fact(
            "others_by_home_agent",
            bool(away) and all(way["way"] != DIRECT for way in taken if way["correspondent"] == "local"),
            "the local correspondent, a host without Mobile IPv6, was reached through the home agent all the time",
        ),
        Fact(
            "rfc6275_on_the_wire",
            edge["gre"] == 0 and edge["type_2_routing"] > 0 and edge["home_address_option"] > 0,
            f"between edge switch and router there were {edge['type_2_routing']} packets with a Type 2 Routing header, "
            f"{edge['home_address_option']} with a Home Address option, and {edge['gre']} in GRE",
        ),
    ]


def _bindings_right(step: Figures, correspondent: str) -> bool:
    expected = [] if step["care_of_address"] is None else [(correspondent, step["care_of_address"])]
    return [(one["correspondent"], one["care_of_address"]) for one in step["correspondents"]] == expected


def _care_of_addresses(step: Figures) -> str:
    return " ".join(one["care_of_address"] for one in step["correspondents"]) or "none"


def _moved_fact(remote: Sequence[Figures]) -> Fact:
    """All segments of the connection took the way that the mobile node says, in both directions."""

    def holds(way: Figures) -> bool:
        expected, other = ("direct", "plain") if way["way"] == DIRECT else ("plain", "direct")
        both = way["segments_to"], way["segments_from"]
        return all(one[expected] > 0 and one[other] == 0 for one in both)

    told = ", ".join(
        f"{way['way']} {way['segments_from'][kind]} + {way['segments_to'][kind]}"
        for way in remote
        for kind in ("direct" if way["way"] == DIRECT else "plain",)
    )
    order = [way["way"] for way in remote]
    wanted = [HOME_LINK, HOME_AGENT, DIRECT, DIRECT, HOME_LINK]
    good = order == wanted and all(holds(way) for way in remote)
    if good:
        return Fact("tcp_moved", True, f"its TCP connection moved over to the direct way and back; segments: {told}")
    wrong = [f"{way['way']} {way['segments_from']} {way['segments_to']}" for way in remote]
    return Fact("tcp_moved", False, f"its TCP connection did not take the ways in turn: {'; '.join(wrong)}")


def _shorter_fact(remote: Sequence[Figures]) -> Fact:
    """Before and after, where both were seen at one place."""
    before = next((way for way in remote if way["way"] == HOME_AGENT), None)
    after = next((way for way in remote if way["way"] == DIRECT), None)
    if before is None or after is None or None in (before["round_trip"], after["round_trip"]):
        return Fact("shorter", False, "the direct way and the one through the home agent were not both seen")
    return Fact(
        "shorter",
        after["round_trip"] < before["round_trip"] and len(after["hops"]) < len(before["hops"]),
        f"the direct way is shorter: {before['round_trip']} ms and {len(before['hops'])} hops through the home agent, "
        f"{after['round_trip']} ms and {len(after['hops'])} hops directly",
    )
