"""The tunnel and the reverse tunnel with packets of all kinds, and errors of all kinds from inside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
)
from scapy.packet import Packet, Raw

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.families.registration import to
from tests.conformance.families.tunnel import QUOTED, TIME_EXCEEDED, TOO_BIG, UNREACHABLE, tunnelled
from tests.conformance.families.update_forms import (
    PARAMETER_PROBLEM,
    Extension,
    accepted,
    destination_options,
    expect_problem,
    home_address_option,
    hop_by_hop,
    routing,
    update,
)
from tests.conformance.home_agent_site import HOME
from tests.conformance.links import FIRST_OTHER
from tests.conformance.player import ANSWER, SETTLED
from tests.conformance.site import address
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

BIG: Final = 1440  # octets
ECN: Final = 0x03  # in the traffic class


def registered(tester: Tester) -> str:
    """The first care-of address, bound, and in the switch's cache."""
    tester.reg(tester.care_of[0], 15)
    time.sleep(SETTLED)
    return tester.care_of[0]


def send_into(tester: Tester, packet: bytes) -> Seen:
    """Send a packet for the home address from far away; its tunnel packet, which has it unchanged."""
    since = tester.mark()
    tester.send_far(packet, tester.next_hop(tester.home_address))
    seen = tester.expect(
        lambda seen: seen.destination == tester.care_of[0] and seen.protocol == wire.IPV6_IN_IPV6,
        "tunnel packet",
        since,
    )
    expected = packet[:7] + bytes((packet[7] - 1,)) + packet[8:]
    tester.check(seen.upper == expected, f"{seen.upper[:80].hex()} in the tunnel, not {expected[:80].hex()}")
    return seen


@family("tun-payloads")
def payloads(tester: Tester) -> None:
    """10.4.2: every packet is tunnelled as it is, whatever is in it."""
    registered(tester)
    source, home = tester.correspondents[0], tester.home_address
    echo = tester.echo().request(source, home)
    udp = wire.upper_octets(source, home, UDP(sport=1, dport=2) / Raw(b"data"), wire.UDP)
    tcp = wire.upper_octets(source, home, TCP(sport=1, dport=2), wire.TCP)
    test = wire.mobility_header(wire.HOT, bytes(18), source, home)
    unknown = wire.mobility_header(200, bytes(18), source, home)
    carried: tuple[tuple[Sequence[Extension], int, bytes], ...] = (
        ([], wire.UDP, udp),
        ([], wire.TCP, tcp),
        ([], wire.ESP, bytes(24)),
        ([], wire.NO_NEXT_HEADER, b""),
        ([], 253, b"anything"),
        ([], wire.MOBILITY, test),
        ([], wire.MOBILITY, unknown),
        ([], wire.IPV6_IN_IPV6, wire.extended(source, home, [], wire.NO_NEXT_HEADER, b"")),
        ([hop_by_hop()], wire.ICMPV6, echo),
        ([destination_options(b"\x9e\x02\0\0")], wire.ICMPV6, echo),
        ([destination_options(home_address_option("2001:db8:9::8"))], wire.ICMPV6, echo),
        ([routing(0, 0)], wire.ICMPV6, echo),
        ([wire.type_2_routing_header(home)], wire.ICMPV6, echo),
        ([wire.fragment_header(0, True, 9)], wire.ICMPV6, echo[:16]),
        ([wire.fragment_header(16, False, 9)], wire.ICMPV6, echo[16:]),
    )
    for extensions, protocol, upper in carried:
        send_into(tester, wire.extended(source, home, extensions, protocol, upper))
    for size in (1280, 1460):
        message = ICMPv6EchoRequest(data=bytes(size - 40 - 8))
        send_into(
            tester, wire.extended(source, home, [], wire.ICMPV6, wire.upper_octets(source, home, message, wire.ICMPV6))
        )


