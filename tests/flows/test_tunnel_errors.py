"""ICMPv6 errors from inside the tunnel, by the real switch (RFC 2473 section 8)."""

from __future__ import annotations

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6, Raw
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import (
    BRIDGE,
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    REMOTE,
    REMOTE_GATEWAY_MAC,
    ROUTER,
    SECOND_HOME_ADDRESS,
    Campus,
)
from tests.flows.stations import MobileNode, Recorder, Station, recording
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

QUOTED = 1232  # octets of the packet in error in a message of the minimum MTU


def tunnelled(mobile: MobileNode, original: Packet) -> Packet:
    """What the home agent makes of a packet to a mobile node."""
    forwarded = original.copy()
    forwarded.hlim -= 1
    return IPv6(src=HOME_AGENT, dst=mobile.at.care_of_address, nh=41) / forwarded


def report(station: Station, recorder: Recorder, mac: str, error: Packet, packet: Packet) -> None:
    """Send an ICMPv6 error as a router on the way to the mobile node would."""
    message = error / Raw(bytes(packet)[:QUOTED])
    recorder.send(Ether(src=station.mac, dst=mac) / IPv6(src=station.address, dst=HOME_AGENT) / message)


def udp(source: str, destination: str, size: int = 200) -> Packet:
    packet = IPv6(src=source, dst=destination) / UDP(sport=5, dport=7) / Raw(bytes(size - 48))
    return IPv6(bytes(packet))


@pytest.mark.parametrize("correspondent", [LOCAL, REMOTE], ids=["local", "remote"])
def test_the_original_sender_is_told(registered: Campus, correspondent: Station) -> None:
    mobile = registered.mobile
    for error in (ICMPv6DestUnreach(code=0), ICMPv6TimeExceeded(code=0)):
        original = udp(correspondent.address, HOME_ADDRESS)
        with REMOTE.recording() as remote, correspondent.recording() as recorder:
            report(REMOTE, remote, REMOTE_GATEWAY_MAC, error, tunnelled(mobile, original))
            found = recorder.wait_for(lambda f: ICMPv6DestUnreach in f and f[IPv6].src == HOME_AGENT, "the error")
        assert (found[IPv6].dst, found[ICMPv6DestUnreach].code) == (correspondent.address, 3)
        original.hlim -= 1
        assert bytes(found[IPv6])[48:] == bytes(original)


def test_a_correspondent_learns_the_mtu_of_the_tunnel(registered: Campus) -> None:
    """Its kernel takes the Packet Too Big for an answer to what it has sent."""
    mobile = registered.mobile
    with ROUTER.recording() as wire, REMOTE.recording() as remote:
        LOCAL.ping(HOME_ADDRESS, "-M", "do", "-s", "1372", count=1)
        sent = wire.wait_for(lambda f: f[IPv6].dst == mobile.at.care_of_address, "the tunnel packet")[IPv6]
        assert len(bytes(sent)) == 40 + 1420
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6PacketTooBig(mtu=1400), sent)
        lab.wait_until(
            lambda: "mtu 1360" in run(f"ip -6 route get {HOME_ADDRESS}", LOCAL.ns).stdout, "the correspondent to know"
        )
    run("ip -6 route flush cache", LOCAL.ns)


def test_a_mobile_node_as_correspondent_is_told_in_its_tunnel(registered: Campus) -> None:
    mobile, second = registered.mobile, registered.second
    original = udp(SECOND_HOME_ADDRESS, HOME_ADDRESS)
    with REMOTE.recording() as remote, second.recording() as recorder:
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6DestUnreach(code=0), tunnelled(mobile, original))
        found = recorder.wait_for(lambda f: ICMPv6DestUnreach in f, "the error")
    outer, inner = found[IPv6], found[IPv6:2]
    assert (outer.src, outer.dst, outer.nh) == (HOME_AGENT, second.at.care_of_address, 41)
    assert (inner.src, inner.dst) == (HOME_AGENT, SECOND_HOME_ADDRESS)


def test_the_host_of_the_home_agent_has_its_copy(registered: Campus) -> None:
    """It learns about its own packets, and is the original sender of some that are tunnelled."""
    mobile = registered.mobile
    before = registered.manager.statistics("engine").get("ignored_icmpv6_error", 0)
    with REMOTE.recording() as remote, recording(BRIDGE) as own:
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6DestUnreach(code=4), udp(HOME_AGENT, REMOTE.address))
        own.wait_for(lambda f: ICMPv6DestUnreach in f and f[ICMPv6DestUnreach].code == 4, "the host's copy")
        original = IPv6(src=HOME_AGENT, dst=HOME_ADDRESS) / ICMPv6EchoRequest(id=9)
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6DestUnreach(code=0), tunnelled(mobile, original))
        own.wait_for(
            lambda f: ICMPv6DestUnreach in f and f[ICMPv6DestUnreach].code == 3, "the error about the inner one"
        )
    lab.wait_until(
        lambda: registered.manager.statistics("engine")["ignored_icmpv6_error"] == before + 1, "the count of the first"
    )


def test_a_stranger_cannot_speak_about_any_packet(registered: Campus) -> None:
    """Only about what the home agent can have sent to a care-of address."""
    mobile, second = registered.mobile, registered.second
    original = udp(LOCAL.address, HOME_ADDRESS)
    wrong = IPv6(src=HOME_AGENT, dst=second.at.care_of_address, nh=41) / original
    before = registered.manager.statistics("engine").get("dropped_tunnel_error_not_ours", 0)
    with REMOTE.recording() as remote, LOCAL.recording() as local:
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6DestUnreach(code=0), wrong)
        report(REMOTE, remote, REMOTE_GATEWAY_MAC, ICMPv6DestUnreach(code=0), tunnelled(mobile, original))
        local.wait_for(lambda f: ICMPv6DestUnreach in f, "the error about the right one")
        assert len([packet for packet in local.packets() if ICMPv6DestUnreach in packet]) == 1
    assert registered.manager.statistics("engine")["dropped_tunnel_error_not_ours"] == before + 1
