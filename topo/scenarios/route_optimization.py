"""The journey with route optimisation: the remote correspondent's data leaves the way through the home agent.

That correspondent is an ordinary host behind an edge switch of the same mip6-manager; the local one is a host that has
none. At the first visited link the mobile node waits a little before it optimises, so that both ways can be seen.
"""

from __future__ import annotations

import time
from typing import Any, Final

from mip6core import addresses
from topo import campus
from topo.scenarios import capture, report
from topo.scenarios.figures import Fact, Figures, verdict
from topo.scenarios.journey import Roaming, carried
from topo.scenarios.route_figures import DIRECT, HOME_AGENT, HOME_LINK, LASTING, round_trip, route_facts, ways
from topo.scenarios.testbed import CORRESPONDENTS, PATIENCE, ScenarioError

REMOTE: Final = "remote"
REGISTERED_WITHIN: Final = 10.0  # seconds beyond the mobile node's patience


class RouteOptimization(Roaming):
    """One run; each step also has the ways that packets took, and their round-trip times."""

    def look(self, place: str) -> None:
        """See the way through the home agent while it lasts, wait for the direct one, see that."""
        self._hops: dict[str, dict[str, list[str]]] = {}
        if place == "home":
            if self.figures["steps"]:
                self._wait("correspondent_deregistered")
                time.sleep(LASTING)
            self._hops[HOME_LINK] = {name: self._plain_hops(name) for name in CORRESPONDENTS}
            return
        self._hops[HOME_AGENT] = {name: self._hops_by_home_agent(name) for name in CORRESPONDENTS}
        self._wait("route_optimized")
        time.sleep(LASTING)
        self._hops[DIRECT] = {REMOTE: self._plain_hops(REMOTE)}

    def optimized(self, place: str) -> frozenset[str]:
        """The remote one, wherever the mobile node is away."""
        return frozenset(() if place == "home" else (REMOTE,))

    def counters(self) -> dict[str, Any]:
        """Also those of the correspondent's binding."""
        flows = self.testbed.flows(campus.EDGE_BRIDGE)
        return {
            **super().counters(),
            "edge_flows": [flow.text for flow in flows],
            "packets_out": carried(flows, "tun_ipv6_dst"),
            "packets_in": carried(flows, "tun_ipv6_src"),
        }

    def complete(self, step: Figures, traffic: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
        """Ways, round trips, the correspondent's binding, and what its flows have carried."""
        started = step["started"]
        step["correspondents"] = self.testbed.correspondents()
        step["correspondents_table"] = self.testbed.mip6ctl("show", "correspondents")
        step["edge_flows"] = after["edge_flows"]
        step["direct"] = {
            **{name: after[name] - before[name] for name in ("packets_out", "packets_in")},
            "pings": self.replies(self.optimized(step["place"]), traffic, before, after),
        }
        step["ways"] = ways(step, CORRESPONDENTS)
        clock = time.time() - time.monotonic()
        edge = self.testbed.edge()
        for way in step["ways"]:
            start, end = started + way["from"] / 1000 + LASTING, started + way["to"] / 1000 - LASTING
            way["hops"] = self._hops[way["way"]][way["correspondent"]]
            way["round_trip"] = round_trip(traffic[way["correspondent"]]["pings"], start, end)
            if way["correspondent"] == REMOTE:
                for direction, source in (("to", campus.HOME_ADDRESS), ("from", campus.REMOTE_CORRESPONDENT)):
                    found = capture.segments(edge, addresses.parse(source), start + clock, end + clock)
                    way[f"segments_{direction}"] = {"plain": found.plain, "direct": found.direct}

    def report(self, step: Figures) -> None:
        """The correspondent's binding as an operator sees it, and the ways."""
        report.correspondents(step)

    def verdict(self) -> list[Fact]:
        """Also what is about routes."""
        self.figures["edge"] = self.testbed.edge_wire()
        facts = route_facts(self.figures, CORRESPONDENTS)
        report.ways(self.figures["steps"])
        return [*verdict(self.figures), *facts]

    def _wait(self, event: str) -> None:
        """Until the mobile node has done its part with the remote correspondent. ScenarioError if it does not."""
        address = CORRESPONDENTS[REMOTE]

        def wanted(line: dict[str, Any]) -> bool:
            return line["event"] == event and line["correspondent"] == address

        timeout = PATIENCE + REGISTERED_WITHIN
        if self.testbed.mobile_node.wait(wanted, timeout) is None:
            raise ScenarioError(f"the mobile node has not come to {event} with {address} in {timeout:g} s")

    def _plain_hops(self, name: str) -> list[str]:
        """As pings from the home address find them."""
        return self.testbed.hops(campus.MOBILE_NODE, campus.HOME_ADDRESS, CORRESPONDENTS[name])

    def _hops_by_home_agent(self, name: str) -> list[str]:
        """In two parts, the second one backwards: the hops in a tunnel are hidden from what is in it."""
        care_of_address = next(
            event["address"] for event in reversed(self.testbed.events) if event["event"] == "care_of_address"
        )
        there = self.testbed.hops(campus.MOBILE_NODE, care_of_address, campus.HOME_AGENT)
        back = self.testbed.hops(name, CORRESPONDENTS[name], campus.HOME_AGENT)
        return [*there, *reversed(back[:-1]), name]
