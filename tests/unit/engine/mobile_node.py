"""A mobile node as RFC 6275 sections 11.5.5, 11.7.1, 11.7.3 and 11.8 describe it, for tests of the home agent.

It shares no code with the home agent: packets come from wire.py. Time is an argument, chance is given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.unit.engine import wire
from tests.unit.engine.wire import A, H, L, Packet

# Sections 12 and 13
INITIAL_BINDACK_TIMEOUT = 1.0
INITIAL_BINDACK_TIMEOUT_FIRST_REG = 1.5
MAX_BINDACK_TIMEOUT = 32.0
MAX_UPDATE_RATE = 3  # a second


@dataclass
class Outstanding:
    """A Binding Update that waits for its acknowledgement."""

    sequence: int
    lifetime: int  # units of 4 seconds
    sent_at: float
    timeout: float  # seconds


class MobileNode:
    """One home address. Where it is, is told by `attach`; packets to send are collected in `output`."""

    def __init__(self, home_address: bytes, home_agent: bytes, mac: bytes, chance: random.Random) -> None:
        self.home_address = home_address
        self.home_agent = home_agent
        self.mac = mac
        self.chance = chance
        self.care_of_address: bytes | None = None  # None: at home
        self.sequence = chance.randrange(65536)  # 11.7.1: any value to begin with
        self.link_local = False  # the L bit
        self.bound_until = 0.0  # as far as the mobile node knows; 0: no binding
        self.outstanding: Outstanding | None = None
        self.next_at: float | None = None  # when something is to be sent: first, again, or to refresh
        self.last_sent = float("-inf")
        self.statuses: list[int] = []
        self.output: list[bytes] = []

    @property
    def settled(self) -> bool:
        """Whether the home agent has acknowledged where it is."""
        return self.outstanding is None and (self.care_of_address is None) == (self.bound_until == 0.0)

    def attach(self, care_of_address: bytes | None, now: float) -> None:
        """Move: a new registration, or at home a de-registration (11.5.5)."""
        self.care_of_address = care_of_address
        self.outstanding = None
        if care_of_address is not None or self.bound_until:
            self._begin(now)
        else:
            self.next_at = None

    def tick(self, now: float) -> None:
        """Send what is due."""
        if self.next_at is None or now < self.next_at:
            return
        earliest = self.last_sent + 1.0 / MAX_UPDATE_RATE
        if now < earliest:
            self.next_at = earliest
            return
        if self.outstanding is None:
            first = self.bound_until <= now
            timeout = INITIAL_BINDACK_TIMEOUT_FIRST_REG if first else INITIAL_BINDACK_TIMEOUT
        else:  # 11.8: exponential back-off
            timeout = min(self.outstanding.timeout * 2, MAX_BINDACK_TIMEOUT)
        self._send(now, timeout)

    def receive(self, ba: Packet, now: float) -> None:
        """A Binding Acknowledgement (11.7.3)."""
        outstanding = self.outstanding
        if outstanding is None:
            return
        if ba.status == 135:
            # 11.7.3 says "appropriately": a late 135 must not take the counter back behind what was used since.
            if (ba.sequence - self.sequence) % 65536 < 32768:
                self.sequence = ba.sequence
                self._begin(now)
            return
        if ba.sequence != outstanding.sequence:
            return
        self.statuses.append(ba.status)
        self.outstanding = None
        if self.care_of_address is None:
            if ba.status in (0, 133):
                self.bound_until = 0.0
                self.next_at = None
            else:
                self.next_at = now + 5.0
        elif ba.status < 128:
            assert 0 < ba.lifetime <= outstanding.lifetime
            self.bound_until = outstanding.sent_at + ba.lifetime * 4
            self.next_at = outstanding.sent_at + ba.lifetime * 4 * 0.6
        else:
            self.bound_until = 0.0
            self.next_at = now + 5.0

    def _begin(self, now: float) -> None:
        """A new Binding Update rather than a retransmission."""
        self.outstanding = None
        self.next_at = now

    def _send(self, now: float, timeout: float) -> None:
        self.sequence = (self.sequence + 1) % 65536
        flags = A | H | (L if self.link_local else 0)
        care_of = self.care_of_address
        lifetime = 0 if care_of is None else self.chance.randrange(3, 12)
        self.outstanding = Outstanding(self.sequence, lifetime, now, timeout)
        self.last_sent = now
        self.next_at = now + timeout
        self.output.append(
            wire.binding_update(
                self.home_agent,
                self.home_address,
                self.home_address if care_of is None else care_of,
                self.sequence,
                flags=flags,
                lifetime=lifetime,
                home_address_option=care_of is not None,
            )
        )
