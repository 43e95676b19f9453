"""The event log and those who watch it."""

from __future__ import annotations

import pytest

from rest.service import EventView
from ryu_apps import event_log
from ryu_apps.event_log import CAPACITY, MAX_TOGETHER, EventLog, Watch
from ryu_apps.of_compat import hub


@pytest.fixture
def log() -> EventLog:
    return EventLog(lambda: 1e9)


def add(log: EventLog, count: int = 1) -> None:
    for _ in range(count):
        log.add(EventView("moved", "homenet"))


def watching(log: EventLog, after: int | None = None) -> Watch:
    watch = log.watch(after)
    assert watch is not None
    return watch


def numbers(log: EventLog) -> list[int]:
    return [event.id for event in log]


def test_a_watcher_gets_what_happens_from_now_on(log: EventLog) -> None:
    add(log)
    watch = watching(log)
    add(log, 3)
    assert [event.id for event in next(watch)] == numbers(log)[1:]


def test_a_watcher_that_waits_is_told_at_once_of_all_that_happens_together(log: EventLog) -> None:
    watch = watching(log)
    told = hub.spawn(next, watch)
    hub.sleep(0)
    add(log, 3)
    assert [event.id for event in told.wait()] == numbers(log)


def test_without_news_there_are_signs_of_life(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SILENCE", 0.01)
    watch = watching(log)
    assert list(next(watch)) == list(next(watch)) == []
    add(log)
    assert len(next(watch)) == 1


def test_a_watcher_that_comes_back_gets_what_it_has_missed(log: EventLog) -> None:
    add(log, 5)
    before = numbers(log)
    watch = watching(log, before[2])
    assert [event.id for event in next(watch)] == before[3:]


@pytest.mark.parametrize("after", [0, 2**62])
def test_from_an_event_that_is_not_known_all_that_is_follows(log: EventLog, after: int) -> None:
    add(log, 2)
    watch = watching(log, after)
    add(log)
    assert [event.id for event in next(watch)] == numbers(log)[0 if after == 0 else 2 :]


def test_much_is_told_in_pieces(log: EventLog) -> None:
    watch = watching(log)
    add(log, 2 * MAX_TOGETHER + 1)
    pieces = [next(watch) for _ in range(3)]
    assert [len(piece) for piece in pieces] == [MAX_TOGETHER, MAX_TOGETHER, 1]
    assert [event.id for piece in pieces for event in piece] == numbers(log)


def test_one_that_is_too_slow_is_let_go(log: EventLog) -> None:
    slow, other = watching(log), watching(log)
    add(log, CAPACITY)
    assert len(next(other)) == MAX_TOGETHER
    add(log)
    assert log.watchers == 2
    with pytest.raises(StopIteration):
        next(slow)
    assert log.watchers == 1
    assert len(next(other)) == MAX_TOGETHER


def test_watchers_share_what_they_are_told(log: EventLog) -> None:
    """What is encoded for one is not encoded again for the others."""
    one, other = watching(log), watching(log)
    add(log, 2)
    assert all(first is second for first, second in zip(next(one), next(other), strict=True))
