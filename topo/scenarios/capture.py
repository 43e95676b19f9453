"""Reading a capture of all ports of the switch: when signalling and tunnelled packets came and went."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mip6core.addresses import Address
from mip6core.codec import ipv6, mh
from mip6core.constants import IPV6, MOBILITY_HEADER
from mip6core.errors import ParseError

LINUX_SLL2: Final = 276  # link type of captures on all devices
# Whole Mobility Headers and, of data packets, the headers of tunnel and inner packet; all extension headers that matter
EXPRESSION: Final = "ip6 proto 135 or ip6 proto 43 or ip6 proto 60 or ip6 proto 41"
SNAPSHOT_LENGTH: Final = 200  # octets

_FILE_HEADER = struct.Struct("=IHHiIII")
_RECORD_HEADER = struct.Struct("=IIII")
_SLL2 = struct.Struct("!HHIHBB8s")
_MAGIC: Final = 0xA1B2C3D4
_ETH_P_IPV6: Final = 0x86DD
_OUTGOING: Final = 4


@dataclass(frozen=True, slots=True)
class Captured:
    """A packet on a device."""

    at: float  # seconds since 1970
    device: int  # interface index
    outgoing: bool
    packet: bytes  # from the IPv6 header on, perhaps cut


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the switch did with one Binding Update, in seconds since it came in."""

    acknowledged: float | None  # the Binding Acknowledgement left
    first_tunnelled: float | None  # the first data packet left for the new care-of address


def read(file: Path) -> Iterator[Captured]:
    """The IPv6 packets of a capture with `tcpdump -i any -y LINUX_SLL2`, but for a last one that is not whole yet."""
    data = file.read_bytes()
    if len(data) < _FILE_HEADER.size:
        return
    magic, *_, link_type = _FILE_HEADER.unpack_from(data)
    if magic != _MAGIC or link_type != LINUX_SLL2:
        raise ValueError(f"{file}: not a capture of the expected kind")
    offset = _FILE_HEADER.size
    while offset + _RECORD_HEADER.size <= len(data):
        seconds, microseconds, length, _ = _RECORD_HEADER.unpack_from(data, offset)
        start, offset = offset + _RECORD_HEADER.size, offset + _RECORD_HEADER.size + length
        if offset > len(data):
            return
        protocol, _, device, _, kind, *_ = _SLL2.unpack_from(data, start)
        if protocol == _ETH_P_IPV6:
            packet = data[start + _SLL2.size : offset]
            yield Captured(seconds + microseconds / 1e6, device, kind == _OUTGOING, packet)


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


def _message(packet: bytes) -> mh.Message | None:
    try:
        datagram = ipv6.parse(packet)
        if datagram.upper_protocol != MOBILITY_HEADER:
            return None
        return mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
    except ParseError:  # not whole, or none
        return None
