"""OXM fields of a match, read without Ryu: where a packet came from, whose flow it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# Headers without their length octet: class, field number, mask bit
IN_PORT: Final = 0x800000
IPV6_SRC: Final = 0x800034
IPV6_DST: Final = 0x800036
FROM_TUNNEL: Final = 0x000102  # register 1, NXM_NX_REG1
TUN_IPV6_SRC: Final = 0x0001DA


def fields(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Header, without its length octet, and value of each field, up to what is cut."""
    offset, end = 0, len(octets)
    while offset + 4 <= end:
        following = offset + 4 + octets[offset + 3]
        if following > end:
            return
        yield int.from_bytes(octets[offset : offset + 3], "big"), octets[offset + 4 : following]
        offset = following
