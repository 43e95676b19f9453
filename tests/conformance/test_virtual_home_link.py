"""The cases on a virtual home link."""

from __future__ import annotations

import pytest

from tests.conformance.campaign import Campaign
from tests.conformance.cases import KNOWN_FAILURES
from tests.conformance.home_agent_site import VIRTUAL
from tests.conformance.verdicts import judge, names

KIND = VIRTUAL

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("name", names(KIND))
def test_case(campaign: Campaign, name: str) -> None:
    judge(campaign.outcome(name), KNOWN_FAILURES.get(name))
