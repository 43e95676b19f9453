"""What a mobile node's engine wants done, in the order of its list; `topo.mobile_node` does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from mip6core.addresses import Address


@dataclass(frozen=True, slots=True)
class Send:
    """Send a packet: to this link-layer destination, or by the kernel's routes."""

    packet: bytes
    link_layer_destination: bytes | None = None


@dataclass(frozen=True, slots=True)
class Detach:
    """The link is another one or none: forget its addresses, routes, neighbors; the home address stays silent."""


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    """Accept packets that the home agent tunnels to this care-of address."""

    care_of_address: Address


@dataclass(frozen=True, slots=True)
class UseTunnel:
    """Send what comes from the home address through the tunnel that begins at this care-of address."""

    care_of_address: Address


@dataclass(frozen=True, slots=True)
class CloseTunnel:
    """There is no binding any more: nothing is sent through the tunnel, and the home address is silent."""


@dataclass(frozen=True, slots=True)
class GoHome:
    """Configure the home address (and others that belong to it) on the link, and take the tunnel away."""

    addresses: tuple[Address, ...]
    duplicate_address_detection: bool


@dataclass(frozen=True, slots=True)
class SetNeighbor:
    """Enter a neighbor as REACHABLE."""

    address: Address
    link_layer_address: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people may want to see; values are ready for JSON."""

    name: str
    at: float
    details: dict[str, object] = field(default_factory=dict)


Effect: TypeAlias = Send | Detach | OpenTunnel | UseTunnel | CloseTunnel | GoHome | SetNeighbor | Event
