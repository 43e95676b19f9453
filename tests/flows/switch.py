"""What the home link's bridge holds and counts, by OVS's own tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Table
from topo import lab
from topo.lab import run

Taken = Mapping[tuple[Table, str], int]  # (table, part of "priority=...,match"): packets that took the flow

_FLOW = re.compile(
    r"cookie=(?P<cookie>\S+), duration=\S+, table=(?P<table>\d+), n_packets=(?P<packets>\d+), n_bytes=\d+,"
    r"(?: idle_timeout=\d+,)?(?: hard_timeout=(?P<hard>\d+),)?(?: idle_age=\d+,)?"
    r" (?:(?:send_flow_rem|reset_counts) )*(?P<match>\S+) actions=(?P<actions>.*)"
)


@dataclass(frozen=True)
class Flow:
    """One flow of ours."""

    cookie: int
    table: int
    packets: int
    hard_timeout: int  # seconds; 0: none
    match: str  # with the priority, as ovs-ofctl prints it
    actions: str

    @property
    def category(self) -> int:
        return cookies.category(self.cookie)


class Switch:
    """One bridge."""

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge

    def ofctl(self, command: str, *arguments: str) -> str:
        """What ovs-ofctl COMMAND BRIDGE ARGUMENTS prints."""
        return run(["ovs-ofctl", "-O", "OpenFlow13", "--no-names", command, self.bridge, *arguments]).stdout

    def flows(self) -> list[Flow]:
        """All flows with our tag."""
        found = []
        for line in self.ofctl("dump-flows").splitlines():
            if "cookie=" not in line:
                continue
            parsed = _FLOW.search(line)
            assert parsed, line
            if cookies.is_ours(cookie := int(parsed["cookie"], 16)):
                hard = int(parsed["hard"] or 0)
                table, packets = int(parsed["table"]), int(parsed["packets"])
                priority_and_match = parsed["match"] if "priority=" in parsed["match"] else "priority=32768"
                found.append(Flow(cookie, table, packets, hard, priority_and_match, parsed["actions"]))
        return found

    def flows_of(self, address: str, care_of_address: str | None = None) -> list[Flow]:
        """The flows of a home address: tunnel, reverse tunnel and proxy, those that there are."""
        whole = re.compile(rf"[=>]{re.escape(address)}(?![0-9a-f:])")
        kinds = (Category.TUNNEL, Category.REVERSE_TUNNEL, Category.PROXY_ND)
        found = [flow for flow in self.flows() if flow.category in kinds and whole.search(flow.match)]
        if care_of_address is not None:
            found = [flow for flow in found if care_of_address in flow.match + flow.actions]
        return found

    def number(self, port: str) -> int:
        """The OpenFlow number of a port."""
        return int(run(f"ovs-vsctl get interface {port} ofport").stdout)

    def trace(self, packet: str) -> str:
        """What ofproto/trace says about a packet."""
        return run(["ovs-appctl", "ofproto/trace", self.bridge, packet]).stdout

    def counted(self) -> Counted:
        """The counters as they are now."""
        return Counted(self)


class Counted:
    """The packet counters of all flows at one moment, and what they have grown by since."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._before = self._counters()

    def _counters(self) -> dict[tuple[int, str], int]:
        # OVS adds what the datapath has counted now and then. The first round may have begun already.
        for _ in range(2):
            run("ovs-appctl revalidator/wait")
        return {(flow.table, flow.match): flow.packets for flow in self._switch.flows()}

    def growth(self) -> dict[tuple[int, str], int]:
        """Flow: packets since then. Flows that were not there began with none."""
        return {key: packets - self._before.get(key, 0) for key, packets in self._counters().items()}

    def wait_for(self, path: Taken) -> None:
        """Wait until exactly these numbers of packets have taken these flows."""
        actual: dict[tuple[int, str], int] = {}

        def reached() -> bool:
            actual.clear()
            actual.update(self.growth())
            return all(sum(of(actual, *flow).values()) == packets for flow, packets in path.items())

        try:
            lab.wait_until(reached, "the flow counters", timeout=3)
        except lab.LabError:
            grown = "\n".join(f"  {key}: {packets}" for key, packets in sorted(actual.items()) if packets)
            wanted = "\n".join(f"  {key}: {packets}" for key, packets in path.items())
            raise AssertionError(f"packets took other flows:\n{grown}\nthan these:\n{wanted}") from None
        for flow in path:
            assert of(actual, *flow), f"there is no flow {flow}"


def of(counters: Mapping[tuple[int, str], int], table: Table, text: str) -> dict[tuple[int, str], int]:
    """The counters of the flows in a table whose priority and match hold `text`."""
    whole = re.compile(rf"{re.escape(text)}(?![0-9a-f:/])")
    return {key: packets for key, packets in counters.items() if key[0] == table and whole.search(key[1])}
