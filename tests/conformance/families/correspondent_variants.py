"""Messages and packets to a correspondent in unusual forms."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply
from scapy.packet import Raw

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import A, CorrespondentTester, H
from tests.conformance.families.update_forms import (
    PARAMETER_PROBLEM,
    Extension,
    destination_options,
    home_address_option,
    hop_by_hop,
    routing,
)
from tests.conformance.player import QUIET, SETTLED
from tests.conformance.site import ROUTER_MAC
from tests.conformance.tokens import AUTHENTICATOR, Token, Tokens
from tests.conformance.wire import Seen

FLAGS: Final = (0x2000, 0x1000, 0x0800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0FFF)  # all but A and H
AUTHORIZATION: Final = bytes((wire.AUTHORIZATION, AUTHENTICATOR)) + bytes(AUTHENTICATOR)


def update(
    tester: CorrespondentTester, sequence: int, tokens: Tokens, options: bytes, *, flags: int = A, lifetime: int = 10
) -> bytes:
    """A Binding Update from the first care-of address with just these octets of options, authorised at its end."""
    own = tester.care_of[0]
    data = b"".join(field.to_bytes(2, "big") for field in (sequence, flags, lifetime)) + options
    header = wire.mobility_header(wire.BU, data, own, tester.correspondent)
    if options.endswith(AUTHORIZATION):
        header = header[:-AUTHENTICATOR] + tokens.authenticator(own, tester.correspondent, header)
    return tester.carried(own, tester.home_address, header)


def indices(tokens: Tokens) -> bytes:
    return b"\x04\x04" + tokens.nonce_indices


@family("cbu-options")
def options_in_any_form(tester: CorrespondentTester) -> None:
    """6.2: any padding and order; what is not known, or means nothing here, is skipped. Reserved bits as well."""
    own = tester.care_of[0]
    tokens = tester.return_routability(own)
    forms = (
        indices(tokens),
        indices(tokens) + bytes(8),
        indices(tokens) + b"\x01\x06abcdef",
        bytes(8) + indices(tokens),
        b"\0" + indices(tokens) + b"\x01\x05" + bytes(5),
        b"\xff\x00" + indices(tokens) + b"\x01\x04" + bytes(4),
        indices(tokens) + b"\x02\x02\0\1\x01\x02\0\0",
        indices(tokens) + b"\0\0\x06\x12\x00\x40" + wire.packed("2001:db8:111::") + bytes(2),
    )
    for sequence, options in enumerate(forms, start=100):
        since = tester.mark()
        tester.send(update(tester, sequence, tokens, options + AUTHORIZATION))
        tester.registered(own, sequence, tokens, since)
    for sequence, flag in enumerate(FLAGS, start=200):
        since = tester.mark()
        tester.send(update(tester, sequence, tokens, indices(tokens) + AUTHORIZATION, flags=A | flag))
        tester.registered(own, sequence, tokens, since)
    tester.bound(own)


@family("cbu-options-wrong")
def wrong_options(tester: CorrespondentTester) -> None:
    """6.2.6, 6.2.7, 9.5.1: silently discarded."""
    own = tester.care_of[0]
    tokens = tester.return_routability(own)
    since = tester.mark()
    for options in (
        b"\x04\x02\0\1\0\0" + AUTHORIZATION,
        b"\x03\x60\0\0\0\0" + AUTHORIZATION,
        b"\x03\x04\0\0\0\0" + AUTHORIZATION,
        b"\x01\x04" + bytes(4) + AUTHORIZATION,
        b"\x01\x04" + bytes(4) + AUTHORIZATION + indices(tokens) + bytes(2),
        indices(tokens) + AUTHORIZATION[:1] + b"\x14" + bytes(20),
    ):
        tester.send(update(tester, 100, tokens, options))
    tester.silent("for wrong options", since)
    tester.unbound(own)


@family("cbu-key-mixed")
def mixed_tokens(tester: CorrespondentTester) -> None:
    """5.2.5: each token has its place in Kbm, and its own nonce index."""
    own = tester.care_of[0]
    tokens = tester.return_routability(own)
    assert tokens.care_of is not None
    home, care_of = tokens.home, tokens.care_of
    since = tester.mark()
    for mixed in (
        Tokens(care_of, home),
        Tokens(Token(home.index, care_of.value), Token(care_of.index, home.value)),
        Tokens(home, home),
        Tokens(care_of, care_of),
        Tokens(Token(home.index, bytes(8)), care_of),
    ):
        tester.send(tester.binding_update(own, 100, mixed))
    tester.silent("for tokens in each other's place", since)
    tester.register(own, 100, tokens)
    since = tester.mark()
    tester.send(tester.binding_update(own, 101, Tokens(Token(home.index, bytes(8))), lifetime=0))
    tester.send(tester.binding_update(own, 101, tokens, lifetime=0))  # a deletion with both tokens
    tester.silent("for a deletion that is not authorised", since)
    tester.bound(own)


@family("cbu-tokens-again")
def tokens_again(tester: CorrespondentTester) -> None:
    """5.2.7: tokens are good for several updates, the home token at any care-of address."""
    first, second = tester.care_of
    tokens = tester.creg(first)
    tester.register(first, 101, tokens)
    there = Tokens(tokens.home, tester.care_of_test(second))
    tester.register(second, 102, there)
    tester.bound(second)
    tester.register(first, 103, tokens)
    tester.bound(first)
    tester.unbound(second)


def expect_problem(tester: CorrespondentTester, packet: bytes, source: str, code: int, pointer: int, what: str) -> None:
    since = tester.mark()
    tester.send(packet)
    seen = tester.expect(
        lambda seen: seen.destination == source and seen.is_icmpv6(PARAMETER_PROBLEM),
        f"Parameter Problem, {what}",
        since,
    )
    found = (seen.upper[1], int.from_bytes(seen.upper[4:8], "big"))
    tester.check(found == (code, pointer), f"{what}: code and pointer {found}, not {(code, pointer)}")
    tester.between(seen, source, what)


@family("rr-headers")
def extension_headers(tester: CorrespondentTester) -> None:
    """RFC 8200 sections 4.2 and 4.4 before a Care-of Test Init; 9.2 in its order."""
    own = tester.care_of[0]

    def packet(cookie: bytes, extension: Extension) -> bytes:
        header = tester.init(wire.COTI, own, cookie)
        return wire.extended(own, tester.correspondent, [extension], wire.MOBILITY, header)

    good = (hop_by_hop(), destination_options(b"\x1e\x02\0\0"), routing(0, 0), wire.fragment_header(0, False, 5))
    for extension in good:
        cookie, since = os.urandom(8), tester.mark()
        tester.send(packet(cookie, extension))
        tester.test(wire.COT, own, cookie, since)
    problems: dict[str, tuple[Extension, int, int]] = {
        "option 10": (destination_options(b"\x9e\x02\0\0"), 2, 42),
        "option 11": (destination_options(b"\x01\x01\0\xde\x02\0\0"), 2, 45),
        "hop-by-hop option 10": (hop_by_hop(b"\x9e\x02\0\0"), 2, 42),
        "routing header 0": (routing(0, 1), 0, 42),
    }
    for what, (extension, code, pointer) in problems.items():
        expect_problem(tester, packet(bytes(8), extension), own, code, pointer, what)
    both = wire.mobility_header(wire.COTI, bytes(2), own, tester.correspondent, protocol=wire.ICMPV6)
    bare = wire.extended(own, tester.correspondent, [], wire.MOBILITY, both)
    expect_problem(tester, bare, own, 0, 40, "Payload Proto before Header Len")
    since = tester.mark()
    tester.send(packet(bytes(8), destination_options(b"\x5e\x02\0\0")))
    tester.send(wire.extended(own, tester.correspondent, [], wire.MOBILITY, b"\x3b\x02\x02\0\0\0\0\0"))
    tester.send(wire.extended(own, tester.correspondent, [], wire.MOBILITY, b"\x3b\0\x02"))
    tester.silent("for option 01, or less than was announced", since)


@family("hao-forms")
def options_with_home_address(tester: CorrespondentTester) -> None:
    """9.3.1 and RFC 8200 section 4.2: what else is in the header of a Home Address option, or behind it."""
    own = tester.care_of[0]
    home = home_address_option(tester.home_address)
    header = wire.home_address_header(tester.home_address)
    tester.creg(own)
    time.sleep(SETTLED)

    def packet(extensions: list[Extension]) -> tuple[Callable[[Seen], bool], bytes]:
        echo = tester.echo()
        request = echo.request(tester.home_address, tester.correspondent)
        return echo.is_reply, wire.extended(own, tester.correspondent, extensions, wire.ICMPV6, request)

    for extensions in (
        [destination_options(b"\x1e\x02\0\0", home)],
        [destination_options(b"\x01\x02\0\0", home, b"\x1e\x06abcdef")],
        [destination_options(b"\x04\x01\x05\0", home)],
        [destination_options(b"\x01\x02\xff\xff", home)],
        [header, destination_options(b"\x1e\x02\0\0")],
        [hop_by_hop(b"\x05\x02\0\0"), header],
        [header, wire.fragment_header(0, False, 9)],
    ):
        is_reply, octets = packet(extensions)
        since = tester.mark()
        tester.send(octets)
        seen = tester.expect(is_reply, "Echo Reply", since)
        tester.between(seen, own, "Echo Reply")
        tester.routed(seen, "the Echo Reply")
    problems: dict[str, tuple[list[Extension], int]] = {
        "option 10": ([destination_options(b"\x9e\x02\0\0", home)], 42),
        "option 11": ([destination_options(b"\xde\x02\0\0", home)], 42),
        "option 10 behind": ([destination_options(b"\x01\x02\0\0", home, b"\x9e\x02\0\0")], 64),
        "hop-by-hop option 10": ([hop_by_hop(b"\x9e\x02\0\0"), header], 42),
    }
    for what, (extensions, pointer) in problems.items():
        expect_problem(tester, packet(extensions)[1], own, 2, pointer, what)
    since = tester.mark()
    for extensions in (
        [destination_options(b"\x5e\x02\0\0", home)],
        [wire.type_2_routing_header(tester.home_address), header],
    ):
        tester.send(packet(extensions)[1])
    tester.quiet(lambda seen: seen.destination == own, "for what is to be discarded", since, QUIET)


@family("hao-no-binding-kinds")
def payloads_without_binding(tester: CorrespondentTester) -> None:
    """9.3.1: Binding Error 1 for every payload but those of IPsec and Mobility Headers."""
    own, home, correspondent = tester.care_of[0], tester.home_address, tester.correspondent
    header = wire.home_address_header(home)
    payloads = (
        (wire.TCP, wire.upper_octets(home, correspondent, TCP(sport=1, dport=2), wire.TCP)),
        (wire.UDP, wire.upper_octets(home, correspondent, UDP(sport=1, dport=2) / Raw(b"xx"), wire.UDP)),
        (wire.NO_NEXT_HEADER, b""),
        (253, b"anything"),
        (wire.ICMPV6, wire.upper_octets(home, correspondent, ICMPv6EchoReply(), wire.ICMPV6)),
        (wire.ICMPV6, wire.upper_octets(home, correspondent, ICMPv6DestUnreach() / Raw(bytes(48)), wire.ICMPV6)),
    )
    for protocol, upper in payloads:
        since = tester.mark()
        tester.send(wire.extended(own, correspondent, [header], protocol, upper))
        seen = tester.expect(lambda seen: seen.destination == own, f"Binding Error for protocol {protocol}", since)
        tester.check(seen.is_mobility(wire.BE), f"{seen} instead of a Binding Error for protocol {protocol}")
        if seen.is_mobility(wire.BE):
            tester.refused_payload(seen, own, home, f"protocol {protocol}")
    since = tester.mark()
    group = wire.extended(own, wire.ALL_NODES, [header], wire.ICMPV6, tester.echo().request(home, wire.ALL_NODES))
    tester.site.far.send(ROUTER_MAC, wire.multicast_mac(wire.ALL_NODES), group)
    tester.quiet(lambda seen: seen.destination == own and seen.is_mobility(wire.BE), "for a packet to a group", since)


@family("c139-stays")
def type_change_without_options(tester: CorrespondentTester) -> None:
    """9.5.1, 9.5.4: 139 and 135 are told although A is not set, and change nothing."""
    own = tester.care_of[0]
    tokens = tester.creg(own)
    since = tester.mark()
    tester.send(tester.binding_update(own, 101, None, flags=H))
    tester.refused(tester.acknowledged(own, since, None), 139, 101)
    since = tester.mark()
    tester.send(tester.binding_update(own, 99, tokens, flags=0))
    tester.refused(tester.acknowledged(own, since, tokens), 135, 100)
    tester.bound(own)
