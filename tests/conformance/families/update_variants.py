"""Binding Updates in unusual forms: options, extension headers, flags, lifetimes, addresses, de-registrations."""

from __future__ import annotations

import time
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.families.registration import probe_for, to
from tests.conformance.families.update_forms import (
    PARAMETER_PROBLEM,
    A,
    Extension,
    H,
    K,
    L,
    accepted,
    all_silent,
    alternate,
    answered,
    destination_options,
    expect_problem,
    expect_status,
    home_address_option,
    hop_by_hop,
    one_after_the_other,
    routing,
    update,
)
from tests.conformance.home_agent_site import ANYCAST, HOME
from tests.conformance.links import FIRST_OTHER
from tests.conformance.player import SETTLED
from tests.conformance.site import address
from tests.conformance.tester import LIFETIME, Tester

# Flags of extensions: M (RFC 4140), R (RFC 3963), P (RFC 5213), F (RFC 5555), and the rest
OTHER_FLAGS: Final = (0x0800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0FFF)
MOBILE_NETWORK_PREFIX: Final = b"\x06\x12\x00\x40" + wire.packed("2001:db8:111::")  # RFC 3963 section 4.3


@family("bu-options")
def options_in_any_form(tester: Tester) -> None:
    """6.2: any order and padding; what is not known, or has no meaning here, is skipped."""
    own = tester.care_of[0]
    unaligned = alternate(own, b"")
    forms = {
        "none": b"",
        "Pad1 only": bytes(4),
        "a run of Pad1": bytes(10) + unaligned,
        "PadN with octets": b"\x01\x08" + b"\xff" * 8 + unaligned,
        "PadN with octets behind": alternate(own) + b"\x01\x06abcdef",
        "the longest PadN": b"\x01\xff" + bytes(255) + unaligned,
        "not aligned": b"\0" + unaligned,
        "unknown behind": alternate(own) + b"\xc8\x06unknwn",
        "unknown before": b"\xc8\x04wxyz\x01\x02\0\0" + alternate(own),
        "unknown and empty": b"\xc8\x00" + unaligned,
        "the same address twice": alternate(own) + b"\x01\x04\0\0\0\0" + unaligned,
        "Binding Refresh Advice": b"\x02\x02\0\x05" + alternate(own, b"\x01\x04\0\0\0\0"),
        "Mobile Network Prefix": alternate(own) + bytes(2) + MOBILE_NETWORK_PREFIX,
        "Binding Authorization Data": alternate(own) + b"\x01\x02\0\0\x05\x0c" + bytes(12),
        "Mobile Node Identifier": alternate(own) + b"\x08\x06\x01a@b.c",
    }
    one_after_the_other(
        tester, {what: lambda n, options=options: update(tester, own, n, options) for what, options in forms.items()}
    )


@family("bu-options-malformed")
def malformed_options(tester: Tester) -> None:
    """Silently discarded, and no binding."""
    own = tester.care_of[0]
    forms = {
        "Alternate Care-of Address of 17": b"\x03\x11" + wire.packed(own) + b"\0",
        "Alternate Care-of Address of 8": b"\x03\x08" + bytes(8),
        "Alternate Care-of Address past the end": b"\x03\x40" + wire.packed(own),
        "unknown option past the end": b"\xc8\x20\0\0",
        "PadN past the end": b"\x01\x20\0\0",
        "a type without a length": alternate(own) + bytes(7) + b"\xc8",
        "Nonce Indices with H": b"\x04\x04\0\x01\0\x02" + alternate(own, b"\x01\x02\0\0"),
        "IPv4-mapped care-of address": alternate("::ffff:192.0.2.1"),
    }
    all_silent(tester, {what: update(tester, own, 15, options) for what, options in forms.items()}, own)
    tester.unbound(own)


