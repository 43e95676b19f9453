"""Correspondents and mobile nodes of the same home link."""

from __future__ import annotations

import os
from typing import Final

from tests.conformance import links, wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_at_home_tester import CorrespondentAtHomeTester
from tests.conformance.families.correspondent_packets import datagram, is_datagram, own_port
from tests.conformance.families.return_routability import is_test
from tests.conformance.host import REPEAT
from tests.conformance.links import FIRST_OTHER
from tests.conformance.player import ANSWER, QUIET, SETTLED, Deviation
from tests.conformance.site import address
from tests.conformance.wire import Seen

REDIRECT: Final = 137  # ICMPv6 type
ON_LINK: Final = 4  # role of another machine on the home link


def tunnelled_to(tester: CorrespondentAtHomeTester, other: CorrespondentAtHomeTester, since: float, what: str) -> Seen:
    """The packet that reaches another mobile node in its tunnel; Deviation if none does."""

    def wanted(seen: Seen) -> bool:
        tunnel = seen.destination == other.care_of[0] and seen.protocol == wire.IPV6_IN_IPV6
        return tunnel and tester.home_address in (seen.inner.source, seen.inner.home_address)

    found = tester.inbox.closed().find(wanted, since, ANSWER)
    if found is None:
        raise Deviation(f"{what} does not reach the mobile node that it is for")
    return found.inner


@family("both-mobile-correspondent")
def mobile_correspondent(tester: CorrespondentAtHomeTester) -> None:
    """A mobile node that is away is its own correspondent: what is for it reaches it as it was sent.

    Nobody answers in its place, and nothing is optimised before it has a binding itself.
    """
    other = tester.another()
    talk = tester.towards(other.home_address)
    tester.site.macs[other.home_address] = tester.site.resolved(other.home_address)
    care_of_address = tester.care_of[0]

    since = tester.mark()
    header = talk.init(wire.HOTI, tester.home_address, os.urandom(8))
    talk.from_home_address(wire.MOBILITY, header)
    arrived = tunnelled_to(tester, other, since, "Home Test Init")
    tester.check(arrived.is_mobility(wire.HOTI) and arrived.upper == header, f"{arrived} in the tunnel")

    since = tester.mark()
    header = talk.init(wire.COTI, care_of_address, os.urandom(8))
    talk.send(wire.extended(care_of_address, other.home_address, [], wire.MOBILITY, header))

    def is_ours(seen: Seen) -> bool:
        tunnel = seen.destination == other.care_of[0] and seen.protocol == wire.IPV6_IN_IPV6
        return tunnel and seen.inner.source == care_of_address and seen.inner.upper == header

    found = tester.inbox.closed().find(is_ours, since, ANSWER)
    tester.check(found, "the Care-of Test Init does not reach the mobile node that it is for")
    tester.quiet(is_test, "in the place of a mobile node that is away", since)

    since = tester.mark()
    update = talk.binding_update(care_of_address, 1, None)
    talk.send(update)
    arrived = tunnelled_to(tester, other, since, "Binding Update")
    same = arrived.octets[40:] == update[40:] and arrived.source == care_of_address
    tester.check(same, "the Binding Update is not the same in the tunnel")

    echo, since = tester.echo(), tester.mark()
    talk.from_care_of_address(care_of_address, wire.ICMPV6, echo.request(tester.home_address, other.home_address))
    arrived = tunnelled_to(tester, other, since, "packet with a Home Address option")
    tester.check(arrived.source == care_of_address, f"in the tunnel it comes from {arrived.source}")
    tester.check(arrived.home_address == tester.home_address, "the Home Address option is gone in the tunnel")
    tester.check(echo.is_request(arrived), f"{arrived} in the tunnel")
    errors = "in the place of a mobile node that is away"
    tester.quiet(lambda seen: seen.destination == care_of_address and seen.is_mobility(wire.BE), errors, since)


