"""What has happened, for the API's list of events and for those who watch it live.

Every handover is an event, and few are ever looked at: they are kept as they came, and made into what the API shows
when somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from mip6core.events import BindingEvent, CorrespondentEvent
from mip6core.rate_limit import TokenBucket
from rest.service import EventView
from ryu_apps.of_compat import eventlet

CAPACITY: Final = 10_000  # events that are remembered
MAX_WATCHERS: Final = 32
REJECTION_RATE: Final = 10.0  # a second that are remembered: strangers must not push out what mobile nodes did
REJECTION_BURST: Final = 100.0
MAX_WAITING: Final = CAPACITY  # events that a watcher may be behind
SILENCE: Final = 15.0  # seconds until a watcher without news gets a sign of life


class Watch:
    """The events for one watcher. Ends for one that is too slow; None is a sign of life."""

    def __init__(self, watchers: set[Watch]) -> None:
        self.queue = eventlet.Queue()
        self._watchers = watchers
        watchers.add(self)

    def tell(self, event: EventView) -> None:
        """Have the watcher get an event, or let it go if it has too many waiting."""
        if self.queue.qsize() < MAX_WAITING:
            self.queue.put_nowait(event)
        else:
            self.close()

    def close(self) -> None:
        """Nobody watches any more."""
        self._watchers.discard(self)

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> EventView | None:
        if self not in self._watchers and self.queue.empty():
            raise StopIteration
        try:
            event: EventView = self.queue.get(timeout=SILENCE)
        except eventlet.queue.Empty:
            return None
        return event


class EventLog:
    """The last events by number. Numbers go on over a restart, since they begin with the time."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        """`wall_clock` gives seconds since 1970."""
        self._clock = wall_clock
        self._next = int(wall_clock() * 1000)
        self._events: deque[_Record] = deque(maxlen=CAPACITY)
        self._watchers: set[Watch] = set()
        self._rejections = TokenBucket(REJECTION_RATE, REJECTION_BURST, wall_clock())
        self.rejections_left_out = 0
        self.watchers_refused = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[EventView]:
        """A snapshot, oldest first."""
        return map(_view, list(self._events))

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def add(self, event: BindingEvent | CorrespondentEvent | EventView) -> None:
        """Number and remember an event, and tell those who watch; one who is too far behind is let go."""
        if event.kind == "rejected" and not self._rejections.take(self._clock()):
            self.rejections_left_out += 1
            return
        record = (self._next, self._clock(), event)
        self._next += 1
        self._events.append(record)
        if self._watchers:
            view = _view(record)
            for watch in list(self._watchers):
                watch.tell(view)

    def watch(self, after: int | None) -> Watch | None:
        """What happens from now on, with what has happened behind event `after` first. None: too many watch."""
        if len(self._watchers) >= MAX_WATCHERS:
            self.watchers_refused += 1
            return None
        watch = Watch(self._watchers)
        if after is not None:
            for record in self._events:
                if record[0] > after:
                    watch.queue.put_nowait(_view(record))
        return watch

    def knows_all_behind(self, number: int) -> bool:
        """Whether nothing behind an event has been forgotten."""
        return number >= (self._events[0][0] if self._events else self._next) - 1


_Record = tuple[int, float, BindingEvent | CorrespondentEvent | EventView]  # number, seconds since 1970


def _view(record: _Record) -> EventView:
    number, time, event = record
    if isinstance(event, EventView):
        return replace(event, id=number, time=time)
    return EventView(
        event.kind,
        event.link,
        event.home_address,
        event.care_of_address,
        event.correspondent if isinstance(event, CorrespondentEvent) else None,
        status=event.status,
        id=number,
        time=time,
    )
