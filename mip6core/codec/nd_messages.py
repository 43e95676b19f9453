"""Neighbor Discovery messages (RFC 4861 section 4) with the additions of RFC 6275 section 7.

The parse functions make the validity checks of RFC 4861 sections 6.1 and 7.1 but for the checksum, which
`codec.icmpv6` has verified before.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

from mip6core.addresses import UNSPECIFIED, Address, is_link_local, is_multicast, solicited_node
from mip6core.codec import nd_options
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.nd_options import HomeAgentInformation, NDOptions, PrefixInformation
from mip6core.codec.reader import Reader
from mip6core.constants import ND_HOP_LIMIT
from mip6core.errors import ParseError

_FLAGS = struct.Struct("!I")
_ROUTER_ADVERTISEMENT = struct.Struct("!BBHII")

_MANAGED: Final = 0x80  # M, O and H of Router Advertisement
_OTHER: Final = 0x40
_HOME_AGENT: Final = 0x20  # RFC 6275 section 7.1
_ROUTER: Final = 0x80000000  # R, S and O of Neighbor Advertisement
_SOLICITED: Final = 0x40000000
_OVERRIDE: Final = 0x20000000


@dataclass(slots=True)
class RouterSolicitation:
    """RFC 4861 section 4.1."""

    icmp_type: ClassVar[int] = 133
    code: ClassVar[int] = 0
    source_link_layer_address: bytes | None = None

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return bytes(4) + nd_options.build(NDOptions(self.source_link_layer_address))


@dataclass(slots=True)
class RouterAdvertisement:
    """RFC 4861 section 4.2, RFC 6275 section 7."""

    icmp_type: ClassVar[int] = 134
    code: ClassVar[int] = 0
    router_lifetime: int  # seconds; 0: not a default router
    prefixes: tuple[PrefixInformation, ...] = ()
    source_link_layer_address: bytes | None = None
    hop_limit: int = 0  # 0: not specified
    managed: bool = False  # M
    other: bool = False  # O
    home_agent: bool = False  # H
    reachable_time: int = 0  # milliseconds; 0: not specified
    retrans_timer: int = 0  # milliseconds; 0: not specified
    mtu: int | None = None
    advertisement_interval: int | None = None  # milliseconds
    home_agent_information: HomeAgentInformation | None = None

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        flags = _MANAGED * self.managed | _OTHER * self.other | _HOME_AGENT * self.home_agent
        options = NDOptions(
            source_link_layer_address=self.source_link_layer_address,
            prefixes=self.prefixes,
            mtu=self.mtu,
            advertisement_interval=self.advertisement_interval,
            home_agent_information=self.home_agent_information,
        )
        fixed = _ROUTER_ADVERTISEMENT.pack(
            self.hop_limit, flags, self.router_lifetime, self.reachable_time, self.retrans_timer
        )
        return fixed + nd_options.build(options)


@dataclass(slots=True)
class NeighborSolicitation:
    """RFC 4861 section 4.3; sent from :: it probes for a duplicate address (RFC 4862 section 5.4)."""

    icmp_type: ClassVar[int] = 135
    code: ClassVar[int] = 0
    target: Address
    source_link_layer_address: bytes | None = None

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        return bytes(4) + self.target + nd_options.build(NDOptions(self.source_link_layer_address))


@dataclass(slots=True)
class NeighborAdvertisement:
    """RFC 4861 section 4.4."""

    icmp_type: ClassVar[int] = 136
    code: ClassVar[int] = 0
    target: Address
    router: bool = False  # R
    solicited: bool = False  # S
    override: bool = False  # O
    link_layer_address: bytes | None = None  # of the target

    def body(self) -> bytes:
        """All that follows the Checksum field."""
        flags = _ROUTER * self.router | _SOLICITED * self.solicited | _OVERRIDE * self.override
        options = NDOptions(target_link_layer_address=self.link_layer_address)
        return _FLAGS.pack(flags) + self.target + nd_options.build(options)


def _check(datagram: Datagram) -> None:
    """What RFC 4861 asks of all four messages, and RFC 6980: no Fragment header."""
    if datagram.hop_limit != ND_HOP_LIMIT:
        raise ParseError("bad_hop_limit")
    if datagram.upper[1] != 0:
        raise ParseError("bad_code")
    if datagram.fragment_id is not None:
        raise ParseError("fragmented")


def parse_router_solicitation(datagram: Datagram, reader: Reader) -> RouterSolicitation:
    """The message behind its Checksum field."""
    _check(datagram)
    reader.skip(4)
    address = nd_options.parse(reader).source_link_layer_address
    if address is not None and datagram.source == UNSPECIFIED:
        raise ParseError("bad_source")
    return RouterSolicitation(address)


def parse_router_advertisement(datagram: Datagram, reader: Reader) -> RouterAdvertisement:
    """The message behind its Checksum field."""
    _check(datagram)
    if not is_link_local(datagram.source):
        raise ParseError("bad_source")
    hop_limit = reader.u8()
    flags = reader.u8()
    router_lifetime = reader.u16()
    reachable_time = reader.u32()
    retrans_timer = reader.u32()
    options = nd_options.parse(reader)
    return RouterAdvertisement(
        router_lifetime,
        options.prefixes,
        options.source_link_layer_address,
        hop_limit,
        bool(flags & _MANAGED),
        bool(flags & _OTHER),
        bool(flags & _HOME_AGENT),
        reachable_time,
        retrans_timer,
        options.mtu,
        options.advertisement_interval,
        options.home_agent_information,
    )


def parse_neighbor_solicitation(datagram: Datagram, reader: Reader) -> NeighborSolicitation:
    """The message behind its Checksum field."""
    _check(datagram)
    reader.skip(4)
    target = reader.address()
    if is_multicast(target):
        raise ParseError("bad_target")
    address = nd_options.parse(reader).source_link_layer_address
    if datagram.source == UNSPECIFIED:
        if datagram.destination[:13] != solicited_node(target)[:13]:
            raise ParseError("bad_destination")
        if address is not None:
            raise ParseError("bad_source")
    return NeighborSolicitation(target, address)


def parse_neighbor_advertisement(datagram: Datagram, reader: Reader) -> NeighborAdvertisement:
    """The message behind its Checksum field."""
    _check(datagram)
    flags = reader.u32()
    target = reader.address()
    if is_multicast(target):
        raise ParseError("bad_target")
    solicited = bool(flags & _SOLICITED)
    if solicited and is_multicast(datagram.destination):
        raise ParseError("bad_destination")
    address = nd_options.parse(reader).target_link_layer_address
    return NeighborAdvertisement(target, bool(flags & _ROUTER), solicited, bool(flags & _OVERRIDE), address)
