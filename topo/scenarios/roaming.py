"""A mobile node goes home -> visitnet -> visitnet2 -> home while its connections live.

    python -m topo.scenarios.roaming [--cli] [--json FILE] ...        as root; makes its own private lab

From both correspondents a TCP connection and pings to the home address run throughout. Each step is told as it happens;
a verdict with figures comes at the end. The exit status is 0 only if every fact of the verdict holds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mininet.cli import CLI

from mip6core import addresses
from mip6core.addresses import Prefix
from topo import campus, lab
from topo.scenarios import capture, report
from topo.scenarios.figures import Figures, ping_figures, stream_figures, verdict
from topo.scenarios.testbed import ScenarioError, Testbed

JOURNEY: Final = ("visitnet", "visitnet2", "home")
BOUND_WITHIN: Final = 15.0  # seconds from a move to the acknowledgement of the home agent
SETTLE: Final = 1.0  # seconds until the counters are read for the first time
REJECTED: Final = 128  # statuses from here on refuse a registration (RFC 6275 section 6.1.8)
ERRORS: Final = (ScenarioError, lab.LabError, RuntimeError, OSError)
PROMPT_HELP: Final = """
Everything keeps running until `exit`. Some commands: `move visitnet` moves the mobile node; `mn ping -c3
2001:db8:106:3000::3` runs a program on it; `sh .venv/bin/mip6ctl show bindings` runs one beside the switch,
where the REST API is at http://127.0.0.1:8080."""


class Roaming:
    """One run; `figures` grows with it."""

    def __init__(self, testbed: Testbed, home_time: float, visit_time: float) -> None:
        self._testbed = testbed
        self._stay = {"home": home_time, **dict.fromkeys(campus.VISITED_PREFIXES, visit_time)}
        self.figures: Figures = {"steps": [], "errors": []}

    def run(self) -> None:
        """All steps, and what can be told only after the last one."""
        testbed = self._testbed
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
        facts = verdict(self.figures)
        self.figures["verdict"] = {fact.name: {"holds": fact.holds, "text": fact.text} for fact in facts}
        self.figures["holds"] = all(fact.holds for fact in facts)
        report.verdict(facts)

    def _step(self, place: str, moves: bool) -> None:
        """Go to a place, stay there, and measure."""
        testbed = self._testbed
        report.arrival(place, moves)
        seen = len(testbed.events)
        at = time.monotonic()
        if moves:
            campus.move(place)
            self._wait_until_settled(place)
        time.sleep(SETTLE)
        events = testbed.events[seen:]
        care_of_address = next((event["address"] for event in events if event["event"] == "care_of_address"), None)
        before = self._counters()
        bindings, table = testbed.bindings(), testbed.mip6ctl("show", "bindings")
        if care_of_address is not None and "care_of_address_direct" not in self.figures:
            self.figures["care_of_address_direct"] = testbed.reaches_directly(care_of_address)
        time.sleep(max(0.0, at + self._stay[place] - time.monotonic()))
        after = self._counters()
        end = time.monotonic()
        traffic = testbed.traffic()
        carried = [reply for flow in traffic.values() for reply in flow["pings"]["replies"] if reply is not None]
        step: Figures = {
            "place": place,
            "seconds": round(end - at, 3),
            "care_of_address": care_of_address,
            "timeline": [{**event, "at": round((event["at"] - at) * 1000, 1)} for event in events],  # ms
            "binding": bindings[0] if bindings else None,
            "binding_right": binding_right(place, care_of_address, bindings),
            "flows": [flow.text for flow in testbed.flows()],
            "data_plane": {
                **{name: after[name] - before[name] for name in ("into_tunnel", "out_of_tunnel")},
                "punted": {kind: n - before["punted"].get(kind, 0) for kind, n in after["punted"].items()},
                "pings": sum(before["at"] <= reply < after["at"] for reply in carried),
            },
            "switch": self._switch_times(events, care_of_address),
            "traffic": {name: traffic_figures(flow, at, end) for name, flow in traffic.items()},
        }
        self.figures["steps"].append(step)
        report.step(step, table)

    def _wait_until_settled(self, place: str) -> None:
        """Until the home agent has acknowledged. ScenarioError if it does not."""

        def settled(event: dict[str, Any]) -> bool:
            accepted = event["event"] == "binding_acknowledgement" and event["status"] < REJECTED
            return event["event"] == "at_home" if place == "home" else accepted

        if self._testbed.mobile_node.wait(settled, BOUND_WITHIN) is None:
            raise ScenarioError(f"the home agent has not acknowledged the move to {place} in {BOUND_WITHIN:g} s")

    def _counters(self) -> dict[str, Any]:
        flows = self._testbed.flows()
        return {
            "at": time.monotonic(),
            "into_tunnel": sum(flow.packets for flow in flows if "tun_ipv6_dst" in flow.text),
            "out_of_tunnel": sum(flow.packets for flow in flows if "tun_ipv6_src" in flow.text),
            "punted": self._testbed.punted(),
        }

    def _switch_times(self, events: Sequence[dict[str, Any]], care_of_address: str | None) -> Figures | None:
        """Milliseconds from the Binding Update's arrival at the switch; None at the first step."""
        acknowledgement = next((event for event in events if event["event"] == "binding_acknowledgement"), None)
        if acknowledgement is None:
            return None
        port = campus.MOBILE_PORT if care_of_address is None else campus.UPLINK
        address = None if care_of_address is None else addresses.parse(care_of_address)
        device = socket.if_nametoindex(port)
        found = capture.exchange(self._testbed.captured(), device, acknowledgement["sequence"], address)
        times = {"acknowledgement": found and found.acknowledged, "first_tunnelled": found and found.first_tunnelled}
        return {"port": port, **{name: at and round(at * 1000, 2) for name, at in times.items()}}


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


