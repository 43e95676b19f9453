"""ICMPv6: errors and Echo (RFC 4443), the messages of RFC 6275 sections 6.5 to 6.8, and Neighbor Discovery.

Users take all names from here; Neighbor Discovery's own code is in `nd_messages` and `nd_options`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from mip6core.addresses import Address
from mip6core.codec import checksum, nd_messages, nd_options
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.nd_messages import (
    NeighborAdvertisement,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
)
from mip6core.codec.nd_options import HomeAgentInformation, NDOptions, PrefixInformation
from mip6core.codec.reader import Reader
from mip6core.constants import ICMPV6, MINIMUM_MTU
from mip6core.errors import ParseError

__all__ = [
    "ADDRESS_UNREACHABLE",
    "ERRONEOUS_HEADER_FIELD",
    "REASSEMBLY_TIME_EXCEEDED",
    "UNRECOGNIZED_NEXT_HEADER",
    "UNRECOGNIZED_OPTION",
    "DestinationUnreachable",
    "EchoReply",
    "EchoRequest",
    "HAAddressDiscoveryReply",
    "HAAddressDiscoveryRequest",
    "HomeAgentInformation",
    "ICMPv6Type",
    "Message",
    "MobilePrefixAdvertisement",
    "MobilePrefixSolicitation",
    "NeighborAdvertisement",
    "NeighborSolicitation",
    "PacketTooBig",
    "ParameterProblem",
    "PrefixInformation",
    "RouterAdvertisement",
    "RouterSolicitation",
    "TimeExceeded",
    "UnknownMessage",
    "build",
    "parse",
]


class ICMPv6Type(IntEnum):
    """Type values of the messages below."""

    DESTINATION_UNREACHABLE = 1
    PACKET_TOO_BIG = 2
    TIME_EXCEEDED = 3
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136
    HA_ADDRESS_DISCOVERY_REQUEST = 144
    HA_ADDRESS_DISCOVERY_REPLY = 145
    MOBILE_PREFIX_SOLICITATION = 146
    MOBILE_PREFIX_ADVERTISEMENT = 147


# Codes of Destination Unreachable (RFC 4443 section 3.1), Time Exceeded (3.3) and Parameter Problem (3.4)
ADDRESS_UNREACHABLE: Final = 3
REASSEMBLY_TIME_EXCEEDED: Final = 1
ERRONEOUS_HEADER_FIELD: Final = 0
UNRECOGNIZED_NEXT_HEADER: Final = 1
UNRECOGNIZED_OPTION: Final = 2

# RFC 4443 section 2.4 (c): as much of the invoking packet as fits in the minimum MTU behind both headers
_MAX_INVOKING: Final = MINIMUM_MTU - 40 - 8

_HEADER = struct.Struct("!BBH")
_TWO_SHORTS = struct.Struct("!HH")
_LONG = struct.Struct("!I")

_MANAGED: Final = 0x80  # M and O of Mobile Prefix Advertisement
_OTHER: Final = 0x40


@dataclass(slots=True)
class DestinationUnreachable:
    """RFC 4443 section 3.1."""

    icmp_type: ClassVar[int] = 1
    code: int
    invoking: bytes  # the packet that is answered, from its IPv6 header on; building cuts it to fit

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return bytes(4) + self.invoking[:_MAX_INVOKING]


@dataclass(slots=True)
class PacketTooBig:
    """RFC 4443 section 3.2."""

    icmp_type: ClassVar[int] = 2
    code: ClassVar[int] = 0
    mtu: int
    invoking: bytes

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _LONG.pack(self.mtu) + self.invoking[:_MAX_INVOKING]


@dataclass(slots=True)
class TimeExceeded:
    """RFC 4443 section 3.3."""

    icmp_type: ClassVar[int] = 3
    code: int
    invoking: bytes

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return bytes(4) + self.invoking[:_MAX_INVOKING]


@dataclass(slots=True)
class ParameterProblem:
    """RFC 4443 section 3.4."""

    icmp_type: ClassVar[int] = 4
    code: int
    pointer: int  # offset in the invoking packet of the octet at fault
    invoking: bytes

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _LONG.pack(self.pointer) + self.invoking[:_MAX_INVOKING]


@dataclass(slots=True)
class EchoRequest:
    """RFC 4443 section 4.1."""

    icmp_type: ClassVar[int] = 128
    code: ClassVar[int] = 0
    identifier: int
    sequence: int
    data: bytes = b""

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _TWO_SHORTS.pack(self.identifier, self.sequence) + self.data


@dataclass(slots=True)
class EchoReply:
    """RFC 4443 section 4.2."""

    icmp_type: ClassVar[int] = 129
    code: ClassVar[int] = 0
    identifier: int
    sequence: int
    data: bytes = b""

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _TWO_SHORTS.pack(self.identifier, self.sequence) + self.data


@dataclass(slots=True)
class HAAddressDiscoveryRequest:
    """RFC 6275 section 6.5."""

    icmp_type: ClassVar[int] = 144
    code: ClassVar[int] = 0
    identifier: int

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _TWO_SHORTS.pack(self.identifier, 0)


@dataclass(slots=True)
class HAAddressDiscoveryReply:
    """RFC 6275 section 6.6."""

    icmp_type: ClassVar[int] = 145
    code: ClassVar[int] = 0
    identifier: int
    addresses: tuple[Address, ...] = ()  # of home agents, most preferred first

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _TWO_SHORTS.pack(self.identifier, 0) + b"".join(self.addresses)


@dataclass(slots=True)
class MobilePrefixSolicitation:
    """RFC 6275 section 6.7; it defines no options."""

    icmp_type: ClassVar[int] = 146
    code: ClassVar[int] = 0
    identifier: int

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return _TWO_SHORTS.pack(self.identifier, 0)


@dataclass(slots=True)
class MobilePrefixAdvertisement:
    """RFC 6275 section 6.8."""

    icmp_type: ClassVar[int] = 147
    code: ClassVar[int] = 0
    identifier: int
    prefixes: tuple[PrefixInformation, ...] = ()
    managed: bool = False  # M
    other: bool = False  # O

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        flags = _MANAGED * self.managed | _OTHER * self.other
        fixed = _TWO_SHORTS.pack(self.identifier, flags << 8)
        return fixed + nd_options.build(NDOptions(prefixes=self.prefixes))


@dataclass(slots=True)
class UnknownMessage:
    """A message of another type."""

    icmp_type: int
    code: int
    data: bytes  # all that follows the Checksum field

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return self.data


Message: TypeAlias = (
    DestinationUnreachable
    | PacketTooBig
    | TimeExceeded
    | ParameterProblem
    | EchoRequest
    | EchoReply
    | RouterSolicitation
    | RouterAdvertisement
    | NeighborSolicitation
    | NeighborAdvertisement
    | HAAddressDiscoveryRequest
    | HAAddressDiscoveryReply
    | MobilePrefixSolicitation
    | MobilePrefixAdvertisement
    | UnknownMessage
)


def build(message: Message, source: Address, destination: Address) -> bytes:
    """The ICMPv6 message with its checksum; the addresses are those of the pseudo-header."""
    data = _HEADER.pack(message.icmp_type, message.code, 0) + message.body()
    value = checksum.upper_layer(source, destination, ICMPV6, data)
    return data[:2] + value.to_bytes(2, "big") + data[4:]


def parse(datagram: Datagram, any_checksum: bool = False) -> Message:
    """The ICMPv6 message that `datagram` carries, after the validity checks of RFC 4861 sections 6.1 and 7.1.

    Raises ParseError; none of these errors is answered. With `any_checksum` a wrong one is none of them.
    """
    upper = datagram.upper
    if len(upper) < 4:
        raise ParseError("truncated")
    if (
        not any_checksum
        and checksum.upper_layer(datagram.checksum_source, datagram.checksum_destination, ICMPV6, upper) != 0
    ):
        raise ParseError("bad_checksum")
    parser = _PARSERS.get(upper[0])
    if parser is None:
        return UnknownMessage(upper[0], upper[1], upper[4:])
    return parser(datagram, Reader(upper, 4))


def _parse_destination_unreachable(datagram: Datagram, reader: Reader) -> Message:
    reader.skip(4)
    return DestinationUnreachable(datagram.upper[1], reader.rest())


def _parse_packet_too_big(datagram: Datagram, reader: Reader) -> Message:
    return PacketTooBig(reader.u32(), reader.rest())


def _parse_time_exceeded(datagram: Datagram, reader: Reader) -> Message:
    reader.skip(4)
    return TimeExceeded(datagram.upper[1], reader.rest())


def _parse_parameter_problem(datagram: Datagram, reader: Reader) -> Message:
    return ParameterProblem(datagram.upper[1], reader.u32(), reader.rest())


def _parse_echo_request(datagram: Datagram, reader: Reader) -> Message:
    return EchoRequest(reader.u16(), reader.u16(), reader.rest())


def _parse_echo_reply(datagram: Datagram, reader: Reader) -> Message:
    return EchoReply(reader.u16(), reader.u16(), reader.rest())


def _parse_ha_address_discovery_request(datagram: Datagram, reader: Reader) -> Message:
    identifier = reader.u16()
    reader.skip(2)
    return HAAddressDiscoveryRequest(identifier)


def _parse_ha_address_discovery_reply(datagram: Datagram, reader: Reader) -> Message:
    identifier = reader.u16()
    reader.skip(2)
    addresses = []
    while reader.remaining:
        addresses.append(reader.address())
    return HAAddressDiscoveryReply(identifier, tuple(addresses))


def _parse_mobile_prefix_solicitation(datagram: Datagram, reader: Reader) -> Message:
    identifier = reader.u16()
    reader.skip(2)
    nd_options.parse(reader)  # none is defined, but they must be well formed
    return MobilePrefixSolicitation(identifier)


def _parse_mobile_prefix_advertisement(datagram: Datagram, reader: Reader) -> Message:
    identifier = reader.u16()
    flags = reader.u8()
    reader.skip(1)
    prefixes = nd_options.parse(reader).prefixes
    return MobilePrefixAdvertisement(identifier, prefixes, bool(flags & _MANAGED), bool(flags & _OTHER))


_PARSERS: Final[dict[int, Callable[[Datagram, Reader], Message]]] = {
    ICMPv6Type.DESTINATION_UNREACHABLE: _parse_destination_unreachable,
    ICMPv6Type.PACKET_TOO_BIG: _parse_packet_too_big,
    ICMPv6Type.TIME_EXCEEDED: _parse_time_exceeded,
    ICMPv6Type.PARAMETER_PROBLEM: _parse_parameter_problem,
    ICMPv6Type.ECHO_REQUEST: _parse_echo_request,
    ICMPv6Type.ECHO_REPLY: _parse_echo_reply,
    ICMPv6Type.ROUTER_SOLICITATION: nd_messages.parse_router_solicitation,
    ICMPv6Type.ROUTER_ADVERTISEMENT: nd_messages.parse_router_advertisement,
    ICMPv6Type.NEIGHBOR_SOLICITATION: nd_messages.parse_neighbor_solicitation,
    ICMPv6Type.NEIGHBOR_ADVERTISEMENT: nd_messages.parse_neighbor_advertisement,
    ICMPv6Type.HA_ADDRESS_DISCOVERY_REQUEST: _parse_ha_address_discovery_request,
    ICMPv6Type.HA_ADDRESS_DISCOVERY_REPLY: _parse_ha_address_discovery_reply,
    ICMPv6Type.MOBILE_PREFIX_SOLICITATION: _parse_mobile_prefix_solicitation,
    ICMPv6Type.MOBILE_PREFIX_ADVERTISEMENT: _parse_mobile_prefix_advertisement,
}
