"""Strangers cannot fill the log."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from ryu_apps.log_limit import BURST, RATE, LogLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO, Clock]]:
    clock, stream = Clock(), io.StringIO()
    logger = logging.Logger("test", logging.DEBUG)
    handler = logging.StreamHandler(stream)
    handler.addFilter(LogLimit(clock))
    logger.addHandler(handler)
    yield logger, stream, clock


def test_a_place_is_limited_and_says_what_it_left_out(log: tuple[logging.Logger, io.StringIO, Clock]) -> None:
    logger, stream, clock = log

    def refused(number: int) -> None:
        logger.info("refused peer=%d", number)

    for number in range(int(BURST) + 500):
        refused(number)
    assert stream.getvalue().count("refused") == BURST
    clock.now += 1
    for number in range(100):
        refused(number)
    lines = stream.getvalue().splitlines()[int(BURST) :]
    assert len(lines) == RATE
    assert lines[0] == "refused peer=0 left_out=500"
    assert lines[1] == "refused peer=1"


def test_other_places_and_what_is_asked_for_are_not(log: tuple[logging.Logger, io.StringIO, Clock]) -> None:
    logger, stream, _ = log
    for _ in range(int(BURST) + 500):
        logger.error("bug")
        logger.debug("detail")
    logger.info("switch connected")
    assert stream.getvalue().count("detail") == BURST + 500
    assert stream.getvalue().endswith("switch connected\n")
