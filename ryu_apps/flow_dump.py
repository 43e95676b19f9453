"""What a switch holds of ours: its flow statistics replies, read without building an object for each flow.

After a restart of the controller the switch is what still knows the bindings: their addresses are in the flows of the
way out, sequence number and flags in their cookies, and the time left in their timeouts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mip6core.addresses import Address
from ryu_apps import cookies, encode, oxm
from ryu_apps.cookies import Category
from ryu_apps.of_compat import offline_datapath, ofproto, parser

_MULTIPART: Final = struct.Struct("!HH4x")
_ENTRY: Final = struct.Struct("!HBxIIHHHH4xQQQ")  # up to the byte count; the match follows
_MATCH: Final = struct.Struct("!HH")  # type, length
_OXM_TUN_IPV6_DST: Final = bytes.fromhex("0001dc10")
_ADDRESS: Final = 16


@dataclass(frozen=True, slots=True)
class FoundBinding:
    """A binding that the switch serves."""

    home_address: Address
    care_of_address: Address
    sequence: int
    flags: int  # as in the Binding Update
    remaining: float  # seconds until its flows end by themselves; inf: never
    static: bool = False  # put by the operator


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """An optimised route that the switch serves."""

    correspondent: Address
    home_address: Address
    care_of_address: Address
    sequence: int
    remaining: float  # seconds until its flows end by themselves; inf: never


class Entry(NamedTuple):
    """One flow in a reply."""

    cookie: int
    left: float  # seconds; inf: it never ends by itself
    packets: int
    octets: int
    match: bytes  # OXM fields
    instructions: bytes
    table: int
    priority: int


@dataclass(slots=True)
class FlowDump:
    """Collects the parts of one reply."""

    generations: set[int] = field(default_factory=set)
    bindings: dict[Address, FoundBinding] = field(default_factory=dict)
    routes: list[FoundRoute] = field(default_factory=list)
    flows: int = 0

    def add(self, message: bytes) -> bool:
        """Take in one part; True when it was the last."""
        for entry in entries(message):
            self.flows += 1
            self.generations.add(cookies.generation(entry.cookie))
            category = cookies.category(entry.cookie)
            if category in (Category.TUNNEL, Category.ROUTE_OUT):
                self._add_binding(category, entry)
        return is_last(message)

    def _add_binding(self, category: int, entry: Entry) -> None:
        care_of_address = tunnel_destination(entry)
        fields = dict(oxm.fields(entry.match))
        home = fields.get(oxm.IPV6_DST)
        if home is None or care_of_address is None:
            return
        sequence, flags = cookies.binding_of_item(cookies.item(entry.cookie))
        if category == Category.TUNNEL:
            self.bindings[home] = FoundBinding(
                home, care_of_address, sequence, flags, entry.left, cookies.is_static(entry.cookie)
            )
        elif (correspondent := fields.get(oxm.IPV6_SRC)) is not None:
            self.routes.append(FoundRoute(correspondent, home, care_of_address, sequence, entry.left))


def request(
    xid: int,
    table: int = ofproto.OFPTT_ALL,
    category: Category | None = None,
    fields: Mapping[str, object] | None = None,
) -> bytes:
    """The request for our flows: those of all tables and categories unless told, as far as they match `fields`."""
    message = parser.OFPFlowStatsRequest(
        offline_datapath(),
        0,
        table,
        ofproto.OFPP_ANY,
        ofproto.OFPG_ANY,
        cookies.APP_TAG << 48 if category is None else cookies.cookie(category, 0),
        cookies.APP_MASK if category is None else cookies.CATEGORY_MASK,
        encode.ofp_match((fields or {}).items()),
    )
    return encode.wire(message, xid)


def tunnel_destination(entry: Entry) -> Address | None:
    """The care-of address that a flow's actions name, if they do."""
    # The field's header comes before any octets that somebody else has chosen.
    found = entry.instructions.find(_OXM_TUN_IPV6_DST)
    return entry.instructions[found + 4 : found + 4 + _ADDRESS] if found >= 0 else None


def is_last(message: bytes) -> bool:
    """Whether no other part of the reply follows."""
    kind, flags = _MULTIPART.unpack_from(message, 8)
    return kind != ofproto.OFPMP_FLOW or not flags & ofproto.OFPMPF_REPLY_MORE


def entries(message: bytes) -> Iterator[Entry]:
    """The flows in one part of a reply."""
    if _MULTIPART.unpack_from(message, 8)[0] != ofproto.OFPMP_FLOW:
        return
    offset = 16
    while offset + _ENTRY.size + _MATCH.size <= len(message):
        length, table, seconds, _nanoseconds, priority, _idle, hard, _flags, cookie, packets, octets = (
            _ENTRY.unpack_from(message, offset)
        )
        if length < _ENTRY.size + _MATCH.size:
            return
        left = float("inf") if hard == 0 else max(0, hard - seconds)
        match = offset + _ENTRY.size
        match_end = match + _MATCH.unpack_from(message, match)[1]
        instructions = match + -(-(match_end - match) // 8) * 8  # the match is padded
        end = offset + length
        fields = message[match + _MATCH.size : match_end]
        yield Entry(cookie, left, packets, octets, fields, message[instructions:end], table, priority)
        offset = end
