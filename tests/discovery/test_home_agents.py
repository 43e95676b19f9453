"""Home agents are found: requests, Router Advertisements, and the list made of them, through the real switch."""

from __future__ import annotations

import socket

import pytest
from scapy.layers.inet6 import (
    ICMPv6HAADReply,
    ICMPv6HAADRequest,
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptAdvInterval,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.discovery.messages import ALL_NODES, ALL_NODES_MAC, ask, reply, router_advertisement
from tests.flows.campus import HOME_AGENT, LOCAL, NEIGHBOUR, ROUTER, Campus
from tests.flows.neighbor_discovery import advertisement, solicitation
from topo import lab

pytestmark = pytest.mark.lab

ANYCAST = "2001:db8:1:0:fdff:ffff:ffff:fffe"
HA0, HA1 = "2001:db8:1::f0", "2001:db8:1::f1"


def listed(campus: Campus) -> list[tuple[list[str], int]]:
    """Addresses and preferences of the other home agents."""
    found = campus.manager.get("/v1/home-agents")["home_agents"]
    return [(entry["addresses"], entry["preference"]) for entry in found if not entry["own"]]


def link_local(mac: str) -> str:
    """RFC 2464 section 5."""
    octets = bytes.fromhex(mac.replace(":", ""))
    packed = b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return socket.inet_ntop(socket.AF_INET6, packed)


def router_solicitation() -> Packet:
    """From LOCAL, in its frame."""
    packet = IPv6(src=link_local(LOCAL.mac), dst="ff02::2", hlim=255) / ICMPv6ND_RS()
    return Ether(src=LOCAL.mac, dst="33:33:00:00:00:02") / packet


def own_advertisement(campus: Campus, frame: Packet) -> bool:
    return ICMPv6ND_RA in frame and frame.src == campus.bridge_mac


@pytest.mark.parametrize("destination", [ANYCAST, HOME_AGENT])
def test_request_from_a_foreign_link(campus: Campus, destination: str) -> None:
    """10.5.1: the router finds the anycast address by Neighbor Discovery, and the reply comes from a unicast one."""
    before = campus.manager.punted().get("home_discovery", 0)
    packet = ask(campus.mobile, destination, 0x1001)
    found = packet[ICMPv6HAADReply]
    assert (packet.src, packet.dst) == (HOME_AGENT, campus.mobile.at.care_of_address)
    assert (found.type, found.code, found.addresses) == (145, 0, [HOME_AGENT])
    again = packet.copy()
    del again[ICMPv6HAADReply].cksum
    assert bytes(again) == bytes(packet)
    assert campus.manager.punted()["home_discovery"] == before + 1


@pytest.mark.parametrize("destination", [ANYCAST, HOME_AGENT])
def test_request_through_the_reverse_tunnel(campus: Campus, destination: str) -> None:
    """From the home address, which is where the reply goes: into the tunnel. It has no other way."""
    mobile = campus.mobile
    if campus.manager.binding(mobile.home_address) is None:
        assert mobile.register() == 0
    request = IPv6(src=mobile.home_address, dst=destination) / ICMPv6HAADRequest(id=0x1002)
    with mobile.recording() as recorder:
        recorder.send(mobile.reverse_tunnelled(request))
        frame = reply(recorder, 0x1002)
    outer, inner = frame[IPv6], frame[IPv6:2]
    assert (outer.src, outer.dst, outer.nh) == (HOME_AGENT, mobile.at.care_of_address, 41)
    assert (inner.src, inner.dst) == (HOME_AGENT, mobile.home_address)
    assert inner[ICMPv6HAADReply].addresses == [HOME_AGENT]


def test_an_inconsistent_router_is_logged_once(campus: Campus) -> None:
    """RFC 4861 section 6.2.7."""
    frame = router_advertisement(NEIGHBOUR, link_local(NEIGHBOUR.mac), "2001:db8:1::", home_agent=0)
    before = campus.manager.statistics("engine").get("ra_inconsistent", 0)
    with NEIGHBOUR.recording() as recorder:
        for _ in range(3):
            recorder.send(frame)
    lab.wait_until(lambda: campus.manager.statistics("engine")["ra_inconsistent"] == before + 3, "the count")
    lines = [line for line in campus.manager.log().splitlines() if "router advertises something else" in line]
    assert len(lines) == 1
    assert f"router={link_local(NEIGHBOUR.mac)} fields=AdvValidLifetime,AdvPreferredLifetime" in lines[0]


def test_the_anycast_address_is_answered_for(campus: Campus) -> None:
    """RFC 4861 section 7.2.4: without the Override flag, so that it is as good as another home agent's."""
    with NEIGHBOUR.recording() as recorder:
        recorder.send(solicitation(NEIGHBOUR, ANYCAST))
        frame = advertisement(recorder, ANYCAST)
    assert (frame.src, frame[IPv6].src, frame[IPv6].dst) == (campus.bridge_mac, HOME_AGENT, NEIGHBOUR.address)
    assert (frame[ICMPv6ND_NA].S, frame[ICMPv6ND_NA].O) == (1, 0)


def test_requests_to_another_home_agent_pass(campus: Campus) -> None:
    """It has the same anycast address, and another link-layer address."""
    packet = IPv6(src=LOCAL.address, dst=ANYCAST) / ICMPv6HAADRequest(id=0x2002)
    with LOCAL.recording() as asker, NEIGHBOUR.recording() as other:
        asker.send(Ether(src=LOCAL.mac, dst=NEIGHBOUR.mac) / packet)
        other.wait_for(lambda f: ICMPv6HAADRequest in f and f[ICMPv6HAADRequest].id == 0x2002, "the request")
        packet[ICMPv6HAADRequest].id = 0x2003
        del packet[ICMPv6HAADRequest].cksum
        asker.send(Ether(src=LOCAL.mac, dst=campus.bridge_mac) / packet)
        assert reply(asker, 0x2003)[IPv6].src == HOME_AGENT
        assert not [one for one in asker.packets() if ICMPv6HAADReply in one and one[ICMPv6HAADReply].id == 0x2002]
        assert not [one for one in other.packets() if ICMPv6HAADRequest in one and one[ICMPv6HAADRequest].id == 0x2003]


def test_other_home_agents_are_learnt_ordered_and_forgotten(campus: Campus) -> None:
    """10.1, 10.5.1; their advertisements reach the hosts as well."""
    with NEIGHBOUR.recording() as others, LOCAL.recording() as host:
        others.send(router_advertisement(NEIGHBOUR, "fe80::f0", HA0, preference=0xFFFF))
        others.send(router_advertisement(NEIGHBOUR, "fe80::f1", HA1))
        host.wait_for(lambda f: ICMPv6ND_RA in f and f[IPv6].src == "fe80::f1", "an advertisement on its way")
        lab.wait_until(lambda: len(listed(campus)) == 2, "the list")
        assert listed(campus) == [([HA0], 0xFFFF), ([HA1], 0)]
        assert ask(campus.mobile, ANYCAST, 0x3001)[ICMPv6HAADReply].addresses == [HA0, HOME_AGENT, HA1]
        printed = campus.ctl("show", "home-agents", "--home-link", "homenet").splitlines()
        assert [line.split()[1:3] for line in printed[1:]] == [[HOME_AGENT, "10"], [HA0, "65535"], [HA1, "0"]]
        others.send(router_advertisement(NEIGHBOUR, "fe80::f0", HA0, router_lifetime=0))
        others.send(router_advertisement(NEIGHBOUR, "fe80::f1", HA1, home_agent=0, preference=5))
        lab.wait_until(lambda: listed(campus) == [], "the end of the list")
    assert ask(campus.mobile, ANYCAST, 0x3002)[ICMPv6HAADReply].addresses == [HOME_AGENT]


def test_an_entry_ages(campus: Campus) -> None:
    with NEIGHBOUR.recording() as others:
        others.send(router_advertisement(NEIGHBOUR, "fe80::f0", HA0, preference=99, lifetime=2))
    lab.wait_until(lambda: listed(campus) == [([HA0], 99)], "the entry", interval=0.05)
    lab.wait_until(lambda: listed(campus) == [], "its end", timeout=4)


def test_78_other_home_agents(campus: Campus) -> None:
    """10.5.1: the 77 best, 1280 octets in one piece."""
    numbers = range(0xB2, 0x100)
    with NEIGHBOUR.recording() as others:
        for number in numbers:
            options = {"preference": 0xFF00 | number, "lifetime": 20}
            others.send(router_advertisement(NEIGHBOUR, f"fe80::{number:x}", f"2001:db8:1::{number:x}", **options))
    lab.wait_until(lambda: len(listed(campus)) == 78, "the list")
    packet = ask(campus.mobile, ANYCAST, 0x4001)
    assert (packet.nh, packet.plen) == (58, 1240)
    wanted = [f"2001:db8:1::{number:x}" for number in reversed(numbers)]
    assert packet[ICMPv6HAADReply].addresses == wanted[:77]
    with NEIGHBOUR.recording() as others:
        for number in numbers:
            address = f"2001:db8:1::{number:x}"
            others.send(router_advertisement(NEIGHBOUR, f"fe80::{number:x}", address, home_agent=0))
    lab.wait_until(lambda: listed(campus) == [], "the end of the list")


def test_its_own_advertisements(campus: Campus) -> None:
    """Section 7; they are not taken for another home agent's."""
    with LOCAL.recording() as recorder:
        recorder.send(router_solicitation())
        frame = recorder.wait_for(lambda f: own_advertisement(campus, f), "an advertisement", timeout=1)
    packet, message = frame[IPv6], frame[ICMPv6ND_RA]
    assert (frame.dst, packet.dst, packet.hlim) == (ALL_NODES_MAC, ALL_NODES, 255)
    assert packet.src == link_local(campus.bridge_mac)
    assert (message.H, message.M, message.O, message.routerlifetime, message.code) == (1, 0, 0, 0, 0)
    prefix = packet[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A, prefix.R) == (HOME_AGENT, 64, 1, 1, 1)
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == campus.bridge_mac
    assert (packet[ICMPv6NDOptHAInfo].pref, packet[ICMPv6NDOptHAInfo].lifetime) == (10, 5400)
    assert packet[ICMPv6NDOptAdvInterval].advint == 1_800_000
    assert listed(campus) == []


def test_solicited(campus: Campus) -> None:
    """RFC 4861 section 6.2.6: within half a second. Unsolicited ones come in intervals of 16 s or more."""
    before = campus.manager.punted().get("router_discovery", 0)
    for _ in range(3):
        with LOCAL.recording() as recorder:
            recorder.send(router_solicitation())
            recorder.wait_for(lambda f: own_advertisement(campus, f), "an advertisement", timeout=1)
    assert campus.manager.punted()["router_discovery"] == before + 3
    assert campus.manager.statistics("engine")["rs_received"] >= 3


def test_prefixes_are_shown(campus: Campus) -> None:
    (prefix,) = campus.manager.get("/v1/prefixes")["prefixes"]
    assert (prefix["prefix"], prefix["home_agents_anycast_address"]) == ("2001:db8:1::/64", ANYCAST)
    assert ANYCAST in campus.ctl("show", "prefixes")


def test_the_last_advertisement(campus: Campus) -> None:
    """RFC 4861 section 6.2.5: whoever ends says so; the next one begins to advertise again."""
    with LOCAL.recording() as recorder:
        assert campus.manager.stop() == 0
        recorder.wait_for(lambda f: own_advertisement(campus, f) and f[ICMPv6ND_RA].H == 0, "the last one")
    with LOCAL.recording() as recorder:
        campus.manager.start()
        campus.manager.wait_ready()
        recorder.wait_for(lambda f: own_advertisement(campus, f) and f[ICMPv6ND_RA].H == 1, "the first one")
    assert ask(campus.mobile, ANYCAST, 0x5001)[ICMPv6HAADReply].addresses == [HOME_AGENT]
    assert ROUTER.address in lab.run("ip -6 route", LOCAL.ns).stdout  # still the default router
