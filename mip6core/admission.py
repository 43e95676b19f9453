"""Whether a valid registration is accepted, and for how long (RFC 6275 section 10.3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from mip6core.access import AccessList
from mip6core.addresses import Address, is_unicast_routable, link_local
from mip6core.bcache import BindingCache, BindingCacheEntry
from mip6core.codec.mh import BU_LINK_LOCAL
from mip6core.constants import LIFETIME_UNIT
from mip6core.dad import DuplicateAddressDetection
from mip6core.fsm import State
from mip6core.home_link import HomeLink, HomePrefix, Limits, is_subnet_anycast
from mip6core.registration import Registration
from mip6core.status import BindingAcknowledgementStatus as Status

# Every handover comes here, and reading an enumeration's member costs as much as a call in Python 3.11.
_NEW: Final = (State.ABSENT, State.DELETED)
_PREFIX_DISCOVERY_NECESSARY: Final = Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY


class Admission:
    """The tests that depend on what the home agent serves and already holds. They change nothing, but count."""

    __slots__ = ("_access", "_bindings", "_dad", "_limits", "_own_addresses", "_virtual_links")

    def __init__(
        self,
        links: Iterable[HomeLink],
        limits: Limits,
        bindings: BindingCache,
        dad: DuplicateAddressDetection,
        access: AccessList | None,
    ) -> None:
        """Without `access`, every home address of the home prefixes may register from everywhere."""
        self._bindings = bindings
        self._dad = dad
        self.set_rules(limits, access)
        self.set_links(links)

    def set_rules(self, limits: Limits, access: AccessList | None) -> None:
        """From now on these count."""
        self._limits = limits
        self._access = access

    def set_links(self, links: Iterable[HomeLink]) -> None:
        """From now on these are served."""
        links = tuple(links)
        self._own_addresses = frozenset(link.address for link in links)
        self._virtual_links = tuple(link for link in links if link.virtual)

    def decide(self, request: Registration, entry: BindingCacheEntry, now: float) -> int:
        """The status to answer with. Below 128, `request` then holds the lifetime that is granted.

        `entry` is what the cache holds for the home address, or a new one in state ABSENT.
        """
        link = request.link
        if entry.prefixes is not link.prefixes:
            entry.prefixes, entry.home_prefix = link.prefixes, link.find_prefix(request.home_address)
        home_prefix = entry.home_prefix
        if home_prefix is None:
            return Status.NOT_HOME_SUBNET if link.prefixes else Status.HOME_REGISTRATION_NOT_SUPPORTED
        valid_units = inf if home_prefix.endless else home_prefix.remaining_units(home_prefix.valid_lifetime, now)
        if valid_units == 0:
            return Status.NOT_HOME_SUBNET
        if self._access is not None:
            status = self._apply_rule(request, self._access)
            if status:
                return status
        if entry.state in _NEW:
            status = self._first_registration(request, entry, home_prefix)
            if status:
                return status
        care_of_address = request.care_of_address
        if not (entry.bound and care_of_address == entry.care_of_address) and self._leads_back(link, care_of_address):
            return Status.INVALID_CARE_OF_ADDRESS
        if (
            request.flags & BU_LINK_LOCAL
            and not (entry.bound and entry.flags & BU_LINK_LOCAL)
            and self._link_local_taken(request, entry)
        ):
            return Status.DUPLICATE_ADDRESS_DETECTION_FAILED
        units = min(request.lifetime_units, link.max_lifetime // LIFETIME_UNIT)
        if not home_prefix.endless:
            preferred_units = home_prefix.remaining_units(home_prefix.preferred_lifetime, now)
            if units >= valid_units or units > preferred_units:
                request.status = _PREFIX_DISCOVERY_NECESSARY
            units = int(min(units, valid_units))
        request.lifetime_units = units
        request.expires_at = now + units * LIFETIME_UNIT
        return request.status

    def addresses_to_test(self, request: Registration, entry: BindingCacheEntry) -> list[Address]:
        """The addresses for which Duplicate Address Detection must have passed before `request` takes effect.

        None on a virtual link, where there is nobody to ask; not the home address while it is bound; and not
        a link-local address that is already defended.
        """
        addresses: list[Address] = []
        link = request.link
        if link.virtual:
            return addresses
        if not entry.bound:
            addresses.append(request.home_address)
        if request.flags & BU_LINK_LOCAL:
            address = link_local(request.home_address)
            if not self._bindings.link_local_holders(link, address):
                addresses.append(address)
        return addresses

    def check_static(self, request: Registration, entry: BindingCacheEntry) -> None:
        """ValueError if a binding of the operator's cannot be; `entry` is what the cache holds, or a new one."""
        link, home_address, care_of_address = request.link, request.home_address, request.care_of_address
        home_prefix = link.find_prefix(home_address)
        if home_prefix is None:
            raise ValueError(f"the home address is in no prefix of {link.name}")
        if not self._can_be_home_address(link, home_address, home_prefix):
            raise ValueError("the home address is that of a router or home agent")
        if not is_unicast_routable(care_of_address):
            raise ValueError("the care-of address is no routable unicast address")
        moves = not (entry.bound and care_of_address == entry.care_of_address)
        if care_of_address == home_address or (moves and self._leads_back(link, care_of_address)):
            raise ValueError("packets to the care-of address would come back to this home agent")
        if entry.state is State.ABSENT and self.room_to_make(link) is None:
            raise ValueError("there are as many bindings as the limits allow")

    def may_register(self, home_address: Address, care_of_address: Address) -> bool:
        """Whether the operator's rules allow a binding."""
        return self._access is None or not self._access.find(home_address, care_of_address).status

    @staticmethod
    def _apply_rule(request: Registration, access: AccessList) -> int:
        """A status of 128 or more if the rules refuse the registration, else 0 and the lifetime within the rule's."""
        rule = access.find(request.home_address, request.care_of_address)
        if rule.max_lifetime is not None:
            request.lifetime_units = min(request.lifetime_units, rule.max_lifetime // LIFETIME_UNIT)
        return rule.status

    def _first_registration(self, request: Registration, entry: BindingCacheEntry, home_prefix: HomePrefix) -> int:
        """A status of 128 or more if the home address cannot be served, else 0."""
        link = request.link
        home_address = request.home_address
        if not self._can_be_home_address(link, home_address, home_prefix):
            return Status.ADMINISTRATIVELY_PROHIBITED
        if not link.virtual:
            if not link.link_layer_address:
                return Status.REASON_UNSPECIFIED  # the link is not up, so nothing can be tested or defended
            if len(self._dad) >= self._limits.max_addresses_in_dad:
                self._dad.refused += 1
                return Status.INSUFFICIENT_RESOURCES
        if self.room_to_make(link) is None:
            self._bindings.refused += 1
            return Status.INSUFFICIENT_RESOURCES
        return 0

    def _can_be_home_address(self, link: HomeLink, address: Address, home_prefix: HomePrefix) -> bool:
        """Whether no router or home agent has the address."""
        return not (
            address in self._own_addresses or address in link.reserved or is_subnet_anycast(address, home_prefix.prefix)
        )

    def room_to_make(self, link: HomeLink) -> tuple[BindingCacheEntry, ...] | None:
        """The de-registered entries to forget so that one more fits; None if the limits leave no room."""
        bindings, limits = self._bindings, self._limits
        victim = None
        if limits.max_bindings_per_link is not None and bindings.count(link) >= limits.max_bindings_per_link:
            victim = bindings.oldest_deleted(link)
        elif len(bindings) >= limits.max_bindings:
            victim = bindings.oldest_deleted()
        else:
            return ()
        return None if victim is None else (victim,)

    def _leads_back(self, link: HomeLink, care_of_address: Address) -> bool:
        """Whether packets tunnelled to the care-of address would come back to us (15.1, RFC 3775 6.1.7).

        They would if it is our own or one that we tunnel to somewhere else, and on a link that does not
        exist. On the home link itself the mobile node is at home and has to de-register (11.5.5).
        """
        other = self._bindings.get(care_of_address)
        if other is not None and other.state is not State.DELETED:
            return True
        if care_of_address in self._own_addresses or link.find_prefix(care_of_address) is not None:
            return True
        for virtual in self._virtual_links:  # noqa: SIM110 - every handover comes here
            if virtual.find_prefix(care_of_address) is not None:
                return True
        return False

    def _link_local_taken(self, request: Registration, entry: BindingCacheEntry) -> bool:
        """Whether the link-local address is known to be another node's without asking on the link.

        A mobile node with addresses in several home prefixes has one link-local address for all of them: its
        registrations are recognised by their common care-of address.
        """
        link = request.link
        if link.virtual:
            return False
        address = link_local(request.home_address)
        if link.is_own(address) or address in link.reserved:
            return True
        where = [holder.care_of_address for holder in self._bindings.link_local_holders(link, address)]
        probe = self._dad.get(link, address)
        if probe is not None:
            if entry in probe.owners:  # found fit to share it when the test began
                return False
            where += [owner.pending.care_of_address for owner in probe.owners if owner.pending is not None]
        return bool(where) and request.care_of_address not in where
