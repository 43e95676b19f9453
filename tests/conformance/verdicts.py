"""How the outcome of a case becomes the verdict of a test."""

from __future__ import annotations

import re

from tests.conformance.campaign import Outcome
from tests.conformance.cases import CASES, KnownFailure
from tests.conformance.site import Kind


def names(kind: Kind) -> list[str]:
    """The cases of one kind of link."""
    return [case.id for case in CASES.values() if kind.name in case.links]


def judge(outcome: Outcome, known: KnownFailure | None) -> None:
    """A case passes unless it is known not to; then it must fail, and for the known reason only."""
    if known is None:
        assert outcome.passed, outcome.reason
        return
    assert not outcome.passed, f"it passes: take it out of known_failures.yaml ({known.because})"
    others = [problem for problem in outcome.problems if not re.match(known.problem, problem)]
    assert not others, "; ".join(others)
