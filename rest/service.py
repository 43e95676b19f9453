"""What the REST API needs from the application: the one interface between the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mip6core.addresses import Address, Prefix


@dataclass(slots=True)
class BindingView:
    """A binding as the API shows it. Field names are those of the JSON form."""

    home_address: Address
    care_of_address: Address
    home_link: str
    sequence: int
    lifetime: int | None  # seconds granted; None: without an end
    remaining_lifetime: float | None  # seconds
    flags: int  # A, H, L and K as in the Binding Update (mip6core.codec.mh.BU_...)
    registered_at: float  # seconds since 1970
    updated_at: float
    state: str
    datapath_id: int | None  # None: no switch has it
    # What its flows have carried since the mobile node is at this care-of address, as far as is known; see `count`.
    packets_out: int | None = None  # to the mobile node
    bytes_out: int | None = None
    packets_in: int | None = None
    bytes_in: int | None = None
    counted_at: float | None = None  # seconds since 1970
    version: str = ""  # another one after each change; not shown


@dataclass(slots=True)
class CorrespondentView:
    """A binding that a correspondent has, and what its route has carried. Field names are those of the JSON form."""

    correspondent: Address
    home_address: Address
    care_of_address: Address
    correspondent_link: str
    sequence: int
    lifetime: int  # seconds granted
    remaining_lifetime: float  # seconds
    registered_at: float  # seconds since 1970
    updated_at: float
    state: str
    packets_out: int  # to the mobile node; counters are as old as the last look at the switch's
    bytes_out: int
    packets_in: int
    bytes_in: int
    home_nonce_index: int | None  # of the last Binding Update; None: adopted from a switch
    care_of_nonce_index: int | None
    unreachable_errors: int  # Destination Unreachable messages about the care-of address in a row
    datapath_id: int | None  # None: no switch has it
    version: str = ""  # another one after each change; not shown


@dataclass(slots=True)
class PortView:
    """A port of a switch."""

    number: int
    name: str


@dataclass(slots=True)
class SwitchView:
    """A switch of the configuration, connected or not."""

    datapath_id: int | None  # None: not configured, and never connected
    home_link: str | None
    correspondent_link: str | None
    bridge: str
    connected: bool
    address: str | None = None  # where it connects from
    role: str | None = None  # of this controller: master, slave, equal
    ports: Sequence[PortView] = ()


@dataclass(slots=True)
class HomeAgentView:
    """An entry of a home link's Home Agents List (RFC 6275 section 10.1), or the home agent itself."""

    home_link: str
    link_local_address: Address | None  # None: of the home agent itself
    addresses: Sequence[Address]  # global
    preference: int
    remaining_lifetime: float | None  # seconds; None: of the home agent itself, without an end


@dataclass(slots=True)
class PrefixView:
    """A home prefix. Lifetimes are what is left, in seconds; infinity for one that has no end."""

    home_link: str
    prefix: Prefix
    valid_lifetime: float
    preferred_lifetime: float
    home_agents_anycast_address: Address | None  # where home agent discovery requests go; None: too long a prefix


@dataclass(slots=True)
class EventView:
    """Something that has happened. What does not concern it is None."""

    kind: str  # of a binding: registered, moved, ...; of a switch: switch_connected, switch_ready, switch_gone
    link: str  # home link or correspondent link
    home_address: Address | None = None
    care_of_address: Address | None = None
    correspondent: Address | None = None
    status: int | None = None  # of the Binding Acknowledgement
    datapath_id: int | None = None
    id: int = 0  # counts up, also over a restart
    time: float = 0.0  # seconds since 1970
    encoded: bytes = field(default=b"", compare=False, repr=False)  # as watchers get it: made once, for all of them


@dataclass(slots=True)
class NonceView:
    """A nonce of return routability (RFC 6275 section 5.2.2); its value is nobody's business."""

    index: int
    age: float  # seconds
    remaining_lifetime: float  # seconds


@dataclass(slots=True)
class FlowView:
    """A flow of ours. Field names are those of the JSON form."""

    bridge: str
    table: str  # number and name
    priority: int
    category: str
    meaning: str  # what it is for, in words
    generation: int
    match: str  # nearly as ovs-ofctl writes it
    actions: str
    packets: int
    bytes: int
    remaining_lifetime: float  # seconds; infinity: it does not end by itself
    sequence: int | None  # of the Binding Update that it is of; None: of none
    punt: str | None  # why it brings packets to the controller; None: it does not


