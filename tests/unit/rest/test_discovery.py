"""Home agents and prefixes in the API."""

from __future__ import annotations

import pytest

from tests.unit.rest.fake_service import FakeService
from tests.unit.rest.test_api import call, problem


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def test_home_agents(service: FakeService) -> None:
    own, other, third = call(service, "/v1/home-agents").json["home_agents"]
    assert own == {
        "home_link": "homenet",
        "link_local_address": None,
        "addresses": ["2001:db8:1::2"],
        "preference": 10,
        "remaining_lifetime": None,
        "own": True,
    }
    assert other == {
        "home_link": "homenet",
        "link_local_address": "fe80::3",
        "addresses": ["2001:db8:1::3"],
        "preference": 0,
        "remaining_lifetime": 1799,
        "own": False,
    }
    assert third["home_link"] == "labnet"
    assert call(service, "/v1/home-agents?home_link=labnet").json["home_agents"] == [third]


def test_prefixes(service: FakeService) -> None:
    first, second = call(service, "/v1/prefixes").json["prefixes"]
    assert first == {
        "home_link": "homenet",
        "prefix": "2001:db8:1::/64",
        "valid_lifetime": None,
        "preferred_lifetime": 3600,
        "home_agents_anycast_address": "2001:db8:1:0:fdff:ffff:ffff:fffe",
    }
    assert (second["valid_lifetime"], second["preferred_lifetime"]) == (10, 0)
    assert second["home_agents_anycast_address"] is None
    assert call(service, "/v1/prefixes?home_link=labnet").json["prefixes"] == [second]
    assert call(service, "/v1/prefixes?home_link=nowhere").json["prefixes"] == []


@pytest.mark.parametrize("path", ["/v1/home-agents", "/v1/prefixes"])
def test_mistakes(service: FakeService, path: str) -> None:
    assert "did you mean home_link?" in problem(call(service, f"{path}?homelink=x"), 400)["detail"]
    response = call(service, path, "DELETE")
    problem(response, 405)
    assert response.headers["Allow"] == "GET, HEAD"
