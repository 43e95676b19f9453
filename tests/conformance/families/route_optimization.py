"""What a correspondent does with packets from and to mobile nodes."""

from __future__ import annotations

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.families.return_routability import MULTICAST_SOURCE
from tests.conformance.player import QUIET
from tests.conformance.wire import Seen


@family("hao-no-binding")
def no_binding(tester: CorrespondentTester) -> None:
    """A Home Address option makes no binding (9.1, 6.3)."""
    tester.unbound(tester.care_of[0])
    tester.unbound(tester.care_of[0])


@family("hao-mismatch")
def mismatch(tester: CorrespondentTester) -> None:
    """Home address and care-of address must be those of the entry."""
    other = tester.another()
    tester.creg(tester.care_of[0])
    other.unbound(tester.care_of[0])
    tester.unbound(tester.care_of[1])


@family("multicast-src")
def multicast_source(tester: CorrespondentTester) -> None:
    dropped_from(tester, MULTICAST_SOURCE)
    tester.creg(tester.care_of[0])
    dropped_from(tester, MULTICAST_SOURCE)


def dropped_from(tester: CorrespondentTester, source: str) -> None:
    """A packet with a Home Address option draws nothing."""
    echo, since = tester.echo(), tester.mark()
    tester.from_care_of_address(source, wire.ICMPV6, echo.request(tester.home_address, tester.correspondent))
    mine = (source, tester.home_address, *tester.care_of)

    def unwanted(seen: Seen) -> bool:
        return seen.destination in mine and (echo.is_reply(seen) or seen.protocol in (wire.MOBILITY, wire.ICMPV6))

    tester.quiet(unwanted, f"for a packet from {source}", since)


@family("rh2-at-cn")
def type_2_routing_header(tester: CorrespondentTester) -> None:
    """Only the node whose home address is in it takes a Type 2 Routing Header."""
    source = tester.care_of[0]
    echo, since = tester.echo(), tester.mark()
    routing = wire.type_2_routing_header(tester.home_address)
    upper = echo.request(source, tester.home_address)
    tester.send(wire.extended(source, tester.correspondent, [routing], wire.ICMPV6, upper))
    mine = (source, tester.home_address)
    tester.quiet(lambda seen: seen.destination in mine, "for a Type 2 Routing Header", since, QUIET)
