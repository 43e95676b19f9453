"""The token buckets against error storms (RFC 6275 section 9.3.3, RFC 4443 section 2.4 (f))."""

from __future__ import annotations

from mip6core.rate_limit import RateLimiter, SourceLimiter, TokenBucket


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0, now=100.0)
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(100.0 + step / 4) for step in range(1, 9)] == [False, True] * 4
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_adds_nothing() -> None:
    bucket = TokenBucket(rate=1.0, burst=1.0, now=100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.0)


def test_a_noisy_peer_does_not_silence_another() -> None:
    limiter = RateLimiter(rate=100.0, burst=100.0, peer_rate=1.0, peer_burst=2.0, max_peers=10)
    assert [limiter.allow(b"a", 0.0) for _ in range(1000)].count(True) == 2
    assert limiter.allow(b"b", 0.0)


def test_peers_together_are_held_by_the_common_rate() -> None:
    limiter = RateLimiter(rate=1.0, burst=20.0, peer_rate=1.0, peer_burst=1.0, max_peers=10)
    assert [limiter.allow(bytes([n]), 0.0) for n in range(200)].count(True) == 20


def test_the_table_of_peers_is_bounded_and_forgets_the_longest_silent() -> None:
    limiter = RateLimiter(rate=1e6, burst=1e6, peer_rate=0.001, peer_burst=1.0, max_peers=3)
    for peer in (b"a", b"b", b"c", b"a", b"d"):  # b goes
        limiter.allow(peer, 0.0)
    assert len(limiter) == 3
    assert not limiter.allow(b"a", 0.0)
    assert limiter.allow(b"b", 0.0)


def test_each_source_has_so_many_a_second() -> None:
    limiter = SourceLimiter(limit=3, max_sources=10)
    assert [limiter.allow(b"a", 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert limiter.allow(b"b", 0.5)
    assert not limiter.allow(b"a", 0.999)
    assert [limiter.allow(b"a", 1.0) for _ in range(5)] == [True] * 3 + [False] * 2


def test_sources_are_forgotten_each_second_and_bounded() -> None:
    limiter = SourceLimiter(limit=1, max_sources=10)
    assert all(limiter.allow(number.to_bytes(16, "big"), 0.0) for number in range(1000))
    assert len(limiter) == 10
    assert not limiter.allow(bytes(16), 0.0)
    assert limiter.allow(bytes(16), 1.0)
    assert len(limiter) == 1
