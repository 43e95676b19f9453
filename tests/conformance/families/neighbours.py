"""Neighbor Discovery on the home link on behalf of a mobile node that is away."""

from __future__ import annotations

import time
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.links import solicitation
from tests.conformance.player import QUIET, SETTLED
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

CLAIMS_OVER: Final = 3.5  # seconds; RFC 6275 10.4.1 lets the claim be repeated: 3 times, a second between
ROUTER, SOLICITED, OVERRIDE = 0x80, 0x40, 0x20  # flags in an advertisement's fifth octet
TARGET_LINK_LAYER_ADDRESS: Final = 2


def claims(seen: Seen, target: str) -> bool:
    return seen.is_icmpv6(wire.NEIGHBOR_ADVERTISEMENT) and seen.target == target


def judge(tester: Tester, seen: Seen, destination: str, flags: int, option_may_miss: bool = False) -> None:
    """Check an advertisement for the home address."""
    tester.check(seen.destination == destination, f"Neighbor Advertisement to {seen.destination}, not {destination}")
    link_local = wire.packed(seen.source)[:8] == wire.packed("fe80::")[:8]
    tester.check(link_local or seen.source == tester.site.home_agent, f"Neighbor Advertisement from {seen.source}")
    found = seen.upper[4] & (ROUTER | SOLICITED | OVERRIDE)
    tester.check(found == flags, f"flags {found:#04x} in the Neighbor Advertisement, not {flags:#04x}")
    tester.check(seen.hop_limit == 255, f"hop limit {seen.hop_limit} of a Neighbor Advertisement")
    option = seen.nd_options.get(TARGET_LINK_LAYER_ADDRESS)
    right = option.hex(":") == tester.site.home_agent_mac if option else option_may_miss
    tester.check(right, f"target link-layer address {option.hex(':') if option else 'missing'}")


def ask(tester: Tester, kind: str, source: str, target: str, home: str) -> None:
    """Solicit `target` at an address of the mobile node: kinds mm, us, un and dad of the catalogue."""
    destination = home if kind in ("us", "un") else wire.solicited_node(home)
    mac = tester.site.home_agent_mac if kind in ("us", "un") else wire.multicast_mac(destination)
    option = tester.neighbour_mac if kind in ("mm", "us") else None
    asker = wire.UNSPECIFIED if kind == "dad" else source
    tester.send_home(solicitation(target, asker, option, destination), tester.neighbour_mac, mac)


def asked(tester: Tester) -> str:
    """The mobile node's address that is solicited."""
    return tester.link_local if tester.case.parameters.get("target") == "link-local" else tester.home_address


def defended(tester: Tester) -> None:
    """Solicit an address of the mobile node as the case says, and check the answer."""
    kind, target = tester.case.parameters["solicitation"], asked(tester)
    since = tester.mark()
    ask(tester, kind, tester.neighbour, target, target)
    answer = tester.expect(lambda seen: claims(seen, target), "Neighbor Advertisement", since)
    if kind == "dad":
        judge(tester, answer, wire.ALL_NODES, 0)
    else:
        judge(tester, answer, tester.neighbour, SOLICITED, option_may_miss=kind in ("us", "un"))
        to_asker = answer.mac_destination == tester.neighbour_mac
        tester.check(to_asker, f"Neighbor Advertisement in a frame to {answer.mac_destination}")


def register(tester: Tester) -> None:
    tester.site.home.own(tester.neighbour, tester.neighbour_mac)
    tester.reg(tester.care_of[0], 15, link_local=tester.case.parameters["link_local"])


@family("nd-unsol")
def claimed(tester: Tester) -> None:
    since = tester.mark()
    register(tester)
    seen = tester.expect(lambda seen: claims(seen, tester.home_address), "Neighbor Advertisement", since)
    judge(tester, seen, wire.ALL_NODES, OVERRIDE)
    tester.check(seen.mac_destination == wire.multicast_mac(wire.ALL_NODES), f"in a frame to {seen.mac_destination}")


@family("nd-defend-res", "nd-defend-dad")
def solicited(tester: Tester) -> None:
    register(tester)
    tester.bound(tester.care_of[0])
    time.sleep(CLAIMS_OVER)
    defended(tester)


@family("nd-stop")
def stopped(tester: Tester) -> None:
    register(tester)
    time.sleep(CLAIMS_OVER)
    defended(tester)
    since = tester.mark()
    flags = "AHL" if tester.case.parameters["link_local"] else "AH"
    tester.send_far(tester.binding_update(tester.care_of[0], 16, lifetime=0, flags=flags))
    found = tester.acknowledged_away(tester.care_of[0], since)
    tester.check((found.status, found.lifetime) == (0, 0), f"status {found.status}, lifetime {found.lifetime}")
    time.sleep(SETTLED)
    since = tester.mark()
    ask(tester, tester.case.parameters["solicitation"], tester.neighbour, asked(tester), asked(tester))
    tester.quiet(lambda seen: claims(seen, asked(tester)), "after de-registration", since)


@family("nd-wrong-target")
def another_target(tester: Tester) -> None:
    register(tester)
    tester.bound(tester.care_of[0])
    time.sleep(CLAIMS_OVER)
    link_local = tester.case.parameters["target"] == "link-local"
    own = tester.neighbour_link_local if link_local else tester.neighbour
    tester.site.home.disown(own)
    since = tester.mark()
    ask(tester, tester.case.parameters["solicitation"], own, own, tester.home_address)
    tester.quiet(
        lambda seen: seen.is_icmpv6(wire.NEIGHBOR_ADVERTISEMENT),
        "to a solicitation for another's address",
        since,
        QUIET,
    )


@family("nd-not-defended")
def not_defended(tester: Tester) -> None:
    """Without L the link-local address is none of the home agent's business."""
    register(tester)
    since = tester.mark()
    ask(tester, tester.case.parameters["solicitation"], tester.neighbour, tester.link_local, tester.link_local)
    tester.quiet(lambda seen: claims(seen, tester.link_local), "for an address that is not defended", since)
