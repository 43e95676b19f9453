"""Green threads whose death is noticed: logged, counted and shown by the health check."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ryu_apps.of_compat import hub

LOG = logging.getLogger(__name__)


class Loops:
    """Starts green threads. One that raises is remembered by name."""

    def __init__(self) -> None:
        self.died: dict[str, str] = {}  # name of the thread: what it died of

    def spawn(self, name: str, function: Callable[..., object], *args: Any) -> None:
        hub.spawn(self._run, name, function, *args)

    def _run(self, name: str, function: Callable[..., object], *args: Any) -> None:
        try:
            function(*args)
        except Exception as error:
            self.died[name] = f"{type(error).__name__}: {error}"
            LOG.exception("thread died name=%s", name)
