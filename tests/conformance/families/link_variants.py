"""Neighbor Discovery, home agent discovery and prefix discovery with messages in unusual forms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptHAInfo, ICMPv6NDOptPrefixInfo
from scapy.packet import Packet

from tests.conformance import links, wire
from tests.conformance.campaign import family
from tests.conformance.families.discovery import expect_list, with_checksum
from tests.conformance.families.neighbours import CLAIMS_OVER, SOLICITED, claims, judge
from tests.conformance.families.registration import probe_for, to
from tests.conformance.families.update_forms import (
    A,
    Extension,
    H,
    L,
    accepted,
    answered,
    destination_options,
    hop_by_hop,
    update,
)
from tests.conformance.home_agent_site import ANYCAST
from tests.conformance.links import FIRST_OTHER, advertisement
from tests.conformance.player import SETTLED
from tests.conformance.site import address
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

UNKNOWN: Final = b"\x63\x01" + bytes(6)  # an option of Neighbor Discovery
NONCE: Final = b"\x0e\x01abcdef"  # RFC 7527
SOURCE_ADDRESS, TARGET_ADDRESS = b"\x01\x01", b"\x02\x01"
ANOTHER_MAC: Final = "02:aa:aa:aa:aa:aa"


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def message(
    tester: Tester,
    icmpv6_type: int,
    target: str,
    source: str,
    destination: str | None = None,
    options: bytes = b"",
    *,
    hop_limit: int = 255,
    code: int = 0,
    flags: int = 0,
    spoil: int = 0,
) -> float:
    """A neighbour on the home link sends a Neighbor Solicitation or Advertisement; the moment before it."""
    destination = destination or wire.solicited_node(target)
    upper = bytes((icmpv6_type, code, 0, 0, flags, 0, 0, 0)) + wire.packed(target) + options
    value = wire.checksum(source, destination, wire.ICMPV6, upper) ^ spoil
    upper = upper[:2] + value.to_bytes(2, "big") + upper[4:]
    mac = wire.multicast_mac(destination) if destination.startswith("ff") else tester.site.home_agent_mac
    since = tester.mark()
    packet = wire.packet(source, destination, wire.ICMPV6, upper, hop_limit=hop_limit)
    tester.send_home(packet, tester.neighbour_mac, mac)
    return since


def register(tester: Tester) -> None:
    tester.site.home.own(tester.neighbour, tester.neighbour_mac)
    tester.site.home.own(tester.neighbour_link_local, tester.neighbour_mac)
    tester.reg(tester.care_of[0], 15)
    time.sleep(CLAIMS_OVER)


@family("nd-forms")
def solicitations(tester: Tester) -> None:
    """RFC 4861 sections 7.1.1 and 7.2.4: other options are skipped; the answer goes to the option's address."""
    register(tester)
    home, own = tester.home_address, tester.neighbour
    option = SOURCE_ADDRESS + octets(tester.neighbour_mac)
    forms = (
        (own, None, UNKNOWN + option),
        (own, None, UNKNOWN + option + b"\x64\x02" + bytes(14)),
        (tester.neighbour_link_local, None, option),
        (own, home, b""),
        (own, None, SOURCE_ADDRESS + octets(ANOTHER_MAC)),
    )
    for source, destination, options in forms:
        time.sleep(SETTLED)  # copies of the last answer
        since = message(tester, wire.NEIGHBOR_SOLICITATION, home, source, destination, options)
        seen = tester.expect(lambda seen: claims(seen, home), "Neighbor Advertisement", since)
        tester.check(seen.destination == source, f"Neighbor Advertisement to {seen.destination}")
        tester.check(seen.upper[4] == SOLICITED, f"flags {seen.upper[4]:#04x}")
        wanted = ANOTHER_MAC if ANOTHER_MAC in options.hex(":") else tester.neighbour_mac
        tester.check(seen.mac_destination == wanted, f"in a frame to {seen.mac_destination}")
    time.sleep(SETTLED)
    since = message(tester, wire.NEIGHBOR_SOLICITATION, home, wire.UNSPECIFIED, None, NONCE)
    judge(tester, tester.expect(lambda seen: claims(seen, home), "Neighbor Advertisement", since), wire.ALL_NODES, 0)


