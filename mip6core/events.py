"""What the engines announce, for log, metrics and watchers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mip6core.addresses import Address

BindingEventKind = Literal[
    "registered", "moved", "refreshed", "deregistered", "expired", "cleared", "rejected", "unreachable"
]


@dataclass(slots=True)
class BindingEvent:
    """A change of a home registration, or a Binding Update refused with an acknowledgement."""

    kind: BindingEventKind
    home_address: Address
    care_of_address: Address  # where the binding is, or was
    link: str  # name of the home link
    status: int  # of the Binding Acknowledgement that goes with it; 0 if none does
    now: float  # monotonic seconds


@dataclass(slots=True)
class CorrespondentEvent:
    """The same of a binding at a correspondent."""

    kind: BindingEventKind
    correspondent: Address
    home_address: Address
    care_of_address: Address  # where the binding is, or was
    link: str  # name of the correspondent link
    status: int  # of the Binding Acknowledgement that goes with it; 0 if none does
    now: float  # monotonic seconds


@dataclass(slots=True)
class InconsistentRouterAdvertisement:
    """Another router on a home link does not advertise what the home agent does (RFC 4861 section 6.2.7)."""

    router: Address  # link-local
    link: str  # name of the home link
    what: tuple[str, ...]  # the fields that differ, as far as they were not announced before
    now: float  # monotonic seconds


Event: TypeAlias = BindingEvent | InconsistentRouterAdvertisement
