"""Packets to and from the home agent, encoded here by hand from the RFCs so that the codec is not its own judge."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

A, H, L, K = 0x8000, 0x4000, 0x2000, 0x1000  # flags of a Binding Update, RFC 6275 section 6.1.7
ALL_NODES_MAC = bytes.fromhex("333300000001")


def address(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


UNSPECIFIED = address("::")
ALL_NODES = address("ff02::1")


def solicited_node(target: bytes) -> bytes:
    """RFC 4291 section 2.7.1."""
    return address("ff02::1:ff00:0")[:13] + target[13:]


def checksum(source: bytes, destination: bytes, protocol: int, data: bytes) -> int:
    """RFC 8200 section 8.1, of `data` with its checksum field as it stands."""
    everything = source + destination + struct.pack("!II", len(data), protocol) + data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(everything) // 2}H", everything))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv6(
    source: bytes,
    destination: bytes,
    protocol: int,
    upper: bytes,
    *,
    home_address: bytes | None = None,
    routing: bytes | None = None,
    hop_limit: int = 64,
    options: bytes = b"",
) -> bytes:
    """An IPv6 packet; `options` is a whole destination options header without its Next Header octet."""
    extension = b""
    if options:
        extension = bytes([protocol]) + options
        protocol = 60
    if home_address is not None:  # section 6.3: aligned at 8n + 6
        extension = bytes([protocol, 2, 1, 2, 0, 0, 0xC9, 16]) + home_address + extension
        protocol = 60
    if routing is not None:  # section 6.4
        extension = bytes([protocol, 2, 2, 1, 0, 0, 0, 0]) + routing + extension
        protocol = 43
    payload = extension + upper
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit) + source + destination + payload


def mobility_header(
    mh_type: int,
    data: bytes,
    source: bytes,
    destination: bytes,
    *,
    payload_proto: int = 59,
    header_length: int | None = None,
    checksum_error: int = 0,
) -> bytes:
    """Section 6.1.1. `data` follows the checksum field and must bring the whole to a multiple of 8 octets."""
    if header_length is None:
        header_length = (6 + len(data)) // 8 - 1
    message = struct.pack("!BBBBH", payload_proto, header_length, mh_type, 0, 0) + data
    value = checksum(source, destination, 135, message) ^ checksum_error
    return message[:4] + struct.pack("!H", value) + message[6:]


def binding_update_data(
    sequence: int, flags: int, lifetime: int, alternate: bytes | None = None, more: bytes = b""
) -> bytes:
    """Section 6.1.7, what follows the checksum; `more` are further options, 8n octets."""
    data = struct.pack("!HHH", sequence, flags, lifetime)
    return data + (b"\x01\x02\0\0" if alternate is None else b"\x01\0\x03\x10" + alternate) + more


def binding_update(
    home_agent: bytes,
    home_address: bytes,
    care_of_address: bytes,
    sequence: int,
    *,
    flags: int = A | H,
    lifetime: int = 105,
    source: bytes | None = None,
    alternate: bytes | None = None,
    home_address_option: bool = True,
    more: bytes = b"",
) -> bytes:
    """A whole Binding Update as in macro REG of the conformance catalogue, without ESP.

    `source` is the care-of address unless given; the Alternate Care-of Address option is there unless `alternate` is
    b"", and holds the care-of address unless given.
    """
    source = care_of_address if source is None else source
    alternate = care_of_address if alternate is None else alternate
    data = binding_update_data(sequence, flags, lifetime, alternate or None, more)
    upper = mobility_header(5, data, home_address if home_address_option else source, home_agent)
    option = home_address if home_address_option else None
    return ipv6(source, home_agent, 135, upper, home_address=option)


def icmpv6(
    icmp_type: int, body: bytes, source: bytes, destination: bytes, code: int = 0, hop_limit: int = 255
) -> bytes:
    message = struct.pack("!BBH", icmp_type, code, 0) + body
    message = message[:2] + struct.pack("!H", checksum(source, destination, 58, message)) + message[4:]
    return ipv6(source, destination, 58, message, hop_limit=hop_limit)


def neighbor_solicitation(
    source: bytes,
    target: bytes,
    *,
    destination: bytes | None = None,
    link_layer_address: bytes | None = None,
    hop_limit: int = 255,
) -> bytes:
    """RFC 4861 section 4.3; from :: it is the probe of another node's Duplicate Address Detection."""
    body = bytes(4) + target + (b"\x01\x01" + link_layer_address if link_layer_address else b"")
    return icmpv6(135, body, source, destination or solicited_node(target), hop_limit=hop_limit)


