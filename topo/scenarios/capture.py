"""Reading captures: when signalling and tunnelled packets came and went, and which way the segments of TCP took."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mip6core.addresses import Address
from mip6core.codec import ipv6, mh
from mip6core.constants import DESTINATION_OPTIONS, IPV6, MOBILITY_HEADER, ROUTING
from mip6core.errors import ParseError

LINUX_SLL2: Final = 276  # link type of captures on all devices
ETHERNET: Final = 1  # link type of captures on one
# Whole Mobility Headers and, of data packets, the headers of tunnel and inner packet; all extension headers that matter
EXPRESSION: Final = "ip6 proto 135 or ip6 proto 43 or ip6 proto 60 or ip6 proto 41"
SNAPSHOT_LENGTH: Final = 200  # octets

_FILE_HEADER = struct.Struct("=IHHiIII")
_RECORD_HEADER = struct.Struct("=IIII")
_SLL2 = struct.Struct("!HHIHBB8s")
_MAGIC: Final = 0xA1B2C3D4
_ETHERNET = struct.Struct("!12sH")
_ETH_P_IPV6: Final = 0x86DD
_OUTGOING: Final = 4
_TCP: Final = 6
_IPV6_HEADER: Final = 40  # octets


@dataclass(frozen=True, slots=True)
class Captured:
    """A packet on a device."""

    at: float  # seconds since 1970
    device: int  # interface index; 0 in a capture on one device
    outgoing: bool  # not known in a capture on one device
    packet: bytes  # from the IPv6 header on, perhaps cut


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the switch did with one Binding Update, in seconds since it came in."""

    acknowledged: float | None  # the Binding Acknowledgement left
    first_tunnelled: float | None  # the first data packet left for the new care-of address


def read(file: Path) -> Iterator[Captured]:
    """The IPv6 packets of a capture with `tcpdump -i any -y LINUX_SLL2` or `-i DEVICE`, but for one not whole yet."""
    data = file.read_bytes()
    if len(data) < _FILE_HEADER.size:
        return
    magic, *_, link_type = _FILE_HEADER.unpack_from(data)
    if magic != _MAGIC or link_type not in (LINUX_SLL2, ETHERNET):
        raise ValueError(f"{file}: not a capture of the expected kind")
    offset = _FILE_HEADER.size
    while offset + _RECORD_HEADER.size <= len(data):
        seconds, microseconds, length, _ = _RECORD_HEADER.unpack_from(data, offset)
        start, offset = offset + _RECORD_HEADER.size, offset + _RECORD_HEADER.size + length
        if offset > len(data):
            return
        at = seconds + microseconds / 1e6
        if link_type == LINUX_SLL2:
            protocol, _, device, _, kind, *_ = _SLL2.unpack_from(data, start)
            found = Captured(at, device, kind == _OUTGOING, data[start + _SLL2.size : offset])
        else:
            _, protocol = _ETHERNET.unpack_from(data, start)
            found = Captured(at, 0, False, data[start + _ETHERNET.size : offset])
        if protocol == _ETH_P_IPV6:
            yield found


def exchange(
    packets: Iterable[Captured], device: int, sequence: int, care_of_address: Address | None
) -> Exchange | None:
    """Follow the Binding Update with this sequence number, which came in by a device; None if it did not."""
    came: float | None = None
    acknowledged = first_tunnelled = None
    for captured in packets:
        if captured.device != device:
            continue
        if came is None:
            message = None if captured.outgoing else _message(captured.packet)
            if isinstance(message, mh.BindingUpdate) and message.sequence == sequence:
                came = captured.at
        elif captured.outgoing and captured.packet[6] == IPV6:
            if first_tunnelled is None and captured.packet[24:40] == care_of_address:
                first_tunnelled = captured.at - came
        elif captured.outgoing and acknowledged is None:
            message = _message(captured.packet)
            if isinstance(message, mh.BindingAcknowledgement) and message.sequence == sequence:
                acknowledged = captured.at - came
    return None if came is None else Exchange(acknowledged, first_tunnelled)


@dataclass(frozen=True, slots=True)
class Segments:
    """TCP segments between two nodes, by the way they took."""

    plain: int  # as any host's: at home, or through the home agent
    direct: int  # with Home Address option or Type 2 Routing header


def segments(packets: Iterable[Captured], source: Address, start: float, end: float) -> Segments:
    """Segments that were captured between a correspondent and its router from `start` to `end`, and come from `source`.

    `source` is the correspondent, or the mobile node's home address; what the home address sends directly has the
    care-of address as its source and the home address in the option.
    """
    plain = direct = 0
    for captured in packets:
        packet = captured.packet
        if not start <= captured.at < end:
            continue
        if packet[6] == _TCP:
            plain += packet[8:24] == source
        elif packet[6] == DESTINATION_OPTIONS and packet[_IPV6_HEADER] == _TCP:
            direct += packet[_IPV6_HEADER + 8 : _IPV6_HEADER + 24] == source
        elif packet[6] == ROUTING and packet[_IPV6_HEADER] == _TCP:
            direct += packet[8:24] == source
    return Segments(plain, direct)


def _message(packet: bytes) -> mh.Message | None:
    try:
        datagram = ipv6.parse(packet)
        if datagram.upper_protocol != MOBILITY_HEADER:
            return None
        return mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
    except ParseError:  # not whole, or none
        return None
