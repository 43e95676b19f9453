"""`deploy/bench operate`: how long Binding Updates wait while REST clients ask as fast as they are answered.

A fake switch sends Binding Updates at a fixed rate, all of them moves of registered mobile nodes, and sees how long
each takes to be answered in full. By turns nobody else is there, and REST clients are: they list all bindings in pages
of 1000, filter them, ask for a single one, for statistics, metrics and events; others watch events. The time of a
Binding Update runs from when it was due, so one that the switch could not send in time counts with all its waiting.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from deploy.benchmarks.control import MOVE_FLOW_MODS, REST_PORT, Bench
from deploy.benchmarks.fake_switch import Node
from deploy.benchmarks.rest_load import RestLoad, Served

NICE: Final = -10  # the switch measures: it must not wait for a processor that REST clients have
PAUSE: Final = 0.5  # seconds between two measurements
PATIENCE: Final = 20.0  # seconds until a Binding Update counts as not answered
OTHERS: Final = (
    "/v1/bindings?care_of_prefix=2001:db8:f000::/64",  # where half of the mobile nodes are
    "/v1/bindings?care_of_prefix=2001:db8:f0f0::/64",  # where nobody is
    "/v1/bindings?home_address=2001:db8:1:0:1::/112&home_link=bench",
    "/v1/bindings/{one}",
    "/v1/statistics",
    "/v1/events?limit=1000",
    "/metrics",
)


class Roaming:
    """Mobile nodes that move at a fixed rate, one after the other."""

    def __init__(self, bench: Bench) -> None:
        assert isinstance(bench.controller.stream, socket.socket)
        self._bench = bench
        self._wire = bench.controller.stream
        self._turns = itertools.cycle(bench.nodes)

    def pace(self, rate: float, seconds: float) -> list[float]:
        """How long each Binding Update took, in seconds."""
        outstanding: dict[bytes, Node] = {}
        due: dict[bytes, float] = {}
        took: list[float] = []
        begin = time.perf_counter()
        sent, count = 0, int(rate * seconds)
        while outstanding or sent < count:
            now = time.perf_counter()
            if now > begin + seconds + PATIENCE:
                raise SystemExit(f"bench operate: {len(outstanding)} Binding Updates were not answered")
            while sent < count and begin + sent / rate <= now:
                node = next(self._turns)
                self._bench.move(node)
                outstanding[node.home_address] = node
                due[node.home_address] = begin + sent / rate
                sent += 1
            self._bench.switch.flush()
            wait = begin + sent / rate - time.perf_counter() if sent < count else PATIENCE
            if not select.select([self._wire], [], [], max(0.0, wait))[0]:
                continue
            self._bench.receive(outstanding, MOVE_FLOW_MODS)
            now = time.perf_counter()
            for home_address in due.keys() - outstanding.keys():
                took.append(now - due.pop(home_address))
        return took


def latencies(took: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {
        "median_ms": round(statistics.median(took) * 1e3, 2),
        "p99_ms": round(statistics.quantiles(took, n=100)[98] * 1e3, 2),
        "max_ms": round(max(took) * 1e3, 2),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both ways, by turns."""
    alone: list[float] = []
    loaded: list[float] = []
    served = Served()
    with contextlib.suppress(PermissionError):
        os.nice(NICE)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), options.nodes)
        try:
            bench.prepare()
            roaming = Roaming(bench)
            one = str(IPv6Address(bench.nodes[0].home_address))
            paths = [path.format(one=one) for path in OTHERS]
            for _ in range(options.rounds):
                alone += roaming.pace(options.rate, options.seconds)
                with RestLoad(REST_PORT, options.clients, options.watchers, paths) as load:
                    time.sleep(PAUSE)
                    loaded += roaming.pace(options.rate, options.seconds)
                served.add(load.served)
                time.sleep(PAUSE)
            if bench.refused:
                raise SystemExit(f"bench operate: {bench.refused} Binding Updates were not answered as they should be")
        finally:
            bench.controller.close()
    return {
        "without_rest": latencies(alone),
        "with_rest": latencies(loaded),
        "rest_requests_per_second": round(served.requests / served.seconds, 1),
        "rest_megabytes_per_second": round(served.octets / served.seconds / 1e6, 2),
        "rest_slowest_ms": round(served.slowest * 1e3),
        "watched_events_per_second": round(served.events / served.seconds),
        "bu_per_second": options.rate,
        **{name: getattr(options, name) for name in ("nodes", "clients", "watchers", "rounds", "seconds")},
    }


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':14}{'median':>12}{'99 %':>12}{'longest':>12}"]
    for name in ("without_rest", "with_rest"):
        times = (f"{found[name][key]:.2f} ms" for key in ("median_ms", "p99_ms", "max_ms"))
        lines.append(f"{name.replace('_', ' '):14}" + "".join(f"{text:>12}" for text in times))
    lines.append(
        f"{found['rest_requests_per_second']} requests a second ({found['rest_megabytes_per_second']} MB/s, slowest"
        f" {found['rest_slowest_ms']} ms), {found['watched_events_per_second']} events a second to watchers"
    )
    lines.append(
        f"{found['bu_per_second']:g} BU/s, {found['nodes']} bindings, {found['clients']} clients,"
        f" {found['watchers']} watchers, {found['rounds']} rounds of {found['seconds']:g} s"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="deploy/bench operate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--nodes", type=int, default=10_000, help="registered mobile nodes (default: 10000)")
    parser.add_argument("--rate", type=float, default=500.0, help="Binding Updates a second (default: 500)")
    parser.add_argument("--clients", type=int, default=8, help="that ask (default: 8)")
    parser.add_argument("--watchers", type=int, default=4, help="of events (default: 4)")
    options = parser.parse_args(argv)
    if min(options.rounds, options.seconds, options.nodes, options.rate, options.clients) <= 0 or options.watchers < 0:
        parser.error("numbers must be positive")
    found = measure(options)
    print(json.dumps(found) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
