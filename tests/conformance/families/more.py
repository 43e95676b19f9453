"""Steps of families that the catalogue's document has beyond its cases."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.families.discovery import with_checksum
from tests.conformance.families.neighbours import ask, claims
from tests.conformance.links import MOBILE_NODE
from tests.conformance.player import QUIET
from tests.conformance.site import address
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

PARAMETER_PROBLEM: Final = 4
ELSEWHERE: Final = "2001:db8:200::"  # no home prefix


def rechecked(tester: Tester, source: str, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change to a Mobility Header with the right checksum after it."""

    def apply(upper: bytes) -> bytes:
        changed = change(upper)
        changed = changed[:4] + bytes(2) + changed[6:]
        value = wire.checksum(source, tester.site.home_agent, wire.MOBILITY, changed)
        return changed[:4] + value.to_bytes(2, "big") + changed[6:]

    return apply


def put(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda upper: upper[:at] + bytes((value,)) + upper[at + 1 :]


@family("mh-field")
def field_draws_parameter_problem(tester: Tester) -> None:
    """Section 9.2: Payload Proto other than 59, or Header Len too short for the type, with the pointer at it."""
    parameters = tester.case.parameters
    at, value, at_home = parameters["at"], parameters["value"], parameters["at_home"]
    source = tester.home_address if at_home else tester.care_of[0]
    change = rechecked(tester, tester.home_address, put(at, value))
    since = tester.mark()
    if at_home:
        tester.arrive_home()
        tester.send_home(tester.binding_update(source, 15, lifetime=0, home_address_option=None, change=change))
    else:
        tester.send_far(tester.binding_update(source, 15, change=change))
    error = tester.expect(lambda seen: seen.destination == source, "Parameter Problem", since)
    right = error.is_icmpv6(PARAMETER_PROBLEM) and error.upper[1] == 0
    tester.check(right, f"{error} instead of Parameter Problem code 0")
    pointer = int.from_bytes(error.upper[4:8], "big")
    wanted = at + (40 if at_home else 64)
    tester.check(pointer == wanted, f"pointer {pointer}, not {wanted}")


@family("bu-ignored-parts")
def ignored_parts(tester: Tester) -> None:
    """Reserved bits (6.1.7) and unknown mobility options (6.2) are skipped."""
    unknown = bytes((200, 6)) + b"unknwn"

    def change(upper: bytes) -> bytes:
        if tester.case.parameters["part"] == "reserved":
            return put(9, upper[9] | 1)(upper)
        return put(1, upper[1] + 1)(upper + unknown)

    care_of_address = tester.care_of[0]
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 15, change=rechecked(tester, tester.home_address, change)))
    tester.registered(care_of_address, 15, since)


@family("bu-not-home-subnet")
def not_home_subnet(tester: Tester) -> None:
    """10.3.1: status 132."""
    stranger = address(ELSEWHERE, tester.case.number, MOBILE_NODE)
    since = tester.mark()
    tester.send_far(tester.binding_update(tester.care_of[0], 15, home_address_option=stranger))
    seen, found = tester.acknowledgement(tester.care_of[0], since)
    tester.refused(found, 132, 15)
    tester.check(seen.routing and seen.routing.address == stranger, "no Type 2 Routing Header as it should be")


@family("bu-care-of")
def unusable_care_of_address(tester: Tester) -> None:
    """6.1.7: a care-of address that is not unicast routable: silently discarded."""
    care_of_address = tester.care_of[0]
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 15, alternate=tester.case.parameters["alternate"]))
    tester.quiet(lambda seen: seen.destination == care_of_address, "for an unusable care-of address", since)


@family("dereg-badseq-foreign")
def stale_away(tester: Tester) -> None:
    care_of_address = tester.care_of[0]
    tester.reg(care_of_address, 15)
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 14, lifetime=0))
    tester.refused(tester.acknowledged_away(care_of_address, since), 135, 15)


@family("expiry")
def expiry(tester: Tester) -> None:
    """What is not refreshed ends: interception and the defence of the address with it."""
    tester.site.home.own(tester.neighbour, tester.neighbour_mac)
    granted = tester.reg(tester.care_of[0], 15, lifetime=2).lifetime
    time.sleep(4 * granted + 1.0)
    since = tester.mark()
    ask(tester, "mm", tester.neighbour, tester.home_address, tester.home_address)
    tester.quiet(lambda seen: claims(seen, tester.home_address), "after the lifetime", since)
    tester.reg(tester.care_of[1], 3)


@family("bu-repeated")
def repeated_while_tested(tester: Tester) -> None:
    """A mobile node that repeats its Binding Update during Duplicate Address Detection gets one answer that counts."""
    care_of_address = tester.care_of[0]
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 15))
    time.sleep(0.4)
    tester.send_far(tester.binding_update(care_of_address, 16))
    seen = tester.expect(
        lambda seen: seen.destination == care_of_address and seen.is_mobility(wire.BA)
        and wire.Acknowledgement.of(seen).sequence == 16,
        "Binding Acknowledgement for the later one", since,
    )  # fmt: skip
    tester.check(wire.Acknowledgement.of(seen).status in (0, 1), f"{seen} for the later one")
    start = time.time()
    tester.check(start - since < 1.9, "Duplicate Address Detection starts again with each repetition")


@family("mps-unbound")
def prefix_solicitation_unbound(tester: Tester) -> None:
    """A Home Address option without a binding (9.3.1)."""
    care_of_address, home_agent = tester.care_of[0], tester.site.home_agent
    message = bytes((wire.PREFIX_SOLICITATION, 0, 0, 0, 0x12, 0x34, 0, 0))
    upper = with_checksum(tester.home_address, home_agent, message)
    since = tester.mark()
    packet = wire.packet(care_of_address, home_agent, wire.ICMPV6, upper, home_address=tester.home_address)
    tester.send_far(packet)

    def answer(seen: Seen) -> bool:
        return seen.destination == care_of_address

    seen = tester.expect(answer, "Binding Error", since, QUIET)
    tester.check(seen.is_mobility(wire.BE), f"{seen} instead of a Binding Error")


@family("dhaad-unicast")
def address_discovery_by_unicast(tester: Tester) -> None:
    """10.5: a request to the home agent's own address is answered as well."""
    source, home_agent = tester.care_of[0], tester.site.home_agent
    head = bytes((wire.DHAAD_REQUEST, 0, 0, 0, 0x43, 0x21, 0, 0))
    since = tester.mark()
    tester.send_far(wire.packet(source, home_agent, wire.ICMPV6, with_checksum(source, home_agent, head)))
    seen = tester.expect(lambda seen: seen.destination == source, "home agent address discovery reply", since)
    tester.check(seen.is_icmpv6(wire.DHAAD_REPLY), f"{seen} instead of a home agent address discovery reply")
    tester.check(seen.upper[4:6] == b"\x43\x21", "the identifier is not that of the request")
