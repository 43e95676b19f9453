"""Packets of the host's own TCP, UDP and ICMPv6 to and from mobile nodes, beyond the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6PacketTooBig
from scapy.packet import Raw

from tests.conformance import links, wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_site import ROUTER_LINK_LOCAL
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.families.correspondent_lifetime import ON_THE_WAY, unreachable
from tests.conformance.host import PORT, REPEAT
from tests.conformance.links import FIRST_OTHER
from tests.conformance.player import ANSWER, QUIET, SETTLED, Echo
from tests.conformance.site import ROUTER_MAC, address
from tests.conformance.tcp import Connection
from tests.conformance.tokens import Tokens
from tests.conformance.wire import Seen

MTU: Final = 1500
SMALLER_MTU: Final = 1400  # somewhere on the way to the care-of address
LARGE: Final = 1400  # octets of echo data: with all headers below MTU, with those of a binding above SMALLER_MTU
TRIES: Final = 4  # the first packets of a path that is narrower than thought are lost
GRE_KEY_PRESENT: Final = b"\x20\x00"
AFTER_SWITCH: Final = 1.0  # seconds for packets that were under way


def datagram(tester: CorrespondentTester, port: int, data: bytes, destination_port: int = PORT) -> bytes:
    message = UDP(sport=port, dport=destination_port) / Raw(data)
    return wire.upper_octets(tester.home_address, tester.correspondent, message, wire.UDP)


def is_datagram(seen: Seen, port: int, data: bytes | None = None) -> bool:
    return seen.protocol == wire.UDP and seen.upper[2:4] == port.to_bytes(2, "big") and data in (None, seen.upper[8:])


def own_port(tester: CorrespondentTester) -> int:
    return 20000 + tester.case.number


@family("udp")
def udp(tester: CorrespondentTester) -> None:
    """The host's UDP is reached, and answers, without knowing of the binding."""
    care_of_address, port = tester.care_of[0], own_port(tester)
    tester.creg(care_of_address)
    data, since = os.urandom(32), tester.mark()
    tester.from_care_of_address(care_of_address, wire.UDP, datagram(tester, port, data))
    answer = tester.expect(lambda seen: is_datagram(seen, port, data), "UDP answer", since)
    tester.between(answer, care_of_address, "UDP answer")
    tester.routed(answer, "the UDP answer")
    tester.check(answer.hop_limit == 64, f"hop limit {answer.hop_limit}: the host's own is 64")


@family("hao-payloads")
def payloads_without_binding(tester: CorrespondentTester) -> None:
    """Not only echoes are refused; ESP and AH are none of the binding's business (9.3.1)."""
    care_of_address, port = tester.care_of[0], own_port(tester)
    syn = wire.upper_octets(
        tester.home_address, tester.correspondent, TCP(sport=port, dport=PORT, flags="S", seq=1), wire.TCP
    )
    refused = {"UDP": (wire.UDP, datagram(tester, port, b"refused")), "TCP": (wire.TCP, syn)}
    for what, (protocol, upper) in refused.items():
        since = tester.mark()
        tester.from_care_of_address(care_of_address, protocol, upper)
        answer = tester.inbox.find(lambda seen: seen.destination == care_of_address, since, ANSWER)
        is_error = answer is not None and answer.is_mobility(wire.BE)
        tester.check(is_error, f"{answer or 'no answer'} to {what} without a binding")
        if answer is not None and is_error:
            tester.refused_payload(answer, care_of_address, tester.home_address, what)
    since = tester.mark()
    for protocol in (wire.ESP, wire.AH):
        tester.from_care_of_address(care_of_address, protocol, bytes((59, 4)) + bytes(46))
    tester.quiet(lambda seen: seen.is_mobility(wire.BE), "for ESP or AH", since)


@family("hao-bad-address")
def unusable_home_address(tester: CorrespondentTester) -> None:
    """Packets with a home address that is not unicast routable are dropped (9.3.1)."""
    care_of_address = tester.care_of[0]
    for home_address in tester.case.parameters["addresses"]:
        echo, since = tester.echo(), tester.mark()
        options = wire.home_address_header(home_address)
        upper = echo.request(home_address, tester.correspondent)
        tester.send(wire.extended(care_of_address, tester.correspondent, [options], wire.ICMPV6, upper))
        tester.quiet(
            lambda seen, echo=echo: echo.is_reply(seen) or seen.is_mobility(wire.BE),
            f"for the home address {home_address}",
            since,
        )


