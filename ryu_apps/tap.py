"""What crosses the connections to the switches, for those who want to look: debugging and captures.

While nobody looks, it costs one comparison for each chunk that is read or written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ryu_apps import cookies
from ryu_apps.connection import FastDatapath
from ryu_apps.of_compat import ofproto
from ryu_apps.pipeline import Punt

_HEADER: Final = struct.Struct("!BBHI")
_PACKET_IN: Final = struct.Struct("!4xH2xQ2xH")  # behind the header: frame's length, cookie, match's length
_PACKET_OUT: Final = struct.Struct("!IIH6x")  # behind the header: buffer, port, length of the actions
_PUNTS: Final = {int(kind): kind.name.lower() for kind in Punt}


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet that a switch handed up, or that was sent by way of a switch."""

    datapath: Any
    punt: str | None  # why it was handed up; None: it was sent
    frame: bytes


class Listener(Protocol):
    """Who looks. Must not raise, nor change anything."""

    def packet(self, seen: Seen) -> None:
        """A packet has come or gone."""

    def flow_mod(self, datapath: Any, message: bytes) -> None:
        """A flow is added, changed or deleted."""


class Tap:
    """Tells listeners; there is one tap for all switches."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> None:
        self._set((*self._listeners, listener))

    def remove(self, listener: Listener) -> None:
        self._set(tuple(other for other in self._listeners if other is not listener))

    def _set(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        FastDatapath.tap = self if listeners else None

    def received(self, datapath: Any, message: bytes) -> None:
        """One message from a switch."""
        if message[1] != ofproto.OFPT_PACKET_IN or len(message) < 32:
            return
        _length, cookie, match_length = _PACKET_IN.unpack_from(message, _HEADER.size)
        if cookie >> 40 == cookies.PUNTS:
            frame = message[24 + (match_length + 7) // 8 * 8 + 2 :]
            kind = cookies.item(cookie)
            self._packet(Seen(datapath, _PUNTS.get(kind, str(kind)), frame))

    def sent(self, datapath: Any, octets: bytes) -> None:
        """Whole messages to a switch."""
        for kind, message in _messages(octets):
            if kind == ofproto.OFPT_PACKET_OUT:
                _buffer, _port, actions = _PACKET_OUT.unpack_from(message, _HEADER.size)
                frame = message[_HEADER.size + _PACKET_OUT.size + actions :]
                self._packet(Seen(datapath, None, frame))
            elif kind == ofproto.OFPT_FLOW_MOD:
                for listener in self._listeners:
                    listener.flow_mod(datapath, message)

    def _packet(self, seen: Seen) -> None:
        for listener in self._listeners:
            listener.packet(seen)


def _messages(octets: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(octets):
        _version, kind, length, _xid = _HEADER.unpack_from(octets, offset)
        if length < _HEADER.size:
            return
        yield kind, octets[offset : offset + length]
        offset += length
