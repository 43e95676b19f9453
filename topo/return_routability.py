"""Route optimisation of a mobile node (RFC 6275 sections 11.6 and 11.7.2), without any I/O.

Holds the part of the Binding Update List that is about correspondents, and sees to it that only messages count that
came the way they have to come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from mip6core.addresses import Address
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.constants import MOBILITY_HEADER
from topo.correspondent_registration import CorrespondentRegistration, Situation
from topo.mobile_node_effects import Effect


class RouteOptimization:
    """The registrations of one home address with some correspondents. `now` is monotonic seconds everywhere."""

    def __init__(
        self,
        home_address: Address,
        home_agent: Address,
        correspondents: Iterable[Address],
        lifetime: int,
        random: Callable[[int], bytes],
        patience: float = 0.0,
    ) -> None:
        """`lifetime`: seconds asked for; `random` gives so many octets that nobody can guess.

        `patience`: seconds from the first home registration to the first correspondent registrations; when those begin
        is the mobile node's choice (11.7.2).
        """
        self._situation = Situation(home_address, home_agent, lifetime, random, patience)
        self._list = {one: CorrespondentRegistration(one, self._situation) for one in correspondents}

    # --- from the mobile node ---

    def moved(self, care_of_address: Address, now: float) -> list[Effect]:
        """A new care-of address is being registered with the home agent: care-of tests may begin."""
        self.detached()
        self._situation.care_of_address = care_of_address
        return self._each(CorrespondentRegistration.moved, now)

    def registered(self, care_of_address: Address, until: float, now: float) -> list[Effect]:
        """The home agent has accepted the care-of address, or done so again: home tests may begin."""
        self._situation.care_of_address = care_of_address
        self._situation.registered_until = until
        return self._each(CorrespondentRegistration.begin, now)

    def detached(self) -> None:
        """There is no care-of address or no binding of it: data neither comes nor goes directly."""
        self._situation.care_of_address = None
        self._situation.registered_until = -math.inf
        self._situation.at_home = False
        for registration in self._list.values():
            registration.detached()

    def at_home(self, now: float) -> list[Effect]:
        """The home agent has let go of the home address: correspondents are to forget the care-of address."""
        self.detached()
        self._situation.at_home = True
        return self._each(CorrespondentRegistration.moved, now)

    def next_timer(self) -> float:
        """When `tick` wants to be called; infinity if never."""
        return min((one.next_timer() for one in self._list.values()), default=math.inf)

    def tick(self, now: float) -> list[Effect]:
        """Do what time asks for."""
        return self._each(CorrespondentRegistration.tick, now)

    # --- packets ---

    def mobility_header(self, datagram: ipv6.Datagram, tunnelled: bool, now: float) -> list[Effect]:
        """A Mobility Header that is not the home agent's; `tunnelled`: it came in a tunnel from there.

        Raises ParseError. What did not come the way it has to come is ignored.
        """
        registration = self._list.get(datagram.source)
        if registration is None:
            return []
        message = mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
        situation = self._situation
        to_home_address = datagram.destination == situation.home_address and datagram.type2_home_address is None
        to_care_of_address = not tunnelled and datagram.destination == situation.care_of_address
        plainly = to_care_of_address and datagram.type2_home_address is None
        routed = to_care_of_address and datagram.type2_home_address == situation.home_address
        at_home = situation.at_home and not tunnelled and to_home_address
        if isinstance(message, mh.HomeTest) and ((tunnelled and to_home_address) or at_home):
            return registration.home_test(message, now)
        if isinstance(message, mh.CareOfTest) and plainly:
            return registration.care_of_test(message, now)
        if isinstance(message, mh.BindingAcknowledgement) and (routed or at_home):
            return registration.acknowledgement(message, datagram.upper, now)
        if isinstance(message, mh.BindingRefreshRequest) and (routed or (tunnelled and to_home_address)):
            return registration.refresh_request(now)
        if isinstance(message, mh.BindingError) and to_care_of_address:
            ours = message.home_address in (situation.home_address, bytes(16))
            return registration.binding_error(message.status, now) if ours else []
        return []

    def parameter_problem(self, source: Address, message: icmpv6.ParameterProblem, now: float) -> list[Effect]:
        """11.3.5: a node that does not know the Mobility Header says so."""
        registration = self._list.get(source)
        invoking = message.invoking
        if registration is None or message.code != icmpv6.UNRECOGNIZED_NEXT_HEADER or invoking[24:40] != source:
            return []
        if invoking[message.pointer : message.pointer + 1] != bytes((MOBILITY_HEADER,)):
            return []
        return registration.refused("it does not know the Mobility Header", now)

    def _each(self, do: Callable[[CorrespondentRegistration, float], list[Effect]], now: float) -> list[Effect]:
        return [effect for registration in self._list.values() for effect in do(registration, now)]
