"""Packets in the pcapng format (draft-ietf-opsawg-pcapng): a section, an interface for each switch, packets."""

from __future__ import annotations

import struct
from typing import Final

CONTENT_TYPE: Final = "application/x-pcapng"
RECEIVED: Final = 1  # directions of epb_flags
SENT: Final = 2
_ETHERNET: Final = 1  # LINKTYPE_ETHERNET
_COMMENT, _IF_NAME, _FLAGS, _APPLICATION = 1, 2, 2, 4  # option codes of their blocks


def section(application: str) -> bytes:
    """What a file begins with."""
    return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), (_APPLICATION, application.encode()))


def interface(name: str) -> bytes:
    """The next interface; they count from 0."""
    return _block(1, struct.pack("<HHI", _ETHERNET, 0, 0), (_IF_NAME, name.encode()))


def packet(number: int, seconds: float, frame: bytes, direction: int, comment: str) -> bytes:
    """A packet of interface `number`, seen at a time since 1970."""
    microseconds = int(seconds * 1_000_000)
    head = struct.pack("<IIIII", number, microseconds >> 32, microseconds & 0xFFFFFFFF, len(frame), len(frame))
    body = head + _padded(frame)
    return _block(6, body, (_COMMENT, comment.encode()), (_FLAGS, struct.pack("<I", direction)))


def nothing() -> bytes:
    """A block without content: a list of names, and no name in it."""
    return _block(4, struct.pack("<HH", 0, 0))


def _block(kind: int, body: bytes, *options: tuple[int, bytes]) -> bytes:
    ends = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    content = body + ends + struct.pack("<HH", 0, 0)
    length = len(content) + 12
    return struct.pack("<II", kind, length) + content + struct.pack("<I", length)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
