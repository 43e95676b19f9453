"""Router Advertisements, dynamic home agent address discovery and mobile prefix discovery."""

from __future__ import annotations

import time
from typing import Any, Final

from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
)
from scapy.packet import Packet

from tests.conformance import links, wire
from tests.conformance.campaign import family
from tests.conformance.home_agent_site import ANYCAST, HOME, PREFERENCE
from tests.conformance.links import FIRST_OTHER
from tests.conformance.site import address
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen

ADVERTISEMENT: Final = 6.0  # seconds: MIN_DELAY_BETWEEN_RAS and a random delay (RFC 4861 section 10), and time to spare
PREFIX_INFORMATION, HOME_AGENT_INFORMATION = 3, 8
HOME_AGENT_FLAG: Final = 0x20  # H of a Router Advertisement
ON_LINK, AUTONOMOUS, ROUTER_ADDRESS = 0x80, 0x40, 0x20  # flags of a Prefix Information option
MINIMUM_MTU: Final = 1280
ALL_ROUTERS: Final = "ff02::2"
NO_HAIO: Final = None


class HomeAgent:
    """Another home agent on the home link, known by its Router Advertisements."""

    def __init__(self, tester: Tester, role: int) -> None:
        self._tester = tester
        self.address = address(HOME, tester.case.number, role)
        self._link_local = address("fe80::", tester.case.number, role)
        self._mac = links.mac_of(tester.case.number, role)

    def advertise(
        self,
        preference: int | None,
        *,
        lifetime: int = 1800,
        router_lifetime: int = 1800,
        home_agent: bool = True,
    ) -> None:
        """Send one; `preference` None leaves the Home Agent Information option out."""
        message: Packet = ICMPv6ND_RA(H=int(home_agent), routerlifetime=router_lifetime)
        message /= ICMPv6NDOptSrcLLAddr(lladdr=self._mac)
        message /= ICMPv6NDOptPrefixInfo(prefixlen=64, L=1, A=1, R=1, prefix=self.address)
        if preference is not None:
            message /= ICMPv6NDOptHAInfo(pref=preference, lifetime=lifetime)
        upper = wire.upper_octets(self._link_local, wire.ALL_NODES, message, wire.ICMPV6, hop_limit=255)
        packet = wire.packet(self._link_local, wire.ALL_NODES, wire.ICMPV6, upper, hop_limit=255)
        self._tester.send_home(packet, self._mac, wire.multicast_mac(wire.ALL_NODES))

    def leave(self) -> None:
        """No home agent any more."""
        self.advertise(NO_HAIO, router_lifetime=0, home_agent=False)


def check_advertisement(tester: Tester) -> None:
    """Solicit a Router Advertisement of the home agent, and check it (RFC 6275 section 7)."""
    mac, source = tester.neighbour_mac, tester.neighbour_link_local
    upper = wire.upper_octets(source, ALL_ROUTERS, ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=mac), wire.ICMPV6, 255)
    packet = wire.packet(source, ALL_ROUTERS, wire.ICMPV6, upper, hop_limit=255)
    since = tester.mark()
    tester.send_home(packet, mac, wire.multicast_mac(ALL_ROUTERS))
    home_agent_mac = tester.site.home_agent_mac

    def from_home_agent(seen: Seen) -> bool:
        return seen.is_icmpv6(wire.ROUTER_ADVERTISEMENT) and seen.mac_source == home_agent_mac

    found = tester.inbox.find(from_home_agent, since, ADVERTISEMENT)
    if found is None:
        tester.check(False, "no Router Advertisement for a solicitation")
        return
    tester.check(found.hop_limit == 255, "the Router Advertisement's hop limit is not 255")
    tester.check(found.upper[5] & HOME_AGENT_FLAG, "H is not set in the Router Advertisement")
    options = wire.tlv_options(found.upper[16:], unit=8)
    information = [option.data for option in options if option.type == HOME_AGENT_INFORMATION]
    preference = [int.from_bytes(data[2:4], "big") for data in information]
    tester.check(preference == [PREFERENCE], f"home agent preference {preference}, not {PREFERENCE}")
    prefixes = [option.data for option in options if option.type == PREFIX_INFORMATION]
    own = [data for data in prefixes if data[1] & ROUTER_ADDRESS and wire.text(data[14:30]) == tester.site.home_agent]
    tester.check(own, "no prefix with R and the home agent's address in the Router Advertisement")


