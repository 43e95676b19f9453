"""/v1/correspondents and mip6ctl's commands for it, on a fake application."""

from __future__ import annotations

from typing import Any

import pytest

from rest.wsgi import make_app
from tests.unit.rest.fake_service import FakeService, packed, route
from tests.unit.rest.test_api import call, problem
from tests.unit.rest.test_cli import Ctl, served

ONE, TWO = "2001:db8:c::1", "2001:db8:c::2"
HOMES = ("2001:db8:1::a", "2001:db8:1::b", "2001:db8:2::a")


@pytest.fixture
def service() -> FakeService:
    service = FakeService()
    service.add_routes(
        route(TWO, HOMES[0]),
        route(ONE, HOMES[2], "lab", care_of_address=packed("2001:db8:e::1")),
        route(ONE, HOMES[0]),
        route(ONE, HOMES[1]),
    )
    return service


def pairs(answer: Any) -> list[tuple[str, str]]:
    return [(entry["correspondent"], entry["home_address"]) for entry in answer["correspondents"]]


ALL = [(ONE, HOMES[0]), (ONE, HOMES[1]), (ONE, HOMES[2]), (TWO, HOMES[0])]


def test_every_field_in_the_form_of_the_api(service: FakeService) -> None:
    assert call(service, f"/v1/correspondents/{TWO}/{HOMES[0]}").json == {
        "correspondent": TWO,
        "home_address": HOMES[0],
        "care_of_address": "2001:db8:f::100",
        "correspondent_link": "office",
        "sequence": 9,
        "lifetime": 420,
        "remaining_lifetime": 400,
        "registered_at": "2001-09-09T01:46:40.250Z",
        "updated_at": "2001-09-09T01:46:41.000Z",
        "state": "bound",
        "packets_out": 3,
        "bytes_out": 300,
        "packets_in": 4,
        "bytes_in": 400,
        "home_nonce_index": 65535,
        "care_of_nonce_index": None,
        "unreachable_errors": 2,
        "datapath_id": "00000000000000a1",
    }


def test_list_in_order(service: FakeService) -> None:
    answer = call(service, "/v1/correspondents").json
    assert (pairs(answer), answer["total"], answer["next_cursor"]) == (ALL, 4, None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"home_address={HOMES[0]}", [ALL[0], ALL[3]]),
        ("home_address=2001:db8:1::/64", [ALL[0], ALL[1], ALL[3]]),
        (f"correspondent={TWO}", [ALL[3]]),
        ("correspondent=2001:db8:c::/127", [ALL[0], ALL[1], ALL[2]]),
        ("care_of_prefix=2001:db8:e::/64", [ALL[2]]),
        ("correspondent_link=lab", [ALL[2]]),
        ("correspondent_link=nowhere", []),
        (f"correspondent={ONE}&correspondent_link=office", [ALL[0], ALL[1]]),
    ],
)
def test_filters(service: FakeService, query: str, found: list[tuple[str, str]]) -> None:
    answer = call(service, f"/v1/correspondents?{query}").json
    assert (pairs(answer), answer["total"]) == (found, len(found))


def test_pages(service: FakeService) -> None:
    """What goes between two pages moves nothing to another one."""
    first = call(service, "/v1/correspondents?limit=2").json
    assert (pairs(first), first["total"]) == (ALL[:2], 4)
    service.clear_correspondent(packed(ONE), packed(HOMES[0]))
    second = call(service, f"/v1/correspondents?limit=2&cursor={first['next_cursor']}").json
    assert (pairs(second), second["next_cursor"]) == (ALL[2:], None)


@pytest.mark.parametrize("query", ["home_adress=::1", "limit=0", "cursor=AAAAAAAAAAAAAAAAAAAAAA", "correspondent=x"])
def test_what_is_wrong_is_refused(service: FakeService, query: str) -> None:
    problem(call(service, f"/v1/correspondents?{query}"), 400)


def test_clear(service: FakeService) -> None:
    path = f"/v1/correspondents/{ONE}/{HOMES[1]}"
    assert call(service, path, "DELETE").status_int == 204
    assert (packed(ONE), packed(HOMES[1])) not in service.routes
    assert len(service.routes) == 3
    for method in ("DELETE", "GET"):
        problem(call(service, path, method), 404)
    problem(call(service, f"/v1/correspondents/{ONE}/nonsense", "DELETE"), 400)


def test_writes_under_a_condition(service: FakeService) -> None:
    """RFC 9110 section 13.1.1: what has changed since one has looked is left alone."""
    path = f"/v1/correspondents/{ONE}/{HOMES[1]}"
    service.routes[packed(ONE), packed(HOMES[1])].version = "1"
    tag = call(service, path).headers["ETag"]
    service.routes[packed(ONE), packed(HOMES[1])].version = "2"
    problem(call(service, path, "DELETE", headers={"If-Match": tag}), 412)
    problem(call(service, f"/v1/correspondents/{TWO}/{HOMES[1]}", "DELETE", headers={"If-Match": "*"}), 412)
    again = call(service, path).headers["ETag"]
    assert again != tag
    assert call(service, path, "DELETE", headers={"If-Match": again}).status_int == 204


def test_command_line(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctl = Ctl(capsys)
    with served(make_app(service)) as url:
        monkeypatch.setenv("MIP6CTL_SERVER", url)
        shown = ctl("show", "correspondents", "--correspondent-link", "office")
        assert shown.splitlines()[0].split("  ")[0] == "CORRESPONDENT"
        assert HOMES[2] not in shown and shown.endswith("3 of 3 bindings\n")
        assert pairs(ctl.json("show", "correspondents", "--limit", "3")) == ALL[:3]
        assert pairs(ctl.json("show", "correspondents", "--correspondent", TWO)) == ALL[3:]
        assert ctl("clear", "correspondent", TWO, HOMES[0]) == "1 binding cleared\n"
        assert (packed(TWO), packed(HOMES[0])) not in service.routes
        assert "no binding" in ctl("clear", "correspondent", TWO, HOMES[0], status=1)
        assert ctl("show", "correspondents", "--correspondent", TWO) == "no bindings\n"
