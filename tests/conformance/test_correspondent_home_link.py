"""The cases of correspondents whose link is the mobile nodes' home link."""

from __future__ import annotations

import pytest

from tests.conformance.campaign import Campaign
from tests.conformance.cases import KNOWN_FAILURES
from tests.conformance.correspondent_site import BOTH
from tests.conformance.verdicts import judge, names

KIND = BOTH

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("name", names(KIND))
def test_case(campaign: Campaign, name: str) -> None:
    judge(campaign.outcome(name), KNOWN_FAILURES.get(name))