def listed(tester: Tester, reserved: int = 0) -> list[str]:
    """Ask the home agents' anycast address; the addresses of this case and the home agent's own, in their order."""
    site, source = tester.site, tester.care_of[0]
    identifier = tester.echo().sequence + 0x4000
    head = bytes((wire.DHAAD_REQUEST, 0, 0, 0)) + identifier.to_bytes(2, "big") + reserved.to_bytes(2, "big")
    mac = tester.next_hop(ANYCAST)
    since = tester.mark()
    tester.send_far(wire.packet(source, ANYCAST, wire.ICMPV6, with_checksum(source, ANYCAST, head)), mac)
    reply = tester.expect(
        lambda seen: seen.destination == source and seen.upper[4:6] == identifier.to_bytes(2, "big"),
        "answer to a home agent address discovery request",
        since,
    )
    tester.check(reply.is_icmpv6(wire.DHAAD_REPLY), f"{reply} instead of a home agent address discovery reply")
    tester.check(reply.upper[1] == 0, f"code {reply.upper[1]} in the reply")
    tester.check(reply.source == site.home_agent, f"reply from {reply.source}")
    tester.check(len(reply.octets) <= MINIMUM_MTU, f"a reply of {len(reply.octets)} octets")
    addresses = [wire.text(reply.upper[at : at + 16]) for at in range(8, len(reply.upper), 16)]
    mine = tester.case.number.to_bytes(2, "big")
    return [a for a in addresses if a == site.home_agent or wire.packed(a)[-3:-1] == mine or not played(a)]


def played(machine: str) -> bool:
    """Whether a case of this suite plays the machine with this address."""
    return wire.packed(machine)[8:13] == links.identifier(0, 0)[:5]


def with_checksum(source: str, destination: str, message: bytes) -> bytes:
    value = wire.checksum(source, destination, wire.ICMPV6, message)
    return message[:2] + value.to_bytes(2, "big") + message[4:]


def expect_list(tester: Tester, expected: list[str], when: str = "") -> None:
    found = listed(tester)
    tester.check(found == expected, f"home agents {' '.join(found)}, not {' '.join(expected)}{when}")


@family("dhaad-basic", "dhaad-reserved")
def address_discovery(tester: Tester) -> None:
    with tester.site.home_agents_list.together():
        if not tester.site.kind.virtual:
            check_advertisement(tester)
        found = listed(tester, reserved=int(tester.case.family == "dhaad-reserved"))
        tester.check(found == [tester.site.home_agent], f"home agents {' '.join(found)}")


def named(tester: Tester, order: list[str], routers: list[HomeAgent]) -> list[str]:
    """HA is the home agent under test, HA0 the first other one, ..."""
    names = {"HA": tester.site.home_agent, **{f"HA{i}": router.address for i, router in enumerate(routers)}}
    return [names[name] for name in order]


@family("halist-pref", "halist-no-haio", "halist-order")
def ordered(tester: Tester) -> None:
    parameters: dict[str, Any] = tester.case.parameters
    with tester.site.home_agents_list.together():
        check_advertisement(tester)
        routers = [HomeAgent(tester, FIRST_OTHER + i) for i in range(len(parameters["routers"]))]
        for router, settings in zip(routers, parameters["routers"], strict=True):
            router.advertise(settings["preference"])
        time.sleep(0.2)
        expect_list(tester, named(tester, parameters["order"], routers))
        for router in routers:
            router.leave()


@family("halist-lifetime0", "halist-h0")
def withdrawn(tester: Tester) -> None:
    with tester.site.home_agents_list.together():
        check_advertisement(tester)
        other = HomeAgent(tester, FIRST_OTHER)
        other.advertise(0xFFFF)
        time.sleep(0.2)
        expect_list(tester, [other.address, tester.site.home_agent])
        if tester.case.family == "halist-h0":
            other.advertise(0xFFFF, home_agent=False)
        else:
            other.advertise(NO_HAIO, router_lifetime=0)
        time.sleep(0.2)
        expect_list(tester, [tester.site.home_agent], " after the withdrawal")
        other.leave()