@family("bu-headers")
def extension_headers(tester: Tester) -> None:
    """Headers and options that are no obstacle (RFC 8200 sections 4.1, 4.2 and 4.4)."""
    own, home = tester.care_of[0], home_address_option(tester.home_address)
    option = wire.home_address_header(tester.home_address)
    forms = {
        "Hop-by-Hop Options": [hop_by_hop(), option],
        "Router Alert": [hop_by_hop(b"\x05\x02\0\0"), option],
        "unknown option 00 before": [destination_options(b"\x1e\x02\0\0", home)],
        "unknown option 00 behind": [destination_options(b"\x01\x02\0\0", home, b"\x1e\x02\0\0")],
        "not aligned": [destination_options(home)],
        "a run of Pad1": [destination_options(bytes(4), home)],
        "PadN with octets": [destination_options(b"\x01\x02\xff\xff", home, b"\x01\x06abcdef")],
        "more Destination Options": [option, destination_options(b"\x1e\x04abcd")],
        "routing header that is used up": [routing(0, 0), option],
        "atomic fragment": [option, wire.fragment_header(0, False, 77)],
    }
    one_after_the_other(
        tester, {what: lambda n, form=form: update(tester, own, n, extensions=form) for what, form in forms.items()}
    )


@family("bu-headers-wrong")
def wrong_extension_headers(tester: Tester) -> None:
    """What is discarded silently, and what draws a Parameter Problem (RFC 8200 sections 4.1, 4.2 and 4.4)."""
    own, home = tester.care_of[0], home_address_option(tester.home_address)
    option = wire.home_address_header(tester.home_address)
    silent = {
        "two Home Address options": [wire.home_address_header(tester.home_address, tester.home_address)],
        "two headers with one": [option, option],
        "Home Address option of 17": [destination_options(b"\xc9\x11" + wire.packed(tester.home_address) + b"\0")],
        "behind the Fragment header": [wire.fragment_header(0, False, 5), option],
        "before a routing header": [option, routing(0, 0)],
        "unknown option 01": [destination_options(b"\x5e\x02\0\0", home)],
        "hop-by-hop option 01": [hop_by_hop(b"\x5e\x02\0\0"), option],
        "Type 2 Routing header": [wire.type_2_routing_header(tester.home_address), option],
    }
    all_silent(tester, {what: update(tester, own, 15, extensions=form) for what, form in silent.items()}, own)
    problems: dict[str, tuple[list[Extension], int, int]] = {
        "unknown option 10": ([destination_options(b"\x9e\x02\0\0", home)], 2, 42),
        "unknown option 11": ([destination_options(b"\xde\x02\0\0", home)], 2, 42),
        "unknown option 10 behind": ([destination_options(b"\x01\x02\0\0", home, b"\x9e\x02\0\0")], 2, 64),
        "hop-by-hop option 10": ([hop_by_hop(b"\x9e\x02\0\0"), option], 2, 42),
        "Home Address option hop by hop": ([hop_by_hop(b"\x01\x02\0\0", home)], 2, 46),
        "routing header 0": ([routing(0, 1), option], 0, 42),
        "unknown routing header": ([routing(99, 1), option], 0, 42),
        "Hop-by-Hop Options that are not first": ([option, hop_by_hop()], 1, 40),
    }
    for what, (form, code, pointer) in problems.items():
        expect_problem(tester, update(tester, own, 15, extensions=form), own, code, pointer, what)
    tester.unbound(own)


@family("bu-fragmented")
def in_fragments(tester: Tester) -> None:
    """Acknowledged, and nothing else: in this order and the other."""
    own, option = tester.care_of[0], wire.home_address_header(tester.home_address)
    for sequence, order in ((15, (0, 1)), (16, (1, 0))):
        header = update(tester, own, sequence)[64:]
        parts = ((0, True, header[:16]), (16, False, header[16:]))
        since = tester.mark()
        for offset, more, part in (parts[i] for i in order):
            extensions = [option, wire.fragment_header(offset, more, 4000 + sequence)]
            tester.send_far(wire.extended(own, tester.site.home_agent, extensions, wire.MOBILITY, part))
        tester.registered(own, sequence, since)
        tester.quiet(lambda seen: seen.is_icmpv6(PARAMETER_PROBLEM), "beside the acknowledgement", since, 0.5)


@family("bu-flags")
def flags_of_extensions(tester: Tester) -> None:
    """What this home agent does not serve is not confirmed: RFC 3963 section 6.6 for R."""
    own = tester.care_of[0]
    for sequence, flag in enumerate((K, *OTHER_FLAGS), start=15):
        options = alternate(own) + bytes(2) + MOBILE_NETWORK_PREFIX if flag == 0x0400 else None
        answer = accepted(tester, update(tester, own, sequence, options, flags=A | H | flag), own, sequence)
        tester.check(answer.upper[7] == 0, f"flags {answer.upper[7]:#04x} in the acknowledgement of {flag:#06x}")
    tester.bound(own)


