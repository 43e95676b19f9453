"""Fixtures for all tests, and the guard of the tests that need the private lab."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import hypothesis
import pytest

from topo import lab

# Tests assert behaviour, never time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# WebOb before 2.0 imports the module cgi where there is one (Python before 3.13), and Python warns about that.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import webob  # noqa: F401


@pytest.hookimpl(trylast=True)  # after -m and -k have taken their choice
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked ``lab`` outside a lab is an error and never a silent skip."""
    if not lab.inside_lab() and any(item.get_closest_marker("lab") for item in items):
        raise pytest.UsageError("tests marked 'lab' need the private lab: sudo deploy/test (or -m 'not lab')")


@pytest.fixture
def network() -> Iterator[lab.Network]:
    """An empty network in the lab; what the test makes with it is taken away afterwards."""
    with lab.Network() as network:
        yield network