@family("halist-expiry")
def expired(tester: Tester) -> None:
    parameters: dict[str, Any] = tester.case.parameters
    with tester.site.home_agents_list.together():
        check_advertisement(tester)
        other = HomeAgent(tester, FIRST_OTHER)
        preference, router_lifetime = parameters["preference"], parameters["router_lifetime"]
        lifetime = parameters.get("lifetime", router_lifetime)
        other.advertise(preference, lifetime=lifetime, router_lifetime=router_lifetime)
        start = time.monotonic()
        time.sleep(0.2)
        before = named(tester, parameters["order"], [other])
        while time.monotonic() < start + lifetime - 1.0 and not tester.problems:
            expect_list(tester, before, f" {time.monotonic() - start:.0f} s after the advertisement")
            time.sleep(1.0)
        time.sleep(max(0.0, start + lifetime + 1.0 - time.monotonic()))
        expect_list(tester, [tester.site.home_agent], f" {lifetime + 1} s after the advertisement")
        other.leave()


@family("halist-mtu")
def too_many(tester: Tester) -> None:
    with tester.site.home_agents_list.alone():
        check_advertisement(tester)
        routers = {last: HomeAgent(tester, last) for last in range(0xB2, 0x100)}
        for last, router in routers.items():
            router.advertise(0xFF00 | last)
        time.sleep(0.5)
        best = sorted(routers, reverse=True)[:77]
        expect_list(tester, [routers[last].address for last in best])
        for router in routers.values():
            router.leave()
        time.sleep(0.3)


@family("mps-basic", "mps-reserved")
def prefix_discovery(tester: Tester) -> None:
    if not tester.site.kind.virtual:
        check_advertisement(tester)
    care_of_address, home_agent = tester.care_of[0], tester.site.home_agent
    tester.reg(care_of_address, 15)
    identifier = (0x5000 + tester.case.number).to_bytes(2, "big")
    reserved = int(tester.case.family == "mps-reserved").to_bytes(2, "big")
    message = bytes((wire.PREFIX_SOLICITATION, 0, 0, 0)) + identifier + reserved
    protocol, upper = tester.sealed(wire.ICMPV6, with_checksum(tester.home_address, home_agent, message))
    since = tester.mark()
    tester.send_far(wire.packet(care_of_address, home_agent, protocol, upper, home_address=tester.home_address))
    to_care_of = tester.expect(
        lambda seen: seen.destination == care_of_address, "answer to a Mobile Prefix Solicitation", since
    )
    seen = tester.opened(to_care_of)
    if not seen.is_icmpv6(wire.PREFIX_ADVERTISEMENT):
        tester.check(False, f"{seen} instead of a Mobile Prefix Advertisement")
        return
    tester.check(seen.source == home_agent, f"Mobile Prefix Advertisement from {seen.source}")
    header = seen.routing
    right = header is not None and (header.type, header.segments_left) == (2, 1)
    tester.check(right and header and header.address == tester.home_address, "no Type 2 Routing Header as it should be")
    tester.check(seen.upper[1] == 0, f"code {seen.upper[1]} in the advertisement")
    tester.check(seen.upper[4:6] == identifier, "the identifier is not that of the solicitation")
    tester.check(seen.upper[6] & 0xC0 == 0, "M or O is set in the advertisement")
    options = [o.data for o in wire.tlv_options(seen.upper[8:], unit=8) if o.type == PREFIX_INFORMATION]
    tester.check(len(options) == 1, f"{len(options)} Prefix Information options")
    for data in options:
        tester.check(data[0] == 64, f"prefix length {data[0]}")
        tester.check(data[1] & (ON_LINK | AUTONOMOUS) == ON_LINK | AUTONOMOUS, f"prefix flags {data[1]:#04x}")
        accepted = (home_agent, HOME) if not data[1] & ROUTER_ADDRESS else (home_agent,)
        tester.check(wire.text(data[14:30]) in accepted, f"prefix {wire.text(data[14:30])}")
