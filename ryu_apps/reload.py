"""The configuration file read again while everything runs (SIGHUP, `systemctl reload`, POST /v1/config:reload).

What differs and can be changed warm is applied; nothing else is touched: no flow, no binding. What needs a restart
stays as it is and is told. A file that is not good changes nothing at all.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from deploy.config import BridgeLinkConfig, Config, Rest, checks, load
from deploy.config.difference import Change, difference, for_people
from deploy.config.effective import effective
from mip6core.errors import ConfigError
from ryu_apps.of_compat import eventlet, hub
from ryu_apps.relink import Relink

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp
    from ryu_apps.service_manager import ServiceManager

LOG = logging.getLogger(__name__)

APPLIED: Final = "applied"
PARTLY_APPLIED: Final = "partly_applied"  # the rest needs a restart
NEEDS_RESTART: Final = "needs_restart"  # nothing was applied
UNCHANGED: Final = "unchanged"
REJECTED: Final = "rejected"  # the file is not good
RESULTS: Final = (APPLIED, PARTLY_APPLIED, NEEDS_RESTART, UNCHANGED, REJECTED)

LinkT = TypeVar("LinkT", bound=BridgeLinkConfig)


class Reloader:
    """Applies the configuration file of a running application."""

    def __init__(
        self, app: HomeAgentApp, path: str, service_manager: ServiceManager, set_access: Callable[[Rest], None]
    ) -> None:
        """`path` is of the file that the application runs with. `set_access` has other REST tokens count."""
        self._app = app
        self._path = path
        self._service_manager = service_manager
        self._set_access = set_access
        self._one_at_a_time = hub.Semaphore(1)
        self.file_hash = _hash(path)  # of the file that was last applied, or found to need a restart
        self.results: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self.last = ""  # the last result; "" before the first reload

    def reload(self) -> dict[str, Any]:
        """What has been applied and what has not, ready for JSON. ConfigError: the file is not good."""
        with self._one_at_a_time:
            self._service_manager.reloading()
            try:
                answer = self._reload()
            except ConfigError as error:
                self._count(REJECTED)
                LOG.error("configuration not reloaded, the running one stays: %s", error)
                self._service_manager.ready(f"the configuration file is not good: {error}")
                raise
            self._count(answer["result"])
            self._service_manager.ready(f"configuration read again: {answer['result']}")
            return answer

    def reload_for_signal(self) -> None:
        """The same for somebody who gets no answer but the log."""
        try:
            self.reload()
        except ConfigError:
            return  # it has been logged

    def _reload(self) -> dict[str, Any]:
        app = self._app
        file_hash = _hash(self._path)
        # Elsewhere, since thousands of mobile nodes take their time to read, and signalling must not wait.
        found = eventlet.tpool.execute(load, self._path)
        running = app.config
        wanted = warm_part(running, found)
        checks.check_links(wanted.home_links, wanted.correspondent_links)
        checks.check_mobile_nodes(wanted.security.mobile_nodes, wanted.access, wanted.home_links)
        changes = difference(running, wanted)
        waiting = difference(wanted, found)
        if changes:
            Relink(app, wanted).apply()
            self._set_access(wanted.rest)
        self.file_hash = file_hash
        answer = {
            "result": _result(changes, waiting),
            "applied": for_people(changes, effective(running), effective(wanted)),
            "needs_restart": for_people(waiting, effective(wanted), effective(found)),
            "hash": file_hash,
        }
        for what, some in (("applied", changes), ("needs a restart", waiting)):
            for change in some:
                LOG.info("configuration change %s: %s %s", what, change.path, change.kind)
        LOG.info("configuration reloaded result=%s hash=%s", answer["result"], file_hash)
        return answer

    def _count(self, result: str) -> None:
        self.last = result
        self.results[result] += 1


def warm_part(running: Config, found: Config) -> Config:
    """What `running` becomes if only what is possible warm of `found` is applied.

    A link of which anything needs a restart stays as it is altogether.
    """
    cold = {(change.section, change.entry) for change in difference(running, found) if not change.warm}
    return replace(
        running,
        rest=replace(running.rest, tokens=found.rest.tokens, anonymous=found.rest.anonymous),
        security=found.security,
        limits=found.limits,
        access=found.access,
        home_links=_links(running.home_links, found.home_links, "home_links", cold),
        correspondent_links=_links(running.correspondent_links, found.correspondent_links, "correspondent_links", cold),
    )


def _links(
    running: Sequence[LinkT], found: Sequence[LinkT], section: str, cold: set[tuple[str, str | None]]
) -> tuple[LinkT, ...]:
    known = {link.name: link for link in running}
    return tuple(known[link.name] if (section, link.name) in cold else link for link in found)


def _result(changes: list[Change], waiting: list[Change]) -> str:
    if waiting:
        return PARTLY_APPLIED if changes else NEEDS_RESTART
    return APPLIED if changes else UNCHANGED


def _hash(path: str) -> str:
    """Of the file's octets, 16 hexadecimal digits; empty if it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
