"""The main demo, run to its end: home -> visitnet -> visitnet2 -> home with traffic throughout."""

from __future__ import annotations

import ipaddress
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from topo import lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HOME_ADDRESS = "2001:db8:106:2700::100"
HOME_AGENT = "2001:db8:106:2700::2"
VISITED = {"visitnet": "2001:db8:106:1100::/64", "visitnet2": "2001:db8:106:1000::/64"}
PLACES = ["home", "visitnet", "visitnet2", "home"]


@dataclass
class Run:
    """What a run has left."""

    status: int
    printed: str
    figures: dict[str, Any]
    pcap: Path  # the router's end of the uplink
    left: str  # devices and bridges in the lab's own namespace that were not there before

    @property
    def steps(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = self.figures["steps"]
        return steps

    @property
    def away(self) -> list[dict[str, Any]]:
        return self.steps[1:3]

    def tshark(self, display_filter: str, *fields: str) -> list[list[str]]:
        words = ["tshark", "-r", str(self.pcap), "-Y", display_filter, "-T", "fields", "-E", "separator=;"]
        for field in fields:
            words += ["-e", field]
        return [line.split(";") for line in lab.run(words, timeout=60).stdout.splitlines()]


def surroundings() -> set[str]:
    devices = lab.run("ip -o link").stdout.splitlines()
    return {line.split(":")[1].strip() for line in devices} | set(lab.run("ovs-vsctl list-br").stdout.split())


@pytest.fixture(scope="module", params=["one bridge", "two bridges"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("roaming")
    before = surroundings()
    words = f"-m topo.scenarios.roaming --home-time 3 --visit-time 5 --json {directory}/json --pcap {directory}/pcap"
    two = ["--two-bridges"] if request.param == "two bridges" else []
    result = lab.run([sys.executable, *words.split(), *two], check=False, timeout=120)
    printed = result.stdout + result.stderr
    assert (directory / "json").exists(), printed
    figures = json.loads((directory / "json").read_text())
    left = surroundings() - before - {"ovs-netdev"}  # the userspace datapath's own, made with its first bridge
    yield Run(result.returncode, printed, figures, directory / "pcap", " ".join(sorted(left)))


def test_everything_holds(run: Run) -> None:
    assert {name: fact["text"] for name, fact in run.figures["verdict"].items() if not fact["holds"]} == {}
    assert run.status == 0, run.printed


def test_it_tells_what_it_does(run: Run) -> None:
    for words in (
        "moves to visitnet2",
        "Binding Update, sequence",
        "Binding Acknowledgement, status 0",
        "HOME ADDRESS",
    ):
        assert words in run.printed
    assert "everything holds" in run.printed


def test_the_mobile_node_had_a_care_of_address_of_each_visited_network(run: Run) -> None:
    assert [step["place"] for step in run.steps] == PLACES
    for step in run.away:
        assert ipaddress.ip_address(step["care_of_address"]) in ipaddress.ip_network(VISITED[step["place"]])


def test_the_operator_sees_the_binding_of_each_place(run: Run) -> None:
    assert [step["binding"] and step["binding"]["care_of_address"] for step in run.steps] == [
        step["care_of_address"] for step in run.steps
    ]
    for step in run.away:
        assert step["binding"]["home_address"] == HOME_ADDRESS
        assert step["binding"]["state"] == "bound"
        assert step["binding"]["flags"]["home_registration"]
        assert 0 < step["binding"]["remaining_lifetime"] <= step["binding"]["lifetime"] == 60


def test_connections_lived_and_lost_nothing(run: Run) -> None:
    for ends in run.figures["connections"].values():
        assert ends["correspondent"]["sent"] == ends["mobile"]["received"] > 300
        assert ends["mobile"]["sent"] == ends["correspondent"]["received"] > 300
        assert [end["damaged"] for end in ends.values()] == [0, 0]
        assert [end["error"] for end in ends.values()] == [None, None]


def test_traffic_came_back_after_each_move(run: Run) -> None:
    for step in run.steps:
        for flow in step["traffic"].values():
            assert flow["ping"]["resumed"]
            assert flow["tcp_to_mobile"]["resumed"]
            assert flow["tcp_from_mobile"]["resumed"]


def test_only_a_new_binding_waits_for_duplicate_address_detection(run: Run) -> None:
    def times(step: dict[str, Any]) -> tuple[float, float]:
        at = {event["event"]: event["at"] for event in step["timeline"]}
        return at["binding_update"], at["binding_acknowledgement"]

    (first_sent, first_answered), (sent, answered) = (times(step) for step in run.away)
    assert first_answered - first_sent >= 1000  # milliseconds; 10.3.1
    assert answered - sent < 500
    for correspondent in run.steps[2]["traffic"].values():
        assert correspondent["ping"]["interruption"] < 2.0


def test_data_took_the_flows_and_not_the_controller(run: Run) -> None:
    for step in run.away:
        assert len(step["flows"]) == 3  # tunnel, reverse tunnel, proxy Neighbor Discovery
        data = step["data_plane"]
        assert data["into_tunnel"] >= data["pings"] > 50
        assert data["out_of_tunnel"] >= data["pings"]
        assert sum(count for kind, count in data["punted"].items() if kind != "router_discovery") <= 25


def test_the_switch_answers_before_it_tunnels(run: Run) -> None:
    for step in run.away:
        times = step["switch"]
        assert times["port"] == "uplink0"
        # The first packet may race the answer, but the answer waits for nothing more than the flows.
        assert 0 < times["acknowledgement"] <= times["first_tunnelled"] + 100
    assert run.steps[3]["switch"]["port"] == "mn-port"
    assert 0 < run.steps[3]["switch"]["acknowledgement"] < 500


def test_home_again_nothing_is_left(run: Run) -> None:
    assert run.steps[3]["binding"] is None
    assert run.steps[3]["flows"] == []
    assert run.left == ""


def test_wireshark_sees_mobile_ipv6(run: Run) -> None:
    """What went over the uplink, in the words of a program that has nothing to do with ours."""
    care_of_addresses = [step["care_of_address"] for step in run.away]
    updates = run.tshark("mip6.mhtype == 5", "ipv6.src", "ipv6.dst", "ipv6.opt.mipv6.home_address", "mip6.bu.lifetime")
    assert [source for source, *_ in updates] == care_of_addresses
    assert {tuple(update[1:3]) for update in updates} == {(HOME_AGENT, HOME_ADDRESS)}
    answers = run.tshark(
        "mip6.mhtype == 6", "ipv6.src", "ipv6.dst", "ipv6.routing.mipv6.home_address", "mip6.ba.status"
    )
    assert answers == [[HOME_AGENT, address, HOME_ADDRESS, "0"] for address in care_of_addresses]
    for address in care_of_addresses:
        assert (
            len(run.tshark(f"ipv6.nxt == 41 && ipv6.src == {HOME_AGENT} && ipv6.dst == {address}", "frame.number")) > 50
        )
        assert (
            len(run.tshark(f"ipv6.nxt == 41 && ipv6.src == {address} && ipv6.dst == {HOME_AGENT}", "frame.number")) > 50
        )
    assert run.tshark("gre", "frame.number") == []
