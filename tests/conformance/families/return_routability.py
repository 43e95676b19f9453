"""A correspondent's validation of Mobility Headers, and the return routability procedure."""

from __future__ import annotations

import os
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import Change, CorrespondentTester
from tests.conformance.wire import Seen

PARAMETER_PROBLEM: Final = 4
MULTICAST_SOURCE: Final = "ff1e::6275"
UNKNOWN_TYPE: Final = 0xFF


def put(at: int, value: int, octets: int = 1) -> Change:
    """A change of some octets."""
    return lambda header: header[:at] + value.to_bytes(octets, "big") + header[at + octets :]


def source_of(tester: CorrespondentTester, test: str) -> str:
    return tester.home_address if test == "home" else tester.care_of[0]


def init_type(test: str) -> int:
    return wire.HOTI if test == "home" else wire.COTI


def answer_type(test: str) -> int:
    return wire.HOT if test == "home" else wire.COT


def changed_init(tester: CorrespondentTester, test: str, cookie: bytes, change: Change, *, check: bool = True) -> None:
    """Send a Home or Care-of Test Init with a change, and with the right checksum after it if `check`."""
    source = source_of(tester, test)
    header = change(tester.init(init_type(test), source, cookie))
    if check:
        header = wire.checked(header, source, tester.correspondent)
    if test == "home":
        tester.from_home_address(wire.MOBILITY, header)
    else:
        tester.send(wire.extended(source, tester.correspondent, [], wire.MOBILITY, header))


def is_test(seen: Seen) -> bool:
    return seen.is_mobility(wire.HOT) or seen.is_mobility(wire.COT)


def parameter_problem(tester: CorrespondentTester, source: str, pointer: int, since: float) -> None:
    """ICMPv6 Parameter Problem code 0 straight to the source on the wire (9.2)."""
    error = tester.expect(lambda seen: seen.destination == source, "Parameter Problem", since)
    right = error.is_icmpv6(PARAMETER_PROBLEM) and error.upper[1] == 0
    tester.check(right, f"{error} instead of Parameter Problem code 0")
    found = int.from_bytes(error.upper[4:8], "big")
    tester.check(found == pointer, f"pointer {found}, not {pointer}")
    tester.check(error.routing is None, "routing header in the Parameter Problem")
    tester.check(error.source == tester.correspondent, f"Parameter Problem from {error.source}")


@family("rr-basic")
def basic(tester: CorrespondentTester) -> None:
    tester.plain()
    tester.unbound(tester.care_of[0])
    tester.return_routability(tester.care_of[0])


@family("rr-hao")
def with_home_address_option(tester: CorrespondentTester) -> None:
    """A Test Init with a Home Address option: ignored (9.4.1, 9.4.2)."""
    care_of_address = tester.care_of[0]
    kind = init_type(tester.case.parameters["test"])
    since = tester.mark()
    header = tester.init(kind, tester.home_address, os.urandom(8))
    tester.send(tester.carried(care_of_address, tester.home_address, header))
    tester.quiet(is_test, "for a Test Init with a Home Address option", since)


@family("rr-field")
def wrong_field(tester: CorrespondentTester) -> None:
    """Payload Proto other than 59, or Header Len too short for the type (9.2)."""
    parameters = tester.case.parameters
    test, at = parameters["test"], parameters["at"]
    if parameters.get("bound"):
        tester.creg(tester.care_of[0])
    since = tester.mark()
    changed_init(tester, test, os.urandom(8), put(at, parameters["value"]))
    parameter_problem(tester, source_of(tester, test), 40 + at, since)


@family("rr-checksum")
def wrong_checksum(tester: CorrespondentTester) -> None:
    since = tester.mark()
    changed_init(tester, tester.case.parameters["test"], os.urandom(8), put(4, 0, 2), check=False)
    tester.quiet(is_test, "for a wrong checksum", since)


@family("rr-reserved")
def reserved(tester: CorrespondentTester) -> None:
    """The reserved octet of the Mobility Header, then the reserved field of the message."""
    test = tester.case.parameters["test"]
    for change in (put(3, 0xFF), put(6, 0xFFFF, 2)):
        cookie, since = os.urandom(8), tester.mark()
        changed_init(tester, test, cookie, change)
        tester.test(answer_type(test), source_of(tester, test), cookie, since)


@family("mh-unknown-type-cn")
def unknown_type(tester: CorrespondentTester) -> None:
    care_of_address, home_address = tester.care_of[0], tester.home_address
    if tester.case.parameters.get("bound"):
        tester.creg(care_of_address)
    since = tester.mark()
    changed_init(tester, "home", os.urandom(8), put(2, UNKNOWN_TYPE))
    answer = tester.expect(lambda seen: seen.destination == home_address, "answer to an unknown type", since)
    tester.check(answer.is_mobility(wire.BE), f"{answer} instead of a Binding Error")
    if answer.is_mobility(wire.BE):
        tester.refused_payload(answer, home_address, wire.UNSPECIFIED, "unknown type", status=2)

    since = tester.mark()
    header = tester.init(UNKNOWN_TYPE, MULTICAST_SOURCE, os.urandom(8))
    tester.send(wire.extended(MULTICAST_SOURCE, tester.correspondent, [], wire.MOBILITY, header))
    tester.silent("for a multicast source", since, MULTICAST_SOURCE, home_address, care_of_address)

    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 1, None, before=put(2, UNKNOWN_TYPE)))
    answer = tester.expect(lambda seen: seen.destination == care_of_address, "answer to an unknown type", since)
    tester.check(answer.is_mobility(wire.BE), f"{answer} instead of a Binding Error")
    if answer.is_mobility(wire.BE):
        tester.refused_payload(answer, care_of_address, home_address, "unknown type with an option", status=2)
