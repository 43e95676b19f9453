"""Flows, meters and their actions as plain comparable data, independent of any OpenFlow library.

Field names are those of OXM and the Nicira extensions as Ryu spells them. Addresses are text here: these are the
flows people read; the flows of bindings, which are many and urgent, come from byte templates (`templates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

NORMAL = 0xFFFFFFFA  # OFPP_NORMAL
CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER
LOCAL = 0xFFFFFFFE  # OFPP_LOCAL
IN_PORT = 0xFFFFFFF8  # OFPP_IN_PORT
NXM_LOCAL = 0xFFFE  # OFPP_LOCAL in the 16 bits of NXM_OF_IN_PORT
NXM_NONE = 0  # no port at all, so that a packet may leave through any


@dataclass(frozen=True, slots=True)
class Output:
    port: int
    max_len: int = 0  # octets handed to the controller; only for CONTROLLER


@dataclass(frozen=True, slots=True)
class SetField:
    field: str
    value: str | int


@dataclass(frozen=True, slots=True)
class Load:
    """Write `value` into the lowest `bits` bits of a field (NXAST_REG_LOAD; the only way to write in_port)."""

    field: str
    value: int
    bits: int


@dataclass(frozen=True, slots=True)
class Move:
    """Copy one field into another (NXAST_REG_MOVE)."""

    source: str
    destination: str
    bits: int


@dataclass(frozen=True, slots=True)
class DecrementHopLimit:
    pass


@dataclass(frozen=True, slots=True)
class CheckPacketLarger:
    """Set bit 0 of `register` if the frame is longer than `length` octets, Ethernet header included."""

    length: int
    register: int


@dataclass(frozen=True, slots=True)
class SetNdField:
    """Write `nd_reserved` (1, 32 bits) or `nd_options_type` (2, 8 bits), which Ryu does not know."""

    number: int
    value: int


@dataclass(frozen=True, slots=True)
class Resubmit:
    table: int


Action = Output | SetField | Load | Move | DecrementHopLimit | CheckPacketLarger | SetNdField | Resubmit


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """One flow. Its identity on the switch is table, priority and match."""

    table: int
    priority: int
    match: tuple[tuple[str, object], ...]
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    meter: int | None = None
    cookie: int = 0
    idle_timeout: int = 0  # seconds
    hard_timeout: int = 0  # seconds
    notify_removal: bool = False
    reset_counts: bool = False  # of the flow that it takes the place of

    @property
    def identity(self) -> tuple[int, int, tuple[tuple[str, object], ...]]:
        """What a switch knows the flow by."""
        return self.table, self.priority, self.match


@dataclass(frozen=True, slots=True)
class MeterSpec:
    meter_id: int
    rate_pps: int
    burst: int  # packets


def match(**fields: object) -> tuple[tuple[str, object], ...]:
    """The match of a flow as sorted pairs."""
    return tuple(sorted(fields.items()))
