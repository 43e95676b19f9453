"""The home agent (RFC 6275 section 10): what comes in, and what is to be done about it.

The engine owns no clock, socket or thread. Every entry point takes `now` in monotonic seconds and returns
actions for the shell, in the order in which they must be carried out; the shell keeps one timer, for
`next_timer`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Final

from mip6core import discovery, neighbor_discovery, registration, replies, usual_update
from mip6core.access import AccessList
from mip6core.actions import Actions
from mip6core.addresses import UNSPECIFIED, Address, is_multicast, is_unicast_routable
from mip6core.authentication import Authenticator, MobilitySecurityAssociation
from mip6core.codec import icmpv6, mh
from mip6core.codec.icmpv6 import NeighborAdvertisement, NeighborSolicitation, ParameterProblem, TimeExceeded
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.mh import BU_HOME_REGISTRATION, BindingUpdate, UnknownMessage
from mip6core.constants import AH, ESP, ICMPV6, LIFETIME_UNIT, MOBILITY_HEADER
from mip6core.discovery import Discovery
from mip6core.errors import ParseError
from mip6core.events import Event
from mip6core.fsm import Input
from mip6core.home_link import (
    MAX_PREFIXES,
    HomeLink,
    HomePrefix,
    Limits,
    MobilePrefixSettings,
    RouterAdvertisementSettings,
)
from mip6core.home_registrations import HomeRegistrations
from mip6core.icmpv6_errors import may_be_answered
from mip6core.prefix_options import prefix_options
from mip6core.rate_limit import RateLimiter
from mip6core.status import BindingErrorStatus
from mip6core.tunnel_errors import TunnelErrors

__all__ = ["HomeAgent", "HomeLink", "HomePrefix", "Limits"]

_NEIGHBOR_DISCOVERY: Final = tuple(bytes([m.icmp_type]) for m in (NeighborSolicitation, NeighborAdvertisement))
_ICMPV6: Final = (*_NEIGHBOR_DISCOVERY, *discovery.ROUTER_DISCOVERY, *discovery.HOME_DISCOVERY)
_PROTECTED: Final = (ESP, AH)
_SENT: Final = {ParameterProblem: "icmpv6_sent_parameter_problem", TimeExceeded: "icmpv6_sent_time_exceeded"}


class HomeAgent:
    """Serves the mobile nodes of one or more home links."""

    def __init__(
        self,
        links: Iterable[HomeLink],
        limits: Limits,
        rng: Callable[[int], bytes],
        notify: Callable[[Event], None] | None = None,
        *,
        access: AccessList | None = None,
        associations: Iterable[MobilitySecurityAssociation] = (),
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        """`rng(n)` gives n random octets. Raises ValueError if two links share a name or prefixes overlap.

        `access` None: all home addresses of the home prefixes may register. `associations` are for the
        authentication option, and `wall_clock` gives seconds since 1970 to compare their timestamps with.
        """
        self.links = tuple(links)
        for one, other in combinations(self.links, 2):
            _check_two(one, other)
        self.limits = limits
        self.rng = rng
        self.statistics: dict[str, int] = defaultdict(int)
        self.discovery = Discovery(self.links, RateLimiter.of(limits), rng, self.statistics, notify)
        self._registrations = HomeRegistrations(
            self.links, limits, self.statistics, notify, self.discovery.mobile_prefixes, access
        )
        self._authenticator = Authenticator(associations, wall_clock)
        self.bindings = self._registrations.bindings
        self._timers = self._registrations.timers
        self._binding_errors = RateLimiter.of(limits)
        self._icmpv6_errors = RateLimiter.of(limits)
        self.tunnel_errors = TunnelErrors(self.bindings, RateLimiter.of(limits), self.statistics)

    def receive(self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float) -> Actions:
        """A packet that the switch of `link` handed up: signalling for the home agent, or Neighbor Discovery.

        `link` is one of `links`. `link_layer_source` is the frame's source, empty if there was no frame.
        """
        actions: Actions = []
        if self._timers.comes_up <= now:
            self._registrations.tick(now, actions)
        protocol = datagram.upper_protocol
        if datagram.more_fragments or datagram.fragment_offset:
            self._drop("fragment")
        elif datagram.unrecognized_option is not None:
            self._unrecognized_option(link, datagram, link_layer_source, now, actions)
        elif protocol == ICMPV6 and datagram.upper[:1] in _ICMPV6:
            self._icmpv6(link, datagram, link_layer_source, now, actions)
        elif datagram.destination != link.address:
            self._drop("not_for_home_agent")
        elif datagram.type2_home_address is not None:
            self._drop("routing_header")  # 8.2: no address of ours is a mobile node's
        elif protocol == MOBILITY_HEADER:
            self._mobility_header(link, datagram, link_layer_source, now, actions)
        elif datagram.home_address is None or protocol in _PROTECTED:
            self.statistics["ignored_protocol"] += 1
        else:
            self._home_address_option(link, datagram, datagram.home_address, link_layer_source, now, actions)
        return actions

    def receive_usual(self, link: HomeLink, packet: bytes, link_layer_source: bytes, now: float) -> Actions | None:
        """The same for a packet from the IPv6 header on, in clear, if it is what `usual_update` reads.

        None if it is not, and nothing has been done: it is for `receive`.
        """
        request = usual_update.read(link, packet, link_layer_source)
        if request is None or request.home_address in self._authenticator.home_addresses:
            return None
        actions: Actions = []
        if self._timers.comes_up <= now:
            self._registrations.tick(now, actions)
        self.statistics["bu_received"] += 1
        self._registrations.receive(request, now, actions)
        return actions

    def malformed(
        self, link: HomeLink, packet: bytes, error: ParseError, link_layer_source: bytes, now: float
    ) -> Actions:
        """A packet for `receive` in which `codec.ipv6` has found `error`: its sender is told where that is due."""
        actions: Actions = []
        self._drop(error.reason)
        if error.pointer is not None:
            problem = ParameterProblem(error.code, error.pointer, packet)
            self._icmpv6_error(link, problem, link_layer_source, now, actions)
        return actions

    def reassembly_timed_out(self, link: HomeLink, first_fragment: bytes, now: float) -> Actions:
        """A packet for `receive` of which not all fragments have come (RFC 8200 section 4.5)."""
        actions: Actions = []
        self._icmpv6_error(link, TimeExceeded(icmpv6.REASSEMBLY_TIME_EXCEEDED, first_fragment), b"", now, actions)
        return actions

    def tick(self, now: float) -> Actions:
        """What has become due."""
        actions: Actions = []
        self._registrations.tick(now, actions)
        self.discovery.tick(now, actions)
        return actions

    def next_timer(self) -> float | None:
        """When `tick` has to be called next, if nothing comes in before; None: never."""
        registrations, discoveries = self._timers.next(), self.discovery.timers.next()
        if registrations is None or discoveries is None:
            return discoveries if registrations is None else registrations
        return min(registrations, discoveries)

    def link_up(self, link: HomeLink, now: float) -> None:
        """The switch of `link` has its flows, and `link.link_layer_address` is set: advertising may begin."""
        self.discovery.link_up(link, now)

    def link_down(self, link: HomeLink) -> None:
        """The switch of `link` is gone."""
        self.discovery.link_down(link)

    def close(self, now: float) -> Actions:
        """What is said before the home agent ends. Bindings stay as they are."""
        actions: Actions = []
        self.discovery.close(now, actions)
        return actions

    def clear(self, home_address: Address, now: float) -> Actions:
        """Forget a registration; the mobile node may register again at once, with any sequence number."""
        return self._apply(Input.CLEAR, home_address, now)

    def put(
        self, link: HomeLink, home_address: Address, care_of_address: Address, lifetime: float, now: float
    ) -> Actions:
        """A static binding: no Binding Update changes it, and the rules of access do not concern it.

        It ends after `lifetime` seconds, which may be infinite, or by `clear`. ValueError says why it cannot be.
        """
        request = registration.Registration(
            link, home_address, care_of_address, 0, BU_HOME_REGISTRATION, 0, care_of_address, None
        )
        request.expires_at = now + lifetime
        actions = self.tick(now)
        self._registrations.put(request, now, actions)
        return actions

    def installation_failed(self, home_address: Address, now: float) -> Actions:
        """The switch refused the flows of a binding: it ends, and the mobile node is told 130."""
        return self._apply(Input.INSTALLATION_FAILED, home_address, now)

    def adopt(
        self,
        link: HomeLink,
        home_address: Address,
        care_of_address: Address,
        sequence: int,
        flags: int,
        remaining: float,
        now: float,
        static: bool = False,
    ) -> bool:
        """Take over a binding whose flows a switch has kept while this program was away.

        `sequence` is at most the last one accepted: refreshes may not have changed the flows. `remaining` is in
        seconds. Returns False, and changes nothing, if the home address is known or no longer served. No actions
        follow.
        """
        units = 0 if static else math.ceil(remaining / LIFETIME_UNIT)
        request = registration.Registration(
            link, home_address, care_of_address, sequence, flags, units, care_of_address, None
        )
        request.expires_at = now + remaining
        if static:
            return self._registrations.adopt_static(request, now)
        request.authentication = self._authenticator.reply(home_address)
        return self._registrations.adopt(request, now, [])

    @property
    def rate_limiters(self) -> tuple[RateLimiter, ...]:
        """What remembers whom answers were sent to that any stranger can ask for."""
        return self._binding_errors, self._icmpv6_errors, self.tunnel_errors.errors, self.discovery.replies

    @property
    def tests_refused(self) -> int:
        """First registrations that were refused since too many addresses were under test."""
        return self._registrations.dad.refused

    def watched(self, link: HomeLink) -> list[Address]:
        """The addresses under test on a link: those of `WatchAddress` without an `UnwatchAddress` yet."""
        return self._registrations.dad.addresses(link)

    def set_prefixes(self, link: HomeLink, prefixes: tuple[HomePrefix, ...], now: float) -> Actions:
        """Renumber a home link. Raises ValueError and changes nothing if a prefix overlaps another link's.

        The same for more than MAX_PREFIXES.
        """
        if len(prefixes) > MAX_PREFIXES:
            raise ValueError(f"more than {MAX_PREFIXES} prefixes for {link.name}")
        for other in self.links:
            if other is not link:
                _check_apart(prefixes, other)
        actions = self.tick(now)
        before = prefix_options(link, now)
        self._registrations.set_prefixes(link, prefixes, now, actions)
        if prefix_options(link, now) != before:
            self.discovery.prefixes_changed(link, now)
        return actions

    def set_link(
        self,
        link: HomeLink,
        max_lifetime: int,
        router_advertisement: RouterAdvertisementSettings,
        mobile_prefix: MobilePrefixSettings,
        now: float,
    ) -> Actions:
        """Other settings of a link; bindings stay, and `max_lifetime` (seconds) is for those that are made anew."""
        actions = self.tick(now)
        link.max_lifetime = max_lifetime
        bindings = [entry for entry in self.bindings if entry.bound and entry.link is link]
        self.discovery.set_link(link, router_advertisement, mobile_prefix, bindings, now, actions)
        return actions

    def set_rules(
        self,
        limits: Limits,
        access: AccessList | None,
        associations: Iterable[MobilitySecurityAssociation],
        now: float,
    ) -> Actions:
        """Other rules. Bindings end that they do not allow; too many ones stay, and what has been sent is counted on.

        Raises ValueError as at the start. The rates of errors are not changed.
        """
        actions = self.tick(now)
        self.limits = limits
        self._authenticator.set_associations(associations)
        self._registrations.set_rules(limits, access, now, actions)
        return actions

    def add_link(self, link: HomeLink, now: float) -> Actions:
        """Serve one more link. Raises ValueError if its name or prefixes are another's."""
        for other in self.links:
            _check_two(link, other)
        actions = self.tick(now)
        self.links = (*self.links, link)
        self.discovery.add_link(link)
        self._registrations.set_links(self.links, now, actions)
        return actions

    def remove_link(self, link: HomeLink, now: float) -> Actions:
        """Serve a link no more: its bindings end."""
        actions = self.tick(now)
        self.links = tuple(other for other in self.links if other is not link)
        self._registrations.set_links(self.links, now, actions)
        self.discovery.remove_link(link, now, actions)
        return actions

    def unknown_binding(
        self, link: HomeLink, source: Address, home_address: Address, link_layer_source: bytes, now: float
    ) -> Actions:
        """Binding Error 1 for a packet from `source` whose Home Address option has no binding (9.3.1).

        None if the option's address could not have one.
        """
        actions: Actions = []
        if not is_unicast_routable(home_address):
            self._drop("bad_home_address")
            return actions
        self._binding_error(
            link, BindingErrorStatus.UNKNOWN_BINDING, source, home_address, link_layer_source, now, actions
        )
        return actions

    def _apply(self, what: Input, home_address: Address, now: float) -> Actions:
        actions = self.tick(now)
        self._registrations.apply(what, home_address, now, actions)
        return actions

    def _mobility_header(
        self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float, actions: Actions
    ) -> None:
        """Section 9.2, which 10.2 asks of home agents."""
        try:
            message = mh.parse(datagram.upper, datagram.home_address or datagram.source, link.address)
        except ParseError as error:
            self._drop(error.reason)
            if error.pointer is not None:
                pointer = datagram.upper_offset + error.pointer
                problem = ParameterProblem(error.code, pointer, datagram.packet)
                self._icmpv6_error(link, problem, link_layer_source, now, actions)
            return
        if type(message) is BindingUpdate:
            self.statistics["bu_received"] += 1
            try:
                request = registration.read(link, datagram, message, link_layer_source)
                status = self._authenticator.check(request, message, datagram.upper)
            except registration.Discarded as discarded:
                self._drop(discarded.reason)
                return
            if status:
                self._registrations.refuse(request, status, now, actions)
            else:
                self._registrations.receive(request, now, actions)
        elif type(message) is UnknownMessage:
            self._drop("unrecognized_mh_type")
            status = BindingErrorStatus.UNRECOGNIZED_MH_TYPE
            self._binding_error(link, status, datagram.source, datagram.home_address, link_layer_source, now, actions)
        else:
            self.statistics["ignored_mobility_header"] += 1  # known, and not for a home agent

    def _icmpv6(
        self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float, actions: Actions
    ) -> None:
        """The messages of _ICMPV6, by type."""
        icmp_type = datagram.upper[:1]
        if icmp_type in _NEIGHBOR_DISCOVERY:
            self._neighbor_discovery(link, datagram, link_layer_source, now, actions)
        elif icmp_type in discovery.ROUTER_DISCOVERY:
            self.discovery.router_discovery(link, datagram, link_layer_source, now)
        else:
            self._home_discovery(link, datagram, link_layer_source, now, actions)

    def _home_discovery(
        self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float, actions: Actions
    ) -> None:
        """Requests about home agents and prefixes, after the check of section 9.3.1."""
        home_address = datagram.home_address
        binding = None if home_address is None else self.bindings.get_bound(home_address)
        if datagram.type2_home_address is not None:
            self._drop("routing_header")
        elif home_address is not None and (binding is None or binding.care_of_address != datagram.source):
            self._home_address_option(link, datagram, home_address, link_layer_source, now, actions)
        else:
            self.discovery.home_discovery(link, datagram, binding, link_layer_source, now, actions)

    def _home_address_option(
        self,
        link: HomeLink,
        datagram: Datagram,
        home_address: Address,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
    ) -> None:
        """Section 9.3.1: only a mobile node with a binding may use its home address this way."""
        binding = self.bindings.get_bound(home_address)
        if binding is not None and binding.care_of_address == datagram.source:
            self.statistics["ignored_protocol"] += 1
            return
        self._drop("unknown_binding")
        status = BindingErrorStatus.UNKNOWN_BINDING
        self._binding_error(link, status, datagram.source, home_address, link_layer_source, now, actions)

    def _neighbor_discovery(
        self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float, actions: Actions
    ) -> None:
        """Solicitations and advertisements about addresses that are defended or under test."""
        if link.virtual or not link_layer_source:  # it cannot have come out of a tunnel (RFC 4861 section 7.1)
            self._drop("no_such_link")
            return
        if link_layer_source == link.link_layer_address:
            self._drop("own_frame")  # a proxy must not take its own packets for another node's
            return
        try:
            message = icmpv6.parse(datagram)
        except ParseError as error:
            if error.reason == "bad_checksum" and datagram.source == UNSPECIFIED:
                self._spoilt_probe(link, datagram, link_layer_source, actions)
            else:
                self._drop(error.reason)
            return
        assert isinstance(message, NeighborSolicitation | NeighborAdvertisement)
        solicitation = message if isinstance(message, NeighborSolicitation) else None
        if solicitation is not None and link.is_home_agents_anycast(message.target):
            self.discovery.anycast_solicitation(link, solicitation, datagram, link_layer_source, now, actions)
            return
        if self._registrations.defends(link, message.target):
            if solicitation is not None:
                self.statistics["nd_answered"] += 1
                actions.append(neighbor_discovery.answer(link, solicitation, datagram.source, link_layer_source))
                return
        # RFC 4862 5.4.3, 5.4.4: another node has the address or tests it as we do; only to ask is no claim.
        elif solicitation is None or datagram.source == UNSPECIFIED:
            probe = self._registrations.dad.get(link, message.target)
            if probe is not None:
                self._registrations.conflict(probe, now, actions)
                return
        self.statistics["ignored_neighbor_discovery"] += 1

    def _spoilt_probe(self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, actions: Actions) -> None:
        """A probe for duplicates whose checksum is wrong: answered if its target is defended, and no claim otherwise.

        RFC 4861 section 7.1.1 has it discarded. But some builds of UMIP send none with a right one, and would never
        come home: they learn the home agent's link-layer address by the answer (11.5.5). All other solicitations for
        defended addresses are answered by the switch, which cannot check checksums either.
        """
        try:
            message = icmpv6.parse(datagram, any_checksum=True)
        except ParseError as error:
            self._drop(error.reason)
            return
        if isinstance(message, NeighborSolicitation) and self._registrations.defends(link, message.target):
            self.statistics["nd_answered_bad_checksum"] += 1
            actions.append(neighbor_discovery.answer(link, message, UNSPECIFIED, link_layer_source))
        else:
            self._drop("bad_checksum")

    def _unrecognized_option(
        self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float, actions: Actions
    ) -> None:
        """A destination option that may not be skipped: two bits say what to do (RFC 8200 section 4.2)."""
        assert datagram.unrecognized_option is not None
        option_type, offset = datagram.unrecognized_option
        self._drop("unrecognized_option")
        bits = option_type >> 6
        if bits >= 2:
            problem = ParameterProblem(icmpv6.UNRECOGNIZED_OPTION, offset, datagram.packet)
            self._icmpv6_error(link, problem, link_layer_source, now, actions, to_group=bits == 2)

    def _binding_error(
        self,
        link: HomeLink,
        status: BindingErrorStatus,
        source: Address,
        home_address: Address | None,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
    ) -> None:
        """Section 9.3.3: to the source address on the wire if it is unicast, and at a limited rate."""
        if not registration.is_unicast(source):
            return
        if not self._binding_errors.allow(source, now):
            self.statistics["be_suppressed"] += 1
            return
        self.statistics[f"be_sent_{status.value}"] += 1
        mac = registration.on_link(link, source, link_layer_source)
        actions.append(replies.binding_error(link, status, source, home_address, mac))

    def _icmpv6_error(
        self,
        link: HomeLink,
        error: ParameterProblem | TimeExceeded,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
        *,
        to_group: bool = False,
    ) -> None:
        """An ICMPv6 error for a packet to the home agent, or `to_group`, at a limited rate.

        None where RFC 4443 section 2.4 (e) forbids an answer.
        """
        packet = error.invoking
        source, destination = packet[8:24], packet[24:40]
        if not may_be_answered(packet, to_group=to_group):
            return
        if not (destination == link.address or link.is_home_agents_anycast(destination) or is_multicast(destination)):
            return
        if not self._icmpv6_errors.allow(source, now):
            self.statistics["icmpv6_suppressed"] += 1
            return
        self.statistics[_SENT[type(error)]] += 1
        actions.append(replies.icmpv6_message(link, source, error, link_layer_source))

    def _drop(self, reason: str) -> None:
        self.statistics["dropped_" + reason] += 1


def _check_two(one: HomeLink, other: HomeLink) -> None:
    if one.name == other.name:
        raise ValueError(f"two home links are named {one.name}")
    _check_apart(one.prefixes, other)


def _check_apart(prefixes: Iterable[HomePrefix], link: HomeLink) -> None:
    """A home address must belong to one link."""
    for one in prefixes:
        for other in link.prefixes:
            if one.prefix.contains(other.prefix.network) or other.prefix.contains(one.prefix.network):
                raise ValueError(f"{one.prefix} overlaps {other.prefix} of home link {link.name}")
