"""The tester of one case of a home agent: a mobile node with addresses of its own, correspondents, and macros."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from scapy.layers.inet6 import MIP6MH_BU, MIP6OptAltCoA
from scapy.packet import Packet

from tests.conformance import links, wire
from tests.conformance.cases import Case
from tests.conformance.home_agent_site import CORRESPONDENTS, HOME, HomeAgentSite, home_address
from tests.conformance.links import CORRESPONDENT, MOBILE_NODE
from tests.conformance.player import ANSWER, SETTLED, Deviation, Echo, Player
from tests.conformance.protection import Protection
from tests.conformance.site import FOREIGN, ROUTER_MAC, address
from tests.conformance.wire import Acknowledgement, Seen

LIFETIME: Final = 105  # units of 4 s: 420 s
MAX_DELETE_BCE_TIMEOUT: Final = 10.0  # seconds (RFC 6275 section 12)


class Tester(Player):
    """Plays one case at a home agent's site."""

    __test__ = False  # pytest takes it for a class of tests by its name
    site: HomeAgentSite

    def __init__(self, site: HomeAgentSite, case: Case) -> None:
        super().__init__(site, case)
        number = case.number
        self.home_address = home_address(number)
        self.link_local = address("fe80::", number, MOBILE_NODE)
        self.mac = links.mac_of(number, MOBILE_NODE)
        self.care_of = tuple(address(prefix, number, MOBILE_NODE) for prefix in FOREIGN)
        self.correspondents = tuple(address(prefix, number, CORRESPONDENT) for prefix in CORRESPONDENTS)
        self.neighbour = address(HOME, number, CORRESPONDENT)  # a correspondent on the home link
        self.neighbour_link_local = address("fe80::", number, CORRESPONDENT)
        self.neighbour_mac = links.mac_of(number, CORRESPONDENT)
        self.protection: Protection | None = site.protections.get(number)

    def close(self) -> None:
        super().close()
        if not self.site.kind.virtual:
            for owned in (self.home_address, self.neighbour, self.neighbour_link_local):
                self.site.home.disown(owned)

    # --- sending ---

    def send_far(self, packet: Packet | bytes, mac: str | None = None) -> None:
        """From a foreign link through the router to the home agent, or to another machine on its link."""
        self.site.far.send(ROUTER_MAC, mac or self.site.home_agent_mac, packet)

    def send_home(self, packet: Packet | bytes, source_mac: str | None = None, mac: str | None = None) -> None:
        """From a machine on the home link (the mobile node) to the home agent, or to another one."""
        self.site.home.send(source_mac or self.mac, mac or self.site.home_agent_mac, packet)

    def sealed(self, protocol: int, upper: bytes) -> tuple[int, bytes]:
        """A message of the mobile node as its security policy has it: the one place where ESP is put on."""
        if self.protection is None:
            return protocol, upper
        return wire.ESP, self.protection.seal(protocol, upper)

    def opened(self, seen: Seen) -> Seen:
        """A message to the mobile node without its ESP, which must be there if the policy says so."""
        if self.protection is None:
            return seen
        if seen.protocol != wire.ESP:
            self.check(False, f"{seen} is not protected")
            return seen
        protocol, upper = self.protection.open(seen.upper)
        return Seen(**{**seen.__dict__, "protocol": protocol, "upper": upper})

    # --- the mobile node's signalling ---

    def binding_update(
        self,
        care_of_address: str,
        sequence: int,
        *,
        lifetime: int = LIFETIME,
        flags: str = "AH",
        home_address_option: str | None = "",
        mh_type: int = wire.BU,
        alternate: str | None = None,
        change: Callable[[bytes], bytes] = lambda upper: upper,
    ) -> Packet:
        """A Binding Update from `care_of_address`, also its Alternate Care-of Address; "": our home address.

        `change` makes of the Mobility Header what is sent; it puts the checksum right if it has to be.
        """
        home = self.home_address if home_address_option == "" else home_address_option
        option = MIP6OptAltCoA(acoa=alternate or care_of_address)
        message = MIP6MH_BU(
            mhtype=mh_type,
            seq=sequence,
            flags=flags,
            mhtime=lifetime,
            options=[option],
        )
        upper = wire.upper_octets(home or care_of_address, self.site.home_agent, message, wire.MOBILITY)
        protocol, payload = self.sealed(wire.MOBILITY, change(upper))
        return wire.packet(care_of_address, self.site.home_agent, protocol, payload, home_address=home)

    def acknowledgement(self, destination: str, since: float) -> tuple[Seen, Acknowledgement]:
        """The Binding Acknowledgement to `destination`; the first answer of any kind is judged."""

        def answer(seen: Seen) -> bool:
            return seen.destination == destination and seen.target is None and not _is_echo(seen)

        seen = self.opened(self.expect(answer, "Binding Acknowledgement", since))
        if not seen.is_mobility(wire.BA):
            raise Deviation(f"{seen} instead of a Binding Acknowledgement")
        self.check(seen.source == self.site.home_agent, f"Binding Acknowledgement from {seen.source}")
        self.check(seen.home_address is None, "Home Address option in a Binding Acknowledgement")
        found = Acknowledgement.of(seen)
        self.check(not found.key_management, "K is set in the Binding Acknowledgement")
        return seen, found

    def acknowledged_away(self, care_of_address: str, since: float) -> Acknowledgement:
        """The acknowledgement to a mobile node that is away: with a Type 2 Routing Header (RFC 6275 section 6.4)."""
        seen, found = self.acknowledgement(care_of_address, since)
        header = seen.routing
        right = header is not None and (header.type, header.length, header.segments_left) == (2, 2, 1)
        self.check(right and header and header.address == self.home_address, "no Type 2 Routing Header as it should be")
        return found

    def acknowledged_at_home(self, since: float) -> Acknowledgement:
        """The acknowledgement to a mobile node that is at home: straight to it, no routing header, no tunnel."""
        seen, found = self.acknowledgement(self.home_address, since)
        self.check(seen.routing is None, "routing header in an acknowledgement to a node at home")
        self.check(seen.mac_destination == self.mac, f"the acknowledgement is sent to {seen.mac_destination}")
        return found

    def reg(
        self, care_of_address: str, sequence: int, *, lifetime: int = LIFETIME, acknowledge: bool = True,
        link_local: bool = False,
    ) -> Acknowledgement:  # fmt: skip
        """REG of the catalogue: a home registration that is accepted."""
        since = self.mark()
        flags = "H" + "A" * acknowledge + "L" * link_local
        self.send_far(self.binding_update(care_of_address, sequence, lifetime=lifetime, flags=flags))
        return self.registered(care_of_address, sequence, since, lifetime)

    def registered(
        self, care_of_address: str, sequence: int, since: float, lifetime: int = LIFETIME
    ) -> Acknowledgement:
        """The acknowledgement of a registration."""
        found = self.acknowledged_away(care_of_address, since)
        if found.status not in (0, 1):
            raise Deviation(f"status {found.status} for a good registration")
        self.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")
        self.check(0 < found.lifetime <= lifetime, f"lifetime {found.lifetime}, {lifetime} requested")
        for option in found.options:
            if option.type == wire.BINDING_REFRESH_ADVICE:
                interval = int.from_bytes(option.data, "big")
                self.check(interval < found.lifetime, f"refresh advice {interval}, lifetime {found.lifetime}")
            else:
                self.check(option.type == wire.PADN, f"mobility option {option.type} in the acknowledgement")
        return found

    def refused(self, found: Acknowledgement, status: int, sequence: int) -> None:
        """Check an acknowledgement that says no."""
        self.check(found.status == status, f"status {found.status}, not {status}")
        self.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")

    # --- probes ---

    def probe(self, care_of_address: str) -> tuple[Echo, Seen | None]:
        """An Echo Request with the Home Address option in clear, and what comes back for it, whatever it is."""
        time.sleep(SETTLED)
        echo, since = self.echo(), self.mark()
        upper = echo.request(self.home_address, self.site.home_agent)
        self.send_far(
            wire.packet(care_of_address, self.site.home_agent, wire.ICMPV6, upper, home_address=self.home_address)
        )
        answer = self.inbox.find(lambda seen: seen.destination == care_of_address, since, ANSWER)
        return echo, answer

    def bound(self, care_of_address: str) -> None:
        """BOUND of the catalogue: the home agent answers its mobile node by a Type 2 Routing Header."""
        where = "echo of a bound node"
        echo, answer = self.probe(care_of_address)
        if answer is None or not echo.is_reply(answer):
            self.check(False, f"{where}: {answer or 'no answer'} instead of an Echo Reply")
            return
        self.check(answer.source == self.site.home_agent, f"{where}: from {answer.source}")
        header = answer.routing
        right = header is not None and (header.type, header.length, header.segments_left) == (2, 2, 1)
        self.check(right and header and header.address == self.home_address, f"{where}: no Type 2 Routing Header")
        self.check(answer.checksum_right, f"{where}: wrong checksum")

    def unbound(self, care_of_address: str) -> None:
        """UNBOUND of the catalogue: a Home Address option without a binding draws Binding Error 1 (9.3.1)."""
        where = "echo of an unbound node"
        _, answer = self.probe(care_of_address)
        if answer is None or not answer.is_mobility(wire.BE):
            self.check(False, f"{where}: {answer or 'no answer'} instead of a Binding Error")
            return
        self.check(answer.source == self.site.home_agent, f"{where}: from {answer.source}")
        self.check(answer.routing is None, f"{where}: routing header in the Binding Error")
        self.check(answer.checksum_right, f"{where}: wrong checksum")
        self.binding_error(answer, 1, self.home_address)

    # --- the home link ---

    def arrive_home(self) -> None:
        """The mobile node is at home from now on, and answers for its address."""
        self.site.home.own(self.home_address, self.mac)

    def next_hop(self, destination: str) -> str:
        """Where the router sends packets for the home prefix: resolved, unless the link is virtual."""
        if self.site.kind.virtual:
            return self.site.home_agent_mac
        found = self.site.far.resolve(destination, self.site.router, ROUTER_MAC)
        if found is None:
            raise Deviation(f"nobody answers the router's Neighbor Solicitation for {destination}")
        return found


def _is_echo(seen: Seen) -> bool:
    return seen.is_icmpv6(wire.ECHO_REPLY)
