"""The benchmarks themselves: what they send is what they say, they measure what they say, and notice what is wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from deploy.benchmarks import control, correspondent, datapath, fake_switch, routes, traffic
from deploy.benchmarks.home_link import HOME_AGENT, HOST, HomeLink, care_of_address, elsewhere, home_address
from deploy.benchmarks.routes import Routes
from deploy.benchmarks.traffic import Generator, Sink, Stream, Switch, compile_generator, compile_sink
from mip6core.addresses import text
from topo import lab

ROOT = Path(__file__).resolve().parents[2]
SIZE = 300  # octets
NODE = 1  # not the first: those that are addressed must be the right ones

pytestmark = pytest.mark.lab


class Site:
    """The data path benchmark's network, with two mobile nodes."""

    def __init__(self, network: lab.Network) -> None:
        self.network = network
        self.link = HomeLink(network)
        self.link.register(NODE + 1)
        self.routes = Routes(NODE + 1)

    def streams(self, size: int, at_router: Any = None, at_host: Any = None) -> dict[str, Stream]:
        return datapath.streams(self.link, at_router, at_host, size, NODE + 1)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with lab.Network() as network:
        site = Site(network)
        try:
            yield site
        finally:
            site.link.close()


def passed_through(stream: Stream) -> tuple[Packet, Packet]:
    """A packet as it was sent, and as it arrives on the other side."""
    ns, device = ("router", "router0") if stream.ns == "host" else ("host", "host0")
    with lab.inside(ns):
        receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    with lab.inside(stream.ns):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with receiver, sender:
        receiver.bind((device, 0x86DD))
        receiver.settimeout(0.1)
        sender.bind((stream.device, 0))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            sender.send(stream.frames[NODE])
            try:
                while True:
                    octets, address = receiver.recvfrom(2000)
                    if address[2] != socket.PACKET_OUTGOING and UDP in Ether(octets):
                        return Ether(stream.frames[NODE])[IPv6], Ether(octets)[IPv6]
            except TimeoutError:
                continue
    raise AssertionError(f"nothing arrives at {device}")


def checksum_is_right(source: str, destination: str, udp: Packet) -> bool:
    again = UDP(bytes(udp))
    del again.chksum
    return UDP(bytes(IPv6(src=source, dst=destination) / again)[40:]).chksum == udp.chksum


def test_plain_packets_stay_as_they_are(site: Site) -> None:
    sent, arrived = passed_through(site.streams(SIZE)["plain"])
    assert bytes(arrived) == bytes(sent)
    assert (arrived.src, arrived.dst, len(arrived)) == (text(HOST), text(elsewhere(NODE)), SIZE)
    sent, arrived = passed_through(site.streams(SIZE)["reverse_plain"])
    assert bytes(arrived) == bytes(sent)
    assert (arrived.src, arrived.dst, len(arrived)) == (text(care_of_address(NODE)), text(HOST), SIZE)


def test_tunnelled_packets_are_in_a_tunnel(site: Site) -> None:
    """RFC 2473 section 3: an IPv6 header before the packet, whose hop limit counts the home agent."""
    sent, arrived = passed_through(site.streams(SIZE)["tunnel"])
    assert (arrived.src, arrived.dst, arrived.nh) == (text(HOME_AGENT), text(care_of_address(NODE)), 41)
    sent.hlim -= 1
    assert bytes(arrived[IPv6:2]) == bytes(sent)
    assert (sent.dst, len(sent)) == (text(home_address(NODE)), SIZE)


def test_packets_out_of_the_reverse_tunnel(site: Site) -> None:
    sent, arrived = passed_through(site.streams(SIZE)["reverse"])
    assert (sent.src, sent.dst, sent.nh) == (text(care_of_address(NODE)), text(HOME_AGENT), 41)
    inner = sent[IPv6:2]
    inner.hlim -= 1
    assert bytes(arrived) == bytes(inner)
    assert (arrived.src, arrived.dst, len(arrived)) == (text(home_address(NODE)), text(HOST), SIZE)


def test_optimised_packets_have_a_routing_header(site: Site) -> None:
    """RFC 6275 sections 6.4 and 9.3.2: type 2, one segment, the home address; the upper layer does not know."""
    sent, arrived = passed_through(site.streams(SIZE)["optimized_out"])
    home = text(routes.home_address(NODE))
    assert (arrived.src, arrived.dst, arrived.nh) == (text(HOST), text(care_of_address(NODE)), 43)
    routing = arrived[IPv6ExtHdrRouting]
    assert (routing.type, routing.len, routing.segleft, routing.addresses) == (2, 2, 1, [home])
    assert (routing.nh, len(arrived)) == (17, SIZE + 24)
    assert bytes(arrived[UDP]) == bytes(sent[UDP])
    assert checksum_is_right(text(HOST), home, arrived[UDP])


def test_optimised_packets_arrive_from_the_home_address(site: Site) -> None:
    """RFC 6275 sections 6.3 and 9.3.1."""
    sent, arrived = passed_through(site.streams(SIZE)["optimized_in"])
    home = text(routes.home_address(NODE))
    assert (sent.src, sent.nh, len(sent)) == (text(care_of_address(NODE)), 60, SIZE + 24)
    assert bytes(sent).count(routes.home_address(NODE)) == 1
    assert (arrived.src, arrived.dst, arrived.nh, len(arrived)) == (home, text(HOST), 17, SIZE)
    assert bytes(arrived[UDP]) == bytes(sent[UDP])
    assert checksum_is_right(home, text(HOST), arrived[UDP])


