"""What a switch holds of ours: its flow statistics replies, read without building an object for each flow.

After a restart of the controller the switch is what still knows the bindings: home address and care-of address are in
the tunnel flows, sequence number and flags in their cookies, and the time left in their timeouts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address
from ryu_apps import cookies, encode
from ryu_apps.cookies import Category
from ryu_apps.of_compat import offline_datapath, ofproto, parser

_MULTIPART: Final = struct.Struct("!HH4x")
_ENTRY: Final = struct.Struct("!HBxIIHHHH4xQQQ")  # up to the byte count; the match follows
_OXM_IPV6_DST: Final = bytes.fromhex("80003610")
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


@dataclass(slots=True)
class FlowDump:
    """Collects the parts of one reply."""

    generations: set[int] = field(default_factory=set)
    bindings: dict[Address, FoundBinding] = field(default_factory=dict)
    flows: int = 0

    def add(self, message: bytes) -> bool:
        """Take in one part; True when it was the last."""
        kind, flags = _MULTIPART.unpack_from(message, 8)
        if kind != ofproto.OFPMP_FLOW:
            return True
        for cookie, left, body in _entries(message, 16):
            self.flows += 1
            self.generations.add(cookies.generation(cookie))
            if cookies.category(cookie) == Category.TUNNEL:
                found = _binding(cookie, left, body)
                if found is not None:
                    self.bindings[found.home_address] = found
        return not flags & ofproto.OFPMPF_REPLY_MORE


def request(xid: int) -> bytes:
    """The request for all flows with our tag."""
    message = parser.OFPFlowStatsRequest(
        offline_datapath(),
        0,
        ofproto.OFPTT_ALL,
        ofproto.OFPP_ANY,
        ofproto.OFPG_ANY,
        cookies.APP_TAG << 48,
        cookies.APP_MASK,
        parser.OFPMatch(),
    )
    return encode.wire(message, xid)


def _entries(message: bytes, offset: int) -> Iterator[tuple[int, float, bytes]]:
    """Cookie, seconds left, and the octets from the match on, of each flow."""
    while offset + _ENTRY.size <= len(message):
        length, _table, seconds, _nanoseconds, _priority, _idle, hard, _flags, cookie, _packets, _octets = (
            _ENTRY.unpack_from(message, offset)
        )
        if length < _ENTRY.size:
            return
        left = float("inf") if hard == 0 else max(0, hard - seconds)
        yield cookie, left, message[offset + _ENTRY.size : offset + length]
        offset += length


def _binding(cookie: int, left: float, body: bytes) -> FoundBinding | None:
    # Each field is found by its header, which comes before any octets that somebody else has chosen.
    home = body.find(_OXM_IPV6_DST)
    care_of = body.find(_OXM_TUN_IPV6_DST, int.from_bytes(body[2:4], "big"))
    if home < 0 or care_of < 0:
        return None
    sequence, flags = cookies.binding_of_item(cookies.item(cookie))
    return FoundBinding(
        body[home + 4 : home + 4 + _ADDRESS], body[care_of + 4 : care_of + 4 + _ADDRESS], sequence, flags, left
    )
