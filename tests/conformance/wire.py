"""Frames on the wire as the tester reads them: by the RFCs' offsets, with nothing of the implementation under test."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scapy.layers.inet6 import HAO, IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.packet import Packet, Raw

ETHERTYPE_IPV6: Final = b"\x86\xdd"
TCP: Final = 6
UDP: Final = 17
IPV6_IN_IPV6: Final = 41
FRAGMENT: Final = 44
GRE: Final = 47
ESP: Final = 50
AH: Final = 51
ICMPV6: Final = 58
MOBILITY: Final = 135

HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS = 0, 43, 60
HOME_ADDRESS_OPTION: Final = 0xC9
BRR, HOTI, COTI, HOT, COT, BU, BA, BE = range(8)  # Mobility Header types (RFC 6275 section 6.1)
PAD1, PADN, BINDING_REFRESH_ADVICE, ALTERNATE_CARE_OF_ADDRESS, NONCE_INDICES, AUTHORIZATION = range(6)  # options (6.2)
NO_NEXT_HEADER: Final = 59
ECHO_REQUEST, ECHO_REPLY = 128, 129
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT = 133, 134, 135, 136
DHAAD_REQUEST, DHAAD_REPLY, PREFIX_SOLICITATION, PREFIX_ADVERTISEMENT = 144, 145, 146, 147
ALL_NODES: Final = "ff02::1"
UNSPECIFIED: Final = "::"


MOBILITY_MESSAGES: Final = (
    *("Binding Refresh Request", "Home Test Init", "Care-of Test Init", "Home Test", "Care-of Test"),
    *("Binding Update", "Binding Acknowledgement", "Binding Error"),
)


class Malformed(Exception):
    """A frame that nobody can read: a deviation if the home agent has sent it."""


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, address)


def solicited_node(address: str) -> str:
    """RFC 4291 section 2.7.1."""
    return text(packed("ff02::1:ff00:0")[:13] + packed(address)[13:])


def multicast_mac(address: str) -> str:
    """RFC 2464 section 7."""
    return (b"\x33\x33" + packed(address)[12:]).hex(":")


def checksum(source: str, destination: str, protocol: int, upper: bytes) -> int:
    """RFC 8200 section 8.1; 0 over a message that carries its right checksum."""
    data = packed(source) + packed(destination) + len(upper).to_bytes(4, "big") + bytes((0, 0, 0, protocol))
    data += upper + bytes(len(upper) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Option:
    """A TLV option; `data` without type and length."""

    type: int
    data: bytes


def tlv_options(data: bytes, unit: int = 1, pad1: bool = True) -> list[Option]:
    """Options as Mobility Headers and destination options have them; with `unit` 8 those of RFC 4861."""
    found, at = [], 0
    while at < len(data):
        if unit == 1 and pad1 and data[at] == PAD1:
            at += 1
            continue
        if at + 2 > len(data):
            raise Malformed("an option ends early")
        length = data[at + 1] * unit + (2 if unit == 1 else 0)
        if length < 2 or at + length > len(data):
            raise Malformed("an option's length is wrong")
        found.append(Option(data[at], data[at + 2 : at + length]))
        at += length
    return found


@dataclass(frozen=True)
class RoutingHeader:
    """A routing header with one address."""

    type: int
    length: int  # Hdr Ext Len
    segments_left: int
    address: str


@dataclass(frozen=True)
class Seen:
    """An IPv6 packet: its headers, and what they carry."""

    source: str
    destination: str
    hop_limit: int
    routing: RoutingHeader | None
    home_address: str | None  # of a Home Address option
    protocol: int
    upper: bytes
    octets: bytes  # from the IPv6 header on
    at: float = 0.0  # seconds of the system's clock
    mac_source: str = ""
    mac_destination: str = ""

    @property
    def checksum_right(self) -> bool:
        """RFC 6275 section 6.1.1: home addresses stand for source and final destination. True where there is none."""
        if self.protocol not in (MOBILITY, ICMPV6, TCP, UDP):
            return True
        source = self.home_address or self.source
        destination = self.routing.address if self.routing else self.destination
        return checksum(source, destination, self.protocol, self.upper) == 0

    def is_mobility(self, mh_type: int) -> bool:
        return self.protocol == MOBILITY and self.upper[2:3] == bytes((mh_type,))

    def is_icmpv6(self, icmpv6_type: int) -> bool:
        return self.protocol == ICMPV6 and self.upper[:1] == bytes((icmpv6_type,))

    @property
    def target(self) -> str | None:
        """The target of a Neighbor Solicitation or Advertisement."""
        neighbour = self.is_icmpv6(NEIGHBOR_SOLICITATION) or self.is_icmpv6(NEIGHBOR_ADVERTISEMENT)
        return text(self.upper[8:24]) if neighbour and len(self.upper) >= 24 else None

    @property
    def nd_options(self) -> dict[int, bytes]:
        """The options of a Neighbor Discovery message with a target."""
        return {option.type: option.data for option in tlv_options(self.upper[24:], unit=8)}

    @property
    def inner(self) -> Seen:
        """What is in an IPv6-in-IPv6 packet."""
        return read(self.upper)

    def __str__(self) -> str:
        names = dict(enumerate(MOBILITY_MESSAGES))
        errors = {1: "Destination Unreachable", 2: "Packet Too Big", 3: "Time Exceeded", 4: "Parameter Problem"}
        echoes = {ECHO_REQUEST: "Echo Request", ECHO_REPLY: "Echo Reply"}
        kind = self.upper[2] if self.protocol == MOBILITY and len(self.upper) > 6 else -1
        if kind in (BA, BE):
            what = f"{names[kind]} status {self.upper[6]}"
        elif self.protocol == MOBILITY:
            what = names.get(kind, f"Mobility Header type {kind}")
        elif self.is_icmpv6(NEIGHBOR_ADVERTISEMENT):
            what = f"Neighbor Advertisement with flags {self.upper[4]:#04x} to {self.destination}"
        elif self.protocol == ICMPV6 and self.upper:
            code = f"ICMPv6 {errors.get(self.upper[0], f'type {self.upper[0]}')} code {self.upper[1]}"
            what = echoes.get(self.upper[0], code)
        elif self.protocol == IPV6_IN_IPV6:
            what = f"a tunnelled {self.inner}"
        else:
            protocols = {TCP: "TCP", UDP: "UDP", ESP: "ESP", FRAGMENT: "a fragment"}
            what = protocols.get(self.protocol, f"protocol {self.protocol}")
        via = " with a routing header" if self.routing else ""
        return f"{what}{via}"


def read_frame(frame: bytes, at: float) -> Seen | None:
    """The IPv6 packet in an Ethernet frame; None if there is none."""
    if frame[12:14] != ETHERTYPE_IPV6:
        return None
    return read(frame[14:], at, frame[6:12].hex(":"), frame[:6].hex(":"))


def read(octets: bytes, at: float = 0.0, mac_source: str = "", mac_destination: str = "") -> Seen:
    """Walk through the headers of a packet (RFC 8200 section 4, RFC 6275 sections 6.3 and 6.4)."""
    end = 40 + int.from_bytes(octets[4:6], "big")
    if len(octets) < end:
        raise Malformed("the payload length is longer than the packet")
    octets = octets[:end]
    protocol, place = octets[6], 40
    routing, home_address = None, None
    while protocol in (HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS):
        length = 8 * (octets[place + 1] + 1) if place + 2 <= end else 8
        header = octets[place : place + length]
        if len(header) < length:
            raise Malformed("an extension header is longer than the packet")
        if protocol == ROUTING:
            if len(header) != 24:
                raise Malformed("a routing header without exactly one address")
            routing = RoutingHeader(header[2], header[1], header[3], text(header[8:24]))
        else:
            for option in tlv_options(header[2:]):
                if option.type == HOME_ADDRESS_OPTION:
                    if len(option.data) != 16:
                        raise Malformed("the length of a Home Address option is wrong")
                    home_address = text(option.data)
        protocol, place = header[0], place + length
    source, destination = text(octets[8:24]), text(octets[24:40])
    return Seen(
        *(source, destination, octets[7], routing, home_address, protocol, octets[place:]),
        *(octets, at, mac_source, mac_destination),
    )


@dataclass(frozen=True)
class Acknowledgement:
    """The fields of a Binding Acknowledgement (RFC 6275 section 6.1.8)."""

    status: int
    key_management: bool
    sequence: int
    lifetime: int  # units of 4 s
    options: list[Option]

    @classmethod
    def of(cls, seen: Seen) -> Acknowledgement:
        body = seen.upper
        if len(body) < 12 or len(body) != 8 * (body[1] + 1) or body[0] != 59:
            raise Malformed("the Mobility Header's length or payload protocol is wrong")
        sequence, lifetime = int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
        return cls(body[6], bool(body[7] & 0x80), sequence, lifetime, tlv_options(body[12:]))


def packet(
    source: str,
    destination: str,
    protocol: int,
    upper: bytes,
    *,
    home_address: str | None = None,
    hop_limit: int = 64,
) -> Packet:
    """An IPv6 packet that carries `upper`, with a Home Address option where one is given."""
    header = IPv6(src=source, dst=destination, hlim=hop_limit)
    if home_address is None:
        header.nh = protocol
        return header / Raw(upper)
    # 6.3: the option at 8n+6, hence the padding
    options = [PadN(otype=1, optlen=2, optdata=b"\0\0"), HAO(hoa=home_address)]
    return header / IPv6ExtHdrDestOpt(nh=protocol, options=options, autopad=0) / Raw(upper)


def extended(
    source: str,
    destination: str,
    extensions: Sequence[tuple[int, bytes]],
    protocol: int,
    upper: bytes,
    *,
    hop_limit: int = 64,
) -> bytes:
    """An IPv6 packet with extension headers: for each its protocol number, and its octets without the first (the next
    header's number)."""
    types = [*(number for number, _ in extensions), protocol]
    headers = (bytes((after,)) + octets for (_, octets), after in zip(extensions, types[1:], strict=True))
    payload = b"".join(headers) + upper
    head = b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes((types[0], hop_limit))
    return head + packed(source) + packed(destination) + payload


def home_address_header(*home_addresses: str) -> tuple[int, bytes]:
    """Destination Options with Home Address options, each at 8n+6 (RFC 6275 section 6.3)."""
    content = b""
    for address in home_addresses:
        padding = 4 if content else 2
        content += bytes((PADN, padding)) + bytes(padding) + bytes((HOME_ADDRESS_OPTION, 16)) + packed(address)
    return DESTINATION_OPTIONS, bytes(((len(content) + 2) // 8 - 1,)) + content


def hop_by_hop_header() -> tuple[int, bytes]:
    """Hop-by-Hop Options with nothing but padding."""
    return HOP_BY_HOP, bytes((0, PADN, 4, 0, 0, 0, 0))


def type_2_routing_header(home_address: str) -> tuple[int, bytes]:
    """RFC 6275 section 6.4."""
    return ROUTING, bytes((2, 2, 1, 0, 0, 0, 0)) + packed(home_address)


def fragment_header(offset: int, more: bool, identification: int) -> tuple[int, bytes]:
    """RFC 8200 section 4.5; `offset` in octets."""
    return FRAGMENT, bytes(1) + (offset | more).to_bytes(2, "big") + identification.to_bytes(4, "big")


def mobility_header(mh_type: int, data: bytes, source: str, destination: str, protocol: int = NO_NEXT_HEADER) -> bytes:
    """A Mobility Header with its checksum (RFC 6275 section 6.1.1); `data` is a message with its options, 8n+2 long."""
    return checked(bytes((protocol, (len(data) + 6) // 8 - 1, mh_type, 0, 0, 0)) + data, source, destination)


def checked(header: bytes, source: str, destination: str) -> bytes:
    """A Mobility Header with the right checksum."""
    cleared = header[:4] + bytes(2) + header[6:]
    return header[:4] + checksum(source, destination, MOBILITY, cleared).to_bytes(2, "big") + header[6:]


def upper_octets(source: str, destination: str, message: Packet, protocol: int, hop_limit: int = 64) -> bytes:
    """What an upper-layer message is on the wire, with its checksum for these addresses."""
    return bytes(IPv6(src=source, dst=destination, nh=protocol, hlim=hop_limit) / message)[40:]
