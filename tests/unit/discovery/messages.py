"""Messages of home agent and prefix discovery and Router Discovery, encoded and read by hand from the RFCs."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tests.unit.engine.wire import address, checksum, icmpv6, ipv6

ALL_NODES = address("ff02::1")
ALL_ROUTERS = address("ff02::2")
INFINITY = 0xFFFFFFFF
L, A, R = 0x80, 0x40, 0x20  # flags of Prefix Information, RFC 4861 section 4.6.2 and RFC 6275 section 7.2
MANAGED, OTHER, HOME_AGENT = 0x80, 0x40, 0x20  # of a Router Advertisement, RFC 6275 section 7.1


def prefix_information(
    prefix: str, length: int = 64, flags: int = L | A | R, valid: int = 3600, preferred: int = 1800
) -> bytes:
    return struct.pack("!BBBBIII", 3, 4, length, flags, valid, preferred, 0) + address(prefix)


def home_agent_information(preference: int, lifetime: int) -> bytes:
    """RFC 6275 section 7.4."""
    return struct.pack("!BBHHH", 8, 1, 0, preference, lifetime)


def router_advertisement(
    source: str | bytes,
    *options: bytes,
    flags: int = HOME_AGENT,
    router_lifetime: int = 1800,
    hop_limit: int = 255,
) -> bytes:
    sender = address(source) if isinstance(source, str) else source
    body = struct.pack("!BBHII", 64, flags, router_lifetime, 0, 0) + b"".join(options)
    return icmpv6(134, body, sender, ALL_NODES, hop_limit=hop_limit)


def router_solicitation(source: str = "fe80::aa", hop_limit: int = 255) -> bytes:
    return icmpv6(133, bytes(4), address(source), ALL_ROUTERS, hop_limit=hop_limit)


def address_request(source: bytes, destination: bytes, identifier: int, reserved: int = 0) -> bytes:
    """RFC 6275 section 6.5."""
    return icmpv6(144, struct.pack("!HH", identifier, reserved), source, destination, hop_limit=64)


def prefix_solicitation(
    care_of_address: bytes,
    home_agent: bytes,
    home_address: bytes | None,
    identifier: int,
    reserved: int = 0,
    options: bytes = b"",
) -> bytes:
    """RFC 6275 section 6.7."""
    message = struct.pack("!BBHHH", 146, 0, 0, identifier, reserved) + options
    value = checksum(home_address or care_of_address, home_agent, 58, message)
    message = message[:2] + struct.pack("!H", value) + message[4:]
    return ipv6(care_of_address, home_agent, 58, message, home_address=home_address)


@dataclass
class Prefix:
    address: bytes
    length: int
    flags: int
    valid: int
    preferred: int


@dataclass
class Discovery:
    """A message of the home agent, read here."""

    kind: str  # RA, DHAAD, MPA
    source: bytes
    destination: bytes
    hop_limit: int
    routing: bytes | None  # home address of the Type 2 Routing Header
    size: int  # octets of the packet
    identifier: int = -1
    flags: int = -1
    addresses: list[bytes] = field(default_factory=list)
    prefixes: list[Prefix] = field(default_factory=list)
    router_lifetime: int = -1
    link_layer_address: bytes | None = None
    interval: int | None = None  # milliseconds
    preference: int | None = None
    lifetime: int | None = None


def read(packet: bytes) -> Discovery | None:
    """The message, or None if it is of another kind; lengths, reserved fields and the checksum are checked."""
    word, length, protocol, hop_limit = struct.unpack_from("!IHBB", packet)
    assert word >> 28 == 6 and length == len(packet) - 40
    upper, routing = packet[40:], None
    if protocol == 43:
        assert upper[1:8] == bytes([2, 2, 1, 0, 0, 0, 0])
        protocol, routing, upper = upper[0], upper[8:24], upper[24:]
    if protocol != 58 or upper[0] not in (134, 145, 147):
        return None
    source, destination = packet[8:24], packet[24:40]
    assert upper[1] == 0 and checksum(source, routing or destination, 58, upper) == 0
    kind = {134: "RA", 145: "DHAAD", 147: "MPA"}[upper[0]]
    result = Discovery(kind, source, destination, hop_limit, routing, len(packet))
    if kind == "DHAAD":
        result.identifier, reserved = struct.unpack_from("!HH", upper, 4)
        assert reserved == 0 and len(upper) % 16 == 8
        result.addresses = [upper[at : at + 16] for at in range(8, len(upper), 16)]
    elif kind == "MPA":
        result.identifier, flags = struct.unpack_from("!HH", upper, 4)
        assert flags & 0x3FFF == 0
        result.flags = flags >> 8
        _read_options(result, upper[8:])
    else:
        hops, result.flags, result.router_lifetime, reachable, retrans = struct.unpack_from("!BBHII", upper, 4)
        assert (hops, reachable, retrans) == (0, 0, 0) and hop_limit == 255
        _read_options(result, upper[16:])
    return result


def _read_options(result: Discovery, data: bytes) -> None:
    while data:
        kind, length = data[0], data[1] * 8
        option, data = data[:length], data[length:]
        assert length and len(option) == length
        if kind == 1:
            result.link_layer_address = option[2:8]
        elif kind == 3:
            bits, flags, valid, preferred, reserved = struct.unpack_from("!BBIII", option, 2)
            assert reserved == 0 and flags & 0x1F == 0
            result.prefixes.append(Prefix(option[16:], bits, flags, valid, preferred))
        elif kind == 7:
            reserved, result.interval = struct.unpack_from("!HI", option, 2)
            assert reserved == 0
        else:
            assert kind == 8
            reserved, result.preference, result.lifetime = struct.unpack_from("!HHH", option, 2)
            assert reserved == 0