@family("nd-invalid")
def invalid_solicitations(tester: Tester) -> None:
    """RFC 4861 section 7.1.1: none of these is answered with anything that counts."""
    register(tester)
    home, own, nobody = tester.home_address, tester.neighbour, wire.UNSPECIFIED
    kind, option = wire.NEIGHBOR_SOLICITATION, SOURCE_ADDRESS + octets(tester.neighbour_mac)
    since = message(tester, kind, home, own, None, option, hop_limit=64)
    message(tester, kind, home, own, None, option, code=1)
    message(tester, kind, home, nobody, None, option)
    message(tester, kind, home, nobody, wire.ALL_NODES)
    message(tester, kind, home, nobody, home)
    tester.quiet(lambda seen: claims(seen, home), "for a solicitation that is to be discarded", since)
    message(tester, wire.NEIGHBOR_ADVERTISEMENT, home, home, wire.ALL_NODES, TARGET_ADDRESS + option[2:], flags=0x20)
    tester.bound(tester.care_of[0])


@family("dad-no-claim")
def no_claims(tester: Tester) -> None:
    """RFC 4862 sections 5.4.3 and 5.4.4: what is invalid, about another address, or only a question, is no claim."""
    home = tester.home_address
    option = TARGET_ADDRESS + octets(tester.neighbour_mac)
    since = tester.mark()
    tester.send_far(update(tester, tester.care_of[0], 15))
    tester.expect(probe_for(home), "DAD probe", since)
    claim, question = wire.NEIGHBOR_ADVERTISEMENT, wire.NEIGHBOR_SOLICITATION
    message(tester, claim, home, home, wire.ALL_NODES, option, flags=0x20, hop_limit=64)
    message(tester, claim, home, home, wire.ALL_NODES, option, flags=0x20, code=1)
    message(tester, claim, home, home, wire.ALL_NODES, option, flags=0x20, spoil=0x55)
    message(tester, claim, tester.neighbour, home, wire.ALL_NODES, option, flags=0x20)
    message(tester, question, home, wire.UNSPECIFIED, hop_limit=64)
    message(tester, question, home, tester.neighbour, None, SOURCE_ADDRESS + option[2:])
    tester.registered(tester.care_of[0], 15, since)


@family("dad-claims")
def claimed_in_other_ways(tester: Tester) -> None:
    """An advertisement without option, and a probe with another: 134 each time, and any sequence number after it."""
    home = tester.home_address
    for sequence, kind in ((15, wire.NEIGHBOR_ADVERTISEMENT), (3, wire.NEIGHBOR_SOLICITATION)):
        since = tester.mark()
        tester.send_far(update(tester, tester.care_of[0], sequence))
        tester.expect(probe_for(home), "DAD probe", since)
        if kind == wire.NEIGHBOR_ADVERTISEMENT:
            message(tester, kind, home, home, wire.ALL_NODES, flags=0x20)
        else:
            message(tester, kind, home, wire.UNSPECIFIED, None, NONCE)
        tester.refused(tester.acknowledged_away(tester.care_of[0], since), 134, sequence)
    tester.reg(tester.care_of[0], 1)


@family("nd-link-local-later")
def link_local_later(tester: Tester) -> None:
    """10.3.1: L in a refresh begins or ends the defence of the link-local address; a duplicate leaves all as it was."""
    own, home = tester.care_of[0], tester.home_address
    tester.site.home.own(tester.neighbour, tester.neighbour_mac)
    tester.reg(own, 15)
    since = tester.mark()
    tester.send_far(update(tester, tester.care_of[1], 16, flags=A | H | L))
    tester.expect(probe_for(tester.link_local), "DAD probe", since)
    claim = advertisement(tester.link_local, tester.link_local, wire.ALL_NODES, tester.neighbour_mac, solicited=False)
    tester.send_home(claim, tester.neighbour_mac, wire.multicast_mac(wire.ALL_NODES))
    tester.refused(tester.acknowledged_away(tester.care_of[1], since), 134, 16)
    tester.bound(own)
    since = tester.mark()
    accepted(tester, update(tester, own, 17, flags=A | H | L), own, 17)
    tester.check(not any(map(probe_for(home), tester.inbox.since(since))), "DAD for a bound home address")
    time.sleep(CLAIMS_OVER)
    option = SOURCE_ADDRESS + octets(tester.neighbour_mac)
    since = message(tester, wire.NEIGHBOR_SOLICITATION, tester.link_local, tester.neighbour, None, option)
    tester.expect(lambda seen: claims(seen, tester.link_local), "Neighbor Advertisement", since)
    accepted(tester, update(tester, own, 18), own, 18)
    time.sleep(SETTLED)
    since = message(tester, wire.NEIGHBOR_SOLICITATION, tester.link_local, tester.neighbour, None, option)
    tester.quiet(lambda seen: claims(seen, tester.link_local), "without L", since)
    since = message(tester, wire.NEIGHBOR_SOLICITATION, home, tester.neighbour, None, option)
    tester.expect(lambda seen: claims(seen, home), "Neighbor Advertisement for the home address", since)


