"""IPv6 packets with the Home Address option and the Type 2 Routing header (RFC 6275 sections 6.3 and 6.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Address, is_unicast_routable
from mip6core.constants import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING
from mip6core.errors import ParseError

HOME_ADDRESS_OPTION: Final = 0xC9  # section 6.3

# No honest sender needs a longer chain; RFC 8504 section 5.3 lets nodes set such a limit.
MAX_EXTENSION_HEADERS: Final = 8

_HEADER = struct.Struct("!IHBB16s16s")
_FRAGMENT = struct.Struct("!HI")
_ROUTING_TYPE_2 = struct.Struct("!BBBBI16s")
_HOME_ADDRESS_HEADER = struct.Struct("!BB4sBB16s")
_PAD_4 = b"\x01\x02\x00\x00"  # PadN, brings the Home Address option to its alignment of 8n + 6
# What a destination options header has behind its first octet if the Home Address option is all that it brings.
_HOME_ADDRESS_ALONE: Final = b"\x02" + _PAD_4 + b"\xc9\x10"


@dataclass(slots=True)
class Datagram:
    """A received IPv6 packet. Offsets count from the IPv6 header.

    `unrecognized_option` is the first option unknown to us that may not be skipped. The packet must be
    discarded, and the two high bits of the type say what else to do (RFC 8200 section 4.2): 01 nothing, 10
    send a Parameter Problem code 2 with a pointer to the offset, 11 the same unless the destination is a
    multicast address.
    """

    packet: bytes  # from the IPv6 header on, without octets behind its Payload Length
    source: Address  # as in the IPv6 header: the care-of address if there is a Home Address option
    destination: Address  # as in the IPv6 header: the care-of address if there is a Type 2 Routing header
    upper_protocol: int  # Next Header of the last extension header walked, or of the IPv6 header
    upper_offset: int
    upper: bytes  # from upper_offset on; in a fragment with a fragment_offset > 0 the raw rest of the packet
    home_address: Address | None = None  # of the Home Address option
    type2_home_address: Address | None = None  # of the Type 2 Routing header
    unrecognized_option: tuple[int, int] | None = None  # type, offset; see below
    fragment_offset: int | None = None  # octets; None without a Fragment header
    more_fragments: bool | None = None
    fragment_id: int | None = None
    protected: bool = False  # by IPsec, which the shell has taken off, under an association for the home address

    @property
    def traffic_class(self) -> int:
        """Of the IPv6 header."""
        return (self.packet[0] << 4 | self.packet[1] >> 4) & 0xFF

    @property
    def flow_label(self) -> int:
        """Of the IPv6 header."""
        return int.from_bytes(self.packet[1:4], "big") & 0xFFFFF

    @property
    def hop_limit(self) -> int:
        """Of the IPv6 header, as it arrived."""
        return self.packet[7]

    @property
    def checksum_source(self) -> Address:
        """The source address of the pseudo-header (section 6.1.1)."""
        return self.home_address or self.source

    @property
    def checksum_destination(self) -> Address:
        """The destination address of the pseudo-header (section 6.1.1)."""
        return self.type2_home_address or self.destination


def parse(packet: bytes) -> Datagram:
    """The IPv6 packet at the start of `packet`; octets behind its Payload Length (padding) are left out.

    Raises ParseError. Headers may come in any order (RFC 8200 section 4.1) except where RFC 8200 or RFC 6275
    section 6.3 forbid it, and up to MAX_EXTENSION_HEADERS of them.
    """
    length = len(packet)
    if length < 40:
        raise ParseError("truncated")
    first_word, payload_length, next_header, _, source, destination = _HEADER.unpack_from(packet)
    if first_word >> 28 != 6:
        raise ParseError("bad_version")
    if source[0] == 0xFF:  # RFC 4291 section 2.7
        raise ParseError("bad_source")
    end = payload_length + 40
    if end != length:
        if end > length:
            raise ParseError("truncated")
        packet = packet[:end]
    if payload_length == 0 and next_header == HOP_BY_HOP:
        raise ParseError("jumbogram")  # RFC 2675; no link of ours can carry one
    if next_header == DESTINATION_OPTIONS and packet[41:48] == _HOME_ADDRESS_ALONE and end >= 64:
        # As mobile nodes send it all the time; the walk below would come to the same in five times the time.
        upper_protocol, home_address = packet[40], packet[48:64]
        if upper_protocol not in _EXTENSION_HEADERS and is_unicast_routable(home_address):
            return Datagram(packet, source, destination, upper_protocol, 64, packet[64:], home_address)
    datagram = Datagram(packet, source, destination, next_header, 40, packet[40:])
    if next_header in _EXTENSION_HEADERS:
        _parse_extension_headers(datagram)
    return datagram


def upper_layer(packet: bytes) -> tuple[int, int] | None:
    """Protocol and offset of the upper layer, whatever the headers before it say and the Payload Length claims.

    The protocol of a fragment behind the first is FRAGMENT: what it is a part of cannot be told. None where the packet
    is cut off before, or the chain is too long.
    """
    if len(packet) < 40:
        return None
    next_header, offset = packet[6], 40
    for _ in range(MAX_EXTENSION_HEADERS + 1):
        if next_header not in _EXTENSION_HEADERS:
            return next_header, offset
        if len(packet) < offset + 8:
            return None
        if next_header == FRAGMENT:
            if _FRAGMENT.unpack_from(packet, offset + 2)[0] & 0xFFF8:
                return FRAGMENT, offset + 8
            following = offset + 8
        else:
            following = offset + 8 + packet[offset + 1] * 8
        next_header, offset = packet[offset], following
    return None


def build(
    source: Address,
    destination: Address,
    next_header: int,
    upper: bytes,
    *,
    home_address: Address | None = None,
    type2_home_address: Address | None = None,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> bytes:
    """An IPv6 packet with `upper` behind a Type 2 Routing header and a Home Address option, if given."""
    extension = b""
    if home_address is not None:
        extension = _HOME_ADDRESS_HEADER.pack(next_header, 2, _PAD_4, HOME_ADDRESS_OPTION, 16, home_address)
        next_header = DESTINATION_OPTIONS
    if type2_home_address is not None:
        extension = _ROUTING_TYPE_2.pack(next_header, 2, 2, 1, 0, type2_home_address) + extension
        next_header = ROUTING
    length = len(extension) + len(upper)
    first_word = 0x60000000 | traffic_class << 20 | flow_label
    return _HEADER.pack(first_word, length, next_header, hop_limit, source, destination) + extension + upper


def _parse_extension_headers(datagram: Datagram) -> None:
    """Walk the chain from the IPv6 header to the upper layer; what is found goes into `datagram`."""
    data = datagram.packet
    end = len(data)
    next_header = datagram.upper_protocol
    named_at = 6  # offset of the Next Header field that named the header at hand
    offset = 40
    for _ in range(MAX_EXTENSION_HEADERS):
        if end - offset < 8:
            raise ParseError("truncated")
        following = offset + 8 if next_header == FRAGMENT else offset + 8 + data[offset + 1] * 8
        if following > end:
            raise ParseError("truncated")
        if next_header == DESTINATION_OPTIONS:
            _parse_options(datagram, offset + 2, following, home_address_allowed=True)
        elif next_header == ROUTING:
            _parse_routing_header(datagram, offset, following)
        elif next_header == FRAGMENT:
            if datagram.fragment_id is not None:
                raise ParseError("bad_header_order")
            offset_and_flags, datagram.fragment_id = _FRAGMENT.unpack_from(data, offset + 2)
            datagram.fragment_offset = offset_and_flags & 0xFFF8
            datagram.more_fragments = bool(offset_and_flags & 1)
        else:
            if offset != 40:
                # RFC 8200 section 4: anywhere but first it is an unrecognized Next Header, code 1
                raise ParseError("bad_header_order", named_at, 1)
            _parse_options(datagram, offset + 2, following, home_address_allowed=False)
        next_header = data[offset]
        named_at = offset
        offset = following
        if datagram.fragment_offset or next_header not in _EXTENSION_HEADERS:
            datagram.upper_protocol = next_header
            datagram.upper_offset = offset
            datagram.upper = data[offset:]
            return
    raise ParseError("too_many_headers")


def _parse_options(datagram: Datagram, offset: int, end: int, home_address_allowed: bool) -> None:
    """Options of a hop-by-hop or destination options header from `offset` to `end` (RFC 8200 section 4.2)."""
    data = datagram.packet
    while offset < end:
        option_type = data[offset]
        if option_type == 0:  # Pad1
            offset += 1
            continue
        start = offset + 2
        if start > end or (following := start + data[start - 1]) > end:
            raise ParseError("truncated_option")
        if option_type == HOME_ADDRESS_OPTION and home_address_allowed:
            if following - start != 16:
                raise ParseError("bad_option_length")
            if datagram.home_address is not None:
                raise ParseError("duplicate_home_address")
            if datagram.fragment_id is not None:  # section 6.3: before the Fragment header
                raise ParseError("bad_header_order")
            home_address = data[start:following]
            if not is_unicast_routable(home_address):  # sections 6.3 and 9.3.1
                raise ParseError("bad_home_address")
            datagram.home_address = home_address
        elif option_type & 0xC0 and datagram.unrecognized_option is None:
            datagram.unrecognized_option = (option_type, offset)
        offset = following


def _parse_routing_header(datagram: Datagram, offset: int, following: int) -> None:
    """The routing header at `offset` (RFC 8200 section 4.4)."""
    data = datagram.packet
    if datagram.home_address is not None:  # section 6.3: the Home Address option comes after
        raise ParseError("bad_header_order")
    if data[offset + 2] == 2:
        # Section 6.4.1 fixes both numbers; a second header has no meaning
        if following - offset != 24 or data[offset + 3] != 1 or datagram.type2_home_address is not None:
            raise ParseError("bad_routing_header")
        home_address = data[offset + 8 : following]
        if not is_unicast_routable(home_address):  # section 6.4
            raise ParseError("bad_home_address")
        datagram.type2_home_address = home_address
    elif data[offset + 3] != 0:
        # RFC 8200 section 4.4: an unrecognized Routing Type with segments left (type 0 too, RFC 5095)
        raise ParseError("bad_routing_header", offset + 2)


_EXTENSION_HEADERS: Final = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS))