@family("hao-misplaced")
def misplaced_options(tester: CorrespondentTester) -> None:
    """Two Home Address options, or one behind the Fragment header: no packet for upper layers (6.3)."""
    care_of_address, home_address = tester.care_of[0], tester.home_address
    tester.creg(care_of_address)
    option, fragment = wire.home_address_header(home_address), wire.fragment_header(0, False, 1)
    wrong = {
        "two options": [wire.home_address_header(home_address, home_address)],
        "two headers": [option, option],
        "an option behind the Fragment header": [fragment, option],
    }
    for what, extensions in wrong.items():
        echo, since = tester.echo(), tester.mark()
        upper = echo.request(home_address, tester.correspondent)
        tester.send(wire.extended(care_of_address, tester.correspondent, extensions, wire.ICMPV6, upper))
        tester.quiet(echo.is_reply, f"for {what}", since)
    tester.bound(care_of_address)


@family("hao-headers")
def other_headers(tester: CorrespondentTester) -> None:
    """A Home Address option counts behind Hop-by-Hop Options, and with other padding than the usual, too (6.3)."""
    care_of_address, home_address = tester.care_of[0], tester.home_address
    usual = wire.home_address_header(home_address)
    address = bytes((wire.HOME_ADDRESS_OPTION, 16)) + wire.packed(home_address)
    single = (wire.DESTINATION_OPTIONS, bytes((2,)) + bytes(4) + address)  # Pad1, four times
    trailing = (wire.DESTINATION_OPTIONS, bytes((3,)) + bytes((wire.PADN, 2, 0, 0)) + address + b"\x01\x06" + bytes(6))
    chains = {
        "as usual": [usual],
        "behind Hop-by-Hop Options": [wire.hop_by_hop_header(), usual],
        "with single octets of padding": [single],
        "with padding behind it": [trailing],
    }
    tokens = tester.return_routability(care_of_address)
    for sequence, where in enumerate(tester.case.parameters["where"], start=100):
        extensions = chains[where]
        update = tester.binding_update(care_of_address, sequence, tokens)
        since = tester.mark()
        header = update[64:]
        tester.send(wire.extended(care_of_address, tester.correspondent, extensions, wire.MOBILITY, header))
        tester.registered(care_of_address, sequence, tokens, since)
        tester.wait(SETTLED)
        echo, since = tester.echo(), tester.mark()
        upper = echo.request(home_address, tester.correspondent)
        tester.send(wire.extended(care_of_address, tester.correspondent, extensions, wire.ICMPV6, upper))
        reply = tester.expect(echo.is_reply, f"Echo Reply, option {where}", since)
        tester.between(reply, care_of_address, "Echo Reply")
        tester.routed(reply, "the Echo Reply")


@family("hao-length")
def wrong_length(tester: CorrespondentTester) -> None:
    """A Home Address option of another length than 16 is none (6.3)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    address = wire.packed(tester.home_address)
    for length in (0, 15, 17):
        content = bytes((wire.PADN, 2, 0, 0, wire.HOME_ADDRESS_OPTION, length)) + (address + bytes(1))[:length]
        content += bytes(-(len(content) + 2) % 8)
        echo, since = tester.echo(), tester.mark()
        options = (wire.DESTINATION_OPTIONS, bytes(((len(content) + 2) // 8 - 1,)) + content)
        upper = echo.request(tester.home_address, tester.correspondent)
        tester.send(wire.extended(care_of_address, tester.correspondent, [options], wire.ICMPV6, upper))
        tester.quiet(echo.is_reply, f"for an option of {length} octets", since)
    tester.bound(care_of_address)


@family("hao-hop-limit")
def last_hop(tester: CorrespondentTester) -> None:
    """The correspondent is where the packet ends: hop limit 1 is enough."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.wait(SETTLED)
    echo, since = tester.echo(), tester.mark()
    options = wire.home_address_header(tester.home_address)
    upper = echo.request(tester.home_address, tester.correspondent)
    packet = wire.extended(care_of_address, tester.correspondent, [options], wire.ICMPV6, upper, hop_limit=1)
    tester.send(packet)
    reply = tester.expect(lambda seen: seen.destination == care_of_address, "Echo Reply", since)
    tester.check(echo.is_reply(reply), f"{reply} for a packet with hop limit 1")
    tester.check(reply.hop_limit == 64, f"hop limit {reply.hop_limit}: the host's own is 64")


