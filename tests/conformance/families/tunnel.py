"""Interception, the tunnel to the care-of address, and the reverse tunnel."""

from __future__ import annotations

import time
from typing import Final

from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded
from scapy.packet import Packet, Raw

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.player import SETTLED, Echo
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

HOP_LIMIT_AT: Final = 7
QUOTED: Final = 1280 - 40 - 8  # octets of a packet in error that fit into the message (RFC 4443 section 2.4 (c))
UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3  # ICMPv6 types
ADDRESS_UNREACHABLE = 3


def without_hop_limit(packet: bytes) -> bytes:
    return packet[:HOP_LIMIT_AT] + packet[HOP_LIMIT_AT + 1 :]


def tunnelled(tester: Tester, correspondent: str, care_of_address: str, size: int | None = None) -> Seen:
    """Send an Echo Request, of `size` octets, from a correspondent to the mobile node; its tunnel packet."""
    upper = tester.echo().request(correspondent, tester.home_address)
    if size is not None:
        message = ICMPv6EchoRequest(data=bytes(size - 40 - 8))
        upper = wire.upper_octets(correspondent, tester.home_address, message, wire.ICMPV6)
    request = wire.packet(correspondent, tester.home_address, wire.ICMPV6, upper, hop_limit=60)
    mac = tester.next_hop(tester.home_address)
    since = tester.mark()
    tester.send_far(request, mac)
    seen = tester.expect(lambda seen: seen.destination == care_of_address, "tunnel packet", since)
    tester.check(seen.protocol == wire.IPV6_IN_IPV6, f"{seen} instead of IPv6-in-IPv6")
    tester.check(seen.source == tester.site.home_agent, f"tunnel packet from {seen.source}")
    tester.check(seen.routing is None and seen.home_address is None, "extension headers in the tunnel packet")
    if seen.protocol == wire.IPV6_IN_IPV6:
        same = without_hop_limit(seen.upper) == without_hop_limit(bytes(request))
        tester.check(same, "the packet is not the same in the tunnel")
        # A router's duty before it encapsulates (RFC 2473 section 3.1)
        tester.check(seen.inner.hop_limit == 59, f"hop limit {seen.inner.hop_limit} in the tunnel, not 59")
    return seen


