"""Timers: one heap for everything that has a deadline.

Moving a deadline later, which every refresh of a binding does, costs nothing: the heap keeps the earlier
record and puts the item back when that record comes up. A change costs O(log n) at most, and the heap never
holds more than a small multiple of the items that wait.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import Final

NONE: Final = 0  # is no record's number
_COMPACT_FROM: Final = 64  # below this many records a heap is not worth rebuilding


class Timed:
    """Base of what can wait in a TimerQueue."""

    __slots__ = ("due", "record", "record_due")

    def __init__(self) -> None:
        self.due: float | None = None  # monotonic seconds; None: not waiting
        self.record = NONE  # the number of the one record in the heap that counts for this item
        self.record_due = 0.0  # when that record comes up


_Record = tuple[float, int, Timed]  # when it comes up, its number


class TimerQueue:
    """Items in the order of their deadlines."""

    __slots__ = ("_heap", "_order", "_waiting", "comes_up")

    def __init__(self) -> None:
        self._heap: list[_Record] = []
        self.comes_up = inf  # when the first record does: before that nothing is due
        self._order = count(1)  # breaks ties, so that two items are never compared
        self._waiting = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._waiting

    def schedule(self, item: Timed, due: float) -> None:
        """Let `item` come up at `due`; a deadline it already has is replaced."""
        if item.due is None:
            self._waiting += 1
        item.due = due
        if item.record == NONE or due < item.record_due:
            self._push(item, due)

    def cancel(self, item: Timed) -> None:
        """Take the item's deadline away. Harmless if it has none."""
        if item.due is not None:
            item.due = None
            self._waiting -= 1
            if len(self._heap) > _COMPACT_FROM + 2 * self._waiting:
                self._compact()

    def next(self) -> float | None:
        """When to call `pop_due`: at the earliest deadline, or before it, where that was moved. None: nothing waits."""
        return self.comes_up if self._waiting else None

    def pop_due(self, now: float) -> Timed | None:
        """Take out the item with the earliest deadline if that is not after `now`."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, record, item = heap[0]
            if item.record == record and item.due is not None and item.due > due:
                heapq.heapreplace(heap, self._record(item, item.due))
                continue
            heapq.heappop(heap)
            if item.record == record:
                item.record = NONE
                if item.due is not None:
                    item.due = None
                    self._waiting -= 1
                    self._look()
                    return item
        self._look()
        return None

    def _push(self, item: Timed, due: float) -> None:
        heapq.heappush(self._heap, self._record(item, due))
        if due < self.comes_up:
            self.comes_up = due
        if len(self._heap) > _COMPACT_FROM + 2 * self._waiting:
            self._compact()

    def _look(self) -> None:
        self.comes_up = self._heap[0][0] if self._heap else inf

    def _record(self, item: Timed, due: float) -> _Record:
        """A new record, which counts for `item` from now on."""
        item.record, item.record_due = next(self._order), due
        return due, item.record, item

    def _compact(self) -> None:
        """Leave out the records of items that were cancelled or brought forward."""
        live = []
        for record in self._heap:
            item = record[2]
            if item.record == record[1]:
                if item.due is None:
                    item.record = NONE
                else:
                    live.append(record)
        heapq.heapify(live)
        self._heap = live
        self._look()
