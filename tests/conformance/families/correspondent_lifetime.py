"""Lifetimes of a correspondent's bindings, and what ends them."""

from __future__ import annotations

from typing import Final

from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.packet import Raw

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.wire import Seen

UNIT: Final = 4  # seconds
MAX_RR_BINDING_LIFETIME: Final = 420  # seconds (RFC 6275 section 12)
ON_THE_WAY: Final = "2001:db8:5100::1"  # a router
BETWEEN_ERRORS: Final = 2.0  # seconds


@family("clife-expiry")
def expiry(tester: CorrespondentTester) -> None:
    care_of_address, lifetime = tester.care_of[0], tester.case.parameters["lifetime"]
    tester.creg(care_of_address, lifetime=lifetime)
    start = tester.mark()
    tester.bound(care_of_address)
    tester.wait(UNIT * lifetime + 1 - (tester.mark() - start))
    tester.unbound(care_of_address)


@family("clife-cap")
def capped(tester: CorrespondentTester) -> None:
    """Never longer than MAX_RR_BINDING_LIFETIME (5.2.6)."""
    care_of_address, lifetime = tester.care_of[0], tester.case.parameters["lifetime"]
    tokens = tester.return_routability(care_of_address)
    found = tester.register(care_of_address, 100, tokens, lifetime=lifetime)
    tester.check(found.lifetime == MAX_RR_BINDING_LIFETIME // UNIT, f"lifetime {found.lifetime}, not 105")
    if tester.case.parameters.get("wait", True):
        tester.wait(MAX_RR_BINDING_LIFETIME - 10)
        tester.bound(care_of_address)
        tester.wait(12)
        tester.unbound(care_of_address)


@family("clife-change")
def changed(tester: CorrespondentTester) -> None:
    """The lifetime of the last Binding Update counts, longer or shorter."""
    parameters = tester.case.parameters
    care_of_address = tester.care_of[0]
    tokens = tester.creg(care_of_address, 100, lifetime=parameters["first"])
    tester.register(care_of_address, 101, tokens, lifetime=parameters["second"])
    tester.wait(parameters["bound_at"])
    tester.bound(care_of_address)
    tester.wait(parameters["unbound_at"] - parameters["bound_at"])
    tester.unbound(care_of_address)


def unreachable(tester: CorrespondentTester, packet: Seen, code: int = 0) -> None:
    """A router tells the correspondent that a packet to the care-of address cannot be delivered."""
    message = ICMPv6DestUnreach(code=code) / Raw(packet.octets[:1232])
    upper = wire.upper_octets(ON_THE_WAY, tester.correspondent, message, wire.ICMPV6)
    tester.send(wire.extended(ON_THE_WAY, tester.correspondent, [], wire.ICMPV6, upper))


@family("icmp-unreach")
def persistent_errors(tester: CorrespondentTester) -> None:
    """Errors for the care-of address, until the binding is gone: at the latest when its lifetime ends (9.3.4)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address, lifetime=105)
    start = tester.mark()
    tester.bound(care_of_address)
    while tester.mark() < start + MAX_RR_BINDING_LIFETIME:
        echo, answer = tester.probe(care_of_address)
        if answer is not None and answer.is_mobility(wire.BE):
            return
        tester.check(answer is not None and echo.is_reply(answer), f"{answer or 'no answer'} between the errors")
        if tester.problems or answer is None:
            return
        unreachable(tester, answer)
        tester.wait(BETWEEN_ERRORS)
    tester.check(False, f"still bound after {MAX_RR_BINDING_LIFETIME} s")