@family("tun-forward")
def forward(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    tunnelled(tester, tester.correspondents[0], tester.care_of[0])


# Errors that a router within the tunnel can send, and what the original sender gets (RFC 2473 section 8.2): type and
# code, and the MTU, which is smaller by the header of the tunnel. It gets no Packet Too Big for a packet of the minimum
# MTU or less.
BIG: Final = 1440  # octets
ERRORS: Final = {
    "time exceeded": (ICMPv6TimeExceeded(code=0), (UNREACHABLE, ADDRESS_UNREACHABLE), None),
    "no route": (ICMPv6DestUnreach(code=0), (UNREACHABLE, ADDRESS_UNREACHABLE), None),
    "packet too big": (ICMPv6PacketTooBig(mtu=1400), (TOO_BIG, 0), 1360),
}


@family("tun-icmp-relay")
def error_relayed(tester: Tester) -> None:
    care_of_address, correspondent = tester.care_of[1], tester.correspondents[1]
    error_message, expected, mtu = ERRORS[tester.case.parameters.get("error", "time exceeded")]
    tester.reg(care_of_address, 15)
    packet = tunnelled(tester, correspondent, care_of_address, None if mtu is None else BIG)
    on_the_way = tester.correspondents[0]  # stands for a router within the tunnel
    message = error_message.copy() / Raw(packet.octets[:QUOTED])
    upper = wire.upper_octets(on_the_way, tester.site.home_agent, message, wire.ICMPV6)
    since = tester.mark()
    tester.send_far(wire.packet(on_the_way, tester.site.home_agent, wire.ICMPV6, upper))
    error = tester.expect(lambda seen: seen.destination == correspondent, "relayed ICMPv6 error", since)
    right = error.upper[:2] == bytes(expected) and error.protocol == wire.ICMPV6
    tester.check(right, f"{error} instead of ICMPv6 type {expected[0]} code {expected[1]}")
    found_mtu = int.from_bytes(error.upper[4:8], "big")
    tester.check(mtu is None or found_mtu == mtu, f"MTU {found_mtu}, not {mtu}")
    tester.check(error.source == tester.site.home_agent, f"relayed ICMPv6 error from {error.source}")
    quoted = without_hop_limit(error.upper[8:])
    original = without_hop_limit(packet.upper[: QUOTED - 40])
    tester.check(quoted == original, "the error does not quote the inner packet alone")


def reversed_to(tester: Tester, care_of_address: str, correspondent: str) -> tuple[Echo, Packet]:
    """An Echo Request to a correspondent in the reverse tunnel."""
    echo = tester.echo()
    upper = echo.request(tester.home_address, correspondent)
    inner = wire.packet(tester.home_address, correspondent, wire.ICMPV6, upper)
    return echo, wire.packet(care_of_address, tester.site.home_agent, wire.IPV6_IN_IPV6, bytes(inner))


def reverse(tester: Tester, care_of_address: str, correspondent: str) -> None:
    echo, packet = reversed_to(tester, care_of_address, correspondent)
    since = tester.mark()
    tester.send_far(packet)
    seen = tester.expect(lambda seen: seen.destination == correspondent, "packet out of the reverse tunnel", since)
    tester.check(echo.is_request(seen) and seen.source == tester.home_address, f"{seen} from {seen.source}")
    tester.check(seen.routing is None and seen.home_address is None, "extension headers out of the reverse tunnel")


@family("rev-basic")
def reverse_tunnel(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    reverse(tester, tester.care_of[0], tester.correspondents[0])


@family("rev-move")
def reverse_tunnel_after_move(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    reverse(tester, tester.care_of[0], tester.correspondents[0])
    tester.reg(tester.care_of[1], 16)
    reverse(tester, tester.care_of[1], tester.correspondents[1])


@family("tun-move")
def tunnel_after_move(tester: Tester) -> None:
    for sequence, care_of_address in enumerate(tester.care_of, start=15):
        tester.reg(care_of_address, sequence)
        time.sleep(SETTLED)
        tunnelled(tester, tester.correspondents[0], care_of_address)


@family("tun-deregistered")
def no_tunnel_after_deregistration(tester: Tester) -> None:
    care_of_address, correspondent = tester.care_of[0], tester.correspondents[0]
    tester.reg(care_of_address, 15)
    mac = tester.next_hop(tester.home_address)
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 16, lifetime=0))
    tester.acknowledged_away(care_of_address, since)
    time.sleep(SETTLED)
    since = tester.mark()
    upper = tester.echo().request(correspondent, tester.home_address)
    tester.send_far(wire.packet(correspondent, tester.home_address, wire.ICMPV6, upper), mac)
    tester.quiet(lambda seen: seen.destination == care_of_address, "in the tunnel after de-registration", since)
    _, packet = reversed_to(tester, care_of_address, correspondent)
    since = tester.mark()
    tester.send_far(packet)
    tester.quiet(lambda seen: seen.destination == correspondent, "out of the tunnel after de-registration", since)


@family("rev-spoofed")
def reverse_tunnel_of_another(tester: Tester) -> None:
    """Section 10.4.5: only from the registered care-of address."""
    tester.reg(tester.care_of[0], 15)
    _, packet = reversed_to(tester, tester.care_of[1], tester.correspondents[0])
    since = tester.mark()
    tester.send_far(packet)
    tester.quiet(lambda seen: seen.destination == tester.correspondents[0], "from another care-of address", since)


@family("tun-hop-limit", "tun-too-big")
def error_before_the_tunnel(tester: Tester) -> None:
    """A router's errors for packets that cannot enter the tunnel (RFC 2473 sections 3.1 and 7.1)."""
    correspondent, big = tester.correspondents[0], tester.case.family == "tun-too-big"
    tester.reg(tester.care_of[0], 15)
    data = bytes(1461 - 40 - 8) if big else b""
    upper = wire.upper_octets(correspondent, tester.home_address, ICMPv6EchoRequest(data=data), wire.ICMPV6)
    packet = wire.packet(correspondent, tester.home_address, wire.ICMPV6, upper, hop_limit=64 if big else 1)
    since = tester.mark()
    tester.send_far(packet, tester.next_hop(tester.home_address))
    error = tester.expect(lambda seen: seen.destination == correspondent, "ICMPv6 error", since)
    expected = TOO_BIG if big else TIME_EXCEEDED
    tester.check(error.is_icmpv6(expected), f"{error} instead of ICMPv6 type {expected}")
    tester.check(error.source == tester.site.home_agent, f"ICMPv6 error from {error.source}")
    if big:
        mtu = int.from_bytes(error.upper[4:8], "big")
        tester.check(mtu == 1460, f"MTU {mtu}, not 1460")
    tester.check(bytes(packet).startswith(error.upper[8:1240]), "the error does not quote the packet")


@family("tun-link-local")
def link_local_destination(tester: Tester) -> None:
    """Section 10.4.2: never tunnelled; Destination Unreachable code 3 instead."""
    tester.reg(tester.care_of[0], 15, link_local=True)
    source = tester.neighbour_link_local
    tester.site.home.own(source, tester.neighbour_mac)
    upper = tester.echo().request(source, tester.link_local)
    since = tester.mark()
    tester.send_home(wire.packet(source, tester.link_local, wire.ICMPV6, upper), tester.neighbour_mac)
    error = tester.expect(lambda seen: seen.destination == source, "Destination Unreachable", since)
    right = error.is_icmpv6(UNREACHABLE) and error.upper[1] == ADDRESS_UNREACHABLE
    tester.check(right, f"{error} instead of Destination Unreachable code 3")
    tester.quiet(lambda seen: seen.destination == tester.care_of[0], "for a link-local address", since, 1.0)
