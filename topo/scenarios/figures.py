"""From what was seen to figures, and from figures to a verdict. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

# What the figures of a run look like is told by `topo.scenarios.roaming`; here they are plain JSON values.
Figures = dict[str, Any]

RESUMED_FOR: Final = 1.0  # seconds at the end of each stay in which nothing may be lost
REPLY_TIME: Final = 0.25  # seconds a reply may take before the end of the stay counts it as lost
IDLE_PUNTS: Final = 25  # packets to the controller in one stay: Neighbor Discovery of the home agent and its neighbors
ROUTER_DISCOVERY: Final = "router_discovery"  # the home agent hears the router's advertisements, many a second


def ping_figures(sent: Sequence[float], replies: Sequence[float | None], start: float, end: float) -> Figures:
    """Pings of one correspondent between two moves: how many, how many lost, and the longest time without a reply."""
    window = [(at, reply) for at, reply in zip(sent, replies, strict=True) if start <= at < end - REPLY_TIME]
    last = [reply for at, reply in window if at >= end - REPLY_TIME - RESUMED_FOR]
    return {
        "sent": len(window),
        "lost": sum(reply is None for _, reply in window),
        "interruption": interruption((reply for reply in replies if reply is not None), start, end),
        "resumed": bool(last) and None not in last,
    }


def stream_figures(arrivals: Sequence[float], start: float, end: float) -> Figures:
    """One direction of a TCP connection between two moves."""
    return {
        "records": sum(start <= at < end for at in arrivals),
        "interruption": interruption(arrivals, start, end),
        "resumed": any(at >= end - RESUMED_FOR for at in arrivals if at < end),
    }


def interruption(arrivals: Iterable[float], start: float, end: float) -> float:
    """The longest time without an arrival that reaches into start to end, in seconds."""
    known = sorted(at for at in arrivals if at < end)
    before = [at for at in known if at < start]
    moments = [before[-1] if before else start, *(at for at in known if at >= start), end]
    return round(max(later - earlier for earlier, later in pairwise(moments)), 3)


@dataclass(frozen=True)
class Fact:
    """One thing that has to hold."""

    name: str
    holds: bool
    text: str  # for people, with the figures that it rests on


def verdict(figures: Figures) -> list[Fact]:
    """All facts of a run."""
    steps = figures["steps"]
    away = [step for step in steps if step["care_of_address"] is not None]
    punted = [punted_by_data(step["data_plane"]["punted"]) for step in away]
    carried = [step["data_plane"] for step in away]
    last = steps[-1]
    wire = figures["wire"]
    return [
        *(_connection_fact(name, flow) for name, flow in figures["connections"].items()),
        _pings_fact(steps),
        Fact(
            "bindings",
            all(step["binding_right"] for step in steps),
            "the binding cache was right at each step: "
            + ", ".join(f"{step['place']} {step['care_of_address'] or 'none'}" for step in steps),
        ),
        Fact(
            "flows_carry_data",
            bool(away) and all(min(one["into_tunnel"], one["out_of_tunnel"]) >= one["pings"] > 0 for one in carried),
            "the flows of the binding carried the data: "
            + ", ".join(f"{one['into_tunnel']} packets in and {one['out_of_tunnel']} out" for one in carried),
        ),
        Fact(
            "controller_carries_none",
            bool(away) and max(punted) <= IDLE_PUNTS,
            f"meanwhile the controller got {' and '.join(map(str, punted))} packets besides Router Advertisements",
        ),
        Fact(
            "rfc2473_on_the_wire",
            wire["gre"] == 0 and wire["tunnelled_out"] > 0 and wire["tunnelled_in"] > 0,
            f"on the wire there were {wire['tunnelled_out']} + {wire['tunnelled_in']} packets in IPv6-in-IPv6 "
            f"and {wire['gre']} in GRE",
        ),
        Fact(
            "care_of_address_direct",
            figures["care_of_address_direct"],
            "the mobile node could also speak from its care-of address, past the tunnel",
        ),
        Fact(
            "nothing_left",
            last["place"] == "home" and last["binding"] is None and not last["flows"],
            f"back home there was {'no' if last['binding'] is None else 'a'} binding "
            f"and {len(last['flows']) or 'no'} flow for it",
        ),
        Fact("no_errors", not figures["errors"], f"errors: {'; '.join(figures['errors']) or 'none'}"),
    ]


def punted_by_data(punted: Mapping[str, int]) -> int:
    """Packets to the controller that data could be the cause of."""
    return sum(count for kind, count in punted.items() if kind != ROUTER_DISCOVERY)


def _connection_fact(name: str, flow: Mapping[str, Any]) -> Fact:
    """Both ends have received all that the other has sent, intact and in order, on one connection."""
    correspondent, mobile = flow["correspondent"], flow["mobile"]
    holds = (
        correspondent["received"] == mobile["sent"] > 0
        and mobile["received"] == correspondent["sent"] > 0
        and not any(end["damaged"] or end["error"] or not end["ended"] for end in (correspondent, mobile))
    )
    text = (
        f"the TCP connection of the {name} correspondent lived; {mobile['received']} of {correspondent['sent']} "
        f"records to the mobile node and {correspondent['received']} of {mobile['sent']} from it, all intact"
    )
    if not holds:
        text = f"the TCP connection of the {name} correspondent: {_ends(correspondent, mobile)}"
    return Fact(f"tcp_{name}", holds, text)


def _ends(correspondent: Mapping[str, Any], mobile: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{who} sent {end['sent']}, received {end['received']}, {end['damaged']} damaged, "
        f"{end['error'] or ('ended' if end['ended'] else 'did not end')}"
        for who, end in (("correspondent", correspondent), ("mobile node", mobile))
    )


def _pings_fact(steps: Sequence[Figures]) -> Fact:
    stalled = [
        f"{name} at {step['place']}"
        for step in steps
        for name, flow in step["traffic"].items()
        if not flow["ping"]["resumed"]
    ]
    lost = [f"{step['place']} {sum(flow['ping']['lost'] for flow in step['traffic'].values())}" for step in steps]
    return Fact(
        "pings_resumed",
        not stalled,
        f"pings did not resume: {', '.join(stalled)}"
        if stalled
        else f"pings resumed after each move; lost: {', '.join(lost)}",
    )