@family("tun-class")
def traffic_class(tester: Tester) -> None:
    """RFC 3168 section 9.1.1: the tunnel packet can be marked where the packet can."""
    registered(tester)
    source, home = tester.correspondents[0], tester.home_address
    for value in (0x00, 0x01, 0x02, 0xB8, 0xBA):
        packet = bytearray(wire.extended(source, home, [], wire.ICMPV6, tester.echo().request(source, home)))
        packet[:2] = (0x6000 | value << 4).to_bytes(2, "big")
        seen = send_into(tester, bytes(packet))
        outer = int.from_bytes(seen.octets[:2], "big") >> 4 & 0xFF
        tester.check(
            outer & ECN == value & ECN, f"traffic class {outer:#04x} of the tunnel packet, {value:#04x} inside"
        )


@family("tun-source")
def unusable_sources(tester: Tester) -> None:
    """RFC 4291 sections 2.5.2, 2.5.3 and 2.5.6: no router forwards such packets."""
    registered(tester)
    since = tester.mark()
    for source in ("::", "::1", "fe80::77"):
        upper = tester.echo().request(source, tester.home_address)
        packet = wire.extended(source, tester.home_address, [], wire.ICMPV6, upper)
        tester.send_far(packet, tester.next_hop(tester.home_address))
    tester.quiet(lambda seen: seen.destination == tester.care_of[0], "in the tunnel", since)


def report(tester: Tester, error: Packet, quoted: bytes) -> float:
    """A router inside the tunnel complains; the moment before it."""
    router, home_agent = tester.correspondents[1], tester.site.home_agent
    upper = wire.upper_octets(router, home_agent, error.copy() / Raw(quoted), wire.ICMPV6)
    since = tester.mark()
    tester.send_far(wire.packet(router, home_agent, wire.ICMPV6, upper))
    return since


def is_error(tester: Tester, seen: Seen) -> bool:
    return seen.destination == tester.correspondents[0] and seen.target is None


@family("tun-errors")
def errors(tester: Tester) -> None:
    """RFC 2473 section 8.2, every code; what tells nothing to the original sender is not relayed."""
    registered(tester)
    source = tester.correspondents[0]
    unreachable = (UNREACHABLE, 3, 0)
    relayed: list[tuple[Packet, tuple[int, int, int]]] = [
        *((ICMPv6DestUnreach(code=code), unreachable) for code in range(7)),
        (ICMPv6TimeExceeded(code=0), unreachable),
        *((ICMPv6PacketTooBig(mtu=mtu), (TOO_BIG, 0, mtu - 40)) for mtu in (1400, 1360)),
    ]
    for error, expected in relayed:
        packet = tunnelled(tester, source, tester.care_of[0], BIG)
        since = report(tester, error, packet.octets[:QUOTED])
        seen = tester.expect(lambda seen: is_error(tester, seen), f"relayed {error.summary()}", since)
        found = (*seen.upper[:2], int.from_bytes(seen.upper[4:8], "big"))
        tester.check(seen.protocol == wire.ICMPV6 and found == expected, f"{found} for {error.summary()}")
    packet = tunnelled(tester, source, tester.care_of[0], BIG)
    since = tester.mark()
    for error in (
        *(ICMPv6ParamProblem(code=code, ptr=6) for code in range(3)),
        ICMPv6TimeExceeded(code=1),
        ICMPv6PacketTooBig(mtu=9000),
    ):
        report(tester, error, packet.octets[:QUOTED])
    tester.quiet(lambda seen: is_error(tester, seen), "for an error that is not the sender's", since)


@family("tun-errors-bogus")
def errors_of_strangers(tester: Tester) -> None:
    """What quotes nothing that the home agent has sent for a binding is ignored, as is an error about an error."""
    registered(tester)
    source, home = tester.correspondents[0], tester.home_address
    packet = tunnelled(tester, source, tester.care_of[0]).octets
    message = ICMPv6DestUnreach(code=0) / Raw(bytes(48))
    about = send_into(
        tester, wire.extended(source, home, [], wire.ICMPV6, wire.upper_octets(source, home, message, wire.ICMPV6))
    )
    nobody = wire.packed(address(HOME, tester.case.number, FIRST_OTHER))
    since = tester.mark()
    for quoted in (
        packet[:24] + wire.packed(tester.care_of[1]) + packet[40:],
        packet[:64] + nobody + packet[80:],
        packet[:8] + wire.packed(source) + packet[24:],
        packet[:60],
        about.octets,
    ):
        report(tester, ICMPv6DestUnreach(code=0), quoted)
    tester.quiet(lambda seen: is_error(tester, seen), "for an error about nothing of ours", since)


