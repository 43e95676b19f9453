"""The cases on a link of correspondents."""

from __future__ import annotations

import pytest

from tests.conformance.campaign import Campaign
from tests.conformance.cases import KNOWN_FAILURES
from tests.conformance.correspondent_site import EDGE
from tests.conformance.verdicts import judge, names

KIND = EDGE

# Nonces live for 240 s and bindings for 420 s; all cases wait at the same time.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", names(KIND))
def test_case(campaign: Campaign, name: str) -> None:
    judge(campaign.outcome(name), KNOWN_FAILURES.get(name))