@family("two-correspondents")
def two_correspondents(tester: CorrespondentTester) -> None:
    """A binding with one correspondent is none with its neighbour."""
    care_of_address = tester.care_of[0]
    neighbour = tester.towards(tester.site.hosts[1])
    tester.creg(care_of_address)
    neighbour.unbound(care_of_address)
    neighbour.plain()
    neighbour.creg(care_of_address, 1)
    neighbour.bound(care_of_address)
    tester.deregister(care_of_address, 101)
    tester.unbound(care_of_address)
    neighbour.bound(care_of_address)


@family("handover-old")
def old_care_of_address(tester: CorrespondentTester) -> None:
    """After a handover the old care-of address is nobody's."""
    first, second = tester.care_of
    tester.creg(first, 100)
    tester.creg(second, 101)
    tester.unbound(first)
    tester.bound(second)
    tester.optimised(second)


@family("both-directions")
def both_directions_or_none(tester: CorrespondentTester) -> None:
    """Nothing is optimised in one direction only: not before the binding, not between the tests, not after it."""
    care_of_address = tester.care_of[0]
    tester.plain()
    tester.unbound(care_of_address)
    care_of = tester.care_of_test(care_of_address)
    tester.plain()
    tester.unbound(care_of_address)
    home = tester.home_test()
    tester.plain()
    tester.unbound(care_of_address)
    since = tester.mark()
    tokens = Tokens(home, care_of)
    tester.send(tester.binding_update(care_of_address, 100, tokens))
    tester.registered(care_of_address, 100, tokens, since)
    tester.optimised(care_of_address)
    tester.bound(care_of_address)
    tester.deregister(care_of_address, 101)
    tester.plain()
    tester.unbound(care_of_address)


@family("two-mobile-nodes")
def two_mobile_nodes(tester: CorrespondentTester) -> None:
    """Two mobile nodes that move in turn: what is ready for one is not taken for the other."""
    other = tester.another()
    for turn, (mine, theirs) in enumerate(zip(tester.care_of, reversed(other.care_of), strict=True)):
        tokens, their_tokens = tester.return_routability(mine), other.return_routability(theirs)
        if turn == 0:
            other.plain()
        tester.register(mine, 100 + turn, tokens)
        tester.optimised(mine)
        tester.bound(mine)
        other.unbound(theirs)
        other.register(theirs, 200 + turn, their_tokens)
        other.optimised(theirs)
        other.bound(theirs)
        tester.optimised(mine)
        tester.bound(mine)


@family("tcp-switch")
def tcp_connection(tester: CorrespondentTester) -> None:
    """A TCP connection that is older than the binding takes the short way while there is one, and then the long one."""
    home_address = tester.home_address
    connection = Connection(tester, own_port(tester))
    connection.open()
    connection.follow(1.0)
    tester.check(connection.destinations == {home_address}, f"before the binding: {connection.destinations}")
    for sequence, place in enumerate(tester.care_of, start=100):
        tester.creg(place, sequence)
        connection.care_of_address = place
        connection.follow(AFTER_SWITCH)
        connection.follow(1.5)
        tester.check(connection.destinations == {place}, f"while bound to {place}: {connection.destinations}")
    tester.deregister(tester.care_of[-1], 200)
    connection.care_of_address = None
    connection.follow(AFTER_SWITCH)
    connection.follow(1.5)
    tester.check(connection.destinations == {home_address}, f"after the binding: {connection.destinations}")
    connection.close()


@family("host-speaks-first")
def host_speaks_first(tester: CorrespondentTester) -> None:
    """What the host sends by itself follows the binding from its begin to its end."""
    care_of_address, home_address, port = tester.care_of[0], tester.home_address, own_port(tester)
    tester.from_home_address(wire.UDP, datagram(tester, port, REPEAT))

    def follow(destination: str, what: str) -> None:
        tester.wait(SETTLED)
        since = tester.mark()
        tester.expect(lambda seen: is_datagram(seen, port) and seen.destination == destination, f"UDP {what}", since)
        tester.quiet(lambda seen: is_datagram(seen, port) and seen.destination != destination, what, since, 1.0)

    follow(home_address, "before the binding")
    tester.creg(care_of_address, 100, lifetime=2)
    follow(care_of_address, "while bound")
    tester.wait(8)
    follow(home_address, "after the binding has ended")


