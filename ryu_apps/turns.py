"""Turns of REST requests at the event loop: what all of them do between two rounds of it is about a millisecond's work.

Signalling waits for a round of the event loop at most, and in each round everybody who can run does. So were every
request to let others run after its millisecond, a Binding Update would still wait for as many of them as there are
clients. Here requests that have more to do queue up instead, and one of them goes on in each round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from ryu_apps.of_compat import eventlet

SLICE: Final = 0.001  # seconds of work in one round
PIECE: Final = 1000  # entries of a cache: less than half a slice where little is done with each


T = TypeVar("T")


class Turns:
    """Of everybody who calls `cooperate`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._waiting: deque[Any] = deque()  # green threads, in the order in which they came
        self._ends = 0.0  # when this round's work is done

    def cooperate(self) -> None:
        """Go on at once if this round has time for it, else when it is one's turn."""
        if self._clock() < self._ends:
            return
        self._waiting.append(eventlet.getcurrent())
        if len(self._waiting) == 1:
            self._call_next()
        eventlet.hubs.get_hub().switch()
        self._ends = self._clock() + SLICE

    def _call_next(self) -> None:
        eventlet.hubs.get_hub().schedule_call_global(0, self._next)  # in the next round

    def _next(self) -> None:
        first = self._waiting.popleft()
        if self._waiting:
            self._call_next()
        first.switch()


def in_pieces(entries: Iterable[T], cooperate: Callable[[], None]) -> Iterator[list[T]]:
    """A snapshot of a cache, which may change meanwhile, with chances for others to run."""
    left = iter(list(entries))
    while some := list(islice(left, PIECE)):
        yield some
        cooperate()
