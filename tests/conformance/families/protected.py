"""What needs IPsec between mobile node and home agent."""

from __future__ import annotations

from scapy.layers.inet6 import IPv6, MIP6MH_HoT, MIP6MH_HoTI
from scapy.packet import Packet

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.families.update_forms import all_silent, update
from tests.conformance.home_agent_site import HOME
from tests.conformance.links import FIRST_OTHER
from tests.conformance.protection import Protection
from tests.conformance.site import address
from tests.conformance.tester import Tester

HOTI_COOKIE, HOME_KEYGEN_TOKEN = b"\x11" * 8, b"\x22" * 8


def protection(tester: Tester) -> Protection:
    assert tester.protection is not None
    return tester.protection


@family("bu-no-ipsec")
def in_clear(tester: Tester) -> None:
    """The mobile node has associations with the home agent and does not use them."""
    care_of_address = tester.care_of[0]
    tester.protection = None
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 15))
    tester.quiet(lambda seen: seen.destination == care_of_address, "for a Binding Update in clear", since)
    tester.unbound(care_of_address)


def home_test_init(tester: Tester, care_of_address: str, correspondent: str) -> None:
    """A Home Test Init in the ESP tunnel; the correspondent gets it in clear."""
    message = MIP6MH_HoTI(cookie=HOTI_COOKIE)
    upper = wire.upper_octets(tester.home_address, correspondent, message, wire.MOBILITY)
    inner = wire.packet(tester.home_address, correspondent, wire.MOBILITY, upper)
    since = tester.mark()
    tester.send_far(protection(tester).seal_tunnel(care_of_address, inner))
    seen = tester.expect(lambda seen: seen.destination == correspondent, "Home Test Init out of the tunnel", since)
    tester.check(seen.source == tester.home_address, f"{seen} from {seen.source}")
    tester.check((seen.protocol, seen.upper) == (wire.MOBILITY, upper), f"{seen} instead of the Home Test Init")


@family("hoti-protect")
def protected_home_test_init(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    home_test_init(tester, tester.care_of[0], tester.correspondents[0])


@family("hoti-protect-move")
def protected_home_test_init_after_move(tester: Tester) -> None:
    protected_home_test_init(tester)
    tester.reg(tester.care_of[1], 16)
    home_test_init(tester, tester.care_of[1], tester.correspondents[1])


@family("hot-protect")
def protected_home_test(tester: Tester) -> None:
    care_of_address, correspondent = tester.care_of[0], tester.correspondents[0]
    tester.reg(care_of_address, 15)
    message: Packet = MIP6MH_HoT(cookie=HOTI_COOKIE, token=HOME_KEYGEN_TOKEN)
    upper = wire.upper_octets(correspondent, tester.home_address, message, wire.MOBILITY)
    mac = tester.next_hop(tester.home_address)
    since = tester.mark()
    tester.send_far(wire.packet(correspondent, tester.home_address, wire.MOBILITY, upper), mac)
    seen = tester.expect(lambda seen: seen.destination == care_of_address, "Home Test in a tunnel", since)
    tester.check(seen.source == tester.site.home_agent, f"{seen} from {seen.source}")
    inner = protection(tester).open_tunnel(seen)
    right = (inner.source, inner.destination, inner.upper) == (correspondent, tester.home_address, upper)
    tester.check(right, f"{inner} in the tunnel instead of the Home Test")


@family("esp-wrong")
def wrong_protection(tester: Tester) -> None:
    """RFC 4877 sections 4.2 and 4.3: no ESP but that of the home address counts, and only an address inside it."""
    own, home, home_agent = tester.care_of[0], tester.home_address, tester.site.home_agent
    others = (one for number, one in tester.site.protections.items() if number != tester.case.number)
    other = next(others)

    def sealed(sequence: int, by: Protection, options: bytes | None = None, **more: int) -> bytes:
        header = update(tester, own, sequence, options, extensions=[], **more)[40:]
        return by.seal(wire.MOBILITY, header)

    def carried(payload: bytes, home_address: str = home) -> bytes:
        return wire.extended(own, home_agent, [wire.home_address_header(home_address)], wire.ESP, payload)

    good = sealed(15, protection(tester))
    unserved = address(HOME, tester.case.number, FIRST_OTHER)
    wrong = {
        "the association of another": carried(sealed(15, other)),
        "the home address of nobody": carried(good, unserved),
        "no Alternate Care-of Address": carried(sealed(15, protection(tester), b"")),
        "wrong integrity": carried(good[:-1] + bytes((good[-1] ^ 1,))),
        "unknown SPI": carried(b"\0\x99\x99\x99" + good[4:]),
        "cut off": carried(good[:-16]),
        "too short": carried(good[:10]),
    }
    all_silent(tester, wrong, own)
    tester.unbound(own)
    since = tester.mark()
    tester.send_far(carried(sealed(15, protection(tester))))
    tester.registered(own, 15, since)
    in_clear = {
        "de-registration in clear": update(tester, own, 16, lifetime=0),
        "Home Test Init in clear": wire.extended(own, home_agent, [], wire.IPV6_IN_IPV6, _test_init(tester, home)),
        "Home Test Init of another": bytes(protection(tester).seal_tunnel(own, IPv6(_test_init(tester, unserved)))),
        "Home Test Init from elsewhere": bytes(
            protection(tester).seal_tunnel(tester.care_of[1], IPv6(_test_init(tester, home)))
        ),
    }
    all_silent(tester, in_clear, own, tester.correspondents[0])
    tester.bound(own)
    since = tester.mark()
    tester.send_far(carried(sealed(16, protection(tester), lifetime=0)))
    found = tester.acknowledged_away(own, since)
    tester.check((found.status, found.lifetime) == (0, 0), f"status {found.status} for a de-registration in ESP")


def _test_init(tester: Tester, source: str) -> bytes:
    header = wire.mobility_header(wire.HOTI, bytes(10), source, tester.correspondents[0])
    return wire.extended(source, tester.correspondents[0], [], wire.MOBILITY, header)