# --- discovery


def ask(
    tester: Tester,
    body: bytes,
    source: str,
    destination: str,
    *,
    extensions: Sequence[Extension] = (),
    checksum_source: str = "",
    spoil: bool = False,
) -> float:
    """An ICMPv6 message to the home agent; the moment before it."""
    upper = with_checksum(checksum_source or source, destination, body)
    if spoil:
        upper = upper[:2] + bytes(2) + upper[4:]
    mac = tester.next_hop(destination) if destination == ANYCAST else None
    since = tester.mark()
    tester.send_far(wire.extended(source, destination, extensions, wire.ICMPV6, upper), mac)
    return since


@family("dhaad-forms")
def address_requests(tester: Tester) -> None:
    """10.5.1: any identifier, extension headers, from a bound mobile node; what is malformed is not answered."""
    own, home = tester.care_of[0], tester.home_address

    def is_reply(seen: Seen) -> bool:
        return seen.destination == own and seen.is_icmpv6(wire.DHAAD_REPLY)

    def request(identifier: int, more: bytes = b"") -> bytes:
        return bytes((wire.DHAAD_REQUEST, 0, 0, 0)) + identifier.to_bytes(2, "big") + bytes(2) + more

    with tester.site.home_agents_list.together():
        forms: tuple[tuple[int, bytes, list[Extension]], ...] = (
            (0, b"", []),
            (0xFFFF, b"", []),
            (0x8000, bytes(16), []),
            (1, b"", [hop_by_hop()]),
            (2, b"", [destination_options()]),
        )
        for identifier, more, extensions in forms:
            since = ask(tester, request(identifier, more), own, ANYCAST, extensions=extensions)
            seen = tester.expect(is_reply, "home agent address discovery reply", since)
            right = seen.upper[4:8] == identifier.to_bytes(2, "big") + bytes(2)
            tester.check(right and seen.source == tester.site.home_agent, f"{seen.upper[:8].hex()} from {seen.source}")
        since = ask(tester, request(5)[:6], own, ANYCAST)
        ask(tester, request(6)[:4], own, ANYCAST)
        ask(tester, request(7), own, ANYCAST, spoil=True)
        ask(tester, request(8), own, ANYCAST, extensions=[wire.type_2_routing_header(home)])
        tester.quiet(is_reply, "for a malformed request", since)
        tester.reg(own, 15)
        time.sleep(SETTLED)
        option = [wire.home_address_header(home)]
        since = ask(tester, request(9), own, ANYCAST, extensions=option, checksum_source=home)
        seen = tester.expect(is_reply, "reply to a bound mobile node", since)
        tester.check(seen.routing is not None and seen.routing.address == home, "no Type 2 Routing Header")
        inner = wire.extended(home, ANYCAST, [], wire.ICMPV6, with_checksum(home, ANYCAST, request(10)))
        since = tester.mark()
        tester.send_far(wire.extended(own, tester.site.home_agent, [], wire.IPV6_IN_IPV6, inner))
        seen = tester.expect(to(own), "reply by way of the tunnel", since)
        right = seen.protocol == wire.IPV6_IN_IPV6 and seen.inner.is_icmpv6(wire.DHAAD_REPLY)
        tester.check(right and seen.inner.destination == home, f"{seen} by way of the tunnel")


