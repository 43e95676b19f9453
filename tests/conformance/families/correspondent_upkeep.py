"""What a correspondent does about its bindings, and which it refuses, beyond the catalogue."""

from __future__ import annotations

import os
from typing import Final

from tests.conformance import links, wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import A, CorrespondentTester, H
from tests.conformance.links import FIRST_OTHER
from tests.conformance.player import QUIET
from tests.conformance.site import ROUTER_MAC, address
from tests.conformance.tokens import Tokens

FLOOD: Final = 300  # packets


@family("home-registration-at-cn")
def home_registration(tester: CorrespondentTester) -> None:
    """A host is no home agent: 131 (10.3.1)."""
    care_of_address = tester.care_of[0]
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, None, flags=A | H, lifetime=100))
    seen = tester.answer(care_of_address, since)
    tester.routed(seen, "the acknowledgement")
    status = wire.Acknowledgement.of(seen).status
    tester.check(status == 131, f"status {status}, not 131")
    tester.unbound(care_of_address)


@family("refresh-request")
def refresh_request(tester: CorrespondentTester) -> None:
    """Before a binding in use ends, its node is asked for another; to its home address, until it answers (9.5.5)."""
    care_of_address, home_address = tester.care_of[0], tester.home_address
    tokens = tester.creg(care_of_address, 100)
    start = tester.mark()
    seen = None
    while seen is None and tester.mark() < start + 38:
        tester.bound(care_of_address)
        seen = tester.inbox.find(lambda one: one.is_mobility(wire.BRR), start, 2.0)
    if seen is None:
        tester.check(False, "no Binding Refresh Request for a binding in use")
        return
    tester.between(seen, home_address, "Binding Refresh Request")
    tester.check(seen.routing is None, "routing header in the Binding Refresh Request")
    tester.check(seen.checksum_right, "wrong checksum in the Binding Refresh Request")
    tester.check(len(seen.upper) == 8 and seen.upper[:2] == b"\x3b\0", "the Binding Refresh Request's length is wrong")
    tester.register(care_of_address, 101, tokens)
    since = tester.mark()
    tester.quiet(lambda one: one.is_mobility(wire.BRR), "after the Binding Update", since, 10.0)
    tester.bound(care_of_address)


