"""The lists of the suite agree with each other and with the table in the documentation."""

from __future__ import annotations

from tests.conformance import report
from tests.conformance.campaign import families
from tests.conformance.cases import CASES, KNOWN_FAILURES
from tests.conformance.site import KINDS


def test_every_case_can_be_run() -> None:
    assert sum(case.from_catalogue for case in CASES.values()) == 109
    assert {case.family for case in CASES.values()} == set(families())
    assert {link for case in CASES.values() for link in case.links} == set(KINDS)


def test_known_failures_are_cases() -> None:
    assert set(KNOWN_FAILURES) <= set(CASES)


def test_table_is_that_of_the_suite() -> None:
    """What the last written table says is what the suite asserts."""
    verdicts = report.read_verdicts(report.TABLE.read_text(encoding="utf-8"))
    assert verdicts == {name: "fail" if name in KNOWN_FAILURES else "pass" for name in CASES}
