"""The lists of the suite agree with each other and with the table in the documentation."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance import report
from tests.conformance.campaign import KINDS, Outcome, families
from tests.conformance.cases import CASES, CORRESPONDENT, HOME_AGENT, KNOWN_FAILURES, KnownFailure
from tests.conformance.verdicts import judge


def test_every_case_can_be_run() -> None:
    catalogue = Counter(case.role for case in CASES.values() if case.from_catalogue)
    assert catalogue == {HOME_AGENT: 109, CORRESPONDENT: 51}
    assert {case.family for case in CASES.values()} == set(families())
    assert {link for case in CASES.values() for link in case.links} == set(KINDS)


def test_known_failures_are_cases() -> None:
    assert set(KNOWN_FAILURES) <= set(CASES)


def test_table_is_that_of_the_suite() -> None:
    """What the last written table says is what the suite asserts."""
    verdicts = report.read_verdicts(report.TABLE.read_text(encoding="utf-8"))
    assert verdicts == {name: "fail" if name in KNOWN_FAILURES else "pass" for name in CASES}


def outcome(*problems: str) -> Outcome:
    return Outcome(next(iter(CASES.values())), problems, 1.0)


KNOWN = KnownFailure("It is not there yet.", "echo of")


def test_verdicts() -> None:
    """A known failure is strict, both ways."""
    judge(outcome(), None)
    judge(outcome("echo of a node", "echo of another"), KNOWN)
    for problems, known in (((), KNOWN), (("echo of a node", "status 129"), KNOWN), (("echo of a node",), None)):
        with pytest.raises(AssertionError):
            judge(outcome(*problems), known)


def test_report() -> None:
    """Verdicts can be read out of the table that is written; reasons are in it."""
    first, *others = CASES
    found = {name: {"real": Outcome(CASES[name], (), 1.0)} for name in others}
    found[first] = {"real": outcome(), "virtual": outcome("a | b", "a | b")}
    document = report.table(found, 1.0)
    assert "| fail | virtual: a / b |" in document
    verdicts = report.read_verdicts(document)
    assert verdicts == {**dict.fromkeys(others, "pass"), first: "fail"}