@family("refresh-request-idle")
def no_refresh_request(tester: CorrespondentTester) -> None:
    """A binding that nobody uses may end without a word."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    since = tester.mark()
    tester.wait(42)
    tester.quiet(lambda seen: seen.is_mobility(wire.BRR), "for a binding that is not in use", since, 0.0)
    tester.unbound(care_of_address)


@family("resources")
def insufficient_resources(tester: CorrespondentTester) -> None:
    """There is room for two bindings: a third mobile node is told 130, without A too (9.5.2, 9.5.4)."""
    with tester.site.turns.alone():
        other, third = tester.another(), tester.another(FIRST_OTHER + 1)
        mine = tester.creg(tester.care_of[0], 100, lifetime=105)
        other.creg(other.care_of[0], 100, lifetime=105)
        tokens = third.return_routability(third.care_of[0])
        for sequence, flags in ((100, A), (101, 0)):
            since = tester.mark()
            third.send(third.binding_update(third.care_of[0], sequence, tokens, flags=flags))
            found = third.acknowledged(third.care_of[0], since, tokens)
            tester.check(found.status == 130, f"status {found.status}, not 130")
        third.unbound(third.care_of[0])
        third.plain()
        tester.register(tester.care_of[0], 101, mine)
        tester.bound(tester.care_of[0])
        other.bound(other.care_of[0])
        other.deregister(other.care_of[0], 101)
        third.register(third.care_of[0], 102, tokens)
        third.bound(third.care_of[0])
        third.deregister(third.care_of[0], 103)
        tester.deregister(tester.care_of[0], 102)


@family("restart")
def restart(tester: CorrespondentTester) -> None:
    """A binding outlives the controller. Its secret does not: there is a new one at each start (5.2.1)."""
    care_of_address = tester.care_of[0]
    with tester.site.turns.alone():
        tokens = tester.creg(care_of_address, 100, lifetime=105)
        tester.bound(care_of_address)
        tester.site.restart_manager()
        tester.bound(care_of_address)
        tester.optimised(care_of_address)
        since = tester.mark()
        tester.send(tester.binding_update(care_of_address, 101, tokens))
        answer = tester.inbox.find(lambda seen: seen.is_mobility(wire.BA), since, QUIET)
        refused = answer is None or wire.Acknowledgement.of(answer).status in (136, 137, 138)
        tester.check(refused, f"{answer} for tokens from before the restart")
        tester.creg(care_of_address, 102, lifetime=105)
        tester.bound(care_of_address)
        tester.deregister(care_of_address, 103)
        tester.unbound(care_of_address)


@family("error-rate")
def limited_errors(tester: CorrespondentTester) -> None:
    """Binding Errors are sent at a limited rate (9.3.3), and who is served goes on being served."""
    other = tester.another()
    care_of_address = tester.care_of[0]
    with tester.site.turns.alone():
        other.creg(other.care_of[0], 100)
        since = tester.mark()
        echo = tester.echo()
        request = echo.request(tester.home_address, tester.correspondent)
        for _ in range(FLOOD):
            tester.from_care_of_address(care_of_address, wire.ICMPV6, request)
        other.bound(other.care_of[0])
        other.optimised(other.care_of[0])
        tester.wait(1)
        errors = [seen for seen in tester.inbox.since(since) if seen.is_mobility(wire.BE)]
        tester.check(0 < len(errors) <= FLOOD // 2, f"{len(errors)} Binding Errors for {FLOOD} packets")
        other.deregister(other.care_of[0], 101)


@family("visitor-without-adapter")
def visitor_at_a_plain_port(tester: CorrespondentTester) -> None:
    """A mobile node that visits the link behind a port without an adapter is refused, and served by its home agent."""
    number = tester.case.number
    care_of_address, mac = address(tester.site.kind.prefix, number, FIRST_OTHER), links.mac_of(number, FIRST_OTHER)
    near, host_mac = tester.site.near, tester.site.host_mac
    near.own(care_of_address, mac)
    visitor = tester.at(care_of_address, mac)
    cookie, since = os.urandom(8), tester.mark()
    header = visitor.init(wire.COTI, care_of_address, cookie)
    near.send(mac, host_mac, wire.extended(care_of_address, tester.correspondent, [], wire.MOBILITY, header))
    tokens = Tokens(visitor.home_test(), visitor.test(wire.COT, care_of_address, cookie, since))
    since = tester.mark()
    near.send(mac, host_mac, visitor.binding_update(care_of_address, 100, tokens))
    tester.refused(visitor.acknowledged(care_of_address, since, tokens), 129, 100)
    tester.plain()
    near.disown(care_of_address)


@family("visitor-at-uplink")
def visitor_behind_the_uplink(tester: CorrespondentTester) -> None:
    """Packets to a mobile node on the correspondent's own link go straight to it and not to the router."""
    number = tester.case.number
    care_of_address, mac = address(tester.site.kind.prefix, number, FIRST_OTHER), links.mac_of(number, FIRST_OTHER)
    far, host_mac = tester.site.far, tester.site.host_mac
    far.own(care_of_address, mac)
    visitor = tester.at(care_of_address, mac)
    tester.creg(care_of_address)
    echo, since = visitor.echo(), tester.mark()
    options = wire.home_address_header(tester.home_address)
    upper = echo.request(tester.home_address, tester.correspondent)
    far.send(mac, host_mac, wire.extended(care_of_address, tester.correspondent, [options], wire.ICMPV6, upper))
    reply = tester.expect(echo.is_reply, "Echo Reply", since)
    tester.between(reply, care_of_address, "echo of a visitor")
    tester.routed(reply, "echo of a visitor")
    tester.check(reply.mac_destination == mac, f"the reply is sent to {reply.mac_destination}, not to the node")
    tester.check(reply.mac_destination != ROUTER_MAC, "the reply is sent to the router")
    far.disown(care_of_address)
