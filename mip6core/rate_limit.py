"""Limits on what a stranger can make us do, errors first (RFC 6275 section 9.3.3, RFC 4443 section 2.4 (f))."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mip6core.addresses import Address


@dataclass(frozen=True, slots=True)
class ErrorLimits:
    """How many errors of one kind may be sent: Binding Errors, ICMPv6 errors, whatever strangers can ask for."""

    error_rate: float = 1000.0  # a second
    error_burst: float = 1000.0
    error_rate_per_peer: float = 10.0
    error_burst_per_peer: float = 10.0
    max_error_peers: int = 4096  # peers whose error rate is remembered


class TokenBucket:
    """Lets `burst` events through at once and `rate` a second from then on."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, now: float) -> bool:
        """Use one token; False if there is none. A clock that steps back adds nothing."""
        if now > self._updated:
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
            self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RateLimiter:
    """A bucket for all peers together, and one for each peer so that a noisy one does not silence the others.

    The table of peers is bounded: the peer heard from longest ago is forgotten, and starts with a full bucket
    if it comes back. The common bucket holds whatever the sources pretend to be.
    """

    __slots__ = ("_common", "_peer_burst", "_peer_rate", "_peers", "forgotten", "max_peers")

    def __init__(self, rate: float, burst: float, peer_rate: float, peer_burst: float, max_peers: int) -> None:
        self._common = TokenBucket(rate, burst, float("-inf"))
        self._peer_rate = peer_rate
        self._peer_burst = peer_burst
        self.max_peers = max_peers
        self.forgotten = 0  # peers whose place another one has taken
        self._peers: OrderedDict[Address, TokenBucket] = OrderedDict()

    @classmethod
    def of(cls, limits: ErrorLimits) -> RateLimiter:
        """A limiter of its own with these limits."""
        return cls(
            limits.error_rate,
            limits.error_burst,
            limits.error_rate_per_peer,
            limits.error_burst_per_peer,
            limits.max_error_peers,
        )

    def __len__(self) -> int:
        """How many peers are remembered."""
        return len(self._peers)

    def allow(self, peer: Address, now: float) -> bool:
        """Whether a message may be sent to `peer` now."""
        peers = self._peers
        bucket = peers.get(peer)
        if bucket is None:
            if len(peers) >= self.max_peers:
                peers.popitem(last=False)
                self.forgotten += 1
            bucket = peers[peer] = TokenBucket(self._peer_rate, self._peer_burst, now)
        else:
            peers.move_to_end(peer)
        return bucket.take(now) and self._common.take(now)


class SourceLimiter:
    """Lets so many packets a second through from each source: the cheapest of all tests, before any other.

    What is counted is forgotten each second, and bounded: sources beyond `max_sources` in a second pass uncounted.
    """

    __slots__ = ("_counts", "_ends", "_limit", "_max_sources")

    def __init__(self, limit: int, max_sources: int) -> None:
        self._limit = limit
        self._max_sources = max_sources
        self._counts: dict[Address, int] = {}
        self._ends = float("-inf")  # when this second is over

    def __len__(self) -> int:
        """How many sources this second has seen."""
        return len(self._counts)

    def allow(self, source: Address, now: float) -> bool:
        """Whether one more packet of `source` may pass."""
        counts = self._counts
        if now >= self._ends:
            counts.clear()
            self._ends = now + 1.0
        count = counts.get(source, 0)
        if count >= self._limit:
            return False
        if count or len(counts) < self._max_sources:
            counts[source] = count + 1
        return True
