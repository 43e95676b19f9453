"""What the engines ask the shell to do. The order in a list is the order of execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mip6core.addresses import Address
from mip6core.bcache import BindingCacheEntry
from mip6core.correspondent_cache import CorrespondentBinding
from mip6core.correspondent_link import CorrespondentLink
from mip6core.home_link import HomeLink


@dataclass(slots=True)
class InstallBinding:
    """Tunnel to the care-of address, accept the reverse tunnel from it, and answer Neighbor Solicitations.

    `binding.link_local` says whether the link-local address is answered for too. `previous` is the care-of address
    of the flows that are installed already and must be replaced: that of the reverse tunnel matches it.
    """

    link: HomeLink
    binding: BindingCacheEntry
    previous: Address | None
    previous_link_local: bool = False  # those flows answer for the link-local address


@dataclass(slots=True)
class RefreshBinding:
    """Same flows, later (or earlier) end: `binding.expires_at`."""

    link: HomeLink
    binding: BindingCacheEntry


@dataclass(slots=True)
class ReleaseBinding:
    """Take all flows of the binding away. Its `care_of_address` and `link_local` still tell what they are."""

    link: HomeLink
    binding: BindingCacheEntry


@dataclass(slots=True)
class WatchAddress:
    """Hand all Neighbor Solicitations and Advertisements seen on the link about `address` to `receive`."""

    link: HomeLink
    address: Address


@dataclass(slots=True)
class UnwatchAddress:
    """The end of a WatchAddress."""

    link: HomeLink
    address: Address


@dataclass(slots=True)
class InstallRoute:
    """Optimise the route between a correspondent and a mobile node, both ways (section 9.3).

    `previous` is the care-of address of the flows that are installed already and must be replaced.
    """

    link: CorrespondentLink
    binding: CorrespondentBinding
    previous: Address | None


@dataclass(slots=True)
class RefreshRoute:
    """Same flows, later (or earlier) end: `binding.expires_at`."""

    link: CorrespondentLink
    binding: CorrespondentBinding


@dataclass(slots=True)
class ReleaseRoute:
    """Take the flows of the binding away. Its `care_of_address` still tells what they are."""

    link: CorrespondentLink
    binding: CorrespondentBinding


@dataclass(slots=True)
class SendDatagram:
    """Send an IPv6 packet from the home agent or a correspondent.

    Without `link_layer_destination` it is routed, and bypasses the flows of bindings (section 6.1), unless
    `through_bindings` says that it takes the way of any packet to its destination. With
    `after_flows` it must not leave before the flows of the actions ahead of it in the list are in; if they
    are refused, it is dropped and `installation_failed` called.
    """

    link: HomeLink | CorrespondentLink
    packet: bytes  # from the IPv6 header on
    link_layer_destination: bytes | None
    after_flows: bool = False
    through_bindings: bool = False


Action: TypeAlias = InstallBinding | RefreshBinding | ReleaseBinding | WatchAddress | UnwatchAddress | SendDatagram
Actions: TypeAlias = list[Action]

CorrespondentAction: TypeAlias = InstallRoute | RefreshRoute | ReleaseRoute | SendDatagram
CorrespondentActions: TypeAlias = list[CorrespondentAction]