@family("port-unreachable")
def errors_of_the_host(tester: CorrespondentTester) -> None:
    """An ICMPv6 error of the host's own goes by the binding like any packet, and quotes what the host has seen."""
    care_of_address, port = tester.care_of[0], own_port(tester)
    tester.creg(care_of_address)
    tester.wait(SETTLED)
    since = tester.mark()
    upper = datagram(tester, port, b"nobody listens", destination_port=9)
    tester.from_care_of_address(care_of_address, wire.UDP, upper)
    error = tester.expect(lambda seen: seen.is_icmpv6(1), "Destination Unreachable", since)
    tester.check(error.upper[1] == 4, f"{error} instead of Port Unreachable")
    tester.between(error, care_of_address, "Port Unreachable")
    tester.routed(error, "Port Unreachable")
    quoted = wire.text(error.upper[8 + 8 : 8 + 24])
    tester.check(quoted == tester.home_address, f"the error quotes a packet from {quoted}")


def reply_in_parts(tester: CorrespondentTester, care_of_address: str, echo: Echo, since: float) -> list[Seen]:
    """The packets that an Echo Reply to the care-of address comes in, fragments or one; none if it does not come."""
    fragments: dict[bytes, dict[int, Seen]] = {}

    def complete(seen: Seen) -> bool:
        if seen.destination != care_of_address or seen.routing is None:
            return False
        if echo.is_reply(seen):
            fragments[b""] = {0: seen}
            return True
        if seen.protocol != wire.FRAGMENT:
            return False
        parts = fragments.setdefault(seen.upper[4:8], {})
        parts[int.from_bytes(seen.upper[2:4], "big") & ~7] = seen
        whole = b"".join(parts[offset].upper[8:] for offset in sorted(parts))
        return len(whole) == 8 + len(echo.data) and echo.is_reply(replace(seen, protocol=wire.ICMPV6, upper=whole))

    if tester.inbox.find(complete, since, ANSWER / 2) is None:
        return []
    return list(list(fragments.values())[-1].values()) if b"" not in fragments else list(fragments[b""].values())


def large_reply(
    tester: CorrespondentTester, care_of_address: str, send: Callable[[Echo], None], data: bytes, mtu: int
) -> list[Seen]:
    """Send large Echo Requests until a reply comes through; check its packets."""
    for _ in range(TRIES):
        echo, since = tester.echo(data), tester.mark()
        send(echo)
        parts = reply_in_parts(tester, care_of_address, echo, since)
        if parts:
            for part in parts:
                tester.routed(part, "a large reply")
                tester.check(len(part.octets) <= mtu, f"{len(part.octets)} octets in a packet, {mtu} are possible")
            return parts
    tester.check(False, "no reply to a large request")
    return []


@family("fragments")
def fragmented_request(tester: CorrespondentTester) -> None:
    """Fragments with the option before the Fragment header; the reply's come behind the routing header (6.3, 6.4)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.wait(SETTLED)

    def send(echo: Echo) -> None:
        upper = echo.request(tester.home_address, tester.correspondent)
        for offset in range(0, len(upper), 1200):
            part, more = upper[offset : offset + 1200], offset + 1200 < len(upper)
            fragment = wire.fragment_header(offset, more, tester.case.number << 16 | echo.sequence)
            extensions = [wire.home_address_header(tester.home_address), fragment]
            tester.send(wire.extended(care_of_address, tester.correspondent, extensions, wire.ICMPV6, part))

    parts = large_reply(tester, care_of_address, send, os.urandom(2000), MTU)
    tester.check(len(parts) != 1, "a reply of more than 2000 octets in one packet")


@family("too-big-for-link")
def too_big_for_the_link(tester: CorrespondentTester) -> None:
    """The host learns that the routing header needs room, and fragments (9.3.2)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.wait(SETTLED)

    def send(echo: Echo) -> None:  # by way of the home agent: without a Home Address option it is MTU octets long
        tester.from_home_address(wire.ICMPV6, echo.request(tester.home_address, tester.correspondent))

    parts = large_reply(tester, care_of_address, send, os.urandom(MTU - 48), MTU)
    tester.check(len(parts) != 1, "a reply that fits the link only without a routing header in one packet")


