"""A log that strangers cannot fill.

Many lines are about what somebody else has sent: registrations, refusals, connections, and bugs that he has found. Each
place in the program that logs may do so BURST times at once and RATE times a second; what was left out is counted in
the next line of that place. Only what an operator asks for to debug is not limited.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mip6core.rate_limit import TokenBucket

RATE: Final = 10.0  # lines a second
BURST: Final = 1000.0


@dataclass(slots=True)
class _Place:
    bucket: TokenBucket
    left_out: int = 0


class LogLimit(logging.Filter):
    """For a handler. Bounded by the number of places in the program."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it may get a count of those that were not."""
        if record.levelno < logging.INFO:
            return True
        now = self._clock()
        key = (record.pathname, record.lineno)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(TokenBucket(RATE, BURST, now))
        if not place.bucket.take(now):
            place.left_out += 1
            return False
        if place.left_out:
            record.msg = f"{record.msg} left_out={place.left_out}"
            place.left_out = 0
        return True
