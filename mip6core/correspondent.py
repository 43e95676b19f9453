"""The correspondent node (RFC 6275 section 9), on behalf of every host of the correspondent links.

The same shape as the home agent: no clock, socket or thread; every entry point takes `now` in monotonic seconds and
returns actions for the shell, in the order in which they must be carried out; the shell keeps one timer, for
`next_timer`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Final

from mip6core import correspondent_replies as replies
from mip6core import correspondent_update
from mip6core.actions import CorrespondentActions
from mip6core.addresses import Address, Prefix, is_unicast_routable
from mip6core.codec import icmpv6, mh
from mip6core.codec.icmpv6 import DestinationUnreachable, ParameterProblem
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.mh import BindingUpdate, CareOfTest, CareOfTestInit, HomeTest, HomeTestInit, MHType, UnknownMessage
from mip6core.constants import ICMPV6, MOBILITY_HEADER, ROUTING
from mip6core.correspondent_cache import CorrespondentBinding
from mip6core.correspondent_link import CorrespondentLimits, CorrespondentLink
from mip6core.correspondent_registrations import CorrespondentRegistrations
from mip6core.errors import ParseError
from mip6core.events import CorrespondentEvent
from mip6core.rate_limit import RateLimiter
from mip6core.registration import Discarded, is_unicast
from mip6core.return_routability import Nonce, ReturnRoutability
from mip6core.status import BindingErrorStatus

__all__ = ["Correspondent", "CorrespondentLimits", "CorrespondentLink"]

# What a host gets that is a mobile node itself and visits the link
_FOR_MOBILE_NODES: Final = frozenset(
    (
        MHType.BINDING_REFRESH_REQUEST,
        MHType.HOME_TEST,
        MHType.CARE_OF_TEST,
        MHType.BINDING_ACKNOWLEDGEMENT,
        MHType.BINDING_ERROR,
    )
)


class Correspondent:
    """Serves the mobile nodes that talk to hosts of one or more correspondent links."""

    def __init__(
        self,
        links: Iterable[CorrespondentLink],
        limits: CorrespondentLimits,
        rng: Callable[[int], bytes],
        notify: Callable[[CorrespondentEvent], None] | None = None,
    ) -> None:
        """`rng(n)` gives n random octets of cryptographic quality.

        Raises ValueError if two links share a name or prefixes overlap.
        """
        self.links = tuple(links)
        for one, other in combinations(self.links, 2):
            _check_two(one, other)
        self.statistics: dict[str, int] = defaultdict(int)
        self._routability = ReturnRoutability(rng)
        self._nonces = self._routability.nonces
        self._unauthenticated = RateLimiter.of(limits)
        self._registrations = CorrespondentRegistrations(
            limits, self._routability, self.statistics, notify, self._unauthenticated
        )
        self.bindings = self._registrations.bindings
        self._timers = self._registrations.timers
        self._binding_errors = RateLimiter.of(limits)
        self._icmpv6_errors = RateLimiter.of(limits)

    @property
    def rate_limiters(self) -> tuple[RateLimiter, ...]:
        """What remembers whom answers were sent to that any stranger can ask for."""
        return self._binding_errors, self._icmpv6_errors, self._unauthenticated

    def receive(
        self, link: CorrespondentLink, datagram: Datagram, now: float, *, optimizable: bool = True
    ) -> CorrespondentActions | None:
        """A packet to an address of `link`'s prefixes. None: it is not for the correspondent and goes on its way.

        `optimizable` says whether the data packets of its sender can be: they pass an adapter on their way.
        """
        if (
            datagram.upper_protocol != MOBILITY_HEADER
            or datagram.more_fragments
            or datagram.fragment_offset
            or not link.is_correspondent(datagram.destination)
        ):
            return None
        for_mobile_node = len(datagram.upper) > 2 and datagram.upper[2] in _FOR_MOBILE_NODES
        actions: CorrespondentActions = []
        if datagram.unrecognized_option is not None:
            if for_mobile_node:
                return None
            self._unrecognized_option(link, datagram, datagram.unrecognized_option, now, actions)
            return actions
        if datagram.type2_home_address is not None:
            if for_mobile_node:
                return None  # such as an acknowledgement to a visitor
            self._drop("routing_header")  # 8.2
            return actions
        try:
            message = mh.parse(datagram.upper, datagram.checksum_source, datagram.destination)
        except ParseError as error:
            if error.pointer is not None:
                pointer = datagram.upper_offset + error.pointer
                self._parameter_problem(link, datagram, error.code, pointer, now, actions)
            elif for_mobile_node:
                return None
            self._drop(error.reason)
            return actions
        if type(message) is HomeTestInit or type(message) is CareOfTestInit:
            self._test_init(link, datagram, message, now, actions)
        elif type(message) is BindingUpdate:
            self._binding_update(link, datagram, message, optimizable, now, actions)
        elif type(message) is UnknownMessage:
            self._drop("unrecognized_mh_type")
            status = BindingErrorStatus.UNRECOGNIZED_MH_TYPE
            self._binding_error(link, datagram, status, now, actions)
        elif datagram.home_address is not None:
            self._drop("home_address_option")  # 6.1
        else:
            return None
        return actions

    def unknown_binding(
        self, link: CorrespondentLink, source: Address, home_address: Address, correspondent: Address, now: float
    ) -> CorrespondentActions:
        """Binding Error 1 for a packet from `source` to `correspondent` with a Home Address option (9.3.1).

        Nothing if there is a binding after all, the packet came before its flows; or if the option's address could not
        have one.
        """
        actions: CorrespondentActions = []
        binding = self.bindings.get(correspondent, home_address)
        if binding is not None and binding.care_of_address == source and binding.expires_at > now:
            self._drop("before_flows")
        elif not link.is_correspondent(correspondent):
            self._drop("not_for_correspondent")
        elif not is_unicast_routable(home_address):
            self._drop("bad_home_address")
        else:
            self._drop("unknown_binding")
            status = BindingErrorStatus.UNKNOWN_BINDING
            self._send_binding_error(link, correspondent, source, status, home_address, now, actions)
        return actions

    def icmpv6_error(self, link: CorrespondentLink, datagram: Datagram, now: float) -> CorrespondentActions:
        """A copy of an ICMPv6 error to a correspondent; the packet itself goes on its way in any case (9.3.4)."""
        actions = self.tick(now)
        binding = self._binding_in_error(datagram)
        if binding is not None:
            self.statistics["destination_unreachable"] += 1
            self._registrations.unreachable(binding, now, actions)
        return actions

    def tick(self, now: float) -> CorrespondentActions:
        """What has become due."""
        actions: CorrespondentActions = []
        self._registrations.tick(now, actions)
        return actions

    def next_timer(self) -> float | None:
        """When `tick` has to be called next, if nothing comes in before; None: never."""
        return self._timers.next()

    def in_use(self, correspondent: Address, home_address: Address, now: float) -> CorrespondentActions:
        """Its flows have counted packets since the last look: near its end the mobile node is asked to refresh it.

        Look once in constants.ACTIVE_USE seconds at least.
        """
        actions = self.tick(now)
        binding = self.bindings.get(correspondent, home_address)
        if binding is not None:
            self._registrations.in_use(binding, now, actions)
        return actions

    def clear(self, correspondent: Address | None, home_address: Address, now: float) -> CorrespondentActions:
        """Forget the bindings of a home address, at one correspondent or (None) at all."""
        actions = self.tick(now)
        if correspondent is None:
            found = [binding for binding in self.bindings if binding.home_address == home_address]
        else:
            one = self.bindings.get(correspondent, home_address)
            found = [] if one is None else [one]
        for binding in found:
            self._registrations.clear(binding, now, actions)
        return actions

    def installation_failed(self, correspondent: Address, home_address: Address, now: float) -> CorrespondentActions:
        """The switch refused the flows of a binding: it ends, and the mobile node is told 130."""
        actions = self.tick(now)
        binding = self.bindings.get(correspondent, home_address)
        if binding is not None:
            self._registrations.installation_failed(binding, now, actions)
        return actions

    def adopt(
        self,
        link: CorrespondentLink,
        correspondent: Address,
        home_address: Address,
        care_of_address: Address,
        sequence: int,
        remaining: float,
        now: float,
    ) -> bool:
        """Take over a binding whose flows a switch has kept while this program was away.

        `sequence` is at most the last one accepted: refreshes may not have changed the flows. `remaining` is in
        seconds. Returns False, and changes nothing, if the binding is known or no longer possible. No actions follow.
        """
        return self._registrations.adopt(link, correspondent, home_address, care_of_address, sequence, remaining, now)

    def nonces(self, now: float) -> list[Nonce]:
        """The nonces that are valid, oldest first."""
        return self._nonces.valid(now)

    def set_limits(self, limits: CorrespondentLimits) -> None:
        """Other limits; what there is too many of stays. The rates of errors are not changed."""
        self._registrations.set_limits(limits)

    def set_link(
        self, link: CorrespondentLink, prefixes: tuple[Prefix, ...], max_lifetime: int, now: float
    ) -> CorrespondentActions:
        """Other prefixes, whose correspondents' bindings alone stay; `max_lifetime` in seconds, for those made anew."""
        actions = self.tick(now)
        link.prefixes = prefixes
        link.max_lifetime = max_lifetime
        self._clear_others(link, now, actions)
        return actions

    def add_link(self, link: CorrespondentLink) -> None:
        """Serve one more link. Raises ValueError if its name or prefixes are another's."""
        for other in self.links:
            _check_two(link, other)
        self.links = (*self.links, link)

    def remove_link(self, link: CorrespondentLink, now: float) -> CorrespondentActions:
        """Serve a link no more: its bindings end."""
        self.links = tuple(other for other in self.links if other is not link)
        return self.set_link(link, (), link.max_lifetime, now)

    def _clear_others(self, link: CorrespondentLink, now: float, actions: CorrespondentActions) -> None:
        """Bindings end whose correspondents are on the link no longer."""
        for binding in list(self.bindings):
            if binding.link is link and not link.is_correspondent(binding.correspondent):
                self._registrations.clear(binding, now, actions)

    def _test_init(
        self,
        link: CorrespondentLink,
        datagram: Datagram,
        message: HomeTestInit | CareOfTestInit,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """Answer with a token, and remember nothing (9.4)."""
        source, correspondent = datagram.source, datagram.destination
        home = type(message) is HomeTestInit
        self.statistics["hoti_received" if home else "coti_received"] += 1
        if datagram.home_address is not None:
            self._drop("home_address_option")
        elif not is_unicast_routable(source):
            self._drop("source_not_routable")
        else:
            nonce = self._nonces.current(now)
            test: HomeTest | CareOfTest
            if type(message) is HomeTestInit:
                token = self._routability.home_keygen_token(correspondent, source, nonce)
                test = HomeTest(nonce.index, message.home_init_cookie, token)
            else:
                assert type(message) is CareOfTestInit
                token = self._routability.care_of_keygen_token(correspondent, source, nonce)
                test = CareOfTest(nonce.index, message.care_of_init_cookie, token)
            self.statistics["hot_sent" if home else "cot_sent"] += 1
            actions.append(replies.mobility_message(link, correspondent, source, test))

    def _binding_update(
        self,
        link: CorrespondentLink,
        datagram: Datagram,
        message: BindingUpdate,
        optimizable: bool,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        if self._timers.comes_up <= now:
            self._registrations.tick(now, actions)
        self.statistics["bu_received"] += 1
        try:
            update = correspondent_update.read(link, datagram, message)
        except Discarded as discarded:
            self._drop(discarded.reason)
            return
        self._registrations.receive(update, optimizable, now, actions)

    def _binding_in_error(self, datagram: Datagram) -> CorrespondentBinding | None:
        """The binding whose packet a Destination Unreachable is about.

        The packet is quoted as it was on the wire, with a routing header, or as the correspondent sent it.
        """
        if datagram.upper_protocol != ICMPV6 or datagram.fragment_offset or datagram.more_fragments:
            return None
        try:
            message = icmpv6.parse(datagram)
        except ParseError:
            return None
        if type(message) is not DestinationUnreachable or len(message.invoking) < 40:
            return None
        quoted = message.invoking
        correspondent, destination = quoted[8:24], quoted[24:40]
        if correspondent != datagram.destination:
            return None
        if quoted[6] != ROUTING or quoted[42:43] != b"\x02":
            return self.bindings.get(correspondent, destination)
        binding = self.bindings.get(correspondent, quoted[48:64])
        return None if binding is None or binding.care_of_address != destination else binding

    def _unrecognized_option(
        self,
        link: CorrespondentLink,
        datagram: Datagram,
        option: tuple[int, int],
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """A destination option that may not be skipped: two bits say what to do (RFC 8200 section 4.2)."""
        option_type, offset = option
        self._drop("unrecognized_option")
        if option_type >> 6 >= 2:
            self._parameter_problem(link, datagram, icmpv6.UNRECOGNIZED_OPTION, offset, now, actions)

    def _binding_error(
        self,
        link: CorrespondentLink,
        datagram: Datagram,
        status: BindingErrorStatus,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        correspondent, source = datagram.destination, datagram.source
        self._send_binding_error(link, correspondent, source, status, datagram.home_address, now, actions)

    def _send_binding_error(
        self,
        link: CorrespondentLink,
        correspondent: Address,
        source: Address,
        status: BindingErrorStatus,
        home_address: Address | None,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """Section 9.3.3: to the source address on the wire if it is unicast, and at a limited rate."""
        if not is_unicast(source):
            return
        if not self._binding_errors.allow(source, now):
            self.statistics["be_suppressed"] += 1
            return
        self.statistics[f"be_sent_{status.value}"] += 1
        actions.append(replies.binding_error(link, correspondent, source, status, home_address))

    def _parameter_problem(
        self,
        link: CorrespondentLink,
        datagram: Datagram,
        code: int,
        pointer: int,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """ICMPv6 Parameter Problem, unless RFC 4443 section 2.4 (e) forbids an answer, at a limited rate."""
        source = datagram.source
        if not is_unicast(source):
            return
        if not self._icmpv6_errors.allow(source, now):
            self.statistics["icmpv6_suppressed"] += 1
            return
        self.statistics["icmpv6_sent_parameter_problem"] += 1
        message = ParameterProblem(code, pointer, datagram.packet)
        actions.append(replies.icmpv6_message(link, datagram.destination, source, message))

    def _drop(self, reason: str) -> None:
        self.statistics["dropped_" + reason] += 1


def _check_two(one: CorrespondentLink, other: CorrespondentLink) -> None:
    if one.name == other.name:
        raise ValueError(f"two correspondent links are named {one.name}")
    _check_apart(one, other)


def _check_apart(one: CorrespondentLink, other: CorrespondentLink) -> None:
    """A correspondent must belong to one link."""
    for mine in one.prefixes:
        for its in other.prefixes:
            if mine.contains(its.network) or its.contains(mine.network):
                raise ValueError(f"{mine} overlaps {its} of correspondent link {other.name}")
