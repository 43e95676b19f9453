"""What correspondents are served: the links behind which they are, and the limits (RFC 6275 section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field

from mip6core.addresses import Address, Prefix
from mip6core.constants import LIFETIME_UNIT, MAX_RR_BINDING_LIFETIME
from mip6core.home_link import is_subnet_anycast
from mip6core.rate_limit import ErrorLimits


@dataclass(slots=True, eq=False)
class CorrespondentLink:
    """A link every host of which is a correspondent node without knowing it."""

    name: str
    address: Address  # the bridge's own address there, the end of its tunnels; not a host's
    prefixes: tuple[Prefix, ...]
    link_layer_address: bytes = b""  # the bridge's, 6 octets; empty until the switch is known
    max_lifetime: int = MAX_RR_BINDING_LIFETIME  # seconds, the longest binding that is granted
    reserved: frozenset[Address] = field(default_factory=frozenset)  # no hosts either, such as the router

    def __post_init__(self) -> None:
        """Raises ValueError for a maximum that section 5.2.6 or the unit of the field does not allow."""
        if not LIFETIME_UNIT <= self.max_lifetime <= MAX_RR_BINDING_LIFETIME:
            raise ValueError(f"max_lifetime of {self.name} is not {LIFETIME_UNIT} to {MAX_RR_BINDING_LIFETIME} seconds")

    def find_prefix(self, address: Address) -> Prefix | None:
        """The prefix that `address` is in."""
        for prefix in self.prefixes:
            if prefix.contains(address):
                return prefix
        return None

    def is_taken(self, address: Address) -> bool:
        """Whether `address` is the bridge's or a router's, which never is a mobile node's."""
        return address == self.address or address in self.reserved

    def is_correspondent(self, address: Address) -> bool:
        """Whether a host of the link can have `address`."""
        prefix = self.find_prefix(address)
        return prefix is not None and not self.is_taken(address) and not is_subnet_anycast(address, prefix)


@dataclass(frozen=True, slots=True)
class CorrespondentLimits(ErrorLimits):
    """Bounds on what mobile nodes and strangers can make the correspondents hold or send."""

    max_bindings: int = 100_000  # all links together; as many deleted ones are remembered against replays
