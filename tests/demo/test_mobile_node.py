"""The mobile node's program in a real kernel; the router, the home agent and the wire are the test's, by scapy."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6ParamProblem,
    IPv6,
)

from tests.demo.world import (
    AGENT_MAC,
    CARE_OF_ADDRESS,
    CORRESPONDENT,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_PREFIX,
    ROUTER,
    ROUTER_MAC,
    World,
    from_home_address,
    tunnelled,
)
from topo import lab

pytestmark = pytest.mark.lab


@pytest.fixture
def world(network: lab.Network, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(network, lifetime=getattr(request, "param", 60))
    with closing(made.socket):
        yield made
    assert [event for event in made.events() if event["event"] == "error"] == []


def test_a_care_of_address_is_registered_before_its_duplicate_address_detection_ends(world: World) -> None:
    world.drain()
    start = time.monotonic()
    update = world.visit()
    assert update.src == CARE_OF_ADDRESS
    assert time.monotonic() - start < 0.5  # the kernel's Duplicate Address Detection takes a second (RFC 4862)
    assert CARE_OF_ADDRESS in lab.run("ip -6 address show dev mn-eth0 tentative", "mn").stdout


def test_the_home_address_is_silent_until_the_home_agent_has_accepted(world: World) -> None:
    update = world.visit()
    world.ping(HOME_ADDRESS)
    assert [packet.summary() for packet in world.packets(0.2) if from_home_address(packet)] == []
    world.accept(update)
    world.wait_for_event("binding_acknowledgement")
    world.drain()
    world.ping(HOME_ADDRESS)
    packet = world.wait_for(lambda packet: packet.nh == 41, "packet in the tunnel")
    assert tunnelled(packet)
    assert (packet.payload.src, packet.payload.dst) == (HOME_ADDRESS, CORRESPONDENT)
    assert world.wait_for_event("first_packet_out")


def test_tunnelled_packets_are_answered_through_the_tunnel(world: World) -> None:
    world.bind()
    world.drain()
    inner = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / ICMPv6EchoRequest(id=7, seq=9, data=b"through the tunnel")
    world.send(IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS, nh=41) / inner)
    reply = world.wait_for(lambda packet: ICMPv6EchoReply in packet, "echo reply")
    assert tunnelled(reply)
    assert (reply.payload.src, reply.payload.dst) == (HOME_ADDRESS, CORRESPONDENT)
    assert (reply[ICMPv6EchoReply].seq, reply[ICMPv6EchoReply].data) == (9, b"through the tunnel")
    assert world.wait_for_event("first_packet_in")


def test_the_care_of_address_speaks_past_the_tunnel(world: World) -> None:
    world.bind()
    world.drain()
    world.send(IPv6(src=CORRESPONDENT, dst=CARE_OF_ADDRESS) / ICMPv6EchoRequest(id=7, seq=1))
    reply = world.wait_for(lambda packet: ICMPv6EchoReply in packet, "echo reply")
    assert (reply.src, reply.dst) == (CARE_OF_ADDRESS, CORRESPONDENT)
    assert reply.nh == 58


def test_the_kernel_sends_no_errors_about_signalling(world: World) -> None:
    world.bind()
    world.drain()
    world.accept(IPv6(src=CARE_OF_ADDRESS) / MIP6MH_BU(seq=1))  # a stray one
    world.send(IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS) / MIP6MH_BA(seq=1))  # without its routing header
    errors = [p.summary() for p in world.packets(0.5) if ICMPv6ParamProblem in p or ICMPv6DestUnreach in p]
    assert errors == []


@pytest.mark.parametrize("world", [4], indirect=True)
def test_a_binding_that_has_run_out_silences_the_home_address(world: World) -> None:
    world.bind()
    world.wait_for_event("binding_expired")
    world.drain()
    assert world.ping(HOME_ADDRESS).returncode != 0
    assert [packet.summary() for packet in world.packets(0.2) if from_home_address(packet)] == []
    update = world.wait_for(lambda packet: MIP6MH_BU in packet, "another Binding Update")
    world.accept(update)
    world.wait_for_event("binding_acknowledgement", 2)
    world.drain()
    inner = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / ICMPv6EchoRequest(id=7, seq=9)
    world.send(IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS, nh=41) / inner)
    assert tunnelled(world.wait_for(from_home_address, "packet from the home address"))


def test_a_lost_carrier_silences_everything(world: World) -> None:
    world.bind()
    lab.run("ip link set wire down", "world")
    world.wait_for_event("link_down")
    shown = "ip -6 -o address show scope global"
    lab.wait_until(lambda: CARE_OF_ADDRESS not in lab.run(shown, "mn").stdout, "the end of the care-of address")
    assert f"lo    inet6 {HOME_ADDRESS}/128" in lab.run(shown, "mn").stdout  # connections keep their address
    assert "default" not in lab.run("ip -6 route show", "mn").stdout
    lab.run("ip link set wire up", "world")
    assert world.ping(HOME_ADDRESS).returncode != 0
    packets = list(world.packets(1.5))
    assert [packet.summary() for packet in packets if from_home_address(packet)] == []
    assert any(ICMPv6ND_RS in packet for packet in packets)


def test_a_carrier_that_is_lost_for_a_moment_only_is_noticed(world: World) -> None:
    world.bind()
    lab.run(["ip", "-batch", "-"], "world", stdin="link set wire down\nlink set wire up\n")
    world.wait_for_event("link_down")
    world.wait_for_event("link_up", 2)


def test_coming_home(world: World) -> None:
    world.bind()
    lab.run("ip link set wire down", "world")
    world.wait_for_event("link_down")
    lab.run("ip link set wire up", "world")
    world.wait_for_event("link_up", 2)
    world.drain()
    world.advertise(HOME_PREFIX)
    probe = world.wait_for(lambda p: ICMPv6ND_NS in p and p[ICMPv6ND_NS].tgt == HOME_ADDRESS, "probe")
    assert probe.src == "::"
    # Still the home agent's: not answered for
    solicitation = ICMPv6ND_NS(tgt=HOME_ADDRESS) / ICMPv6NDOptSrcLLAddr(lladdr=ROUTER_MAC)
    world.send(IPv6(src=ROUTER, dst="ff02::1:ff00:100", hlim=255) / solicitation, destination="33:33:ff:00:01:00")
    assert [p.summary() for p in world.packets(0.3) if ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == HOME_ADDRESS] == []
    defence = ICMPv6ND_NA(tgt=HOME_ADDRESS, R=0, S=0, O=0) / ICMPv6NDOptDstLLAddr(lladdr=AGENT_MAC)
    world.send(IPv6(src=HOME_AGENT, dst="ff02::1", hlim=255) / defence, AGENT_MAC, "33:33:00:00:00:01")
    update = world.wait_for(lambda packet: MIP6MH_BU in packet, "Binding Update")
    assert (update.src, update[MIP6MH_BU].mhtime, update.underlayer.dst) == (HOME_ADDRESS, 0, AGENT_MAC)
    lab.wait_until(lambda: HOME_ADDRESS in lab.run("ip -6 address show dev mn-eth0", "mn").stdout, "home address")
    world.send(IPv6(src=ROUTER, dst="ff02::1:ff00:100", hlim=255) / solicitation, destination="33:33:ff:00:01:00")
    answer = world.wait_for(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == HOME_ADDRESS, "advertisement")
    assert answer.dst == ROUTER  # the home agent may ask too, before it can acknowledge
    acknowledgement = MIP6MH_BA(status=0, seq=update[MIP6MH_BU].seq, mhtime=0)
    world.send(IPv6(src=HOME_AGENT, dst=HOME_ADDRESS) / acknowledgement, AGENT_MAC)
    told = world.wait_for(lambda p: ICMPv6ND_NA in p and p.dst == "ff02::1", "unsolicited advertisement")
    assert (told[ICMPv6ND_NA].tgt, told[ICMPv6ND_NA].O, told[ICMPv6ND_NA].S) == (HOME_ADDRESS, 1, 0)
    world.send(IPv6(src=ROUTER, dst=HOME_ADDRESS) / ICMPv6EchoRequest(id=1, seq=1))
    reply = world.wait_for(lambda packet: ICMPv6EchoReply in packet, "echo reply")
    assert (reply.src, reply.nh) == (HOME_ADDRESS, 58)
    # Nobody probed for it: the home agent could have answered (11.5.5)
    assert "tentative" not in lab.run(f"ip -6 -o address show to {HOME_ADDRESS}", "mn").stdout
    assert HOME_ADDRESS not in lab.run("ip -6 address show dev lo", "mn").stdout


def test_an_end_by_sigterm_leaves_the_kernel_as_it_was(world: World) -> None:
    world.bind()
    world.program.process.send_signal(signal.SIGTERM)
    assert world.program.process.wait(5.0) == 0
    assert lab.run("ip -6 rule", "mn").stdout == world.rules_before
    assert HOME_ADDRESS not in lab.run("ip -6 address show", "mn").stdout
    assert lab.run("ip -6 route show table 2700", "mn", check=False).stdout == ""


def test_a_device_that_is_not_there_is_an_error_in_one_line(network: lab.Network) -> None:
    network.namespace("mn")
    words = f"-m topo.mobile_node --interface nodev0 --home-address {HOME_ADDRESS}/64 --home-agent {HOME_AGENT}"
    result = lab.run([sys.executable, *words.split()], "mn", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("mobile node: ") and result.stderr.count("\n") == 1
