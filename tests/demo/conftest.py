"""Fixtures of the mobile node's tests."""

from __future__ import annotations

import pytest

from tests.demo.bench import Bench


@pytest.fixture
def bench() -> Bench:
    """A mobile node that has seen nothing yet."""
    return Bench()