def test_what_arrives_is_counted_and_was_carried_by_flows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "ATTEMPTS", 1000)  # the machine may be as busy as it likes
    directory = site.network.directory
    generator = Generator(compile_generator(directory), None, Switch(None))
    program = compile_sink(directory)
    at_router, at_host = Sink(program, "router", "router0"), Sink(program, "host", "host0")
    results: datapath.Results = {}
    try:
        for size in datapath.SIZES:
            for kind, stream in site.streams(size, at_router, at_host).items():
                stream.probe()
                results[kind, size] = [generator.measure(stream, 0.05)]
        monkeypatch.setattr(routes, "REFRESH", 0.0)
        site.routes.refresh()  # with the sinks in place, as in a long run
    finally:
        at_router.close()
        at_host.close()
    assert all(rate.packets > 0 for [rate] in results.values())
    datapath.check_flows(results)
    found = datapath.summary(results)
    for kind in datapath.FLOWS:
        assert set(found[f"{kind}_ratio"]) == {"100", "1400"}
        assert datapath.table(found).count(kind.replace("_", " ")) >= len(datapath.SIZES)

    key = ("optimized_in", datapath.SIZES[0])
    with pytest.raises(lab.LabError, match="optimized in packets in the counters"):
        datapath.check_flows({**results, key: [replace(results[key][0], packets=10**9)]})


def run(name: str, *words: str) -> dict[str, Any]:
    """The object that a benchmark prints."""
    command = [sys.executable, "-m", f"deploy.benchmarks.{name}", "--json", "--rounds", "1", *words]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


@pytest.mark.parametrize(
    "words",
    [(), ("--in-process",), ("--in-process", "--authentication"), ("--in-process", "--esp")],
    ids=["process", "in process", "authentication", "esp"],
)
def test_control(words: tuple[str, ...]) -> None:
    found = run("control", "--seconds", "0.05", "--nodes", "70", *words)
    assert found["bu_per_second"] > 0 and found["cpu_us_per_bu"] >= 0
    for name in ("in_process", "authentication", "esp"):
        assert found[name] is (f"--{name.replace('_', '-')}" in words)


def test_control_notices_answers_without_their_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.Bench.run, "__defaults__", (control.OUTSTANDING, 4))
    with pytest.raises(SystemExit, match="not answered as they should be"):
        control.measure(0.01, 1, 10)


def test_control_ends_if_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other messages are no answer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.5)
        monkeypatch.setattr(fake_switch, "ANSWER_TIMEOUT", 1)
        switch = fake_switch.FakeSwitch(ours, {})
        for _ in range(3):
            theirs.sendall(fake_switch.HEADER.pack(4, fake_switch.ECHO_REQUEST, 8, 0))
            assert switch.receive() == []
        with pytest.raises(SystemExit, match="has not answered"):
            switch.receive()  # nothing at all came for as long as the socket waits
        switch.answered()
        monkeypatch.setattr(fake_switch, "ANSWER_TIMEOUT", 0)
        theirs.sendall(fake_switch.HEADER.pack(4, fake_switch.ECHO_REQUEST, 8, 0))
        with pytest.raises(SystemExit, match="has not answered"):
            switch.receive()


@pytest.mark.parametrize("words", [(), ("--in-process",)], ids=["process", "in process"])
def test_correspondent(words: tuple[str, ...]) -> None:
    found = run("correspondent", "--seconds", "0.05", "--nodes", "70", *words)
    for what in ("hoti", "coti", "binding"):
        assert found[f"{what}s_per_second" if what == "binding" else f"{what}_per_second"] > 0
        assert found[f"cpu_us_per_{what}"] >= 0
    assert found["in_process"] is bool(words)


def test_correspondent_notices_answers_without_their_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correspondent, "MOVE_FLOW_MODS", 4)
    with pytest.raises(SystemExit, match="not answered as they should be"):
        correspondent.measure(0.01, 1, 10)


def test_correspondent_notices_a_wrong_authenticator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an acknowledgement; a Binding Update with a wrong one has no answer."""
    right = correspondent.authenticator

    def wrong(key: bytes, care_of_address: bytes, covered: bytes) -> bytes:
        acknowledgement = covered[2] == correspondent.BINDING_ACKNOWLEDGEMENT
        return right(key[::-1] if acknowledgement else key, care_of_address, covered)

    monkeypatch.setattr(correspondent, "authenticator", wrong)
    with pytest.raises(SystemExit, match="not answered as they should be"):
        correspondent.measure(0.01, 1, 10)


def test_operate() -> None:
    words = ["--seconds", "1", "--nodes", "50", "--rate", "50", "--clients", "2", "--watchers", "1"]
    found = run("operate", *words)
    for load in ("without_rest", "with_rest"):
        assert 0 < found[load]["median_ms"] <= found[load]["p99_ms"]
    assert found["rest_requests_per_second"] > 0
    assert found["watched_events_per_second"] > 0
