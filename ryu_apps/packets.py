"""A look at a frame, good enough to show it: it takes every packet, right or wrong, and judges none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Address
from mip6core.constants import ROUTING

ETHERNET: Final = 14  # octets
IPV6_HEADER: Final = 40
DESTINATION_OPTIONS: Final = 60
HOP_BY_HOP: Final = 0
FRAGMENT: Final = 44
_HOME_ADDRESS_OPTION: Final = 201
_PAD1: Final = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be seen of a packet."""

    source: Address
    destination: Address
    home_address: Address | None  # of a Home Address option or a Type 2 Routing header
    protocol: int  # behind the extension headers
    upper_offset: int  # in the frame
    upper: bytes


def look(frame: bytes) -> Look | None:
    """None for what is no IPv6 packet, or ends in a header."""
    if frame[12:ETHERNET] != b"\x86\xdd" or len(frame) < ETHERNET + IPV6_HEADER:
        return None
    protocol, offset = frame[ETHERNET + 6], ETHERNET + IPV6_HEADER
    home_address = None
    while protocol in (HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, FRAGMENT):
        if len(frame) < offset + 8:
            return None
        length = 8 if protocol == FRAGMENT else 8 + frame[offset + 1] * 8
        header = frame[offset : offset + length]
        if protocol == DESTINATION_OPTIONS:
            home_address = _option(header) or home_address
        elif protocol == ROUTING and header[2] == 2 and len(header) >= 24:
            home_address = header[8:24]
        later_fragment = protocol == FRAGMENT and int.from_bytes(header[2:4], "big") >> 3
        protocol, offset = header[0], offset + length
        if later_fragment:
            break
    start = ETHERNET + 8
    return Look(
        frame[start : start + 16], frame[start + 16 : start + 32], home_address, protocol, offset, frame[offset:]
    )


def _option(header: bytes) -> Address | None:
    offset = 2
    while offset + 2 <= len(header):
        if header[offset] == _PAD1:
            offset += 1
            continue
        if header[offset] == _HOME_ADDRESS_OPTION and header[offset + 1] == 16 and offset + 18 <= len(header):
            return header[offset + 2 : offset + 18]
        offset += 2 + header[offset + 1]
    return None
