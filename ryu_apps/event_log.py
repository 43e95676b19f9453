"""What has happened, for the API's list of events and for those who watch it live.

Every handover is an event, and few are ever looked at: they are kept as they came, and made into what the API shows
when somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from mip6core.events import BindingEvent, CorrespondentEvent
from mip6core.rate_limit import TokenBucket
from rest.service import EventView
from ryu_apps.of_compat import eventlet, hub

CAPACITY: Final = 10_000  # events that are remembered
MAX_WATCHERS: Final = 32
REJECTION_RATE: Final = 10.0  # a second that are remembered: strangers must not push out what mobile nodes did
REJECTION_BURST: Final = 100.0
TOGETHER: Final = 0.05  # seconds: what happens in so much time watchers are told together
MAX_TOGETHER: Final = 1000
SILENCE: Final = 15.0  # seconds until a watcher without news gets a sign of life


class Watch:
    """The events for one watcher, in pieces; one that is empty is a sign of life. Ends when some are forgotten."""

    def __init__(self, log: EventLog, next_number: int) -> None:
        self._log = log
        self._next = next_number
        self._news = eventlet.Semaphore(0)

    def wake(self) -> None:
        """There is something new."""
        if self._news.counter == 0:
            self._news.release()

    def close(self) -> None:
        """Nobody watches any more."""
        self._log.forget(self)

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Sequence[EventView]:
        views = self._log.views(self._next)
        if views == [] and self._news.acquire(timeout=SILENCE):
            views = self._log.views(self._next)
        if views is None:
            self.close()
            raise StopIteration
        self._next += len(views)
        return views


class EventLog:
    """The last events by number. Numbers go on over a restart, since they begin with the time."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        """`wall_clock` gives seconds since 1970."""
        self._clock = wall_clock
        self._next = int(wall_clock() * 1000)
        self._events: deque[_Record] = deque(maxlen=CAPACITY)
        self._watchers: set[Watch] = set()
        self._views: dict[int, EventView] = {}  # of the last ones that watchers were told, by number
        self._telling = False  # the watchers will be woken
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
        """Number and remember an event, and have those who watch told."""
        if event.kind == "rejected" and not self._rejections.take(self._clock()):
            self.rejections_left_out += 1
            return
        self._events.append((self._next, self._clock(), event))
        self._next += 1
        if self._watchers and not self._telling:
            self._telling = True
            hub.spawn_after(TOGETHER, self._tell)

    def _tell(self) -> None:
        self._telling = False
        for watch in self._watchers:
            watch.wake()

    def watch(self, after: int | None) -> Watch | None:
        """What happens from now on, with what has happened behind event `after` first. None: too many watch."""
        if len(self._watchers) >= MAX_WATCHERS:
            self.watchers_refused += 1
            return None
        first = self._events[0][0] if self._events else self._next
        watch = Watch(self, self._next if after is None else min(max(first, after + 1), self._next))
        self._watchers.add(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """It watches no more."""
        self._watchers.discard(watch)

    def views(self, number: int) -> list[EventView] | None:
        """Events from `number` on, as many as watchers are told at once. None: that one is forgotten."""
        behind = self._next - number
        if behind > len(self._events):
            return None
        end = len(self._events) - max(0, behind - MAX_TOGETHER)
        return [self._shared(self._events[place]) for place in range(len(self._events) - behind, end)]

    def _shared(self, record: _Record) -> EventView:
        """The same for all watchers: what is made of it for one is there for the next."""
        view = self._views.get(record[0])
        if view is None:
            if len(self._views) >= MAX_TOGETHER:
                self._views.clear()
            view = self._views[record[0]] = _view(record)
        return view

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
