"""How long the fuzzer runs."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, help="let the fuzzer run so long, with a seed of its own each time")
