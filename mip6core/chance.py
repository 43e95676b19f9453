"""Random numbers from the octets that the owner of an engine gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

RandomOctets: TypeAlias = Callable[[int], bytes]  # rng(n): n random octets


def integer(rng: RandomOctets) -> int:
    """A random number of 32 bits."""
    return int.from_bytes(rng(4), "big")


def uniform(rng: RandomOctets, low: float, high: float) -> float:
    """A random number from `low` to below `high`."""
    return low + (high - low) * integer(rng) / 0x1_0000_0000
