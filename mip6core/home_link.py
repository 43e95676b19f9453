"""What a home agent serves: home links, their prefixes, and the limits it works within."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address, Prefix, home_agents_anycast, link_local
from mip6core.constants import (
    LIFETIME_UNIT,
    MAX_MOB_PFX_ADV_INTERVAL,
    MIN_DELAY_BETWEEN_RAS,
    MIN_MOB_PFX_ADV_INTERVAL,
)
from mip6core.rate_limit import ErrorLimits

MAX_PREFIXES: Final = 32  # of one link, so that all advertisements fit into the minimum MTU, in ESP too


@dataclass(frozen=True, slots=True)
class HomePrefix:
    """A home prefix with the lifetimes of RFC 4861 section 6.2.1."""

    prefix: Prefix
    valid_lifetime: float = math.inf  # seconds
    preferred_lifetime: float = math.inf  # seconds; below it the prefix is deprecated
    since: float | None = None  # monotonic time from which the lifetimes run down; None: advertised anew for ever
    endless: bool = field(init=False, repr=False, compare=False)  # neither lifetime ever ends

    def __post_init__(self) -> None:
        object.__setattr__(self, "endless", self.valid_lifetime == self.preferred_lifetime == math.inf)

    def remaining(self, lifetime: float, now: float) -> float:
        """What is left of `lifetime` in seconds."""
        return lifetime if self.since is None else lifetime - (now - self.since)

    def remaining_units(self, lifetime: float, now: float) -> float:
        """The same in units of 4 s, the two low bits of the seconds ignored (10.3.1); 0 if it is over."""
        if lifetime == math.inf:
            return lifetime
        return max(0, int(self.remaining(lifetime, now)) // LIFETIME_UNIT)


@dataclass(frozen=True, slots=True)
class RouterAdvertisementSettings:
    """The router variables of RFC 4861 section 6.2.1 with the additions of RFC 6275 sections 7.4, 7.5 and 13."""

    enabled: bool = False  # AdvSendAdvertisements; False also where radvd advertises the home agent
    max_interval: float = 600  # MaxRtrAdvInterval, seconds
    min_interval: float = 198  # MinRtrAdvInterval, seconds
    min_delay: float = MIN_DELAY_BETWEEN_RAS  # MinDelayBetweenRAs, seconds
    preference: int = 0  # Home Agent Preference; it also orders the home agent's own address in DHAAD replies
    lifetime: int = 1800  # Home Agent Lifetime, seconds; 0 must not be sent
    router_lifetime: int = 0  # AdvDefaultLifetime, seconds; 0: the default router is another node
    managed: bool = False  # AdvManagedFlag
    other: bool = False  # AdvOtherConfigFlag


@dataclass(frozen=True, slots=True)
class MobilePrefixSettings:
    """Prefix discovery of mobile nodes that are away (10.6); section 8.4: it must be possible to turn it off."""

    enabled: bool = True
    unsolicited: bool = True  # advertise changes without being asked
    max_interval: int = MAX_MOB_PFX_ADV_INTERVAL  # seconds
    min_interval: int = MIN_MOB_PFX_ADV_INTERVAL  # seconds
    dhcpv6: bool = False  # DHCPv6 reaches mobile nodes through the home agent: otherwise M and O are zero (6.8)


@dataclass(slots=True, eq=False)
class HomeLink:
    """A link with home prefixes; a `virtual` one is prefixes only, so that every mobile node is away."""

    name: str
    address: Address  # the home agent's own address on this link
    prefixes: tuple[HomePrefix, ...]
    link_layer_address: bytes = b""  # the home agent's, 6 octets; empty until the switch is known
    virtual: bool = False
    max_lifetime: int = 86_400  # seconds, the longest binding that is granted
    refresh_interval: int | None = None  # seconds to suggest in Binding Refresh Advice (6.2.4); None: no advice
    reserved: frozenset[Address] = field(default_factory=frozenset)  # never home addresses, such as the router's
    router_advertisement: RouterAdvertisementSettings = RouterAdvertisementSettings()
    mobile_prefix: MobilePrefixSettings = MobilePrefixSettings()

    def __post_init__(self) -> None:
        """Raises ValueError for too many prefixes, or a maximum below one unit: 0 acknowledges a deletion."""
        if len(self.prefixes) > MAX_PREFIXES:
            raise ValueError(f"{self.name} has more than {MAX_PREFIXES} prefixes")
        if self.max_lifetime < LIFETIME_UNIT:
            raise ValueError(f"max_lifetime of {self.name} is less than {LIFETIME_UNIT} seconds")

    def find_prefix(self, address: Address) -> HomePrefix | None:
        """The home prefix that `address` is in."""
        for home_prefix in self.prefixes:
            prefix = home_prefix.prefix  # whose `contains` would be a call too many on the way of every packet
            if prefix.network <= address <= prefix.last:
                return home_prefix
        return None

    def is_home_agents_anycast(self, address: Address) -> bool:
        """Whether `address` is the Mobile IPv6 Home-Agents anycast address of one of the prefixes (10.5)."""
        home_prefix = self.find_prefix(address)
        return home_prefix is not None and home_agents_anycast(home_prefix.prefix) == address

    def is_own(self, address: Address) -> bool:
        """Whether `address` is one the home agent itself uses on this link."""
        if address in (self.address, link_local(self.address)):
            return True
        return bool(self.link_layer_address) and address == eui64_link_local(self.link_layer_address)


@dataclass(frozen=True, slots=True)
class Limits(ErrorLimits):
    """Bounds on what mobile nodes and strangers can make the home agent hold or send."""

    max_bindings: int = 100_000  # entries of any state, all links together
    max_bindings_per_link: int | None = None
    max_addresses_in_dad: int = 10_000  # under Duplicate Address Detection at once; a first registration needs room


def eui64_link_local(link_layer_address: bytes) -> Address:
    """The link-local address formed from an Ethernet address (RFC 2464 section 5)."""
    mac = link_layer_address
    return b"\xfe\x80\0\0\0\0\0\0" + bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))


def is_subnet_anycast(address: Address, prefix: Prefix) -> bool:
    """Whether `address` is an anycast address of the subnet that every router or home agent there answers to.

    These are the Subnet-Router anycast address, the prefix with all other bits zero (RFC 4291 section 2.6.1),
    and the reserved subnet anycast addresses, the highest 128 interface identifiers (RFC 2526; home agents
    anycast is one).
    """
    if prefix.length == 128:
        return False
    host_bits = 128 - prefix.length
    interface_id = int.from_bytes(address, "big") & ((1 << host_bits) - 1)
    if interface_id == 0:
        return True
    highest = (1 << host_bits) - 1
    if host_bits == 64:
        highest &= ~(1 << 57)  # the universal/local bit is zero in an EUI-64 identifier
    return host_bits > 7 and interface_id >> 7 == highest >> 7
