"""/v1/events and /v1/watch on a fake application; tests/manager has them on the real one."""

from __future__ import annotations

import pytest

from tests.unit.rest.fake_service import FakeService
from tests.unit.rest.test_api import call, problem


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("?limit=2", [5, 4]),
        ("?home_address=2001:db8:1::a", [5, 4, 2]),
        ("?home_address=2001:db8:1::/64&kind=registered", [5, 3, 2]),
        ("?link=office", [5]),
        ("?kind=expired", []),
    ],
)
def test_the_newest_events_come_first_and_pass_the_filters(query: str, ids: list[int]) -> None:
    answer = call(FakeService(), f"/v1/events{query}").json
    assert [event["id"] for event in answer["events"]] == ids
    assert answer["total"] == (5 if query == "?limit=2" else len(ids))


def test_an_event_says_only_what_concerns_it() -> None:
    events = call(FakeService(), "/v1/events").json["events"]
    assert events[0] == {
        "id": 5,
        "time": "2001-09-09T01:46:44.000Z",
        "kind": "registered",
        "link": "office",
        "home_address": "2001:db8:1::a",
        "care_of_address": "2001:db8:f::1",
        "correspondent": "2001:db8:c::7",
        "status": 0,
    }
    assert events[-1] == {
        "id": 1,
        "time": "2001-09-09T01:46:40.000Z",
        "kind": "switch_connected",
        "link": "homenet",
        "datapath_id": "00000000000000a1",
    }


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?home_address=x", "?homeaddress=::1", "?kind=a&kind=b"])
def test_wrong_parameters(query: str) -> None:
    problem(call(FakeService(), f"/v1/events{query}"), 400)


def test_too_many_watchers() -> None:
    answer = call(FakeService(), "/v1/watch")
    problem(answer, 503)
    assert answer.headers["Retry-After"] == "10"
