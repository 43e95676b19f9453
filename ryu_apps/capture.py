"""Captures: what the switches handed up and what was sent by way of them, as pcapng, while a client reads.

Packets are as they were on the connection to the switch: what is in ESP stays encrypted. Keygen tokens, of which the
key of a correspondent registration is made, are zeroes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from mip6core.addresses import Prefix
from mip6core.codec.mh import MHType
from mip6core.constants import MOBILITY_HEADER
from ryu_apps import packets, pcapng
from ryu_apps.of_compat import eventlet
from ryu_apps.tap import Seen, Tap

MAX_CAPTURES: Final = 4  # at once
MAX_WAITING: Final = 5000  # packets that a client may be behind; those beyond are left out, and counted
MAX_OCTETS: Final = 256 << 20  # of one capture
SILENCE: Final = 5.0  # seconds without a packet after which the client gets a sign of life, or is found to have gone
_TESTS: Final = (MHType.HOME_TEST.value, MHType.CARE_OF_TEST.value)
_TOKEN: Final = slice(16, 24)  # in a Home Test or Care-of Test


class Captures:
    """All that run."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._running: set[Capture] = set()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, home_addresses: Prefix | None, seconds: float) -> Capture | None:
        """Begin one: of the signalling about some home addresses, or of all. None: there are too many."""
        if len(self._running) >= MAX_CAPTURES:
            self.refused += 1
            return None
        capture = Capture(self, home_addresses, seconds)
        self._running.add(capture)
        self._tap.add(capture)
        return capture

    def stop(self, capture: Capture) -> None:
        self._tap.remove(capture)
        self._running.discard(capture)


class Capture:
    """One of them: iterate to get the file's parts, and close."""

    def __init__(self, captures: Captures, home_addresses: Prefix | None, seconds: float) -> None:
        self._captures = captures
        self._home_addresses = home_addresses
        self._ends = time.monotonic() + seconds
        self._waiting = eventlet.Queue()
        self._interfaces: dict[int, int] = {}  # number by datapath
        self._left_out = 0

    def packet(self, seen: Seen) -> None:
        """See `tap.Listener`."""
        if self._home_addresses is not None and not concerns(seen.frame, self._home_addresses):
            return
        if self._waiting.qsize() >= MAX_WAITING:
            self._left_out += 1
        else:
            self._waiting.put_nowait((time.time(), seen))

    def flow_mod(self, datapath: Any, message: bytes) -> None:
        """See `tap.Listener`."""

    def __iter__(self) -> Iterator[bytes]:
        head = pcapng.section("mip6-manager")
        yield head
        octets = len(head)
        while octets < MAX_OCTETS and (left := self._ends - time.monotonic()) > 0:
            try:
                part = self._part(*self._waiting.get(timeout=min(left, SILENCE)))
            except eventlet.queue.Empty:
                part = pcapng.nothing()
            octets += len(part)
            yield part

    def _part(self, when: float, seen: Seen) -> bytes:
        datapath = seen.datapath.id or 0
        number = self._interfaces.get(datapath)
        part = b""
        if number is None:
            number = self._interfaces[datapath] = len(self._interfaces)
            part = pcapng.interface(f"{datapath:016x}")
        frame, hidden = without_token(seen.frame)
        comment = "sent" if seen.punt is None else f"punted: {seen.punt}"
        if hidden:
            comment += "; keygen token hidden, so the checksum is wrong"
        if self._left_out:
            comment += f"; {self._left_out} packets before this one were left out"
            self._left_out = 0
        direction = pcapng.SENT if seen.punt is None else pcapng.RECEIVED
        return part + pcapng.packet(number, when, frame, direction, comment)

    def close(self) -> None:
        """The client has gone, or has all."""
        self._captures.stop(self)


def concerns(frame: bytes, home_addresses: Prefix) -> bool:
    """Whether a packet has one of these in its addresses or headers."""
    found = packets.look(frame)
    if found is None:
        return False
    named = (found.source, found.destination, found.home_address)
    if any(address is not None and home_addresses.contains(address) for address in named):
        return True
    inner = packets.look(frame[:14] + found.upper) if found.protocol == 41 else None
    return inner is not None and any(home_addresses.contains(address) for address in (inner.source, inner.destination))


def without_token(frame: bytes) -> tuple[bytes, bool]:
    """The frame with the keygen token of a Home Test or Care-of Test as zeroes; and whether there was one."""
    found = packets.look(frame)
    if found is None or found.protocol != MOBILITY_HEADER or len(found.upper) < _TOKEN.stop:
        return frame, False
    if found.upper[2] not in _TESTS:
        return frame, False
    start, stop = found.upper_offset + _TOKEN.start, found.upper_offset + _TOKEN.stop
    return frame[:start] + bytes(stop - start) + frame[stop:], True