class Busy(Exception):
    """Not now: a switch has been asked for too much, or does not answer. The text is for people."""


class Flows(Protocol):
    """Flows by keys of 19 octets, in whose order they are shown: a snapshot."""

    def keys(self) -> Sequence[bytes]: ...

    def view(self, key: bytes) -> FlowView: ...


class Capture(Protocol):
    """A file in pcapng format that grows while it is read."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Nobody reads any more."""


class Watch(Protocol):
    """Events for one watcher, waited for; none at all is a sign of life. Ends for a watcher that is too slow."""

    def __iter__(self) -> Iterator[Sequence[EventView]]: ...

    def close(self) -> None:
        """Nobody watches any more."""


class Service(Protocol):
    """Called from the greenlet of a request. Methods return soon; going through many bindings is the API's part."""

    def home_addresses(self) -> Sequence[Address]:
        """Home addresses of all bindings in any order: a snapshot, which later changes leave alone."""

    def binding(self, home_address: Address) -> BindingView | None:
        """The binding of a home address."""

    def count(self, home_address: Address | None) -> None:
        """Ask what the flows of one binding, or of all (None), have carried. Waits for the switch, but not for long."""

    def put(self, home_address: Address, care_of_address: Address, home_link: str, lifetime: int | None) -> None:
        """Make a static binding, or change one, for some seconds (None: for ever). ValueError: it cannot be."""

    def clear(self, home_address: Address) -> bool:
        """Forget a binding and take its flows away. Whether there was one."""

    def clear_prefix(self, prefix: Prefix) -> int:
        """Forget all bindings whose home address is in a prefix. How many there were."""

    def correspondents(self) -> Sequence[tuple[Address, Address]]:
        """Correspondent and home address of all bindings of correspondents in any order: a snapshot."""

    def correspondent(self, correspondent: Address, home_address: Address) -> CorrespondentView | None:
        """The binding of a home address at a correspondent."""

    def clear_correspondent(self, correspondent: Address, home_address: Address) -> bool:
        """Forget a correspondent's binding and take its flows away. Whether there was one."""

    def switches(self) -> list[SwitchView]:
        """All switches, connected or not."""

    def flows(self, link: str | None, table: str | None, category: str | None, home_address: Address | None) -> Flows:
        """Our flows in the switches, as far as they fit. ValueError: there is no such table or category. Busy."""

    def home_agents(self) -> list[HomeAgentView]:
        """The home agents of all home links, this one first on each link."""

    def prefixes(self) -> list[PrefixView]:
        """The prefixes of all home links."""

    def events(self) -> Iterator[EventView]:
        """The last events, oldest first: a snapshot."""

    def watch(self, after: int | None) -> Watch | None:
        """Events as they happen, those behind number `after` first. None: there are too many watchers."""

    def knows_all_behind(self, number: int) -> bool:
        """Whether no event with a higher number has been forgotten."""

    def configuration(self) -> dict[str, Any]:
        """What the application runs with, ready for JSON and without secrets."""

    def reload(self) -> dict[str, Any]:
        """Read the configuration file again and apply it; what was applied, ready for JSON. ConfigError: it is bad."""

    def statistics(self) -> dict[str, Any]:
        """Counters by name, in groups, ready for JSON."""

    def clear_statistics(self) -> None:
        """Let the counters of `statistics` begin at zero; those of `metrics` go on."""

    def nonces(self) -> list[NonceView]:
        """The nonces of return routability that are valid, oldest first."""

    def debug_topics(self) -> dict[str, bool]:
        """Which topics there are, and whether their debug lines are logged."""

    def debug(self, topic: str, on: bool) -> None:
        """Switch a topic that there is on or off."""

    def capture(self, home_addresses: Prefix | None, seconds: int) -> Capture | None:
        """The signalling of some mobile nodes (None: of all) for some time. None: there are too many captures."""

    def metrics(self) -> tuple[str, bytes]:
        """Content type and text of what a Prometheus server reads."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process works, and what was looked at (ready for JSON)."""

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether mobile nodes are served, and what was looked at (ready for JSON)."""