@family("mps-forms")
def prefix_solicitations(tester: Tester) -> None:
    """10.6, 6.7, 6.8: options are skipped, a second is between two answers; what does not count is not answered."""
    first, second = tester.care_of
    home, home_agent = tester.home_address, tester.site.home_agent
    option = [wire.home_address_header(home)]

    def solicitation(identifier: int, more: bytes = b"") -> bytes:
        return bytes((wire.PREFIX_SOLICITATION, 0, 0, 0)) + identifier.to_bytes(2, "big") + b"\xff\xff" + more

    def is_answer(seen: Seen) -> bool:
        return seen.is_icmpv6(wire.PREFIX_ADVERTISEMENT)

    tester.reg(first, 15)
    time.sleep(SETTLED)
    since = ask(tester, solicitation(1)[:6], first, home_agent, extensions=option, checksum_source=home)
    ask(tester, solicitation(2), first, home_agent, extensions=option, checksum_source=home, spoil=True)
    ask(tester, solicitation(3), first, home_agent)
    ask(tester, solicitation(4), first, ANYCAST, extensions=option, checksum_source=home)
    tester.quiet(is_answer, "for a solicitation that is to be discarded", since)
    since = ask(tester, solicitation(5, UNKNOWN), first, home_agent, extensions=option, checksum_source=home)
    one = tester.expect(is_answer, "Mobile Prefix Advertisement", since)
    since = ask(tester, solicitation(6), first, home_agent, extensions=option, checksum_source=home)
    other = tester.expect(is_answer, "second Mobile Prefix Advertisement", since)
    tester.check(other.at - one.at > 0.95, f"{other.at - one.at:.2f} s between two advertisements")
    tester.check((one.upper[4:6], other.upper[4:6]) == (b"\0\5", b"\0\6"), "wrong identifiers")
    since = ask(tester, solicitation(7), second, home_agent, extensions=option, checksum_source=home)
    seen = tester.expect(to(second), "Binding Error", since)
    tester.check(seen.is_mobility(wire.BE), f"{seen} instead of a Binding Error")
    tester.reg(second, 16)
    time.sleep(1.0 + SETTLED)
    since = ask(tester, solicitation(8), second, home_agent, extensions=option, checksum_source=home)
    seen = tester.expect(is_answer, "Mobile Prefix Advertisement", since)
    tester.check(seen.destination == second, f"Mobile Prefix Advertisement to {seen.destination}")
    found = answered(tester, update(tester, second, 17, lifetime=0), second)
    tester.check(found.status == 0, f"status {found.status}")
    since = ask(tester, solicitation(9), second, home_agent, extensions=option, checksum_source=home)
    seen = tester.expect(to(second), "Binding Error", since)
    tester.check(seen.is_mobility(wire.BE), f"{seen} instead of a Binding Error after de-registration")


@family("halist-forms")
def router_advertisements(tester: Tester) -> None:
    """10.5.1 and RFC 4861 section 6.1.2: what makes no home agent, or none any more, and what changes its place."""
    own = address("2001:db8:100::", tester.case.number, FIRST_OTHER)
    link_local = address("fe80::", tester.case.number, FIRST_OTHER)
    mac = links.mac_of(tester.case.number, FIRST_OTHER)

    def advertise(
        preference: int = 0xFFFF,
        lifetime: int = 1800,
        *,
        router_lifetime: int = 1800,
        source: str = link_local,
        hop_limit: int = 255,
        router_address: int = 1,
        valid: int = 1800,
        spoil: bool = False,
    ) -> None:
        found: Packet = ICMPv6ND_RA(H=1, routerlifetime=router_lifetime)
        found /= ICMPv6NDOptPrefixInfo(
            prefixlen=64, R=router_address, prefix=own, validlifetime=valid, preferredlifetime=valid
        )
        found /= ICMPv6NDOptHAInfo(pref=preference, lifetime=lifetime)
        upper = wire.upper_octets(source, wire.ALL_NODES, found, wire.ICMPV6, hop_limit)
        upper = upper[:2] + bytes(2) + upper[4:] if spoil else upper
        packet = wire.packet(source, wire.ALL_NODES, wire.ICMPV6, upper, hop_limit=hop_limit)
        tester.send_home(packet, mac, wire.multicast_mac(wire.ALL_NODES))
        time.sleep(SETTLED)

    home_agent = tester.site.home_agent
    with tester.site.home_agents_list.together():
        advertise(hop_limit=64)
        advertise(source=own)
        advertise(spoil=True)
        advertise(router_address=0)
        advertise(valid=0)
        advertise(lifetime=0)
        expect_list(tester, [home_agent], " after advertisements that do not count")
        advertise(11, router_lifetime=0)
        expect_list(tester, [own, home_agent], " with preference 11 and router lifetime 0")
        advertise(9)
        expect_list(tester, [home_agent, own], " with preference 9")
        advertise(9, 2)
        time.sleep(2.5)
        expect_list(tester, [home_agent], " after its lifetime")
