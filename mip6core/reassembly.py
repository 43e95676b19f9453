"""Fragments to whole packets (RFC 8200 section 4.5, RFC 5722, RFC 6946), within bounds.

Anybody can send fragments, so what waits for the rest is bounded in packets and octets, for each source and in all.
Where a bound is reached, the packet that has waited longest gives way: an honest one is whole within milliseconds.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address
from mip6core.codec import ipv6
from mip6core.constants import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING
from mip6core.errors import ParseError

REASSEMBLY_TIMEOUT: Final = 60  # seconds, RFC 8200 section 4.5
MAX_PAYLOAD: Final = 65_535  # octets behind the IPv6 header

_HEADER: Final = 40
_FRAGMENT_HEADER: Final = struct.Struct("!BxHI")
_PAYLOAD_LENGTH_AT: Final = 4
_INCOMPLETE_FIRST_FRAGMENT: Final = 3  # code of Parameter Problem, RFC 7112 section 5


@dataclass(frozen=True, slots=True)
class ReassemblyLimits:
    """Bounds on what waits."""

    max_packets: int = 256
    max_octets: int = 1 << 20
    max_packets_per_source: int = 16
    max_fragments: int = 64  # of one packet: 64 KiB in fragments of the minimum MTU are 52


@dataclass(slots=True)
class _Packet:
    """What has arrived of one packet."""

    expires_at: float  # monotonic seconds
    pieces: list[tuple[int, bytes]] = field(default_factory=list)  # offset and octets
    octets: int = 0
    end: int | None = None  # octets of the fragmentable part; None: the last piece has not arrived
    first: bytes = b""  # the whole first fragment
    head: bytes = b""  # the headers before the Fragment header
    named_at: int = 0  # where in them the Next Header field is that named the Fragment header
    next_header: int = 0  # what follows
    abandoned: bool = False  # fragments overlapped: whatever else comes of it is dropped (RFC 5722 section 4)


_Key = tuple[Address, Address, int, Hashable]


class Reassembler:
    """Puts the packets together that come to one node."""

    __slots__ = ("_limits", "_octets", "_packets", "_per_source", "_statistics")

    def __init__(self, statistics: dict[str, int], limits: ReassemblyLimits | None = None) -> None:
        self._limits = limits or ReassemblyLimits()
        self._statistics = statistics
        self._packets: OrderedDict[_Key, _Packet] = OrderedDict()  # the oldest first
        self._per_source: dict[Address, int] = {}
        self._octets = 0

    def __len__(self) -> int:
        """How many packets wait for fragments."""
        return len(self._packets)

    @property
    def octets(self) -> int:
        """What the fragments that wait take."""
        return self._octets

    def receive(self, packet: bytes, origin: Hashable, now: float) -> bytes | None:
        """The whole packet, if `packet` is one or completes one; None if it is a fragment of one that is not whole yet.

        Fragments that came by different ways, which `origin` tells apart, never make a packet together. Raises
        ParseError for a fragment that cannot be right, with a pointer where its sender is to be told.
        """
        packet = _trimmed(packet)
        found = _fragment_header(packet)
        if found is None:
            return packet
        offset, named_at = found
        next_header, offset_and_flags, identification = _FRAGMENT_HEADER.unpack_from(packet, offset)
        start, more = offset_and_flags & 0xFFF8, bool(offset_and_flags & 1)
        octets = packet[offset + 8 :]
        if more and len(octets) % 8:
            raise ParseError("bad_fragment_length", _PAYLOAD_LENGTH_AT)
        if offset - _HEADER + start + len(octets) > MAX_PAYLOAD:
            raise ParseError("bad_fragment_offset", offset + 2)
        if start == 0:
            upper = ipv6.upper_layer(packet)
            if upper is None or upper[1] > len(packet):
                raise ParseError("incomplete_first_fragment", 0, _INCOMPLETE_FIRST_FRAGMENT)
            ipv6.parse(packet)  # a Home Address option behind the Fragment header could not be told from one before it
        if start == 0 and not more:  # RFC 6946: nothing to wait for, whatever else has the same identification
            return _joined(packet[:offset], named_at, next_header, octets)
        if not octets:
            raise ParseError("empty_fragment")
        key = (packet[8:24], packet[24:40], identification, origin)
        waiting = self._packets.get(key) or self._begin(key, now)
        if waiting.abandoned:
            self._statistics["dropped_fragment_overlap"] += 1
            return None
        end = start + len(octets)
        if (start, octets) in waiting.pieces and more == (waiting.end != end):
            self._statistics["dropped_fragment_duplicate"] += 1  # RFC 8200 allows for copies that the network makes
            return None
        if not self._fits(waiting, start, end, more):
            self._statistics["dropped_fragment_overlap"] += 1
            self._abandon(waiting)
            return None
        if len(waiting.pieces) >= self._limits.max_fragments:
            self._statistics["dropped_fragments_too_many"] += 1
            self._abandon(waiting)
            return None
        waiting.pieces.append((start, octets))
        waiting.octets += len(octets)
        self._octets += len(octets)
        if not more:
            waiting.end = end
        if start == 0:
            waiting.first, waiting.head = packet, packet[:offset]
            waiting.named_at, waiting.next_header = named_at, next_header
        if waiting.octets == waiting.end and waiting.head:
            self._remove(key)
            return self._whole(waiting)
        self._make_room(key)
        return None

    def tick(self, now: float) -> list[bytes]:
        """Give up on what has waited too long. The first fragments of such packets, whose senders are to be told."""
        first_fragments = []
        while self._packets:
            key, waiting = next(iter(self._packets.items()))
            if waiting.expires_at > now:
                break
            self._remove(key)
            if not waiting.abandoned:
                self._statistics["reassembly_timed_out"] += 1
            if waiting.first:
                first_fragments.append(waiting.first)
        return first_fragments

    def _begin(self, key: _Key, now: float) -> _Packet:
        source = key[0]
        if self._per_source.get(source, 0) >= self._limits.max_packets_per_source:
            self._evict(next(other for other in self._packets if other[0] == source))
        waiting = self._packets[key] = _Packet(now + REASSEMBLY_TIMEOUT)
        self._per_source[source] = self._per_source.get(source, 0) + 1
        return waiting

    @staticmethod
    def _fits(waiting: _Packet, start: int, end: int, more: bool) -> bool:
        """Whether the octets from `start` to `end` are new ones, and within the packet as far as that is known."""
        if waiting.end is not None and (end > waiting.end or not more):
            return False
        if not more and any(other + len(octets) > end for other, octets in waiting.pieces):
            return False
        return all(end <= other or other + len(octets) <= start for other, octets in waiting.pieces)

    def _whole(self, waiting: _Packet) -> bytes | None:
        if len(waiting.head) - _HEADER + waiting.octets > MAX_PAYLOAD:
            # Each fragment was checked by its own headers, which may be shorter than those of the first.
            self._statistics["dropped_bad_fragment_offset"] += 1
            return None
        self._statistics["reassembled"] += 1
        octets = b"".join(octets for _, octets in sorted(waiting.pieces))
        return _joined(waiting.head, waiting.named_at, waiting.next_header, octets)

    def _abandon(self, waiting: _Packet) -> None:
        """Drop what there is, but remember the packet: the rest of it is no better."""
        self._octets -= waiting.octets
        waiting.abandoned = True
        waiting.octets = 0
        waiting.pieces.clear()
        waiting.first = waiting.head = b""

    def _make_room(self, newest: _Key) -> None:
        limits = self._limits
        while len(self._packets) > limits.max_packets or self._octets > limits.max_octets:
            self._evict(next(key for key in self._packets if key != newest or len(self._packets) == 1))

    def _evict(self, key: _Key) -> None:
        self._statistics["reassembly_evicted"] += 1
        self._remove(key)

    def _remove(self, key: _Key) -> None:
        waiting = self._packets.pop(key)
        self._octets -= waiting.octets
        left = self._per_source[key[0]] - 1
        if left:
            self._per_source[key[0]] = left
        else:
            del self._per_source[key[0]]


def _trimmed(packet: bytes) -> bytes:
    """The packet without what is behind its Payload Length (padding of the frame)."""
    if len(packet) < _HEADER:
        raise ParseError("truncated")
    end = _HEADER + int.from_bytes(packet[4:6], "big")
    if len(packet) < end:
        raise ParseError("truncated")
    return packet[:end]


def _fragment_header(packet: bytes) -> tuple[int, int] | None:
    """The offset of the Fragment header, and of the Next Header field that names it; None: there is none."""
    next_header, named_at, offset = packet[6], 6, _HEADER
    for _ in range(ipv6.MAX_EXTENSION_HEADERS):
        if next_header != FRAGMENT and next_header not in (HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS):
            return None
        if len(packet) < offset + 8:
            raise ParseError("truncated")
        if next_header == FRAGMENT:
            return offset, named_at
        next_header, named_at, offset = packet[offset], offset, offset + 8 + packet[offset + 1] * 8
    raise ParseError("too_many_headers")


def _joined(head: bytes, named_at: int, next_header: int, octets: bytes) -> bytes:
    """The packet of the headers before the Fragment header and all that was behind it."""
    whole = bytearray(head + octets)
    whole[named_at] = next_header
    whole[_PAYLOAD_LENGTH_AT : _PAYLOAD_LENGTH_AT + 2] = (len(whole) - _HEADER).to_bytes(2, "big")
    return bytes(whole)
