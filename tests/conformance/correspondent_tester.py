"""The tester of one case of a correspondent node: a mobile node that is away, and the macros of the catalogue."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Final

from tests.conformance import links, wire
from tests.conformance.cases import Case
from tests.conformance.correspondent_site import CorrespondentSite
from tests.conformance.links import FIRST_OTHER, MOBILE_NODE
from tests.conformance.player import ANSWER, PING_DATA, SETTLED, Deviation, Echo, Player
from tests.conformance.site import FOREIGN, ROUTER_MAC, address
from tests.conformance.tokens import AUTHENTICATOR, Token, Tokens, aligned
from tests.conformance.wire import Acknowledgement, Seen

LIFETIME: Final = 10  # units of 4 s, unless a case says more
A, H = 0x8000, 0x4000  # flags of a Binding Update (RFC 6275 section 6.1.7)
Change = Callable[[bytes], bytes]


def unchanged(octets: bytes) -> bytes:
    return octets


class CorrespondentTester(Player):
    """Plays one case at a correspondent's site."""

    site: CorrespondentSite

    def __init__(self, site: CorrespondentSite, case: Case) -> None:
        super().__init__(site, case)
        self.correspondent = site.hosts[0]
        self._settle(MOBILE_NODE)

    def _settle(self, role: int) -> None:
        number = self.case.number
        self.home_address = address(self.site.kind.home, number, role)
        self.care_of = tuple(address(prefix, number, role) for prefix in FOREIGN)
        self.mac = links.mac_of(number, role)

    def another(self, role: int = FIRST_OTHER) -> CorrespondentTester:
        """Another mobile node in the same case."""
        other = copy.copy(self)
        other._settle(role)
        other._echoes = 1000 * role  # its own echoes
        other.prepare()
        return other

    def towards(self, correspondent: str) -> CorrespondentTester:
        """The same mobile node with another correspondent."""
        other = copy.copy(self)
        other.correspondent = correspondent
        other._echoes += 500
        return other

    def at(self, care_of_address: str, link_layer_address: str) -> CorrespondentTester:
        """The same mobile node as a visitor of the correspondent's own link, with one address there."""
        other = copy.copy(self)
        other.care_of, other.mac = (care_of_address,), link_layer_address
        other._echoes += 250
        return other

    def wait(self, seconds: float) -> None:
        self.site.wait(seconds)

    # --- sending ---

    def send(self, packet: bytes) -> None:
        """From a foreign link, or from the home link, through the router to the correspondent."""
        destination = wire.text(packet[24:40])
        self.site.far.send(ROUTER_MAC, self.site.macs.get(destination, self.site.host_mac), packet)

    def from_home_address(self, protocol: int, upper: bytes, hop_limit: int = 64) -> None:
        """The mobile node sends by way of its home agent, or is at home."""
        packet = wire.extended(self.home_address, self.correspondent, [], protocol, upper, hop_limit=hop_limit)
        self.send(packet)

    def from_care_of_address(self, care_of_address: str, protocol: int, upper: bytes) -> None:
        """The mobile node sends with a Home Address option."""
        options = wire.home_address_header(self.home_address)
        self.send(wire.extended(care_of_address, self.correspondent, [options], protocol, upper))

    # --- return routability ---

    def init(self, mh_type: int, source: str, cookie: bytes) -> bytes:
        """A Home Test Init or a Care-of Test Init: the Mobility Header (sections 6.1.3 and 6.1.4)."""
        return wire.mobility_header(mh_type, bytes(2) + cookie, source, self.correspondent)

    def test(self, answer_type: int, destination: str, cookie: bytes, since: float) -> Token:
        """The Home Test or Care-of Test with this cookie; Deviation if there is none."""
        what = wire.MOBILITY_MESSAGES[answer_type]

        def wanted(seen: Seen) -> bool:
            return seen.is_mobility(answer_type) and seen.upper[8:16] == cookie

        seen = self.expect(wanted, what, since)
        self.check(seen.destination == destination, f"{what} to {seen.destination}")
        self.check(seen.source == self.correspondent, f"{what} from {seen.source}")
        self.check(seen.routing is None and seen.home_address is None, f"extension headers in the {what}")
        right = len(seen.upper) == 24 and seen.upper[:2] == bytes((wire.NO_NEXT_HEADER, 2)) and seen.upper[3] == 0
        self.check(right, f"the Mobility Header of the {what} is wrong")
        return Token(int.from_bytes(seen.upper[6:8], "big"), seen.upper[16:24])

    def home_test(self) -> Token:
        cookie, since = os.urandom(8), self.mark()
        self.from_home_address(wire.MOBILITY, self.init(wire.HOTI, self.home_address, cookie))
        return self.test(wire.HOT, self.home_address, cookie, since)

    def care_of_test(self, care_of_address: str) -> Token:
        cookie, since = os.urandom(8), self.mark()
        header = self.init(wire.COTI, care_of_address, cookie)
        self.send(wire.extended(care_of_address, self.correspondent, [], wire.MOBILITY, header))
        return self.test(wire.COT, care_of_address, cookie, since)

    def return_routability(self, care_of_address: str) -> Tokens:
        """RR of the catalogue."""
        care_of = self.care_of_test(care_of_address)
        return Tokens(self.home_test(), care_of)

    # --- Binding Updates ---

    def binding_update(
        self,
        source: str,
        sequence: int,
        tokens: Tokens | None,
        *,
        lifetime: int = LIFETIME,
        flags: int = A,
        home_address: str | None = "",
        care_of_address: str | None = None,
        alternate: str | None = None,
        nonce_indices: bool = True,
        more: list[tuple[int, bytes]] | None = None,
        before: Change = unchanged,
        after: Change = unchanged,
    ) -> bytes:
        """A Binding Update packet from `source` with a Home Address option; "" is ours, None means without.

        It is authorised by `tokens` for `care_of_address`: by default the Alternate Care-of Address or the source, or
        the home address if it asks for a deletion. `before` changes the Mobility Header before the authenticator is
        computed, `after` the one with it; the checksum is computed last.
        """
        home = self.home_address if home_address == "" else home_address
        options = [*(more or [])]
        if alternate is not None:
            options.append((wire.ALTERNATE_CARE_OF_ADDRESS, wire.packed(alternate)))
        if tokens is not None and nonce_indices:
            options.append((wire.NONCE_INDICES, tokens.nonce_indices))
        if tokens is not None:
            options.append((wire.AUTHORIZATION, bytes(AUTHENTICATOR)))
        fields = b"".join(field.to_bytes(2, "big") for field in (sequence, flags, lifetime))
        data = fields + aligned(options)
        header = before(wire.mobility_header(wire.BU, data, source, self.correspondent))
        if tokens is not None:
            registered = alternate or source if lifetime else home or source
            authenticator = tokens.authenticator(care_of_address or registered, self.correspondent, header)
            header = header[:-AUTHENTICATOR] + authenticator
        return self.carried(source, home, after(header))

    def carried(self, source: str, home_address: str | None, header: bytes) -> bytes:
        """A Mobility Header, put right, in a packet with or without a Home Address option."""
        header = wire.checked(header, home_address or source, self.correspondent)
        options = [] if home_address is None else [wire.home_address_header(home_address)]
        return wire.extended(source, self.correspondent, options, wire.MOBILITY, header)

    def answer(self, destination: str, since: float) -> Seen:
        """The first answer to `destination`, echoes and refresh requests aside, must be a Binding Acknowledgement."""

        def wanted(seen: Seen) -> bool:
            answers = seen.protocol in (wire.MOBILITY, wire.ICMPV6)
            return seen.destination == destination and answers and not _aside(seen)

        seen = self.expect(wanted, "Binding Acknowledgement", since)
        if not seen.is_mobility(wire.BA):
            raise Deviation(f"{seen} instead of a Binding Acknowledgement")
        self.check(seen.source == self.correspondent, f"Binding Acknowledgement from {seen.source}")
        self.check(seen.home_address is None, "Home Address option in a Binding Acknowledgement")
        return seen

    def acknowledged(
        self,
        source: str,
        since: float,
        tokens: Tokens | None,
        *,
        care_of_address: str | None = None,
        at_home: bool = False,
    ) -> Acknowledgement:
        """The acknowledgement of a Binding Update that came from `source`.

        With `tokens` it must be authorised for the care-of address (by default `source`), without it must not. It has
        a Type 2 Routing Header unless the mobile node is at home (section 9.5.4).
        """
        seen = self.answer(source, since)
        if at_home:
            self.check(seen.routing is None, "routing header in an acknowledgement to the home address")
        else:
            self.routed(seen, "the acknowledgement")
        found = Acknowledgement.of(seen)
        self.check(not found.key_management, "K is set in the Binding Acknowledgement")
        authorization = [option for option in found.options if option.type == wire.AUTHORIZATION]
        if tokens is None:
            self.check(not authorization, "Binding Authorization Data in the acknowledgement")
            return found
        if not authorization:
            self.check(False, "no Binding Authorization Data in the acknowledgement")
            return found
        last = found.options[-1] is authorization[0] and len(authorization[0].data) == AUTHENTICATOR
        self.check(last and seen.upper.endswith(authorization[0].data), "Binding Authorization Data is not at the end")
        right = tokens.authenticator(care_of_address or source, self.correspondent, seen.upper)
        self.check(authorization[0].data == right, "wrong authenticator in the acknowledgement")
        return found

    def registered(
        self, care_of_address: str, sequence: int, tokens: Tokens, since: float, *, lifetime: int = LIFETIME,
        source: str | None = None,
    ) -> Acknowledgement:  # fmt: skip
        """The acknowledgement of a registration that is accepted."""
        found = self.acknowledged(source or care_of_address, since, tokens, care_of_address=care_of_address)
        if found.status != 0:
            raise Deviation(f"status {found.status} for a good registration")
        self.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")
        self.check(0 < found.lifetime <= lifetime, f"lifetime {found.lifetime}, {lifetime} requested")
        return found

    def register(
        self, care_of_address: str, sequence: int, tokens: Tokens, *, lifetime: int = LIFETIME
    ) -> Acknowledgement:
        """Send a good Binding Update, and check the acknowledgement."""
        since = self.mark()
        self.send(self.binding_update(care_of_address, sequence, tokens, lifetime=lifetime))
        return self.registered(care_of_address, sequence, tokens, since, lifetime=lifetime)

    def creg(self, care_of_address: str, sequence: int = 100, *, lifetime: int = LIFETIME) -> Tokens:
        """CREG of the catalogue; the tokens that it was done with."""
        tokens = self.return_routability(care_of_address)
        self.register(care_of_address, sequence, tokens, lifetime=lifetime)
        return tokens

    def deregister(self, care_of_address: str, sequence: int, *, flags: int = A) -> None:
        """A de-registration from away, with a new home token."""
        tokens = Tokens(self.home_test())
        since = self.mark()
        self.send(self.binding_update(care_of_address, sequence, tokens, lifetime=0, flags=flags))
        if flags & A:
            self.deleted(care_of_address, sequence, tokens, since)

    def deleted(
        self, source: str, sequence: int, tokens: Tokens, since: float, *, at_home: bool = False
    ) -> Acknowledgement:
        """The acknowledgement of a de-registration."""
        found = self.acknowledged(source, since, tokens, care_of_address=self.home_address, at_home=at_home)
        self.check(found.status == 0, f"status {found.status} for a de-registration")
        self.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")
        self.check(found.lifetime == 0, f"lifetime {found.lifetime} for a de-registration")
        return found

    def refused(self, found: Acknowledgement, status: int, sequence: int) -> None:
        """Check an acknowledgement that says no."""
        self.check(found.status == status, f"status {found.status}, not {status}")
        self.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")

    def silent(self, what: str, since: float, *addresses: str) -> None:
        """Check that no mobility message and no ICMPv6 error comes to the mobile node, or to `addresses`."""
        mine = addresses or (self.home_address, *self.care_of)

        def unwanted(seen: Seen) -> bool:
            error = seen.protocol == wire.ICMPV6 and seen.upper[:1] < bytes((wire.ECHO_REQUEST,))
            return seen.destination in mine and (seen.protocol == wire.MOBILITY or error)

        self.quiet(unwanted, what, since)

    # --- probes ---

    def between(self, seen: Seen, destination: str, where: str) -> None:
        """Check that a packet goes from the correspondent to `destination`."""
        right = (seen.source, seen.destination) == (self.correspondent, destination)
        self.check(right, f"{where}: from {seen.source} to {seen.destination}")

    def routed(self, seen: Seen, what: str) -> None:
        """Check the Type 2 Routing Header (section 6.4)."""
        header = seen.routing
        right = header is not None and (header.type, header.length, header.segments_left) == (2, 2, 1)
        self.check(right and header and header.address == self.home_address, f"no Type 2 Routing Header in {what}")

    def probe(self, care_of_address: str) -> tuple[Echo, Seen | None]:
        """An Echo Request with the Home Address option, and what comes back for it, whatever it is."""
        self.wait(SETTLED)
        echo, since = self.echo(), self.mark()
        request = echo.request(self.home_address, self.correspondent)
        self.from_care_of_address(care_of_address, wire.ICMPV6, request)

        def wanted(seen: Seen) -> bool:
            return seen.destination in (care_of_address, self.home_address) and not seen.is_mobility(wire.BRR)

        return echo, self.inbox.find(wanted, since, ANSWER)

    def bound(self, care_of_address: str) -> None:
        """BOUND of the catalogue."""
        echo, answer = self.probe(care_of_address)
        self._optimised(echo, answer, care_of_address, "echo of a bound node")

    def optimised(self, care_of_address: str) -> None:
        """An Echo Request by way of the home agent is answered straight to the care-of address (9.3.2)."""
        echo, answer = self.ping_from_home()
        self._optimised(echo, answer, care_of_address, "echo by way of the home agent")

    def _optimised(self, echo: Echo, answer: Seen | None, care_of_address: str, where: str) -> None:
        if answer is None or not echo.is_reply(answer):
            self.check(False, f"{where}: {answer or 'no answer'} instead of an Echo Reply")
            return
        self.between(answer, care_of_address, where)
        self.routed(answer, where)
        self.check(answer.checksum_right, f"{where}: wrong checksum")

    def unbound(self, care_of_address: str) -> None:
        """UNBOUND of the catalogue: Binding Error 1 to the source on the wire (9.3.1, 9.3.3)."""
        where = "echo of an unbound node"
        _, answer = self.probe(care_of_address)
        if answer is None or not answer.is_mobility(wire.BE):
            self.check(False, f"{where}: {answer or 'no answer'} instead of a Binding Error")
            return
        self.refused_payload(answer, care_of_address, self.home_address, where)

    def refused_payload(self, answer: Seen, destination: str, home_address: str, where: str, status: int = 1) -> None:
        """Check a Binding Error."""
        self.between(answer, destination, where)
        self.check(answer.routing is None, f"{where}: routing header in the Binding Error")
        self.check(answer.checksum_right, f"{where}: wrong checksum")
        self.binding_error(answer, status, home_address)

    def ping_from_home(self, data: bytes = PING_DATA) -> tuple[Echo, Seen | None]:
        """An Echo Request by way of the home agent, and the reply, wherever it goes."""
        self.wait(SETTLED)
        echo, since = self.echo(data), self.mark()
        self.from_home_address(wire.ICMPV6, echo.request(self.home_address, self.correspondent))
        return echo, self.inbox.find(echo.is_reply, since, ANSWER)

    def plain(self) -> None:
        """An Echo Request by way of the home agent, or from home, is answered to the home address as by any node."""
        where = "echo without a binding"
        _, answer = self.ping_from_home()
        if answer is None:
            self.check(False, f"{where}: no answer")
            return
        self.between(answer, self.home_address, where)
        self.check(answer.routing is None and answer.home_address is None, f"{where}: extension headers in the reply")


def _aside(seen: Seen) -> bool:
    return seen.is_icmpv6(wire.ECHO_REPLY) or seen.is_mobility(wire.BRR)
