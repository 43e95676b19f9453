"""The Home Agents List of a link (RFC 6275 sections 10.1 and 10.5.1): what the other home agents advertise.

Whatever has run out is left out and forgotten at the next look, so the list needs no timers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address, is_unicast_routable
from mip6core.codec.icmpv6 import PrefixInformation, RouterAdvertisement
from mip6core.codec.nd_options import INFINITE_LIFETIME

# Any node on the link can advertise: a reply has room for 77 addresses, so more home agents are of little use.
MAX_HOME_AGENTS: Final = 256
MAX_ADDRESSES: Final = 16  # of one home agent


@dataclass(slots=True)
class HomeAgentsListEntry:
    """Another home agent on the link."""

    link_local_address: Address
    preference: int = 0
    expires_at: float = 0.0  # monotonic seconds
    managed: bool = False  # M and O of its last advertisement
    other: bool = False
    addresses: dict[Address, float] = field(default_factory=dict)  # global, with the end of their prefix's validity

    def learn(self, option: PrefixInformation, now: float) -> bool:
        """Take in a Prefix Information option. False if it has an address that there is no room for."""
        infinite = option.valid_lifetime == INFINITE_LIFETIME
        ends_at = math.inf if infinite else now + option.valid_lifetime
        if not option.router_address:
            # The address does not outlive its prefix, whichever option tells of it (10.1).
            shift = 128 - option.length
            leading = int.from_bytes(option.address, "big") >> shift
            for address in self.addresses:
                if int.from_bytes(address, "big") >> shift == leading:
                    self.addresses[address] = ends_at
        elif option.address in self.addresses or len(self.addresses) < MAX_ADDRESSES:
            self.addresses[option.address] = ends_at
        else:
            return False
        return True


class HomeAgentsList:
    """The other home agents of one link, by their link-local addresses."""

    __slots__ = ("_entries", "_own_address", "_statistics")

    def __init__(self, own_address: Address, statistics: dict[str, int]) -> None:
        self._own_address = own_address
        self._statistics = statistics
        self._entries: dict[Address, HomeAgentsListEntry] = {}

    def __len__(self) -> int:
        """How many are stored, some of which may have run out."""
        return len(self._entries)

    def learn(self, source: Address, advertisement: RouterAdvertisement, now: float) -> None:
        """Take in a valid Router Advertisement from the link-local address `source` (10.5.1)."""
        information = advertisement.home_agent_information
        preference = information.preference if information else 0
        lifetime = information.lifetime if information else advertisement.router_lifetime
        if not advertisement.home_agent or lifetime == 0:
            self._entries.pop(source, None)
            return
        entry = self._entries.get(source)
        if entry is None:
            if not self._make_room(preference, now):
                self._statistics["home_agents_refused"] += 1
                return
            entry = self._entries[source] = HomeAgentsListEntry(source)
        entry.preference = preference
        entry.expires_at = now + lifetime
        entry.managed, entry.other = advertisement.managed, advertisement.other
        _forget_invalid_addresses(entry, now)
        for option in advertisement.prefixes:
            if option.router_address and (
                option.address == self._own_address or not is_unicast_routable(option.address)
            ):
                continue
            if not entry.learn(option, now):
                self._statistics["home_agent_addresses_refused"] += 1
        _forget_invalid_addresses(entry, now)

    def entries(self, now: float) -> list[HomeAgentsListEntry]:
        """The home agents that are valid now, with their valid addresses."""
        for entry in list(self._entries.values()):
            if entry.expires_at <= now:
                del self._entries[entry.link_local_address]
            else:
                _forget_invalid_addresses(entry, now)
        return list(self._entries.values())

    def _make_room(self, preference: int, now: float) -> bool:
        """A new home agent takes the place of one that is less preferred, if there is no other."""
        if len(self._entries) < MAX_HOME_AGENTS or len(self.entries(now)) < MAX_HOME_AGENTS:
            return True
        least = min(self._entries.values(), key=lambda entry: entry.preference)
        if least.preference >= preference:
            return False
        del self._entries[least.link_local_address]
        self._statistics["home_agents_replaced"] += 1
        return True


def _forget_invalid_addresses(entry: HomeAgentsListEntry, now: float) -> None:
    for address in [address for address, ends_at in entry.addresses.items() if ends_at <= now]:
        del entry.addresses[address]
