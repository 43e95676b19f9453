"""The journey home -> visitnet -> visitnet2 -> home: what is done and measured at each step."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mip6core import addresses
from mip6core.addresses import Prefix
from topo import campus
from topo.scenarios import capture, report
from topo.scenarios.figures import Fact, Figures, ping_figures, stream_figures, verdict
from topo.scenarios.testbed import Flow, ScenarioError, Testbed

JOURNEY: Final = ("visitnet", "visitnet2", "home")
BOUND_WITHIN: Final = 15.0  # seconds from a move to the acknowledgement of the home agent
SETTLE: Final = 1.0  # seconds until the counters are read for the first time
REJECTED: Final = 128  # statuses from here on refuse a registration (RFC 6275 section 6.1.8)


class Roaming:
    """One run; `figures` grows with it."""

    def __init__(self, testbed: Testbed, home_time: float, visit_time: float) -> None:
        self.testbed = testbed
        self._stay = {"home": home_time, **dict.fromkeys(campus.VISITED_PREFIXES, visit_time)}
        self.figures: Figures = {"steps": [], "errors": []}

    def run(self) -> None:
        """All steps, and what can be told only after the last one."""
        testbed = self.testbed
        testbed.start_traffic()
        self._step("home", moves=False)
        for place in JOURNEY:
            self._step(place, moves=True)
        traffic = testbed.end_traffic()
        self.figures["connections"] = {
            name: {end: {**flow[end], "arrivals": None} for end in ("correspondent", "mobile")}
            for name, flow in traffic.items()
        }
        self.figures["wire"] = testbed.wire()
        self.figures["errors"] += [event["text"] for event in testbed.events if event["event"] == "error"]
        self.figures["errors"] += testbed.manager_complaints()
        facts = self.verdict()
        self.figures["verdict"] = {fact.name: {"holds": fact.holds, "text": fact.text} for fact in facts}
        self.figures["holds"] = all(fact.holds for fact in facts)
        report.verdict(facts)

    # --- what a variant does besides ---

    def optimized(self, place: str) -> frozenset[str]:
        """Correspondents whose packets do not go through the tunnel."""
        return frozenset()

    def look(self, place: str) -> None:
        """Wait and see, when the home agent has acknowledged a move."""

    def complete(self, step: Figures, traffic: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
        """Add to the figures of a step; `before` and `after` are counters."""

    def report(self, step: Figures) -> None:
        """Tell people more of a step."""

    def verdict(self) -> list[Fact]:
        """All facts of the run."""
        return verdict(self.figures)

    # --- the steps ---

    @staticmethod
    def replies(names: Iterable[str], traffic: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> int:
        """Replies to pings of some correspondents between two looks at the counters."""
        found = (reply for name in names for reply in traffic[name]["pings"]["replies"] if reply is not None)
        return sum(before["at"] <= reply < after["at"] for reply in found)

    def _step(self, place: str, moves: bool) -> None:
        """Go to a place, stay there, and measure."""
        testbed = self.testbed
        report.arrival(place, moves)
        seen = len(testbed.events)
        at = time.monotonic()
        if moves:
            campus.move(place)
            self._wait_until_settled(place)
        time.sleep(SETTLE)
        self.look(place)
        events = testbed.events[seen:]
        care_of_address = next((event["address"] for event in events if event["event"] == "care_of_address"), None)
        before = self.counters()
        bindings, table = testbed.bindings(), testbed.mip6ctl("show", "bindings")
        if care_of_address is not None and "care_of_address_direct" not in self.figures:
            self.figures["care_of_address_direct"] = testbed.reaches_directly(care_of_address)
        time.sleep(max(0.0, at + self._stay[place] - time.monotonic()))
        after = self.counters()
        end = time.monotonic()
        traffic = testbed.traffic()
        replies = self.replies(traffic.keys() - self.optimized(place), traffic, before, after)
        step: Figures = {
            "place": place,
            "started": round(at, 3),  # seconds of the monotonic clock
            "seconds": round(end - at, 3),
            "care_of_address": care_of_address,
            "timeline": [{**event, "at": round((event["at"] - at) * 1000, 1)} for event in events],  # ms
            "binding": bindings[0] if bindings else None,
            "binding_right": binding_right(place, care_of_address, bindings),
            "flows": [flow.text for flow in testbed.flows()],
            "data_plane": {
                **{name: after[name] - before[name] for name in ("into_tunnel", "out_of_tunnel")},
                "punted": {kind: n - before["punted"].get(kind, 0) for kind, n in after["punted"].items()},
                "pings": replies,
            },
            "switch": self._switch_times(events, care_of_address),
            "traffic": {name: traffic_figures(flow, at, end) for name, flow in traffic.items()},
        }
        self.complete(step, traffic, before, after)
        self.figures["steps"].append(step)
        report.step(step, table)
        self.report(step)

    def _wait_until_settled(self, place: str) -> None:
        """Until the home agent has acknowledged. ScenarioError if it does not."""

        def settled(event: dict[str, Any]) -> bool:
            accepted = event["event"] == "binding_acknowledgement" and event["status"] < REJECTED
            return event["event"] == "at_home" if place == "home" else accepted

        if self.testbed.mobile_node.wait(settled, BOUND_WITHIN) is None:
            raise ScenarioError(f"the home agent has not acknowledged the move to {place} in {BOUND_WITHIN:g} s")

    def counters(self) -> dict[str, Any]:
        flows = self.testbed.flows()
        return {
            "at": time.monotonic(),
            "into_tunnel": carried(flows, "tun_ipv6_dst"),
            "out_of_tunnel": carried(flows, "tun_ipv6_src"),
            "punted": self.testbed.punted(),
        }

    def _switch_times(self, events: Sequence[dict[str, Any]], care_of_address: str | None) -> Figures | None:
        """Milliseconds from the Binding Update's arrival at the switch; None at the first step."""
        acknowledgement = next((event for event in events if event["event"] == "binding_acknowledgement"), None)
        if acknowledgement is None:
            return None
        port = campus.MOBILE_PORT if care_of_address is None else campus.UPLINK
        address = None if care_of_address is None else addresses.parse(care_of_address)
        device = socket.if_nametoindex(port)
        found = capture.exchange(self.testbed.captured(), device, acknowledgement["sequence"], address)
        times = {"acknowledgement": found and found.acknowledged, "first_tunnelled": found and found.first_tunnelled}
        return {"port": port, **{name: at and round(at * 1000, 2) for name, at in times.items()}}


def carried(flows: Iterable[Flow], field: str) -> int:
    """Packets of the flows that match or set a field."""
    return sum(flow.packets for flow in flows if field in flow.text)


def binding_right(place: str, care_of_address: str | None, bindings: Sequence[dict[str, Any]]) -> bool:
    """Whether the binding cache is as it must be while the mobile node is at a place."""
    if place == "home":
        return not bindings
    if len(bindings) != 1 or care_of_address is None:
        return False
    binding = bindings[0]
    prefix = Prefix.parse(campus.VISITED_PREFIXES[place])
    return (
        binding["home_address"] == campus.HOME_ADDRESS
        and binding["care_of_address"] == care_of_address
        and prefix.contains(addresses.parse(care_of_address))
        and binding["state"] == "bound"
    )


def traffic_figures(flow: dict[str, Any], start: float, end: float) -> Figures:
    """What one correspondent's traffic went through between two moves."""
    return {
        "ping": ping_figures(flow["pings"]["sent"], flow["pings"]["replies"], start, end),
        "tcp_to_mobile": stream_figures(flow["mobile"]["arrivals"], start, end),
        "tcp_from_mobile": stream_figures(flow["correspondent"]["arrivals"], start, end),
    }
