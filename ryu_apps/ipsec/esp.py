"""The Encapsulating Security Payload (RFC 4303): one direction of one security association."""

from __future__ import annotations

import struct
from typing import Final

from ryu_apps.ipsec.transforms import BadIntegrity, Transform

HEADER: Final = struct.Struct("!II")  # SPI, sequence number
MAX_SEQUENCE: Final = 0xFFFFFFFF
REPLAY_WINDOW: Final = 64  # packets, RFC 4303 section 3.4.3
NO_NEXT_HEADER: Final = 59

_PADDING: Final = bytes(range(1, 256))  # RFC 4303 section 2.4


class Rejected(Exception):
    """A packet that must be dropped; `reason` is the tail of a counter's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Exhausted(Exception):
    """No sequence number is left where the receiver counts them: the key has to be replaced."""


class ReplayWindow:
    """Which sequence numbers have been seen, of the latest 64 (RFC 4303 section 3.4.3)."""

    __slots__ = ("_latest", "_seen")

    def __init__(self) -> None:
        self._latest = 0
        self._seen = 0  # bit n: latest - n

    def fresh(self, sequence: int) -> bool:
        """Whether the number is new and not too old. Number 0 is never sent."""
        age = self._latest - sequence
        return sequence > 0 and (age < 0 or (age < REPLAY_WINDOW and not self._seen >> age & 1))

    def accept(self, sequence: int) -> None:
        """Note a number whose packet has been authenticated."""
        age = self._latest - sequence
        if age >= 0:
            self._seen |= 1 << age
            return
        self._latest = sequence
        self._seen = (self._seen << -age | 1) & (1 << REPLAY_WINDOW) - 1 if -age < REPLAY_WINDOW else 1


class Outbound:
    """Wraps what is sent under one SPI."""

    __slots__ = ("_sequence", "_transform", "_wraps", "spi")

    def __init__(self, spi: int, transform: Transform, sequence: int, wraps: bool) -> None:
        """`sequence` is the last number used. With `wraps` the receiver does not count, and numbers begin anew."""
        self.spi = spi
        self._transform = transform
        self._sequence = sequence  # of 64 bits; the lower half goes on the wire
        self._wraps = wraps

    def seal(self, next_header: int, payload: bytes) -> bytes:
        """The ESP header and all behind it. Raises Exhausted."""
        if self._sequence >= MAX_SEQUENCE and not self._wraps:
            raise Exhausted
        self._sequence += 1
        header = HEADER.pack(self.spi, self._sequence & MAX_SEQUENCE)
        transform = self._transform
        padding = -(len(payload) + 2) % transform.alignment
        plain = payload + _PADDING[:padding] + bytes((padding, next_header))
        return header + transform.seal(header, plain)


class Inbound:
    """Unwraps what arrives under one SPI."""

    __slots__ = ("_transform", "_window", "spi")

    def __init__(self, spi: int, transform: Transform, anti_replay: bool) -> None:
        self.spi = spi
        self._transform = transform
        self._window = ReplayWindow() if anti_replay else None

    def open(self, packet: bytes) -> tuple[int, bytes]:
        """Next header and payload of what begins with an ESP header of this SPI. Raises Rejected."""
        header, body = packet[: HEADER.size], packet[HEADER.size :]
        sequence = int.from_bytes(header[4:], "big")
        window = self._window
        if window is not None and not window.fresh(sequence):
            raise Rejected("esp_replayed")
        try:
            plain = self._transform.open(header, body)
        except BadIntegrity:
            raise Rejected("esp_bad_integrity") from None
        if window is not None:
            window.accept(sequence)
        if len(plain) < 2:
            raise Rejected("esp_bad_padding")
        padding, next_header = plain[-2:]
        end = len(plain) - 2 - padding
        if end < 0 or plain[end:-2] != _PADDING[:padding]:
            raise Rejected("esp_bad_padding")
        if next_header == NO_NEXT_HEADER:
            raise Rejected("esp_dummy")  # RFC 4303 section 2.6
        return next_header, plain[:end]


def spi_of(packet: bytes) -> int:
    """The SPI of what begins with an ESP header. Raises Rejected."""
    if len(packet) < HEADER.size:
        raise Rejected("esp_truncated")
    return int.from_bytes(packet[:4], "big")
