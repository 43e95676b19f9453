"""Packets on the direct path between mobile node and correspondent (RFC 6275 sections 6.3, 6.4, 11.3). No I/O.

    mobile node's programs see              on the link
    IPv6 HoA->CN | payload                  IPv6 CoA->CN | Destination Options: HoA | payload
    IPv6 CN->HoA | payload                  IPv6 CN->CoA | Type 2 Routing header: HoA | payload

Upper layers' checksums are made with the home address, so nothing behind the added header changes.
"""

from __future__ import annotations

import struct
from typing import Final

from mip6core.addresses import Address, is_link_local, is_multicast
from mip6core.codec import checksum
from mip6core.constants import DESTINATION_OPTIONS, HOP_BY_HOP, ICMPV6, ROUTING

HEADER: Final = 24  # octets of the header that is added, either way
_IPV6: Final = 40
_NEXT_HEADER: Final = 6  # where the IPv6 header has it
_HOME_ADDRESS_OPTION: Final = b"\x01\x02\x00\x00\xc9\x10"  # PadN, then type and length of the option
_TYPE_2: Final = b"\x02\x02\x01"  # Hdr Ext Len, Routing Type, Segments Left
_LAST_ERROR: Final = 4  # ICMPv6 type
_PACKET_TOO_BIG: Final = 2
_MTU = struct.Struct("!I")
_LENGTH = struct.Struct("!H")


def with_home_address(packet: bytes, care_of_address: Address) -> bytes | None:
    """What a mobile node sends to a correspondent that has its binding.

    The option comes behind hop-by-hop options and routing header, and before all else (6.3). None for destinations
    that it must not be sent to (11.3.1).
    """
    destination = packet[24:40]
    if is_multicast(destination) or is_link_local(destination):
        return None
    named_at, offset = _skip(packet, (HOP_BY_HOP, ROUTING))
    header = bytes((packet[named_at], 2)) + _HOME_ADDRESS_OPTION + packet[8:24]
    result = bytearray(packet[:offset] + header + packet[offset:])
    result[named_at] = DESTINATION_OPTIONS
    result[8:24] = care_of_address
    return _sized(result)


def without_routing_header(packet: bytes, care_of_address: Address, home_address: Address) -> bytes | None:
    """What a correspondent that has the binding sends to the home address; None if that is not so (11.3.3)."""
    if packet[24:40] != care_of_address:
        return None
    named_at, offset = _skip(packet, (HOP_BY_HOP, DESTINATION_OPTIONS))
    if packet[named_at] != ROUTING or packet[offset + 1 : offset + 4] != _TYPE_2:
        return None
    if packet[offset + 8 : offset + HEADER] != home_address:
        return None
    result = bytearray(packet[:offset] + packet[offset + HEADER :])
    result[named_at] = packet[offset]
    result[24:40] = home_address
    return _sized(result)


def error_for_home_address(packet: bytes, care_of_address: Address, home_address: Address) -> bytes | None:
    """An ICMPv6 error about a packet with the Home Address option, as if that had left without it.

    Else the socket that it is about would not be found, and large packets would vanish. None if `packet` is none.
    """
    quoted = packet[_IPV6 + 8 :]
    if len(quoted) < _IPV6 or packet[24:40] != care_of_address or quoted[8:24] != care_of_address:
        return None
    if packet[_NEXT_HEADER] != ICMPV6 or not 1 <= packet[_IPV6] <= _LAST_ERROR:
        return None
    named_at, offset = _skip(quoted, (HOP_BY_HOP, ROUTING))
    option = quoted[offset + 1 : offset + HEADER]
    if quoted[named_at] != DESTINATION_OPTIONS or option != b"\x02" + _HOME_ADDRESS_OPTION + home_address:
        return None
    original = bytearray(quoted[:offset] + quoted[offset + HEADER :])
    original[named_at] = quoted[offset]
    original[8:24] = home_address
    _LENGTH.pack_into(original, 4, max(0, _LENGTH.unpack_from(quoted, 4)[0] - HEADER))
    value = packet[_IPV6 + 4 : _IPV6 + 8]
    if packet[_IPV6] == _PACKET_TOO_BIG:
        value = _MTU.pack(max(0, _MTU.unpack(value)[0] - HEADER))
    message = bytearray(packet[_IPV6 : _IPV6 + 2] + bytes(2) + value + original)
    _LENGTH.pack_into(message, 2, checksum.upper_layer(packet[8:24], home_address, ICMPV6, bytes(message)))
    return _sized(bytearray(packet[:24] + home_address + message))


def _skip(packet: bytes, headers: tuple[int, ...]) -> tuple[int, int]:
    """Where the header behind these ones is named, and where it begins; at most the end of the packet."""
    named_at, offset = _NEXT_HEADER, _IPV6
    while packet[named_at] in headers and offset + 1 < len(packet):
        named_at, offset = offset, offset + 8 + packet[offset + 1] * 8
    return named_at, offset


def _sized(packet: bytearray) -> bytes:
    _LENGTH.pack_into(packet, 4, len(packet) - _IPV6)
    return bytes(packet)
