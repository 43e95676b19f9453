"""Neighbor Discovery options (RFC 4861 section 4.6), with those and the flags of RFC 6275 section 7."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address
from mip6core.codec.reader import Reader
from mip6core.errors import ParseError

SOURCE_LINK_LAYER_ADDRESS: Final = 1
TARGET_LINK_LAYER_ADDRESS: Final = 2
PREFIX_INFORMATION: Final = 3
MTU: Final = 5
ADVERTISEMENT_INTERVAL: Final = 7  # RFC 6275 section 7.3
HOME_AGENT_INFORMATION: Final = 8  # RFC 6275 section 7.4

INFINITE_LIFETIME: Final = 0xFFFFFFFF  # the lifetime that never ends, RFC 4861 section 4.6.2

_LENGTHS: Final = {  # octets; link-layer addresses are those of Ethernet (RFC 2464 section 6)
    SOURCE_LINK_LAYER_ADDRESS: 8,
    TARGET_LINK_LAYER_ADDRESS: 8,
    PREFIX_INFORMATION: 32,
    MTU: 8,
    ADVERTISEMENT_INTERVAL: 8,
    HOME_AGENT_INFORMATION: 8,
}
_ON_LINK: Final = 0x80
_AUTONOMOUS: Final = 0x40
_ROUTER_ADDRESS: Final = 0x20

_PREFIX_INFORMATION = struct.Struct("!BBBBIII16s")
_NUMBER = struct.Struct("!BBHI")
_HOME_AGENT_INFORMATION = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """RFC 4861 section 4.6.2, RFC 6275 section 7.2. Lifetimes in seconds or INFINITE_LIFETIME."""

    address: Address  # the prefix, or with router_address a whole address of the router
    length: int  # bits of the prefix
    valid_lifetime: int
    preferred_lifetime: int
    on_link: bool = True  # L
    autonomous: bool = True  # A
    router_address: bool = False  # R


@dataclass(frozen=True, slots=True)
class HomeAgentInformation:
    """RFC 6275 section 7.4."""

    preference: int
    lifetime: int  # seconds


@dataclass(slots=True)
class NDOptions:
    """The options of one message. Of a kind that is not a list, the first one counts."""

    source_link_layer_address: bytes | None = None
    target_link_layer_address: bytes | None = None
    prefixes: tuple[PrefixInformation, ...] = field(default=())
    mtu: int | None = None
    advertisement_interval: int | None = None  # milliseconds
    home_agent_information: HomeAgentInformation | None = None


def parse(reader: Reader) -> NDOptions:
    """Read options to the end of the message; unknown ones are skipped.

    Raises ParseError: "truncated_option" for one that runs past the end, "bad_option_length" for length zero
    and for a wrong length of a known one, "bad_prefix_length".
    """
    found = NDOptions()
    prefixes = []
    while reader.remaining:
        if reader.remaining < 2:
            raise ParseError("truncated_option")
        option_type = reader.u8()
        length = reader.u8() * 8
        if length == 0 or _LENGTHS.get(option_type, length) != length:
            raise ParseError("bad_option_length")
        if length - 2 > reader.remaining:
            raise ParseError("truncated_option")
        option = Reader(reader.take(length - 2))
        if option_type == SOURCE_LINK_LAYER_ADDRESS:
            if found.source_link_layer_address is None:
                found.source_link_layer_address = option.take(6)
        elif option_type == TARGET_LINK_LAYER_ADDRESS:
            if found.target_link_layer_address is None:
                found.target_link_layer_address = option.take(6)
        elif option_type == PREFIX_INFORMATION:
            prefixes.append(_parse_prefix_information(option))
        elif option_type == MTU:
            option.skip(2)
            if found.mtu is None:
                found.mtu = option.u32()
        elif option_type == ADVERTISEMENT_INTERVAL:
            option.skip(2)
            if found.advertisement_interval is None:
                found.advertisement_interval = option.u32()
        elif option_type == HOME_AGENT_INFORMATION:
            option.skip(2)
            if found.home_agent_information is None:
                found.home_agent_information = HomeAgentInformation(option.u16(), option.u16())
    found.prefixes = tuple(prefixes)
    return found


def _parse_prefix_information(option: Reader) -> PrefixInformation:
    length = option.u8()
    if length > 128:
        raise ParseError("bad_prefix_length")
    flags = option.u8()
    valid_lifetime = option.u32()
    preferred_lifetime = option.u32()
    option.skip(4)
    return PrefixInformation(
        option.address(),
        length,
        valid_lifetime,
        preferred_lifetime,
        on_link=bool(flags & _ON_LINK),
        autonomous=bool(flags & _AUTONOMOUS),
        router_address=bool(flags & _ROUTER_ADDRESS),
    )


def build(options: NDOptions) -> bytes:
    """The octets of `options`, in the order of their types."""
    parts = []
    if options.source_link_layer_address is not None:
        parts.append(bytes((SOURCE_LINK_LAYER_ADDRESS, 1)) + options.source_link_layer_address)
    if options.target_link_layer_address is not None:
        parts.append(bytes((TARGET_LINK_LAYER_ADDRESS, 1)) + options.target_link_layer_address)
    for prefix in options.prefixes:
        flags = _ON_LINK * prefix.on_link | _AUTONOMOUS * prefix.autonomous
        flags |= _ROUTER_ADDRESS * prefix.router_address
        parts.append(
            _PREFIX_INFORMATION.pack(
                PREFIX_INFORMATION,
                4,
                prefix.length,
                flags,
                prefix.valid_lifetime,
                prefix.preferred_lifetime,
                0,
                prefix.address,
            )
        )
    if options.mtu is not None:
        parts.append(_NUMBER.pack(MTU, 1, 0, options.mtu))
    if options.advertisement_interval is not None:
        parts.append(_NUMBER.pack(ADVERTISEMENT_INTERVAL, 1, 0, options.advertisement_interval))
    if options.home_agent_information is not None:
        information = options.home_agent_information
        parts.append(
            _HOME_AGENT_INFORMATION.pack(HOME_AGENT_INFORMATION, 1, 0, information.preference, information.lifetime)
        )
    return b"".join(parts)
