"""Runs cases at one site, many at a time: they spend most of their time waiting."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.cases import CASES, Case
from tests.conformance.correspondent_at_home_tester import CorrespondentAtHomeTester
from tests.conformance.correspondent_site import BOTH, EDGE, FULL
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.home_agent_site import REAL, VIRTUAL
from tests.conformance.player import Deviation
from tests.conformance.site import Site
from tests.conformance.tester import Tester
from tests.conformance.wire import Malformed

Steps = Callable[[Any], None]  # with the tester of the family's role
KINDS: Final = {kind.name: kind for kind in (REAL, VIRTUAL, EDGE, FULL, BOTH)}
_TESTERS: Final[dict[str, Any]] = {
    REAL.name: Tester,
    VIRTUAL.name: Tester,
    EDGE.name: CorrespondentTester,
    FULL.name: CorrespondentTester,
    BOTH.name: CorrespondentAtHomeTester,
}

AT_ONCE: Final = 48  # cases; they must not make the machine so busy that answers come late
_MODULES: Final = (
    *("registration", "deregistration", "neighbours", "tunnel", "protected", "discovery", "more"),
    *("update_variants", "link_variants", "tunnel_variants"),
    *("return_routability", "correspondent_updates", "correspondent_lifetime", "route_optimization"),
    *("return_routability_more", "correspondent_updates_more", "correspondent_upkeep"),
    *("correspondent_packets", "correspondent_at_home", "correspondent_variants"),
)
# Those that take longest, the longest first; the first two also need something for themselves.
_FIRST: Final = (
    *("halist-mtu", "halist-expiry"),
    *("clife-cap", "icmp-unreach", "nonce", "cba-a0-nonce"),
)
_FAMILIES: Final[dict[str, Steps]] = {}


@dataclass(frozen=True)
class Outcome:
    """What a case has come to."""

    case: Case
    problems: tuple[str, ...]  # none: passed
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def reason(self) -> str:
        return "; ".join(dict.fromkeys(self.problems))


def family(*names: str) -> Callable[[Steps], Steps]:
    """Says that a function has the steps of these families."""

    def register(steps: Steps) -> Steps:
        for name in names:
            _FAMILIES[name] = steps
        return steps

    return register


def families() -> dict[str, Steps]:
    """The steps of every family."""
    for module in _MODULES:
        importlib.import_module(f"tests.conformance.families.{module}")
    return _FAMILIES


def run_case(site: Site, case: Case) -> Outcome:
    """Play one case; an error of the tester itself is a problem too, and shows where."""
    start = time.monotonic()
    tester = _TESTERS[site.kind.name](site, case)
    try:
        tester.prepare()
        families()[case.family](tester)
    except (Deviation, Malformed) as deviation:
        tester.problems.append(str(deviation))
    except Exception:
        tester.problems.append(f"the tester failed: {traceback.format_exc()}")
    finally:
        tester.close()
    return Outcome(case, tuple(tester.problems), time.monotonic() - start)


class Campaign:
    """Cases under way at one site."""

    def __init__(self, site: Site, names: Iterable[str]) -> None:
        families()
        cases = [CASES[name] for name in names]
        cases.sort(key=lambda case: _FIRST.index(case.family) if case.family in _FIRST else len(_FIRST))
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="case")
        self._futures: dict[str, Future[Outcome]] = {case.id: self._pool.submit(run_case, site, case) for case in cases}

    def outcome(self, name: str) -> Outcome:
        """The outcome of one case, when it is there."""
        return self._futures[name].result()

    def outcomes(self) -> list[Outcome]:
        return [future.result() for future in self._futures.values()]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
