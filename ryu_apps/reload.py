"""The configuration file read again while everything runs (SIGHUP, `systemctl reload`, POST /v1/config:reload).

What differs and can be changed warm is applied; nothing else is touched: no flow, no binding. What needs a restart
stays as it is and is told. A file that is not good changes nothing at all.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    from ryu_apps.certificates import Certificates
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
        self,
        app: HomeAgentApp,
        path: str,
        service_manager: ServiceManager,
        set_access: Callable[[Rest], None],
        certificates: Sequence[Certificates],
    ) -> None:
        """`path` is of the file that the application runs with. `set_access` has other REST tokens count."""
        self._app = app
        self._path = path
        self._service_manager = service_manager
        self._set_access = set_access
        self._certificates = certificates
        self._one_at_a_time = hub.Semaphore(1)
        self.file_hash = _hash(path)  # of the file that was last applied, or found to need a restart
        self.results: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self.last = ""  # the last result; "" before the first reload

    def reload(self) -> dict[str, Any]:
        """What has been applied and what has not, ready for JSON. ConfigError: the file is not good."""
        with self._one_at_a_time:
            self._service_manager.reloading()
            status = "the configuration was not read again: a bug, see the log"
            try:
                answer = self._reload()
                status = f"configuration read again: {answer['result']}"
                return answer
            except ConfigError as error:
                self._count(REJECTED)
                LOG.error("configuration not reloaded, the running one stays: %s", error)
                status = f"the configuration file is not good: {error}"
                raise
            finally:
                self._service_manager.ready(status)

    def reload_for_signal(self) -> None:
        """The same for somebody who gets no answer but the log."""
        try:
            self.reload()
        except ConfigError:
            return  # it has been logged
        except Exception:
            self._app.statistics["internal_errors"] += 1
            LOG.exception("configuration not reloaded")

    def _reload(self) -> dict[str, Any]:
        # Elsewhere, since thousands of mobile nodes take their time to read, and signalling must not wait.
        plan: Plan = eventlet.tpool.execute(make_plan, self._path, self._app.config)
        fresh = [(certificates, found) for certificates in self._certificates if (found := certificates.look())]
        for certificates, found in fresh:
            certificates.use(found)
            LOG.info("certificates read again section=%s", certificates.section)
        if plan.changes:
            Relink(self._app, plan.wanted).apply()
            self._set_access(plan.wanted.rest)
        answer = {**plan.answer, "certificates": [certificates.section for certificates, _ in fresh]}
        if fresh and answer["result"] in (UNCHANGED, NEEDS_RESTART):
            answer["result"] = APPLIED if answer["result"] == UNCHANGED else PARTLY_APPLIED
        self.file_hash = answer["hash"]
        self._count(answer["result"])
        for what, changes in (("applied", plan.changes), ("needs a restart", plan.waiting)):
            for change in changes:
                LOG.info("configuration change %s: %s %s", what, change.path, change.kind)
        LOG.info("configuration reloaded result=%s hash=%s", answer["result"], answer["hash"])
        return answer

    def _count(self, result: str) -> None:
        self.last = result
        self.results[result] += 1


@dataclass(frozen=True)
class Plan:
    """What a file makes of the running configuration."""

    wanted: Config  # with what can be applied warm
    changes: list[Change]  # from the running one to that
    waiting: list[Change]  # from that to the file
    answer: dict[str, Any]  # the same, ready for JSON


def make_plan(path: str, running: Config) -> Plan:
    """Read a file, and see what of it can be applied. ConfigError: nothing can, since it is not good."""
    file_hash = _hash(path)
    found = load(path)
    wanted = warm_part(running, found)
    try:
        checks.check_links(wanted.home_links, wanted.correspondent_links)
        checks.check_mobile_nodes(wanted.security.mobile_nodes, wanted.access, wanted.home_links)
    except ConfigError as error:
        raise ConfigError(error.path, f"{error.expected}; as it is before a restart, which the rest needs") from None
    changes, waiting = difference(running, wanted), difference(wanted, found)
    shown = effective(wanted)
    answer = {
        "result": _result(changes, waiting),
        "applied": for_people(changes, effective(running), shown),
        "needs_restart": for_people(waiting, shown, effective(found)),
        "hash": file_hash,
    }
    return Plan(wanted, changes, waiting, answer)


def warm_part(running: Config, found: Config) -> Config:
    """What `running` becomes if only what is possible warm of `found` is applied.

    A link of which anything needs a restart stays as it is altogether, and so does the section `rest`: who may do what
    belongs to where it is served.
    """
    cold = {(change.section, change.entry) for change in difference(running, found) if not change.warm}
    return replace(
        running,
        rest=running.rest if ("rest", None) in cold else found.rest,
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
