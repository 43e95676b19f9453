"""The demo with route optimisation, run to its end; what was on the wire is told by tshark."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from topo import campus, lab
from topo.scenarios import testbed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HOME_ADDRESS = "2001:db8:106:2700::100"
LOCAL, REMOTE = "2001:db8:106:2700::3", "2001:db8:106:3000::3"


@dataclass
class Run:
    """What a run has left."""

    status: int
    printed: str
    figures: dict[str, Any]
    pcap: Path  # the router's end of the link to the edge switch

    @property
    def away(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = self.figures["steps"][1:3]
        return steps

    def tshark(self, display_filter: str, *fields: str) -> list[list[str]]:
        words = ["tshark", "-r", str(self.pcap), "-Y", display_filter, "-T", "fields", "-E", "separator=;"]
        for field in fields:
            words += ["-e", field]
        return [line.split(";") for line in lab.run(words, timeout=60).stdout.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("route-optimization")
    words = "-m topo.scenarios.roaming --route-optimization --home-time 3 --visit-time 8"
    files = ["--json", f"{directory}/json", "--pcap", f"{directory}/pcap"]
    result = lab.run([sys.executable, *words.split(), *files], check=False, timeout=120)
    printed = result.stdout + result.stderr
    assert (directory / "json").exists(), printed
    yield Run(result.returncode, printed, json.loads((directory / "json").read_text()), directory / "pcap")


def test_everything_holds(run: Run) -> None:
    assert {name: fact["text"] for name, fact in run.figures["verdict"].items() if not fact["holds"]} == {}
    assert len(run.figures["verdict"]) == 17
    assert run.status == 0, run.printed


def test_the_timeline_shows_the_procedure_and_the_change_of_the_way(run: Run) -> None:
    first, second = ([event for event in step["timeline"] if event.get("correspondent") == REMOTE] for step in run.away)
    assert [event["event"] for event in first][:2] == ["home_test_init", "care_of_test_init"]
    assert {event["event"] for event in first} >= {"home_test", "care_of_test", "correspondent_update"}
    assert "route_optimized" in [event["event"] for event in second]
    for words in (
        f"Home Test Init to {REMOTE}, through the home agent",
        f"packets to {REMOTE} go directly from now on",
        f"packets to {LOCAL} stay with the home agent: it does not know the Mobility Header",
        "mip6ctl show correspondents",
    ):
        assert words in run.printed


def test_the_direct_way_is_shorter(run: Run) -> None:
    ways = {(way["correspondent"], way["way"]): way for way in run.away[0]["ways"]}
    before, after = ways["remote", "home agent"], ways["remote", "direct"]
    assert before["hops"] == ["visitnet", "r", "home agent", "r", "remote"]
    assert after["hops"] == ["visitnet", "r", "remote"]
    assert before["round_trip"] >= 20  # milliseconds: four times over the long line
    assert after["round_trip"] < before["round_trip"]


def test_data_took_the_flows_of_the_edge_switch(run: Run) -> None:
    for step in run.away:
        assert len(step["edge_flows"]) == 2
        assert min(step["direct"]["packets_out"], step["direct"]["packets_in"]) >= step["direct"]["pings"] > 20
        (bound,) = step["correspondents"]
        assert (bound["home_address"], bound["correspondent"]) == (HOME_ADDRESS, REMOTE)
        assert bound["care_of_address"] == step["care_of_address"]
        assert 0 < bound["remaining_lifetime"] <= bound["lifetime"] <= 60


def test_connections_lived_and_lost_nothing(run: Run) -> None:
    for ends in run.figures["connections"].values():
        assert ends["correspondent"]["sent"] == ends["mobile"]["received"] > 300
        assert ends["mobile"]["sent"] == ends["correspondent"]["received"] > 300
        assert [end["error"] for end in ends.values()] == [None, None]


def test_wireshark_sees_return_routability(run: Run) -> None:
    care_of_addresses = [step["care_of_address"] for step in run.away]
    tests = run.tshark("mip6.mhtype == 1", "ipv6.src", "ipv6.dst")
    assert tests and {tuple(one) for one in tests} == {(HOME_ADDRESS, REMOTE)}  # out of the home agent's tunnel
    assert [one[0] for one in run.tshark("mip6.mhtype == 2", "ipv6.src")] == care_of_addresses
    updates = run.tshark("mip6.mhtype == 5", "ipv6.src", "mip6.bu.lifetime", "mip6.bad.auth")
    assert [source for source, *_ in updates] == [*care_of_addresses, HOME_ADDRESS]
    assert int(updates[-1][1]) == 0
    assert all(len(authenticator.replace(":", "")) == 24 for *_, authenticator in updates)
    answers = run.tshark("mip6.mhtype == 6", "ipv6.dst", "mip6.ba.status")
    assert answers == [[address, "0"] for address in [*care_of_addresses, HOME_ADDRESS]]


def test_wireshark_sees_one_connection_take_both_ways(run: Run) -> None:
    direct_out = run.tshark(f"tcp && ipv6.routing.mipv6.home_address == {HOME_ADDRESS}", "tcp.srcport", "tcp.dstport")
    direct_in = run.tshark(f"tcp && ipv6.opt.mipv6.home_address == {HOME_ADDRESS}", "tcp.dstport", "tcp.srcport")
    plain = run.tshark(f"tcp && ipv6.src == {REMOTE} && ipv6.dst == {HOME_ADDRESS}", "tcp.srcport", "tcp.dstport")
    assert min(len(direct_out), len(direct_in), len(plain)) > 100
    assert len({tuple(ports) for ports in [*direct_out, *direct_in, *plain]}) == 1
    assert run.tshark("gre || ipv6.nxt == 41", "frame.number") == []


@pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning")  # in Mininet
def test_a_binding_that_is_lost_is_made_anew_and_the_connection_lives() -> None:
    """The operator clears it: the next packet draws Binding Error 1, and goes through the home agent from then on."""
    with closing(testbed.Testbed(two_bridges=False, lifetime=60, say=print, route_optimization=True)) as bed:

        def wait_for(name: str) -> dict[str, Any]:
            event = bed.mobile_node.wait(
                lambda line: line["event"] == name and line.get("correspondent") == REMOTE, timeout=15.0
            )
            assert event is not None, name
            return event

        bed.start()
        bed.start_traffic()
        time.sleep(1.0)  # the handshakes end
        campus.move("visitnet")
        wait_for("route_optimized")
        bed.mip6ctl("clear", "correspondent", REMOTE, HOME_ADDRESS)
        assert wait_for("correspondent_error")["status"] == 1
        wait_for("route_by_home_agent")
        wait_for("route_optimized")
        wait_for("first_direct_packet_in")
        (bound,) = bed.correspondents()
        assert (bound["correspondent"], bound["home_address"]) == (REMOTE, HOME_ADDRESS)
        for ends in bed.end_traffic().values():
            assert ends["correspondent"]["sent"] == ends["mobile"]["received"] > 100
            assert ends["mobile"]["sent"] == ends["correspondent"]["received"] > 100
        assert bed.manager_complaints() == []
