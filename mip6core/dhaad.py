"""Dynamic home agent address discovery (RFC 6275 sections 6.5, 6.6 and 10.5): what a request is answered with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mip6core.addresses import Address
from mip6core.chance import RandomOctets
from mip6core.codec.icmpv6 import HAAddressDiscoveryReply
from mip6core.constants import MINIMUM_MTU
from mip6core.home_agents_list import HomeAgentsListEntry
from mip6core.home_link import HomeLink

_FIXED: Final = 40 + 8  # octets of the IPv6 header and of the message ahead of the list
_RANDOM: Final = 4  # octets that order two addresses


def reply(
    link: HomeLink,
    identifier: int,
    others: Iterable[HomeAgentsListEntry],
    rng: RandomOctets,
    extension_headers: int = 0,
) -> HAAddressDiscoveryReply:
    """The reply to a request with `identifier`, no longer than the minimum MTU with so many octets of headers."""
    addresses = _in_order(link, others, rng)
    room = (MINIMUM_MTU - _FIXED - extension_headers) // 16
    return HAAddressDiscoveryReply(identifier, addresses[:room])


def _in_order(link: HomeLink, others: Iterable[HomeAgentsListEntry], rng: RandomOctets) -> tuple[Address, ...]:
    """All addresses of all home agents, the most preferred first; among equals a new order each time (10.5.1).

    The link's own home agent has its place among the others by its configured preference.
    """
    preferences = {link.address: link.router_advertisement.preference}
    for entry in others:
        for address in entry.addresses:
            preferences[address] = max(entry.preference, preferences.get(address, 0))
    octets = rng(_RANDOM * len(preferences))
    chance = {a: octets[_RANDOM * i : _RANDOM * (i + 1)] for i, a in enumerate(preferences)}
    return tuple(sorted(preferences, key=lambda address: (-preferences[address], chance[address])))