@family("too-big-on-path")
def too_big_on_the_path(tester: CorrespondentTester) -> None:
    """A Packet Too Big for a packet to the care-of address reaches the host as one for the home address (9.3.4)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.wait(SETTLED)

    def send(echo: Echo) -> None:
        upper = echo.request(tester.home_address, tester.correspondent)
        tester.from_care_of_address(care_of_address, wire.ICMPV6, upper)

    data = os.urandom(LARGE)
    (reply, *_) = large_reply(tester, care_of_address, send, data, MTU) or [None]
    if reply is None:
        return
    message = ICMPv6PacketTooBig(mtu=SMALLER_MTU) / Raw(reply.octets[:1232])
    upper = wire.upper_octets(ON_THE_WAY, tester.correspondent, message, wire.ICMPV6)
    tester.send(wire.extended(ON_THE_WAY, tester.correspondent, [], wire.ICMPV6, upper))
    tester.wait(SETTLED)
    parts = large_reply(tester, care_of_address, send, data, SMALLER_MTU)
    smallest_largest = max((len(part.octets) for part in parts), default=0)
    tester.check(smallest_largest > 1280, f"fragments of {smallest_largest} octets at most, {SMALLER_MTU} are possible")


@family("icmp-single")
def single_error(tester: CorrespondentTester) -> None:
    """One error is not persistent (9.3.4)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    echo, answer = tester.probe(care_of_address)
    if answer is None or not echo.is_reply(answer):
        tester.check(False, f"{answer or 'no answer'} instead of an Echo Reply")
        return
    unreachable(tester, answer)
    tester.wait(1)
    tester.bound(care_of_address)
    tester.optimised(care_of_address)


@family("gre-from-outside")
def tunnel_from_outside(tester: CorrespondentTester) -> None:
    """How the bridge carries packets inside is nobody's way in: such a packet from outside is dropped."""
    care_of_address, site = tester.care_of[0], tester.site
    if tester.case.parameters["bound"]:
        tester.creg(care_of_address)
    mac = site.macs[site.bridge]
    for key in (b"", b"\0\0\0\1"):
        flags = GRE_KEY_PRESENT if key else bytes(2)
        echo, since = tester.echo(), tester.mark()
        upper = echo.request(tester.home_address, tester.correspondent)
        inner = wire.extended(tester.home_address, tester.correspondent, [], wire.ICMPV6, upper)
        payload = flags + b"\x86\xdd" + key + inner
        site.far.send(ROUTER_MAC, mac, wire.extended(care_of_address, site.bridge, [], wire.GRE, payload))
        tester.quiet(echo.is_reply, "for a packet in GRE", since, QUIET / 2)


@family("redirected-host")
def redirected_host(tester: CorrespondentTester) -> None:
    """A host that was redirected to another router, whose address it has from the Redirect alone, is served as well."""
    number, site = tester.case.number, tester.site
    router, mac = address("fe80::", number, FIRST_OTHER), links.mac_of(number, FIRST_OTHER)
    site.far.own(router, mac, router=True)
    tester.plain()
    message = ICMPv6ND_Redirect(tgt=router, dst=tester.home_address) / ICMPv6NDOptDstLLAddr(lladdr=mac)
    upper = wire.upper_octets(ROUTER_LINK_LOCAL, tester.correspondent, message, wire.ICMPV6, hop_limit=255)
    tester.send(wire.extended(ROUTER_LINK_LOCAL, tester.correspondent, [], wire.ICMPV6, upper, hop_limit=255))
    tester.wait(SETTLED)
    _, answer = tester.ping_from_home()
    redirected = answer is not None and answer.mac_destination == mac
    tester.check(redirected, "the host does not heed the Redirect")
    tester.creg(tester.care_of[0])
    tester.optimised(tester.care_of[0])
    tester.bound(tester.care_of[0])
    tester.deregister(tester.care_of[0], 101)
    tester.plain()
    site.far.disown(router)