class Prompt(CLI):
    """Mininet's prompt, with a command to move the mobile node."""

    def do_move(self, line: str) -> None:
        """move home|visitnet|visitnet2: plug the mobile node in there"""
        if line not in campus.BRIDGES:
            print(f"move {'|'.join(campus.BRIDGES)}")
            return
        campus.move(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenario; 0 if everything holds, 1 if not."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    if not lab.inside_lab():
        try:
            return lab.enter([sys.executable, "-m", "topo.scenarios.roaming", *words])
        except lab.LabError as error:
            print(f"roaming: {error}", file=sys.stderr)
            return 1
    started = time.monotonic()
    testbed = Testbed(options.two_bridges, options.lifetime, print)
    run = Roaming(testbed, options.home_time, options.visit_time)
    try:
        with contextlib.closing(testbed):
            try:
                testbed.start()
                run.run()
            except ERRORS:
                report.logs(testbed.directory, testbed.events)
                raise
            run.figures["duration"] = round(time.monotonic() - started, 1)
            if options.json is not None:
                options.json.write_text(json.dumps(run.figures, indent=1) + "\n")
            if options.pcap is not None:
                shutil.copy(testbed.wire_pcap, options.pcap)
            if options.cli:
                print(PROMPT_HELP)
                Prompt(testbed.net)
    except ERRORS as error:
        print(f"roaming: {error}", file=sys.stderr)
        return 1
    print(f"{run.figures['duration']:.0f} s")
    return 0 if run.figures["holds"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m topo.scenarios.roaming", description="A mobile node roams while its connections live."
    )
    add = parser.add_argument
    add("--home-time", type=float, default=4.0, metavar="SECONDS", help="at home, before and after (default: 4)")
    add("--visit-time", type=float, default=7.0, metavar="SECONDS", help="in each visited network (default: 7)")
    add("--lifetime", type=int, default=60, metavar="SECONDS", help="of registrations (default: 60)")
    add("--two-bridges", action="store_true", help="the uplink on a bridge of its own")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--pcap", type=Path, metavar="FILE", help="write what the router saw of tunnel and signalling there")
    add("--cli", action="store_true", help="Mininet's prompt at the end; everything keeps running until it is left")
    return parser


if __name__ == "__main__":
    sys.exit(main())
