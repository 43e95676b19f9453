"""The timer queue: order, bounds, and a comparison with a plain list."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mip6core.timers import Timed, TimerQueue


def due(queue: TimerQueue, now: float) -> list[Timed]:
    found = []
    while (item := queue.pop_due(now)) is not None:
        found.append(item)
    return found


def test_items_come_up_in_the_order_of_their_deadlines() -> None:
    queue = TimerQueue()
    late, early, middle = Timed(), Timed(), Timed()
    for item, at in ((late, 30.0), (early, 10.0), (middle, 20.0)):
        queue.schedule(item, at)
    assert queue.next() == 10.0
    assert due(queue, 9.9) == []
    assert due(queue, 20.0) == [early, middle]
    assert queue.next() == 30.0 and len(queue) == 1


def test_a_deadline_can_be_moved_both_ways_and_taken_away() -> None:
    queue = TimerQueue()
    one, other = Timed(), Timed()
    queue.schedule(one, 10.0)
    queue.schedule(other, 15.0)
    queue.schedule(one, 20.0)
    assert queue.next() == 10.0 and due(queue, 10.0) == []  # in vain, and once
    assert queue.next() == 15.0
    queue.schedule(one, 12.0)
    assert queue.next() == 12.0
    queue.cancel(one)
    queue.cancel(one)
    assert due(queue, 12.0) == []
    assert queue.next() == 15.0 and len(queue) == 1
    queue.schedule(one, 12.0)
    assert due(queue, 100.0) == [one, other]
    assert queue.next() is None and queue.comes_up == math.inf


def test_moving_deadlines_around_does_not_grow_the_heap() -> None:
    queue = TimerQueue()
    items = [Timed() for _ in range(100)]
    for turn in range(1000):
        for index, item in enumerate(items):
            queue.schedule(item, 1e6 - turn * 100 + index)
            if turn % 3 == 0:
                queue.cancel(item)
    assert len(queue._heap) <= 64 + 2 * 100 + 1


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("sct"), st.integers(0, 20)), max_size=60))
def test_it_behaves_like_a_list_of_deadlines(steps: list[tuple[int, str, int]]) -> None:
    queue = TimerQueue()
    items = [Timed() for _ in range(6)]
    model: dict[Timed, float] = {}
    for index, what, time in steps:
        if what == "s":
            queue.schedule(items[index], float(time))
            model[items[index]] = float(time)
        elif what == "c":
            queue.cancel(items[index])
            model.pop(items[index], None)
        else:
            found = due(queue, float(time))
            assert {item: model[item] for item in found} == {i: at for i, at in model.items() if at <= time}
            assert [model[item] for item in found] == sorted(model[item] for item in found)
            for item in found:
                del model[item]
        assert len(queue) == len(model)
        assert (queue.next() is None) == (not model)
        assert not model or queue.next() <= min(model.values())
    # Who comes whenever `next` says so meets every item at its very deadline.
    while (now := queue.next()) is not None:
        for item in due(queue, now):
            assert model.pop(item) == now
    assert not model
