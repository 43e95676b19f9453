"""Route optimisation of the mobile node's program in a real kernel: what its programs get, what is on the wire."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BU,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrRouting,
    MIP6MH_CoTI,
    MIP6MH_HoTI,
)
from scapy.packet import Packet, Raw

from tests.demo.correspondent import Correspondent, home_address_of
from tests.demo.world import AGENT_MAC, CARE_OF_ADDRESS, HOME_ADDRESS, HOME_AGENT, HOME_PREFIX, ROUTER, World, tunnelled
from topo import lab

pytestmark = pytest.mark.lab

NODE = "2001:db8:c::3"
OTHER = "2001:db8:d::4"


def serve(world: World, correspondent: Correspondent, seconds: float) -> list[Packet]:
    """Be the correspondent, and the home agent's tunnel to it, for so long or until it is bound; the other packets."""
    others = []
    for packet in world.packets(seconds):
        through = tunnelled(packet)
        answers = correspondent.receive(packet.payload if through else packet, time.monotonic())
        for answer in answers:
            tunnel = IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS)
            world.send(tunnel / answer if through else answer)
        if not answers:
            others.append(packet)
        elif MIP6MH_BU in packet:
            return others
    raise lab.LabError(f"no Binding Update; there was: {[packet.summary() for packet in others]}")


@pytest.fixture
def correspondent() -> Correspondent:
    return Correspondent(NODE)


@pytest.fixture
def world(network: lab.Network, correspondent: Correspondent) -> Iterator[World]:
    """A mobile node that is bound, with the home agent and with the correspondent."""
    made = World(network, lifetime=60, correspondents=[NODE])
    with closing(made.socket):
        made.accept(made.visit())
        serve(made, correspondent, 5.0)
        made.wait_for_event("route_optimized")
        made.drain()
        yield made
    assert [event for event in made.events() if event["event"] == "error"] == []


def ping(node: str, *words: str) -> subprocess.Popen[str]:
    inside = ["nsenter", "--net=/run/netns/mn", "ping", "-6", "-c1", "-W2", "-I", HOME_ADDRESS, *words, node]
    return subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def routed(payload: Packet, source: str = NODE) -> Packet:
    """What a correspondent with the binding sends."""
    headers = IPv6(src=source, dst=CARE_OF_ADDRESS) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS])
    return headers / payload


def is_direct(packet: Packet) -> bool:
    return (packet.src, packet.dst) == (CARE_OF_ADDRESS, NODE) and home_address_of(packet) == HOME_ADDRESS


def test_programs_talk_with_the_correspondent_directly(world: World) -> None:
    with ping(NODE) as asking:
        request = world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request")
        assert is_direct(request)
        echo = request[ICMPv6EchoRequest]
        # As it would be without the option: also the checksum is the one of the home address
        plain = IPv6(src=HOME_ADDRESS, dst=NODE) / ICMPv6EchoRequest(id=echo.id, seq=echo.seq, data=echo.data)
        assert bytes(echo) == bytes(plain)[40:]
        world.send(routed(ICMPv6EchoReply(id=echo.id, seq=echo.seq, data=echo.data)))
        printed, _ = asking.communicate(timeout=5)
    assert asking.returncode == 0, printed
    assert f"from {NODE}" in printed
    assert world.wait_for_event("first_direct_packet_out")["correspondent"] == NODE
    assert world.wait_for_event("first_direct_packet_in")["correspondent"] == NODE


def test_the_kernel_answers_directly_and_sends_no_error(world: World) -> None:
    world.send(routed(ICMPv6EchoRequest(id=7, seq=9, data=b"by routing header")))
    packets = list(world.packets(0.5))
    (reply,) = (packet for packet in packets if ICMPv6EchoReply in packet)
    assert is_direct(reply)
    assert (reply[ICMPv6EchoReply].seq, reply[ICMPv6EchoReply].data) == (9, b"by routing header")
    assert [packet.summary() for packet in packets if ICMPv6ParamProblem in packet] == []


def test_other_nodes_are_reached_through_the_home_agent(world: World) -> None:
    with ping(OTHER):
        request = world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request")
        assert tunnelled(request) and request.payload.dst == OTHER


def test_without_its_binding_the_correspondent_is_reached_through_the_home_agent(world: World) -> None:
    world.send(IPv6(src=NODE, dst=CARE_OF_ADDRESS) / MIP6MH_BE(status=1, ha=HOME_ADDRESS))
    world.wait_for_event("route_by_home_agent")
    world.drain()
    with ping(NODE):
        request = world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request")
        assert tunnelled(request)