def neighbor_advertisement(
    source: bytes,
    target: bytes,
    *,
    destination: bytes = ALL_NODES,
    flags: int = 0x20,
    link_layer_address: bytes = bytes.fromhex("02000000aaaa"),
    hop_limit: int = 255,
) -> bytes:
    """RFC 4861 section 4.4; `flags` are R 0x80, S 0x40, O 0x20."""
    body = bytes([flags, 0, 0, 0]) + target + b"\x02\x01" + link_layer_address
    return icmpv6(136, body, source, destination, hop_limit=hop_limit)


@dataclass
class Packet:
    """A packet of the home agent, read here. Fields of other kinds of message keep their default."""

    kind: str  # BA, BE, NS, NA, PP
    source: bytes
    destination: bytes
    hop_limit: int
    routing: bytes | None  # home address of the Type 2 Routing Header
    status: int = -1
    sequence: int = -1
    lifetime: int = -1  # units of 4 seconds
    flags: int = -1  # of BA and NA
    refresh: int | None = None  # Binding Refresh Advice, units of 4 seconds
    options: list[int] = field(default_factory=list)  # types of a BA's options, in their order, without padding
    mn_id: bytes | None = None  # of the Mobile Node Identifier option: subtype and identifier
    timestamp: int | None = None  # of the mobility message replay protection option
    spi: int | None = None  # of the MN-HA mobility message authentication option
    authenticator: bytes = b""
    covered: bytes = field(default=b"", repr=False)  # the Mobility Header up to and including the SPI, checksum 0
    home_address: bytes = b""  # of BE
    target: bytes = b""
    link_layer_address: bytes | None = None
    code: int = -1
    pointer: int = -1
    invoking: bytes = field(default=b"", repr=False)


def read(packet: bytes) -> Packet:
    """Read a packet and check what every packet must satisfy: lengths and checksum."""
    word, length, protocol, hop_limit = struct.unpack_from("!IHBB", packet)
    assert word >> 28 == 6 and length == len(packet) - 40
    source, destination, upper = packet[8:24], packet[24:40], packet[40:]
    routing = None
    if protocol == 43:
        assert upper[1:8] == bytes([2, 2, 1, 0, 0, 0, 0])
        protocol, routing, upper = upper[0], upper[8:24], upper[24:]
    assert checksum(source, routing or destination, protocol, upper) == 0
    result = Packet("", source, destination, hop_limit, routing)
    if protocol == 135:
        _read_mobility_header(result, upper)
    elif protocol == 58:
        _read_icmpv6(result, upper)
    else:
        raise AssertionError(f"unexpected protocol {protocol}")
    return result


def _read_mobility_header(result: Packet, upper: bytes) -> None:
    assert upper[0] == 59 and len(upper) == upper[1] * 8 + 8 and upper[3] == 0
    if upper[2] == 6:
        result.kind = "BA"
        result.status, result.flags, result.sequence, result.lifetime = struct.unpack_from("!BBHH", upper, 6)
        offset = 12
    else:
        assert upper[2] == 7
        result.kind = "BE"
        result.status, reserved, result.home_address = struct.unpack_from("!BB16s", upper, 6)
        assert reserved == 0
        offset = 24
    while offset < len(upper):
        if upper[offset] == 0:
            offset += 1
            continue
        if upper[offset] != 1:
            assert result.kind == "BA"
            _read_option(result, upper, offset)
        offset += 2 + upper[offset + 1]
    assert offset == len(upper)


def _read_option(result: Packet, upper: bytes, offset: int) -> None:
    kind, length = upper[offset], upper[offset + 1]
    data = upper[offset + 2 : offset + 2 + length]
    result.options.append(kind)
    if kind == 2:
        assert offset % 2 == 0 and length == 2
        (result.refresh,) = struct.unpack("!H", data)
    elif kind == 8:  # RFC 4283 section 3
        result.mn_id = data
    elif kind == 9:  # RFC 4285 section 5; it is the last one
        assert offset % 4 == 1 and length == 17 and data[0] == 1 and offset + 19 == len(upper)
        (result.spi,) = struct.unpack_from("!I", data, 1)
        result.authenticator = data[5:]
        result.covered = upper[:4] + b"\0\0" + upper[6 : offset + 7]
    else:  # RFC 4285 section 6
        assert kind == 10 and offset % 8 == 2 and length == 8
        (result.timestamp,) = struct.unpack("!Q", data)


def _read_icmpv6(result: Packet, upper: bytes) -> None:
    result.code = upper[1]
    if upper[0] == 4:
        result.kind = "PP"
        (result.pointer,) = struct.unpack_from("!I", upper, 4)
        result.invoking = upper[8:]
        return
    assert upper[0] in (135, 136) and result.hop_limit == 255
    result.kind = "NS" if upper[0] == 135 else "NA"
    result.flags = upper[4]
    result.target = upper[8:24]
    if len(upper) > 24:
        assert len(upper) == 32 and upper[24:26] == (b"\x01\x01" if upper[0] == 135 else b"\x02\x01")
        result.link_layer_address = upper[26:32]
