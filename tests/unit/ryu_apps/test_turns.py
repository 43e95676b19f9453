"""Turns of REST requests: between two rounds of the event loop there is one slice of work, however many want one."""

from __future__ import annotations

from collections.abc import Callable

from ryu_apps.of_compat import hub
from ryu_apps.turns import SLICE, Turns

WORKERS, STEPS = 8, 5


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def history(step: float) -> list[str]:
    """What is done by some who work for `step` seconds between two calls, and by one who runs in each round."""
    clock = Clock()
    turns = Turns(clock)
    done: list[str] = []
    working = WORKERS

    def signalling() -> None:
        while working:
            done.append("signalling")
            hub.sleep(0)

    def work(name: str) -> Callable[[], None]:
        def steps() -> None:
            nonlocal working
            for _ in range(STEPS):
                turns.cooperate()
                done.append(name)
                clock.now += step
            working -= 1

        return steps

    threads = [hub.spawn(signalling), *(hub.spawn(work(str(index))) for index in range(WORKERS))]
    for thread in threads:
        thread.wait()
    return done


def in_rounds(done: list[str]) -> list[list[str]]:
    """What was worked in each round."""
    rounds: list[list[str]] = []
    for name in done:
        if name == "signalling":
            rounds.append([])
        else:
            rounds[-1].append(name)
    return rounds


def test_one_works_in_each_round() -> None:
    rounds = in_rounds(history(2 * SLICE))
    assert max(map(len, rounds)) == 1
    assert sum(map(len, rounds)) == WORKERS * STEPS


def test_everybody_gets_a_turn_before_anybody_gets_another() -> None:
    worked = [name for names in in_rounds(history(2 * SLICE)) for name in names]
    for place in range(0, len(worked), WORKERS):
        assert len(set(worked[place : place + WORKERS])) == WORKERS


def test_short_work_is_done_together() -> None:
    """Up to a slice of it, by one or by many."""
    lengths = list(map(len, in_rounds(history(SLICE / 4))))
    assert max(lengths) > 1
    assert max(lengths) <= 5
    assert sum(lengths) == WORKERS * STEPS


def test_somebody_who_dies_does_not_keep_the_others_waiting() -> None:
    clock = Clock()
    turns = Turns(clock)
    done = []

    def work(name: str) -> None:
        turns.cooperate()
        clock.now += 1
        turns.cooperate()
        done.append(name)

    killed, other = hub.spawn(work, "killed"), hub.spawn(work, "other")
    hub.sleep(0)
    hub.kill(killed)
    other.wait()
    assert done == ["other"]