@family("bu-without-option")
def without_home_address_option(tester: Tester) -> None:
    """10.3.1: the source is the home address then, and no home prefix has it: 132, to it and not by routing header."""
    own = tester.care_of[0]
    since = tester.mark()
    tester.send_far(update(tester, own, 15, home=None))
    seen, found = tester.acknowledgement(own, since)
    tester.refused(found, 132, 15)
    tester.check(seen.routing is None, "routing header to the source address")


@family("bu-taken-address")
def addresses_of_others(tester: Tester) -> None:
    """Home addresses that are the home agent's or a router's, and care-of addresses that lead back, are refused."""
    own, other = tester.care_of[0], address(HOME, tester.case.number, FIRST_OTHER)
    for home in (tester.site.home_agent, ANYCAST, HOME):
        found = answered(tester, update(tester, own, 15, home=home), own)
        tester.check(found.status >= 128, f"status {found.status} for the home address {home}")
    for sequence, back in enumerate((tester.site.home_agent, ANYCAST, other), start=15):
        found = answered(tester, update(tester, own, sequence, alternate(back)), own)
        tester.check(found.status >= 128, f"status {found.status} for the care-of address {back}")
    tester.unbound(own)
    tester.reg(own, 20)
    found = answered(tester, update(tester, own, 15, alternate(tester.home_address), home=other), own)
    tester.check(found.status >= 128, "a bound home address is taken as care-of address")


@family("mh-unknown-away")
def unknown_type_away(tester: Tester) -> None:
    """9.2, 9.3.3: Binding Error 2 to the care-of address, with the home address of the option, bound or not."""
    own = tester.care_of[0]
    for mh_type, protocol, home in ((255, 59, ""), (254, 58, ""), (100, 59, None)):
        since = tester.mark()
        tester.send_far(update(tester, own, 15, mh_type=mh_type, protocol=protocol, home=home))
        seen = tester.expect(to(own), "Binding Error", since)
        tester.check(seen.is_mobility(wire.BE) and seen.routing is None, f"{seen} instead of a Binding Error")
        if seen.is_mobility(wire.BE):
            tester.binding_error(seen, 2, wire.UNSPECIFIED if home is None else tester.home_address)
        if mh_type == 255:
            tester.reg(own, 15)
    tester.bound(own)


@family("mh-other-types")
def known_types(tester: Tester) -> None:
    """Messages for others draw nothing if they are right, and Parameter Problem if Header Len is too short (9.2)."""
    own, home_agent = tester.care_of[0], tester.site.home_agent
    bodies = {wire.BRR: 2, wire.HOTI: 10, wire.COTI: 10, wire.HOT: 18, wire.COT: 18, wire.BA: 10, wire.BE: 18}
    messages = {
        wire.MOBILITY_MESSAGES[mh_type]: wire.extended(
            own, home_agent, [], wire.MOBILITY, wire.mobility_header(mh_type, bytes(length), own, home_agent)
        )
        for mh_type, length in bodies.items()
    }
    all_silent(tester, messages, own)
    for mh_type, length in bodies.items():
        if length == 2:  # it cannot be shorter
            continue
        short = wire.mobility_header(mh_type, bytes(2), own, home_agent)
        packet = wire.extended(own, home_agent, [], wire.MOBILITY, short)
        expect_problem(tester, packet, own, 0, 41, wire.MOBILITY_MESSAGES[mh_type])
    both = wire.mobility_header(wire.BU, bytes(10), own, home_agent, protocol=wire.ICMPV6)
    both = wire.checked(both[:1] + b"\0" + both[2:], own, home_agent)  # the sum is over all of it
    expect_problem(tester, wire.extended(own, home_agent, [], wire.MOBILITY, both), own, 0, 40, "Payload Proto first")


