"""The campus of the flow tests, with what its modules ask for."""

from __future__ import annotations

from tests.flows.conftest import campus

__all__ = ["campus"]
