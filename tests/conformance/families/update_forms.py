"""Binding Updates to a home agent, made octet by octet, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tests.conformance import wire
from tests.conformance.families.registration import to
from tests.conformance.tester import LIFETIME, Tester
from tests.conformance.wire import Acknowledgement, Seen

A, H, L, K = 0x8000, 0x4000, 0x2000, 0x1000  # flags (RFC 6275 section 6.1.7)
PARAMETER_PROBLEM: Final = 4
Extension = tuple[int, bytes]


def filled(content: bytes, start: int) -> bytes:
    """Padding behind `content`, which begins `start` octets after a multiple of 8."""
    missing = -(start + len(content)) % 8
    return content + (bytes(missing) if missing < 2 else bytes((wire.PADN, missing - 2)) + bytes(missing - 2))


def alternate(care_of_address: str, padding: bytes = b"\x01\0") -> bytes:
    """The option, by itself at its alignment of 8n + 6 (6.2.5)."""
    return padding + bytes((wire.ALTERNATE_CARE_OF_ADDRESS, 16)) + wire.packed(care_of_address)


def options_header(number: int, *options: bytes) -> Extension:
    """Hop-by-Hop or Destination Options as they are given, filled up."""
    content = filled(b"".join(options), 2)
    return number, bytes(((len(content) + 2) // 8 - 1,)) + content


def destination_options(*options: bytes) -> Extension:
    return options_header(wire.DESTINATION_OPTIONS, *options)


def hop_by_hop(*options: bytes) -> Extension:
    return options_header(wire.HOP_BY_HOP, *options)


def routing(routing_type: int, segments_left: int) -> Extension:
    return wire.ROUTING, bytes((2, routing_type, segments_left, 0, 0, 0, 0)) + wire.packed("2001:db8:9::9")


def home_address_option(home_address: str) -> bytes:
    return bytes((wire.HOME_ADDRESS_OPTION, 16)) + wire.packed(home_address)


def update(
    tester: Tester,
    source: str,
    sequence: int,
    options: bytes | None = None,
    *,
    flags: int = A | H,
    lifetime: int = LIFETIME,
    home: str | None = "",
    mh_type: int = wire.BU,
    protocol: int = wire.NO_NEXT_HEADER,
    extensions: Sequence[Extension] | None = None,
) -> bytes:
    """A Binding Update, in clear. `options` None: an Alternate Care-of Address; `home` "" is ours, None without."""
    home = tester.home_address if home == "" else home
    fields = b"".join(field.to_bytes(2, "big") for field in (sequence, flags, lifetime))
    data = filled(fields + (alternate(source) if options is None else options), 6)
    header = wire.mobility_header(mh_type, data, home or source, tester.site.home_agent, protocol)
    if extensions is None:
        extensions = [] if home is None else [wire.home_address_header(home)]
    return wire.extended(source, tester.site.home_agent, extensions, wire.MOBILITY, header)


def accepted(tester: Tester, packet: bytes, source: str, sequence: int, lifetime: int = LIFETIME) -> Seen:
    """Send it, and check that the first answer says yes."""
    since = tester.mark()
    tester.send_far(packet)
    tester.registered(source, sequence, since, lifetime)
    return tester.expect(to(source), "answer", since)


def answered(tester: Tester, packet: bytes, source: str) -> Acknowledgement:
    since = tester.mark()
    tester.send_far(packet)
    return tester.acknowledgement(source, since)[1]


def expect_status(tester: Tester, packet: bytes, source: str, status: int, what: str) -> Acknowledgement:
    found = answered(tester, packet, source)
    tester.check(found.status == status, f"{what}: status {found.status}, not {status}")
    return found


def all_silent(tester: Tester, packets: dict[str, bytes], *destinations: str) -> None:
    """Send all, and check that nothing comes of any."""
    since = tester.mark()
    for packet in packets.values():
        tester.send_far(packet)
    tester.quiet(to(*destinations), f"for one of: {', '.join(packets)}", since)


def expect_problem(tester: Tester, packet: bytes, source: str, code: int, pointer: int, what: str) -> None:
    since = tester.mark()
    tester.send_far(packet)
    error = tester.expect(to(source), f"Parameter Problem, {what}", since)
    right = error.is_icmpv6(PARAMETER_PROBLEM) and error.upper[1] == code
    tester.check(right, f"{what}: {error} instead of Parameter Problem code {code}")
    found = int.from_bytes(error.upper[4:8], "big")
    tester.check(found == pointer, f"{what}: pointer {found}, not {pointer}")
    tester.check(packet.startswith(error.upper[8:]), f"{what}: the packet is not quoted")


def one_after_the_other(tester: Tester, packets: dict[str, Callable[[int], bytes]]) -> None:
    """Good Binding Updates from the first care-of address; each is given its sequence number."""
    for sequence, (what, packet) in enumerate(packets.items(), start=15):
        before = len(tester.problems)
        accepted(tester, packet(sequence), tester.care_of[0], sequence)
        tester.check(len(tester.problems) == before, f"... {what}")
    tester.bound(tester.care_of[0])