@family("bu-lifetimes")
def lifetimes(tester: Tester) -> None:
    """The longest is cut to what is configured, the shortest is granted, and the binding ends with it."""
    own = tester.care_of[0]
    since = tester.mark()
    tester.send_far(update(tester, own, 15, lifetime=0xFFFF))
    longest = tester.registered(own, 15, since, 0xFFFF).lifetime
    tester.check(longest > LIFETIME, f"lifetime {longest} for the longest")
    since = tester.mark()
    tester.send_far(update(tester, own, 16, lifetime=1))
    found = tester.registered(own, 16, since, 1)
    tester.check(found.lifetime == 1, f"lifetime {found.lifetime}, not 1")
    time.sleep(4.5)
    tester.unbound(own)


@family("bu-type-change")
def type_change(tester: Tester) -> None:
    """9.5.1: 139, and the home registration stays; nobody answers H=0 without one."""
    own = tester.care_of[0]
    all_silent(tester, {"H=0": update(tester, own, 15, flags=A)}, own)
    tester.reg(own, 15)
    expect_status(tester, update(tester, own, 16, flags=A), own, 139, "H=0")
    tester.bound(own)


@family("bu-alternate")
def another_care_of_address(tester: Tester) -> None:
    """6.2.5: the option's address is bound, the source address gets the acknowledgement."""
    own, other = tester.care_of
    accepted(tester, update(tester, own, 15, alternate(other)), own, 15)
    tester.unbound(own)
    tester.bound(other)


@family("dereg-forms")
def deregistrations(tester: Tester) -> None:
    """10.3.2, in all forms, from the care-of address and another one; and a delayed Binding Update after it."""
    own, other = tester.care_of
    home = tester.home_address
    forms: tuple[tuple[str, str, bytes, int], ...] = (
        ("without option", own, b"", 0),
        ("Alternate Care-of Address is the home address", own, alternate(home), 0),
        ("as in RFC 3775", own, alternate(home), LIFETIME),
        ("from elsewhere", other, alternate(other), 0),
    )
    sequence = 15
    for what, source, options, lifetime in forms:
        tester.reg(own, sequence)
        packet = update(tester, source, sequence + 2, options, lifetime=lifetime)
        found = expect_status(tester, packet, source, 0, what)
        tester.check((found.sequence, found.lifetime) == (sequence + 2, 0), f"{what}: {found}")
        tester.unbound(own)
        late = expect_status(tester, update(tester, own, sequence + 1), own, 135, f"{what}, a delayed one")
        tester.check(late.sequence == sequence + 2, f"{what}: sequence number {late.sequence}")
        sequence += 3


@family("dereg-forms-home")
def deregistrations_at_home(tester: Tester) -> None:
    """10.3.2: with and without options, the acknowledgement goes straight to the mobile node."""
    tester.arrive_home()
    home, sequence = tester.home_address, 15
    forms: tuple[tuple[bytes | None, str | None, int], ...] = (
        (None, None, 0),
        (b"", None, 0),
        (None, "", 0),
        (None, None, LIFETIME),
    )
    for options, option, lifetime in forms:
        tester.reg(tester.care_of[0], sequence, link_local=True)
        since = tester.mark()
        packet = update(tester, home, sequence + 1, options, home=option, lifetime=lifetime, flags=A | H | L)
        tester.send_home(packet)
        found = tester.acknowledged_at_home(since)
        tester.check((found.status, found.lifetime) == (0, 0), f"status {found.status}, lifetime {found.lifetime}")
        sequence += 2


@family("bu-during-dad")
def during_duplicate_address_detection(tester: Tester) -> None:
    """A stale one is refused at once, one from elsewhere takes the place of what waits, a de-registration ends it."""
    first, second = tester.care_of
    since = tester.mark()
    tester.send_far(update(tester, first, 15))
    tester.expect(probe_for(tester.home_address), "DAD probe", since)
    expect_status(tester, update(tester, second, 14), second, 135, "a stale one")
    accepted(tester, update(tester, second, 16), second, 16)
    tester.bound(second)
    tester.check(not any(map(to(first), tester.inbox.since(since))), "an answer to what was replaced")
    expect_status(tester, update(tester, second, 17, lifetime=0), second, 0, "de-registration")
    since = tester.mark()
    tester.send_far(update(tester, first, 18))
    tester.expect(probe_for(tester.home_address), "DAD probe", since)
    found = expect_status(tester, update(tester, first, 19, lifetime=0), first, 0, "de-registration of what waits")
    tester.check(found.lifetime == 0, f"lifetime {found.lifetime}")
    time.sleep(1.0 + SETTLED)
    tester.unbound(first)
