"""A packet to fragments, as its source makes them (RFC 8200 section 4.5)."""

from __future__ import annotations

import struct
from typing import Final

from mip6core.constants import FRAGMENT

_HEADER: Final = 40
_FRAGMENT_HEADER: Final = struct.Struct("!BxHI")


def fragments(packet: bytes, mtu: int, identification: int) -> list[bytes]:
    """The fragments, each of at most `mtu` octets, of a packet without extension headers; itself if it fits."""
    if len(packet) <= mtu:
        return [packet]
    head, rest = packet[:_HEADER], packet[_HEADER:]
    size = (mtu - _HEADER - _FRAGMENT_HEADER.size) & ~7
    found = []
    for offset in range(0, len(rest), size):
        piece = rest[offset : offset + size]
        more = offset + size < len(rest)
        length = (_FRAGMENT_HEADER.size + len(piece)).to_bytes(2, "big")
        header = _FRAGMENT_HEADER.pack(head[6], offset | more, identification)
        found.append(head[:4] + length + bytes((FRAGMENT,)) + head[7:] + header + piece)
    return found