# --- the reverse tunnel


def inner(
    tester: Tester, destination: str, upper: bytes | None = None, *, source: str = "", hop_limit: int = 64
) -> bytes:
    """A packet that the mobile node sends through its tunnel, by default an Echo Request from its home address."""
    source = source or tester.home_address
    octets = tester.echo().request(source, destination) if upper is None else upper
    return wire.extended(source, destination, [], wire.ICMPV6, octets, hop_limit=hop_limit)


def send_reverse(tester: Tester, packet: bytes, extensions: Sequence[Extension] = (), care_of: int = 0) -> float:
    outer = wire.extended(
        tester.care_of[care_of], tester.site.home_agent, extensions, wire.IPV6_IN_IPV6, packet, hop_limit=60
    )
    since = tester.mark()
    tester.send_far(outer)
    return since


@family("rev-wrong")
def wrong_inner_packets(tester: Tester) -> None:
    """10.4.5 and RFC 4291: other sources than the home address, and destinations that nobody forwards to."""
    registered(tester)
    correspondent, other = tester.correspondents[0], address(HOME, tester.case.number, FIRST_OTHER)
    since = tester.mark()
    for source in (other, tester.link_local, "ff0e::1", "::", "::1", tester.site.home_agent):
        send_reverse(tester, inner(tester, correspondent, source=source))
    for destination in ("fe80::1", "ff02::1", "::", "::1"):
        send_reverse(tester, inner(tester, destination))
    send_reverse(tester, inner(tester, correspondent), care_of=1)
    tester.quiet(lambda seen: seen.is_icmpv6(wire.ECHO_REQUEST), "out of the reverse tunnel", since)


@family("rev-destinations")
def destinations(tester: Tester) -> None:
    """To the home agent itself and to another mobile node that is away; a router's hop limit (RFC 8200 section 3)."""
    registered(tester)
    correspondent, other = tester.correspondents[0], address(HOME, tester.case.number, FIRST_OTHER)
    echo = tester.echo()
    own = echo.request(tester.home_address, tester.site.home_agent)
    since = send_reverse(tester, inner(tester, tester.site.home_agent, own))
    seen = tester.expect(lambda seen: seen.destination == tester.care_of[0], "reply of the home agent", since)
    tester.check(echo.is_reply(seen) and seen.routing is not None, f"{seen} of the home agent")

    accepted_elsewhere(tester, other)
    since = send_reverse(tester, inner(tester, other))
    seen = tester.expect(lambda seen: seen.destination == tester.care_of[1], "packet to another mobile node", since)
    tester.check(seen.protocol == wire.IPV6_IN_IPV6 and seen.source == tester.site.home_agent, f"{seen} to the other")

    since = send_reverse(tester, inner(tester, correspondent, hop_limit=20))
    seen = tester.expect(lambda seen: seen.destination == correspondent, "packet out of the reverse tunnel", since)
    tester.check(seen.hop_limit == 19, f"hop limit {seen.hop_limit}, 20 in the tunnel")
    since = send_reverse(tester, inner(tester, correspondent, hop_limit=1))
    seen = tester.expect(lambda seen: seen.destination == tester.care_of[0], "Time Exceeded", since)
    tester.check(seen.protocol == wire.IPV6_IN_IPV6 and seen.inner.is_icmpv6(TIME_EXCEEDED), f"{seen} for hop limit 1")


