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
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mininet.cli import CLI

from topo import campus, lab
from topo.scenarios import report
from topo.scenarios.journey import Roaming
from topo.scenarios.route_optimization import RouteOptimization
from topo.scenarios.testbed import ScenarioError, Testbed

ERRORS: Final = (ScenarioError, lab.LabError, RuntimeError, OSError)
PROMPT_HELP: Final = """
Everything keeps running until `exit`. Some commands: `move visitnet` moves the mobile node; `mn ping -c3
2001:db8:106:3000::3` runs a program on it; `sh .venv/bin/mip6ctl show bindings` runs one beside the switch,
where the REST API is at http://127.0.0.1:8080."""


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
    testbed = Testbed(options.two_bridges, options.lifetime, print, options.route_optimization)
    scenario = RouteOptimization if options.route_optimization else Roaming
    visit_time = options.visit_time or (9.0 if options.route_optimization else 7.0)
    run = scenario(testbed, options.home_time, visit_time)
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
                shutil.copy(testbed.edge_pcap if options.route_optimization else testbed.wire_pcap, options.pcap)
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
    add(
        "--visit-time",
        type=float,
        metavar="SECONDS",
        help="in each visited network (default: 7; or 9, to see both ways)",
    )
    add("--lifetime", type=int, default=60, metavar="SECONDS", help="of registrations (default: 60)")
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument("--two-bridges", action="store_true", help="the uplink on a bridge of its own")
    variant.add_argument(
        "--route-optimization",
        action="store_true",
        help="the remote correspondent behind an edge switch that optimises its routes, and home far away",
    )
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add(
        "--pcap",
        type=Path,
        metavar="FILE",
        help="write what the router saw of tunnel (or direct way) and signalling there",
    )
    add("--cli", action="store_true", help="Mininet's prompt at the end; everything keeps running until it is left")
    return parser


if __name__ == "__main__":
    sys.exit(main())
