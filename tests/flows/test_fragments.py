"""Fragments to the home agent, by the real switch and the adapter (RFC 8200 section 4.5, RFC 2473 section 7)."""

from __future__ import annotations

import random
import socket
from itertools import count

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    Raw,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    STRANGER,
    TWO_BRIDGES,
    Campus,
    Settings,
)
from tests.flows.stations import MobileNode, Station
from topo import lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [Settings(), TWO_BRIDGES], ids=lambda s: s.name, indirect=True, scope="module"),
]

ORDERS = pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])


IDENTIFICATIONS = count(1)


def fragments(mobile: MobileNode, headers: Packet, protocol: int, octets: bytes, size: int) -> list[Packet]:
    """The frames of a packet whose fragmentable part is `octets`, `size` of them in each."""
    number = next(IDENTIFICATIONS)
    frame = Ether(src=mobile.at.mac, dst=mobile.at.router_mac) / headers
    found = []
    for start in range(0, len(octets), size):
        part = octets[start : start + size]
        more = int(start + size < len(octets))
        found.append(frame / IPv6ExtHdrFragment(nh=protocol, offset=start // 8, m=more, id=number) / Raw(part))
    return found


def outer(mobile: MobileNode, source: str | None = None) -> Packet:
    return IPv6(src=source or mobile.at.care_of_address, dst=HOME_AGENT)


def udp(source: str, destination: str, text: str, size: int = 400) -> bytes:
    data = text.encode().ljust(size - 48, b".")
    return bytes(IPv6(src=source, dst=destination) / UDP(sport=5, dport=7) / Raw(data))


def is_udp(frame: Packet, text: str) -> bool:
    return UDP in frame and Raw in frame and bytes(frame[Raw].load).startswith(text.encode())


def counted(campus: Campus, name: str) -> int:
    return campus.manager.statistics().get(name, 0)


@ORDERS
def test_a_binding_update_in_fragments(registered: Campus, backwards: bool) -> None:
    """The Home Address option is before the Fragment header (RFC 6275 section 6.3)."""
    mobile = registered.mobile
    update = mobile.binding_update()
    octets = bytes(update[MIP6MH_BU])
    option = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    frames = fragments(mobile, outer(mobile) / option, 135, octets, 16)
    assert len(frames) >= 2
    before = counted(registered, "reassembled")
    with mobile.recording() as recorder:
        for frame in reversed(frames) if backwards else frames:
            recorder.send(frame)
        assert mobile.status(recorder, update) == 0
    assert counted(registered, "reassembled") == before + 1


def test_a_home_address_option_behind_the_fragment_header(registered: Campus) -> None:
    """It belongs before it (RFC 6275 section 6.3)."""
    mobile = registered.mobile
    update = mobile.binding_update()
    frames = fragments(mobile, outer(mobile), 60, bytes(update[IPv6])[40:], 32)
    statistics = registered.manager.statistics
    before = statistics("engine").get("dropped_bad_header_order", 0)
    with mobile.recording() as recorder:
        for frame in frames:
            recorder.send(frame)
        lab.wait_until(lambda: statistics("engine").get("dropped_bad_header_order", 0) == before + 1, "the count")
        assert mobile.register() == 0
        answers = [packet[MIP6MH_BA].seq for packet in recorder.packets() if MIP6MH_BA in packet]
    assert update[MIP6MH_BU].seq not in answers


@ORDERS
@pytest.mark.parametrize("destination", [LOCAL, REMOTE], ids=["local", "remote"])
def test_a_tunnel_packet_in_fragments(registered: Campus, backwards: bool, destination: Station) -> None:
    """By the flows, once it is whole: as if it had not been fragmented."""
    mobile = registered.mobile
    inner = udp(HOME_ADDRESS, destination.address, f"whole{backwards}", 1400)
    frames = fragments(mobile, outer(mobile), 41, inner, 1232)
    with destination.recording() as recorder, mobile.recording() as visited:
        for frame in reversed(frames) if backwards else frames:
            visited.send(frame)
        found = recorder.wait_for(lambda frame: is_udp(frame, f"whole{backwards}"), "the packet")[IPv6]
    assert bytes(found)[40:] == inner[40:]
    assert (found.src, found.hlim) == (HOME_ADDRESS, 63 if destination is LOCAL else 62)


def test_the_home_agent_itself_answers_through_the_tunnel(registered: Campus) -> None:
    mobile = registered.mobile
    request = bytes(IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / ICMPv6EchoRequest(id=7, data=bytes(800)))
    with mobile.recording() as visited:
        for frame in fragments(mobile, outer(mobile), 41, request, 400):
            visited.send(frame)
        found = visited.wait_for(lambda frame: ICMPv6EchoReply in frame, "the answer")
    assert found[ICMPv6EchoReply].id == 7


def test_an_atomic_fragment(registered: Campus) -> None:
    """RFC 6946: a whole tunnel packet, which the adapter leaves alone."""
    mobile = registered.mobile
    frames = fragments(mobile, outer(mobile), 41, udp(HOME_ADDRESS, REMOTE.address, "atom"), 1200)
    assert len(frames) == 1
    with REMOTE.recording() as recorder, mobile.recording() as visited:
        visited.send(frames[0])
        recorder.wait_for(lambda frame: is_udp(frame, "atom"), "the packet")


def test_only_the_home_address_of_the_care_of_address(registered: Campus) -> None:
    """10.4.5, as for tunnel packets that are not fragmented."""
    mobile, second = registered.mobile, registered.second
    before = counted(registered, "dropped_tunnel_source")
    wrong = [
        (outer(mobile), second.home_address),
        (outer(mobile), "2001:db8:1::77"),
        (outer(mobile), HOME_AGENT),
        (outer(mobile, second.at.care_of_address), HOME_ADDRESS),
    ]
    with REMOTE.recording() as recorder, mobile.recording() as visited:
        for header, source in wrong:
            for frame in fragments(mobile, header, 41, udp(source, REMOTE.address, "wrong"), 200):
                visited.send(frame)
        for frame in fragments(mobile, outer(mobile), 41, udp(HOME_ADDRESS, REMOTE.address, "right"), 200):
            visited.send(frame)
        recorder.wait_for(lambda frame: is_udp(frame, "right"), "the right one")
        assert not [packet for packet in recorder.packets() if is_udp(packet, "wrong")]
    assert counted(registered, "dropped_tunnel_source") == before + len(wrong)


@pytest.mark.parametrize("sender", [NEIGHBOUR, STRANGER], ids=lambda station: station.ns)
def test_no_tunnel_from_a_neighbour(registered: Campus, sender: Station) -> None:
    """It could have any source; and parts of one packet that come from both sides are no packet."""
    mobile = registered.mobile
    inner = udp(HOME_ADDRESS, LOCAL.address, "forged")
    with LOCAL.recording() as local, sender.recording() as neighbour, mobile.recording() as visited:
        for frame in fragments(mobile, outer(mobile), 41, inner, 200):
            frame.src, frame.dst = sender.mac, registered.bridge_mac
            neighbour.send(frame)
        first, last = fragments(mobile, outer(mobile), 41, inner, 200)
        first.src, first.dst = sender.mac, registered.bridge_mac
        visited.send(last)
        neighbour.send(first)
        for frame in fragments(mobile, outer(mobile), 41, udp(HOME_ADDRESS, LOCAL.address, "right"), 200):
            visited.send(frame)
        local.wait_for(lambda frame: is_udp(frame, "right"), "the right one")
        assert not [packet for packet in local.packets() if is_udp(packet, "forged")]


def test_overlapping_fragments(registered: Campus) -> None:
    """RFC 5722: none of it is used."""
    mobile = registered.mobile
    inner = udp(HOME_ADDRESS, REMOTE.address, "overlap")
    first, last = fragments(mobile, outer(mobile), 41, inner, 200)
    again = first.copy()
    again[Raw].load = again[Raw].load[:40] + bytes(160)
    before = counted(registered, "dropped_fragment_overlap")
    with REMOTE.recording() as recorder, mobile.recording() as visited:
        for frame in (first, again, last):
            visited.send(frame)
        lab.wait_until(lambda: counted(registered, "dropped_fragment_overlap") == before + 2, "the count")
        assert not [packet for packet in recorder.packets() if is_udp(packet, "overlap")]


def test_larger_than_the_home_link_carries(registered: Campus) -> None:
    """The mobile node is told, in its tunnel."""
    mobile = registered.mobile
    with mobile.recording() as visited:
        for frame in fragments(mobile, outer(mobile), 41, udp(HOME_ADDRESS, LOCAL.address, "big", 1501), 1200):
            visited.send(frame)
        found = visited.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")
    assert (found[IPv6:2].dst, found[ICMPv6PacketTooBig].mtu) == (HOME_ADDRESS, 1500)


@pytest.mark.parametrize("station", [LOCAL, REMOTE], ids=["local", "remote"])
def test_fragments_to_the_host_itself(registered: Campus, station: Station) -> None:
    """Its kernel puts them together; the manager may see some of them."""
    data = random.Random(2).randbytes(4000)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        receiver.bind((HOME_AGENT, 7001))
        receiver.settimeout(3)
        with lab.inside(station.ns):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with sender:
            sender.sendto(data, (HOME_AGENT, 7001))
            assert receiver.recvfrom(5000)[0] == data
