"""How the outcome of a case becomes the verdict of a test."""

from __future__ import annotations

from tests.conformance.campaign import Outcome
from tests.conformance.cases import CASES, KNOWN_FAILURES
from tests.conformance.site import Kind


def names(kind: Kind) -> list[str]:
    """The cases of one kind of home link."""
    return [case.id for case in CASES.values() if kind.name in case.links]


def judge(outcome: Outcome) -> None:
    """A case passes unless it is known not to; one that is known not to must still fail, or the list is wrong."""
    known = KNOWN_FAILURES.get(outcome.case.id)
    if known is None:
        assert outcome.passed, outcome.reason
    else:
        assert not outcome.passed, f"it passes: take it out of known_failures.yaml ({known})"
