"""Fixtures of the mobile node's tests."""

from __future__ import annotations

import pytest

from tests.demo.bench import Bench
from tests.demo.correspondent import Correspondent, World


@pytest.fixture
def bench() -> Bench:
    """A mobile node that has seen nothing yet."""
    return Bench()


@pytest.fixture
def correspondent() -> Correspondent:
    """A correspondent node by the RFC."""
    return Correspondent()


@pytest.fixture
def world(correspondent: Correspondent) -> World:
    """A mobile node that is to optimise its route to that."""
    return World.of(correspondent)