def accepted_elsewhere(tester: Tester, home_address: str) -> None:
    """Another mobile node of the same tester is at the second care-of address."""
    since = tester.mark()
    tester.send_far(update(tester, tester.care_of[1], 5, home=home_address))
    seen, found = tester.acknowledgement(tester.care_of[1], since)
    tester.check(found.status == 0 and seen.routing is not None, f"{seen} for the other mobile node")
    time.sleep(SETTLED)


@family("rev-outer")
def outer_headers(tester: Tester) -> None:
    """Extension headers and fragments of the tunnel packet (RFC 2473 sections 4.1 and 7); a nested tunnel inside."""
    registered(tester)
    correspondent = tester.correspondents[0]
    for extension in (destination_options(b"\x04\x01\x04"), destination_options(), hop_by_hop()):
        since = send_reverse(tester, inner(tester, correspondent), [extension])
        tester.expect(lambda seen: seen.destination == correspondent, "packet behind extension headers", since)
    echo = tester.echo(bytes(600))
    packet = inner(tester, correspondent, echo.request(tester.home_address, correspondent))
    since = tester.mark()
    for offset, more in ((0, True), (320, False)):
        part = packet[offset : offset + 320] if more else packet[offset:]
        send_reverse(tester, part, [wire.fragment_header(offset, more, 99)])
    seen = tester.inbox.find(lambda seen: seen.destination == correspondent, since, ANSWER)
    tester.check(seen is not None and echo.is_request(seen), f"{seen} out of a fragmented tunnel packet")
    nested = wire.extended("2001:db8:9::9", correspondent, [], wire.NO_NEXT_HEADER, b"")
    packet = wire.extended(tester.home_address, correspondent, [], wire.IPV6_IN_IPV6, nested)
    since = send_reverse(tester, packet)
    seen = tester.expect(lambda seen: seen.destination == correspondent, "packet with a tunnel in it", since)
    tester.check(seen.upper == nested, "the nested tunnel is not left alone")


@family("hao-at-ha")
def home_agent_as_correspondent(tester: Tester) -> None:
    """8.2, 9.3.1: what the home agent's host does not know, it says nothing about, or what a host that knows says."""
    own, home, home_agent = tester.care_of[0], tester.home_address, tester.site.home_agent
    since = tester.mark()
    request = tester.echo().request(own, home_agent)
    tester.send_far(wire.extended(own, home_agent, [wire.type_2_routing_header(home)], wire.ICMPV6, request))
    for bad in (wire.solicited_node(home), "fe80::5", "::", "::1"):
        request = tester.echo().request(bad, home_agent)
        tester.send_far(wire.extended(own, home_agent, [wire.home_address_header(bad)], wire.ICMPV6, request))
    tester.quiet(lambda seen: seen.destination == own, "for what is to be dropped", since)
    accepted(tester, update(tester, own, 15), own, 15)
    time.sleep(SETTLED)
    request = tester.echo().request(home, home_agent)
    options = destination_options(b"\x01\x02\0\0", home_address_option(home), b"\x9e\x02\0\0")
    packet = wire.extended(own, home_agent, [options], wire.ICMPV6, request)
    expect_problem(tester, packet, own, 2, 64, "unknown option 10 behind a Home Address option")
    # What else its host complains of is heard: by a stranger, and by the mobile node for what came out of its tunnel.
    unknown = [destination_options(b"\x9e\x02\0\0")]
    stranger = tester.correspondents[0]
    packet = wire.extended(stranger, home_agent, unknown, wire.ICMPV6, tester.echo().request(stranger, home_agent))
    expect_problem(tester, packet, stranger, 2, 42, "unknown option 10 of a stranger")
    since = send_reverse(tester, wire.extended(home, home_agent, unknown, wire.ICMPV6, request))
    seen = tester.expect(to(own), "Parameter Problem for a packet out of the tunnel", since)
    right = seen.is_icmpv6(PARAMETER_PROBLEM) and seen.routing is not None and seen.routing.address == home
    tester.check(right, f"{seen} for a packet out of the tunnel")
