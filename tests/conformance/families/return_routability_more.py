"""The return routability procedure, beyond the catalogue."""

from __future__ import annotations

import os

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.families.return_routability import (
    MULTICAST_SOURCE,
    answer_type,
    changed_init,
    init_type,
    is_test,
    put,
    source_of,
)
from tests.conformance.tokens import Tokens


@family("rr-bound")
def tests_of_a_bound_node(tester: CorrespondentTester) -> None:
    """Home Test and Care-of Test go to the sources of the Test Inits, whatever the Binding Cache says (9.4.3, 6.1)."""
    first, second = tester.care_of
    tester.creg(first)
    tester.home_test()
    tester.care_of_test(first)
    tester.care_of_test(second)
    tester.bound(first)


@family("rr-options")
def options_in_tests(tester: CorrespondentTester) -> None:
    """Unknown mobility options in a Test Init are skipped (6.2)."""
    test = tester.case.parameters["test"]
    cookie, since = os.urandom(8), tester.mark()
    option = bytes((200, 6)) + b"unknwn"
    changed_init(tester, test, cookie, lambda header: put(1, header[1] + 1)(header + option))
    tester.test(answer_type(test), source_of(tester, test), cookie, since)


@family("rr-multicast")
def test_from_a_group(tester: CorrespondentTester) -> None:
    since = tester.mark()
    for mh_type in (wire.HOTI, wire.COTI):
        header = tester.init(mh_type, MULTICAST_SOURCE, os.urandom(8))
        tester.send(wire.extended(MULTICAST_SOURCE, tester.correspondent, [], wire.MOBILITY, header))
    tester.silent("for a multicast source", since, MULTICAST_SOURCE)


@family("rr-tokens")
def tokens_differ(tester: CorrespondentTester) -> None:
    """A token is good for one address and one kind of test (5.2.5), and with us for one correspondent."""
    care_of_address = tester.care_of[0]
    tokens = [tester.home_test(), tester.care_of_test(care_of_address), tester.another().home_test()]
    cookie, since = os.urandom(8), tester.mark()
    header = tester.init(wire.HOTI, care_of_address, cookie)
    tester.send(wire.extended(care_of_address, tester.correspondent, [], wire.MOBILITY, header))
    tokens.append(tester.test(wire.HOT, care_of_address, cookie, since))
    tokens.append(tester.towards(tester.site.hosts[1]).home_test())
    values = [token.value for token in tokens]
    tester.check(len(set(values)) == len(values), "tokens for different purposes are the same")
    again = tester.home_test()
    same = again.index != tokens[0].index or again.value == tokens[0].value
    tester.check(same, "two tokens for the same address and nonce")


@family("rr-foreign-types")
def messages_for_mobile_nodes(tester: CorrespondentTester) -> None:
    """Known types that are not for a correspondent draw nothing, Binding Error least of all (9.2)."""
    care_of_address = tester.care_of[0]
    for mh_type in (wire.BRR, wire.HOT, wire.COT, wire.BA, wire.BE):
        since = tester.mark()
        header = wire.mobility_header(mh_type, bytes(18), care_of_address, tester.correspondent)
        tester.send(wire.extended(care_of_address, tester.correspondent, [], wire.MOBILITY, header))
        tester.silent(f"for a {wire.MOBILITY_MESSAGES[mh_type]}", since, care_of_address)


@family("rr-malformed")
def nonsense(tester: CorrespondentTester) -> None:
    """Messages that end early, options that do not fit: the correspondent is none the worse for it."""
    care_of_address = tester.care_of[0]
    for mh_type in range(wire.BE + 1):
        for data in (b"", bytes(2), bytes(10), os.urandom(18), bytes(6) + b"\x05\xff" + bytes(18), b"\xff" * 250):
            header = bytes((wire.NO_NEXT_HEADER, len(data) // 8, mh_type, 0, 0, 0)) + data
            tester.send(tester.carried(care_of_address, tester.home_address, header))
            tester.from_home_address(wire.MOBILITY, header[: len(header) // 2])
    tester.creg(care_of_address)
    tester.bound(care_of_address)


@family("rr-reuse")
def tokens_used_again(tester: CorrespondentTester) -> None:
    """A home token serves at the next care-of address, a care-of token for another home address (5.2.7)."""
    first, second = tester.care_of
    tokens = tester.creg(first, 100)
    moved = Tokens(tokens.home, tester.care_of_test(second))
    tester.register(second, 101, moved)
    tester.bound(second)
    other = tester.another()
    shared = Tokens(other.home_test(), moved.care_of)
    other.register(second, 1, shared)
    other.bound(second)


@family("rr-unserved")
def bridge_and_strangers(tester: CorrespondentTester) -> None:
    """Mobility Headers to somebody who is not on the link are none of the correspondent's business."""
    stranger = tester.towards("2001:db8:c0::10")
    since = tester.mark()
    header = stranger.init(init_type("home"), tester.home_address, os.urandom(8))
    tester.send(wire.extended(tester.home_address, stranger.correspondent, [], wire.MOBILITY, header))
    tester.quiet(is_test, "for a Test Init to somebody else", since)