def test_a_moved_node_does_not_send_directly_until_it_is_bound_again(
    world: World, correspondent: Correspondent
) -> None:
    lab.run("ip link set wire down", "world")
    world.wait_for_event("link_down")
    lab.run("ip link set wire up", "world")
    world.wait_for_event("link_up", 2)
    world.accept(world.visit())
    world.wait_for_event("binding_acknowledgement", 2)
    world.drain()
    with ping(NODE):
        request = world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request")
        assert tunnelled(request)
    serve(world, correspondent, 5.0)
    world.wait_for_event("route_optimized", 2)
    world.drain()
    with ping(NODE):
        assert is_direct(world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ICMPv6PacketTooBig(mtu=1400), "mtu: 1376|mtu=1376"),
        (ICMPv6TimeExceeded(code=0), "Time exceeded"),
    ],
    ids=["too big", "hops"],
)
def test_errors_of_the_path_reach_the_program_that_they_are_about(world: World, error: Packet, words: str) -> None:
    with ping(NODE, "-M", "do", "-s", "1390") as asking:
        request = world.wait_for(lambda packet: ICMPv6EchoRequest in packet, "echo request")
        assert len(request) == 40 + 24 + 8 + 1390
        world.send(IPv6(src="2001:db8:9::1", dst=CARE_OF_ADDRESS) / error / Raw(bytes(request)[:1232]))
        printed, _ = asking.communicate(timeout=5)
    assert any(word in printed for word in words.split("|")), printed


def test_large_packets_are_cut_so_that_the_option_fits(world: World) -> None:
    with ping(NODE, "-s", "2000"):
        fragments = [packet for packet in world.packets(0.5) if is_direct(packet)]
        assert len(fragments) == 2
        assert max(len(fragment) for fragment in fragments) <= 1500


def test_at_home_the_binding_is_taken_back_as_soon_as_the_kernel_has_a_route(
    world: World, correspondent: Correspondent
) -> None:
    lab.run("ip link set wire down", "world")
    world.wait_for_event("link_down")
    lab.run("ip link set wire up", "world")
    world.wait_for_event("link_up", 2)
    world.drain()
    world.advertise(HOME_PREFIX)
    world.wait_for(lambda packet: ICMPv6ND_NS in packet and packet[ICMPv6ND_NS].tgt == HOME_ADDRESS, "probe")
    defence = ICMPv6ND_NA(tgt=HOME_ADDRESS, R=0, S=0, O=0) / ICMPv6NDOptDstLLAddr(lladdr=AGENT_MAC)
    world.send(IPv6(src=HOME_AGENT, dst="ff02::1", hlim=255) / defence, AGENT_MAC, "33:33:00:00:00:01")
    update = world.wait_for(lambda packet: MIP6MH_BU in packet, "Binding Update")
    # As if the kernel had not heard the router yet
    lab.wait_until(lambda: lab.run("ip -6 route del default dev mn-eth0", "mn"), "the route of the advertisement")
    acknowledgement = MIP6MH_BA(status=0, seq=update[MIP6MH_BU].seq, mhtime=0)
    world.send(IPv6(src=HOME_AGENT, dst=HOME_ADDRESS) / acknowledgement, AGENT_MAC)
    world.wait_for_event("at_home")
    assert [packet.summary() for packet in world.packets(0.2) if packet.dst == NODE] == []
    lab.run(f"ip -6 route add default via {ROUTER} dev mn-eth0", "mn")
    serve(world, correspondent, 0.5)
    assert (correspondent.updates[-1].src, correspondent.updates[-1][MIP6MH_BU].mhtime) == (HOME_ADDRESS, 0)
    world.wait_for_event("correspondent_deregistered")


@pytest.mark.parametrize("through", [False, True], ids=["directly", "through the tunnel"])
def test_a_host_without_mobile_ipv6_says_so(network: lab.Network, through: bool) -> None:
    world = World(network, lifetime=60, correspondents=[NODE])
    with closing(world.socket):
        world.accept(world.visit())
        packet = world.wait_for(lambda packet: MIP6MH_HoTI in packet if through else MIP6MH_CoTI in packet, "init")
        offending = packet.payload if through else packet
        problem = IPv6(src=NODE, dst=offending.src) / ICMPv6ParamProblem(code=1, ptr=6) / bytes(offending)
        world.send(IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS) / problem if through else problem)
        assert world.wait_for_event("route_optimization_failed")["reason"] == "it does not know the Mobility Header"


def test_an_end_by_sigterm_leaves_the_kernel_as_it_was(world: World) -> None:
    world.program.process.send_signal(signal.SIGTERM)
    assert world.program.process.wait(5.0) == 0
    assert lab.run("ip -6 rule", "mn").stdout == world.rules_before
    assert lab.run("ip -6 route show table 2700", "mn", check=False).stdout == ""
    assert "mip6" not in lab.run("ip link", "mn").stdout
