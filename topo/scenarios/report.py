"""What a person at the terminal sees of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from topo import campus
from topo.scenarios.figures import Fact, Figures, punted_by_data

LOG_LINES: Final = 30
DETECTION: Final = 1000.0  # milliseconds that Duplicate Address Detection takes (RFC 4861 section 10, RETRANS_TIMER)

_EVENTS: Final = {
    "link_down": "link down",
    "link_up": "link up",
    "router_advertisement": "Router Advertisement, prefix {prefix}",
    "router_lost": "the router is silent: gone",
    "care_of_address": "care-of address {address}",
    "home_link": "this is the home link",
    "home_agent_found": "home agent found at {link_layer_address}, without use of the home address",
    "binding_update": "Binding Update, sequence {sequence}, lifetime {lifetime} s",
    "binding_acknowledgement": "Binding Acknowledgement, status {status}, lifetime {lifetime} s",
    "binding_refresh_request": "Binding Refresh Request",
    "binding_error": "Binding Error, status {status}",
    "binding_expired": "the binding has run out",
    "registration_refused": "the home agent refuses the registration, status {status}",
    "duplicate_address": "somebody else has {address}",
    "care_of_test_init": "Care-of Test Init to {correspondent}, directly",
    "home_test_init": "Home Test Init to {correspondent}, through the home agent",
    "care_of_test": "Care-of Test from {correspondent}, nonce index {nonce_index}",
    "home_test": "Home Test from {correspondent}, nonce index {nonce_index}",
    "correspondent_update": "Binding Update to {correspondent}, sequence {sequence}, lifetime {lifetime} s; "
    "home keygen token of {home_token_age} s ago",
    "correspondent_acknowledgement": "Binding Acknowledgement from {correspondent}, status {status}, "
    "lifetime {lifetime} s",
    "correspondent_deregistered": "{correspondent} has forgotten the care-of address",
    "correspondent_refresh_request": "Binding Refresh Request from {correspondent}",
    "correspondent_error": "Binding Error from {correspondent}, status {status}",
    "route_optimized": "packets to {correspondent} go directly from now on",
    "route_by_home_agent": "packets to {correspondent} go through the home agent again: {reason}",
    "route_optimization_failed": "packets to {correspondent} stay with the home agent: {reason}",
    "first_direct_packet_in": "first packet from {correspondent} with a Type 2 Routing header",
    "first_direct_packet_out": "first packet to {correspondent} with a Home Address option",
    "at_home": "at home; neighbors told with an unsolicited Neighbor Advertisement",
    "first_packet_in": "first packet for the home address{through}",
    "first_packet_out": "first packet from the home address{through}",
    "error": "error: {text}",
}


def arrival(place: str, moves: bool) -> None:
    """The headline of a step."""
    prefix = campus.HOME_PREFIX if place == "home" else campus.VISITED_PREFIXES[place]
    print(f"\n=== the mobile node {'moves to' if moves else 'is at'} {place} ({prefix})", flush=True)


def step(figures: Figures, bindings: str) -> None:
    """What happened at a step."""
    through = "" if figures["care_of_address"] is None else " through the tunnel"
    for event in figures["timeline"]:
        text = _EVENTS.get(event["event"], event["event"]).format(**event, through=through)
        print(f"  {event['at']:+9.1f} ms  {text}")
    times = figures["switch"]
    if times is not None:
        line = f"  at {times['port']}, after the Binding Update: acknowledgement {_ms(times['acknowledgement'])}"
        if figures["care_of_address"] is not None:
            line += f", first packet to the care-of address {_ms(times['first_tunnelled'])}"
        print(line)
        if (times["acknowledgement"] or 0.0) >= DETECTION:
            print(
                "  (A new binding: the home agent first makes sure that nobody on the home link has the home address,"
            )
            print(
                "   by Duplicate Address Detection, RFC 6275 section 10.3.1. With a binding, a move waits for nothing.)"
            )
    print("  $ mip6ctl show bindings")
    for line in bindings.splitlines():
        print(f"    {line}")
    if figures["flows"]:
        data = figures["data_plane"]
        print(
            f"  flows of the binding: {len(figures['flows'])}; in the rest of the stay they put {data['into_tunnel']} "
            f"packets into the tunnel and took {data['out_of_tunnel']} out; {punted_by_data(data['punted'])} went to "
            "the controller"
        )
    print("               pings lost    longest time without: replies   TCP to the node   TCP from it")
    for name, flow in figures["traffic"].items():
        ping = flow["ping"]
        print(
            f"  {name:<10} {ping['lost']:>5} of {ping['sent']:<4} {_s(ping):>31} {_s(flow['tcp_to_mobile']):>17} "
            f"{_s(flow['tcp_from_mobile']):>13}",
            flush=True,
        )


def correspondents(figures: Figures) -> None:
    """What else there is to tell of a step with route optimisation."""
    print("  $ mip6ctl show correspondents")
    for line in figures["correspondents_table"].splitlines():
        print(f"    {line}")
    for way in figures["ways"]:
        print(_way(way), flush=True)


def ways(steps: Sequence[Figures]) -> None:
    """All ways of a run."""
    print(f"\n=== ways and round-trip times (the line to the home link takes {campus.LINE_DELAY} ms each way)")
    for step in steps:
        for way in step["ways"]:
            print(f"  {step['place']:<10}{_way(way)}")


def _way(way: Figures) -> str:
    time = "-" if way["round_trip"] is None else f"{way['round_trip']:.1f} ms"
    name = {"home": "at home", "home agent": "by home agent", "direct": "directly"}[way["way"]]
    count = len(way["hops"])
    hops = f"{count} {'hop' if count == 1 else 'hops'}: {', '.join(way['hops'])}"
    return f"  {way['correspondent']:<7} {name:<13} {time:>8}   {hops}"


def verdict(facts: Sequence[Fact]) -> None:
    """The end of a run."""
    print("\n=== verdict")
    for fact in facts:
        print(f"  {'yes' if fact.holds else 'NO '}  {fact.text}")
    good = all(fact.holds for fact in facts)
    print(f"  {'everything holds' if good else 'NOT everything holds'}", flush=True)


def logs(directory: Path, events: Sequence[dict[str, Any]]) -> None:
    """The last events of the mobile node and the ends of all logs, for the search of what went wrong."""
    print("--- the mobile node", *events[-LOG_LINES:], sep="\n")
    for file in sorted(directory.glob("*.log")):
        lines = file.read_text(errors="replace").splitlines()[-LOG_LINES:]
        if lines:
            print(f"--- {file.name}", *lines, sep="\n", flush=True)


def _s(flow: dict[str, Any]) -> str:
    return f"{flow['interruption']:.2f} s"


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} ms"