@family("both-correspondent-leaves")
def correspondent_leaves(tester: CorrespondentAtHomeTester) -> None:
    """A correspondent that is a mobile node at home has bindings here; when it leaves, they are no more.

    Else one direction would go by the binding, and the other would not.
    """
    site = tester.site
    care_of_address, number = tester.care_of[0], tester.case.number
    # At home: the second mobile node before it moves, by hand.
    home, mac = address(site.kind.home, number, FIRST_OTHER), links.mac_of(number, FIRST_OTHER)
    site.near.own(home, mac)
    site.macs[home] = site.resolved(home)
    tester.check(site.macs[home] == mac, "the router does not find the node at home")
    talk = tester.towards(home)
    talk.creg(care_of_address)
    talk.wait(SETTLED)

    echo, since = talk.echo(), talk.mark()
    talk.from_care_of_address(care_of_address, wire.ICMPV6, echo.request(tester.home_address, home))
    request = tester.expect(echo.is_request, "Echo Request at the correspondent", since)
    tester.check(request.home_address is None, "the correspondent sees a Home Address option")
    next_hop = site.near.resolve(tester.home_address, home, mac)
    if next_hop is None:
        raise Deviation("nobody answers for the mobile node that is away")
    reply, since = tester.echo(), tester.mark()
    upper = reply.request(home, tester.home_address)
    site.near.send(mac, next_hop, wire.extended(home, tester.home_address, [], wire.ICMPV6, upper))
    seen = tester.expect(reply.is_request, "packet of the correspondent", since)
    tester.check(seen.destination == care_of_address, f"the correspondent's packet goes to {seen.destination}")
    tester.routed(seen, "the correspondent's packet")

    site.near.disown(home)
    other = tester.another()  # leaves
    site.macs[home] = site.resolved(home)
    tester.wait(SETTLED)
    reply, since = other.echo(), other.mark()
    away = other.towards(tester.home_address)
    away.from_home_address(wire.ICMPV6, reply.request(home, tester.home_address))
    seen = tester.expect(reply.is_request, "packet of the correspondent that is away", since)
    tester.check(
        seen.routing is None, "routing header in a packet of a correspondent that has left, and has no binding"
    )

    echo, since = talk.echo(), talk.mark()
    talk.from_care_of_address(care_of_address, wire.ICMPV6, echo.request(tester.home_address, home))

    def stripped(seen: Seen) -> bool:
        return echo.is_request(seen) and seen.home_address is None

    tester.quiet(stripped, "without its Home Address option", since)


@family("both-neighbour")
def neighbour(tester: CorrespondentAtHomeTester) -> None:
    """A packet out of the reverse tunnel goes straight to a correspondent on the link, not by way of the router."""
    site, number = tester.site, tester.case.number
    correspondent, mac = address(site.kind.prefix, number, ON_LINK), links.mac_of(number, ON_LINK)
    site.near.own(correspondent, mac)
    echo, since = tester.echo(), tester.mark()
    talk = tester.towards(correspondent)
    talk.from_home_address(wire.ICMPV6, echo.request(tester.home_address, correspondent))
    seen = tester.expect(echo.is_request, "packet out of the reverse tunnel", since)
    tester.check(seen.mac_destination == mac, f"it is sent to {seen.mac_destination}, the correspondent has {mac}")
    site.near.disown(correspondent)


@family("both-no-redirect")
def no_redirect(tester: CorrespondentAtHomeTester) -> None:
    """Who sends to a mobile node that is away, on either side of the tunnel, gets no Redirect."""
    at_host = tester.site.at_host.open(tester.case.number)
    care_of_address, port = tester.care_of[0], own_port(tester)
    since = tester.mark()
    tester.from_home_address(wire.UDP, datagram(tester, port, REPEAT))
    for _ in range(3):
        tester.plain()
    tester.expect(lambda seen: is_datagram(seen, port), "UDP by way of the home agent", since)
    tester.creg(care_of_address)
    tester.optimised(care_of_address)
    tester.deregister(care_of_address, 101)
    tester.plain()
    tester.quiet(lambda seen: seen.is_icmpv6(REDIRECT), "to the mobile node or the router", since, QUIET)
    redirect = at_host.find(lambda seen: seen.is_icmpv6(REDIRECT), since, 0.0)
    tester.check(redirect is None, "the host gets a Redirect")
    tester.site.at_host.close(tester.case.number)


@family("both-leaving-home")
def leaving_home(tester: CorrespondentAtHomeTester) -> None:
    """What the host sends follows the mobile node: at home, in the tunnel, by the binding, in the tunnel, at home."""
    site, mac = tester.site, links.mac_of(tester.case.number, links.MOBILE_NODE)
    home, care_of_address, port = tester.home_address, tester.care_of[0], own_port(tester)
    site.near.own(home, mac)
    upper = datagram(tester, port, REPEAT)
    site.near.send(mac, site.host_mac, wire.extended(home, tester.correspondent, [], wire.UDP, upper))

    def follow(where: str, right: object) -> None:
        tester.wait(SETTLED)
        since = tester.mark()
        seen = tester.inbox.closed().find(lambda seen: _carries(seen, port), since, ANSWER)
        tester.check(seen is not None and right(seen), f"{where}: {seen or 'nothing'}")  # type: ignore[operator]

    follow("at home", lambda seen: seen.destination == home and seen.mac_destination == mac)
    site.near.disown(home)
    tester.leave_home()
    follow("away", lambda seen: seen.destination == care_of_address and seen.protocol == wire.IPV6_IN_IPV6)
    tester.creg(care_of_address)
    follow("with a binding", lambda seen: seen.destination == care_of_address and seen.routing is not None)
    tester.deregister(care_of_address, 101)
    follow("without a binding", lambda seen: seen.destination == care_of_address and seen.protocol == wire.IPV6_IN_IPV6)
    site.near.own(home, mac)
    tester.register_at_home(0)
    site.near.send(mac, "33:33:00:00:00:01", links.advertisement(home, home, wire.ALL_NODES, mac, solicited=False))
    follow("at home again", lambda seen: seen.destination == home and seen.mac_destination == mac)
    site.near.disown(home)


def _carries(seen: Seen, port: int) -> bool:
    return is_datagram(seen.inner if seen.protocol == wire.IPV6_IN_IPV6 else seen, port)
