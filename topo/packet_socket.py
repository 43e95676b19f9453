"""Packets as they are on a device: the few that a mobile node's program must see, and the first ones after a move."""

from __future__ import annotations

import ctypes
import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from mip6core.addresses import Address
from mip6core.constants import DESTINATION_OPTIONS, HOP_BY_HOP, ICMPV6, IPV6, MOBILITY_HEADER, ROUTING

ETHERNET_HEADER: Final = 14  # octets
ETH_P_IPV6: Final = 0x86DD
_ETH_P_ALL: Final = 0x0003  # also what the device sends
_SO_ATTACH_FILTER: Final = 26
_PARAMETER_PROBLEM: Final = 4  # the last ICMPv6 type of errors
_ROUTER_SOLICITATION: Final = 133  # ICMPv6 types of Neighbor Discovery begin here ...
_ROUTER_ADVERTISEMENT: Final = 134
_NEIGHBOR_ADVERTISEMENT: Final = 136
_REDIRECT: Final = 137  # ... and end here

Instruction: TypeAlias = tuple[int, int, int, int]  # of classic BPF: code, jump if true, jump if false, operand
Line: TypeAlias = tuple[int, str, str, int] | str  # the same with labels to jump to ("": go on), or a label

_LOAD_BYTE: Final = 0x30
_IF_EQUAL: Final = 0x15
_IF_GREATER: Final = 0x25
_RETURN: Final = 0x06


def assemble(lines: Sequence[Line]) -> list[Instruction]:
    """A program of classic BPF: labels become distances."""
    places: dict[str, int] = {}
    instructions: list[tuple[int, str, str, int]] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)

    def distance(label: str, place: int) -> int:
        return places[label] - place - 1 if label else 0

    return [
        (code, distance(true, place), distance(false, place), operand)
        for place, (code, true, false, operand) in enumerate(instructions)
    ]


_IPV6_HEADER: Final = 40  # octets
_NEXT_HEADER: Final = ETHERNET_HEADER + 6
_ICMPV6_TYPE: Final = ETHERNET_HEADER + _IPV6_HEADER

# Mobility Headers and what they may hide behind (also data behind a Type 2 Routing header), advertisements, errors; of
# what the home agent tunnels, signalling. Other tunnelled packets are the kernel's and must not wake the program.
_WANTED: Final[Sequence[Line]] = (
    (_LOAD_BYTE, "", "", _NEXT_HEADER),
    (_IF_EQUAL, "accept", "", MOBILITY_HEADER),
    (_IF_EQUAL, "accept", "", HOP_BY_HOP),
    (_IF_EQUAL, "accept", "", ROUTING),
    (_IF_EQUAL, "accept", "", DESTINATION_OPTIONS),
    (_IF_EQUAL, "icmpv6", "", ICMPV6),
    (_IF_EQUAL, "", "drop", IPV6),
    (_LOAD_BYTE, "", "", _NEXT_HEADER + _IPV6_HEADER),
    (_IF_EQUAL, "accept", "", MOBILITY_HEADER),
    (_IF_EQUAL, "", "drop", ICMPV6),
    (_LOAD_BYTE, "", "", _ICMPV6_TYPE + _IPV6_HEADER),
    (_IF_EQUAL, "accept", "drop", _PARAMETER_PROBLEM),
    "icmpv6",
    (_LOAD_BYTE, "", "", _ICMPV6_TYPE),
    (_IF_GREATER, "", "accept", _PARAMETER_PROBLEM),
    (_IF_EQUAL, "accept", "", _ROUTER_ADVERTISEMENT),
    (_IF_EQUAL, "accept", "drop", _NEIGHBOR_ADVERTISEMENT),
    "drop",
    (_RETURN, "", "", 0),
    "accept",
    (_RETURN, "", "", 0xFFFF),
)


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def _attach_filter(target: socket.socket, instructions: Sequence[Instruction]) -> None:
    """Let the kernel drop what the classic BPF program does not accept."""
    array = (_Instruction * len(instructions))(*(_Instruction(*instruction) for instruction in instructions))
    program = _Program(len(instructions), array)
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))


class PacketSocket:
    """What a device receives of signalling, advertisements, errors and optimised packets; and frames to send."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        _attach_filter(self._socket, assemble(_WANTED))  # before binding starts the flow
        self._socket.bind((device, ETH_P_IPV6))

    def fileno(self) -> int:
        """The socket: readable when there is something to read."""
        return self._socket.fileno()

    def packets(self) -> Iterator[bytes]:
        """All packets that are there now, from the IPv6 header on."""
        return (frame[ETHERNET_HEADER:] for frame, _ in _received(self._socket))

    def drain(self) -> None:
        """Forget all packets that are there now."""
        for _ in _received(self._socket):
            pass

    def send(self, destination: bytes, source: bytes, packet: bytes) -> None:
        """Send a packet to a link-layer address."""
        self._socket.send(destination + source + ETH_P_IPV6.to_bytes(2, "big") + packet)


class FirstPackets:
    """Waits for the first data packet of a mobile node in either direction: through the tunnel, or at home plainly."""

    def __init__(self, device: str, home_address: Address, tunnel: Sequence[Address]) -> None:
        """`tunnel`: care-of address and home agent, or nothing at home."""
        self._tests: dict[str, Callable[[bytes], bool]] = {
            "in": lambda packet: packet[24:40] == home_address,
            "out": lambda packet: packet[8:24] == home_address,
        }
        self._tunnel = tunnel
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.bind((device, _ETH_P_ALL))

    def fileno(self) -> int:
        """The socket: readable when there is something to read."""
        return self._socket.fileno()

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to wait for."""
        return not self._tests

    def read(self) -> Iterator[str]:
        """The directions ("in", "out") that had their first packet just now."""
        for frame, kind in _received(self._socket):
            if int.from_bytes(frame[12:14], "big") != ETH_P_IPV6:
                continue
            direction = "out" if kind == socket.PACKET_OUTGOING else "in"
            packet = self._data(frame[ETHERNET_HEADER:], direction)
            if packet is not None and direction in self._tests and self._tests[direction](packet):
                del self._tests[direction]
                yield direction

    def close(self) -> None:
        """End the wait."""
        self._socket.close()

    def _data(self, packet: bytes, direction: str) -> bytes | None:
        """The data packet in what is on the link: tunnelled, or with neither signalling nor Neighbor Discovery."""
        protocol = packet[6]
        if self._tunnel:
            ends = self._tunnel if direction == "out" else self._tunnel[::-1]
            return packet[40:] if protocol == IPV6 and packet[8:40] == b"".join(ends) else None
        discovery = protocol == ICMPV6 and _ROUTER_SOLICITATION <= packet[40] <= _REDIRECT
        return None if discovery or protocol in (MOBILITY_HEADER, ROUTING, DESTINATION_OPTIONS) else packet


def _received(source: socket.socket) -> Iterator[tuple[bytes, int]]:
    """Frames and their kind (PACKET_HOST, PACKET_OUTGOING ...), until there are no more."""
    while True:
        try:
            frame, address = source.recvfrom(65_536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            return
        yield frame, address[2]
