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
    """Accept what comes to this care-of address for the home address: tunnelled by the home agent, or routed by others.

    "Routed" is by a Type 2 Routing header (6.4).
    """

    care_of_address: Address


@dataclass(frozen=True, slots=True)
class UseTunnel:
    """Send what comes from the home address through the tunnel that begins at this care-of address."""

    care_of_address: Address


@dataclass(frozen=True, slots=True)
class CloseTunnel:
    """There is no binding any more: nothing is sent through the tunnel or directly, and the home address is silent."""


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
class OptimizeRoute:
    """Send what goes from the home address to this correspondent directly, with the Home Address option (6.3)."""

    correspondent: Address


@dataclass(frozen=True, slots=True)
class EndRouteOptimization:
    """Send what goes to this correspondent through the tunnel again."""

    correspondent: Address


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people may want to see; values are ready for JSON."""

    name: str
    at: float
    details: dict[str, object] = field(default_factory=dict)


Effect: TypeAlias = (
    Send
    | Detach
    | OpenTunnel
    | UseTunnel
    | CloseTunnel
    | GoHome
    | SetNeighbor
    | OptimizeRoute
    | EndRouteOptimization
    | Event
)
