"""The sites of the suite, their campaigns, and the table of a run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import pytest

from tests.conformance import report
from tests.conformance.campaign import Campaign, Outcome
from tests.conformance.cases import CASES
from tests.conformance.site import Kind, running

OUTCOMES: Final = pytest.StashKey[defaultdict[str, dict[str, Outcome]]]()
STARTED: Final = pytest.StashKey[float]()
OPTION: Final = "--conformance-table"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="write docs/conformance.md from this run of all cases")


def pytest_configure(config: pytest.Config) -> None:
    outcomes: defaultdict[str, dict[str, Outcome]] = defaultdict(dict)
    config.stash[OUTCOMES] = outcomes
    config.stash[STARTED] = time.monotonic()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A table that is about to be written anew is not compared with the suite."""
    if config.getoption(OPTION, default=False):
        items[:] = [item for item in items if item.name != "test_table_is_that_of_the_suite"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table; a run of some cases only, or of several processes, has not seen them all."""
    config = session.config
    if not config.getoption(OPTION, default=False):
        return
    found = config.stash[OUTCOMES]
    missing = [case.id for case in CASES.values() if len(found[case.id]) < len(case.links)]
    if missing:
        raise pytest.UsageError(f"{OPTION}: this process has not run {' '.join(missing)}")
    document = report.table({name: found[name] for name in CASES}, time.monotonic() - config.stash[STARTED])
    report.TABLE.parent.mkdir(exist_ok=True)
    report.TABLE.write_text(document, encoding="utf-8")


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """All chosen cases of a module, started together at its site."""
    kind: Kind = request.module.KIND
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [str(item.callspec.params["name"]) for item in items if item.module is request.module]
    with running(kind) as site:
        campaign = Campaign(site, chosen)
        yield campaign
        campaign.close()
        for name in chosen:
            request.config.stash[OUTCOMES][name][kind.name] = campaign.outcome(name)
        assert site.complaints() == []
