"""PUT and DELETE of bindings, and their preconditions (RFC 9110 section 13)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from webob import Request, Response

from rest.wsgi import make_app
from tests.unit.rest import contract
from tests.unit.rest.fake_service import FakeService, packed, view

HOME = "2001:db8:1::a"
PATH = f"/v1/bindings/{HOME}"
GOOD: dict[str, Any] = {"care_of_address": "2001:db8:f::7", "home_link": "homenet", "lifetime": None}


def call(service: FakeService, method: str, body: Any = None, path: str = PATH, **headers: str) -> Response:
    octets = b"" if body is None else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request.blank(path, method=method, headers=given, body=octets)
    return contract.check(request, request.get_response(make_app(service)))


def test_a_static_binding_is_made_changed_and_cleared() -> None:
    service = FakeService()
    made = call(service, "PUT", GOOD)
    assert made.status_int == 201
    assert (made.json["state"], made.json["lifetime"], made.json["remaining_lifetime"]) == ("static", None, None)
    assert made.json["care_of_address"] == "2001:db8:f::7"
    changed = call(service, "PUT", {**GOOD, "care_of_address": "2001:db8:f::8", "lifetime": 60})
    assert (changed.status_int, changed.json["lifetime"]) == (200, 60)
    assert made.headers["ETag"] != changed.headers["ETag"] == call(service, "GET").headers["ETag"]
    assert call(service, "DELETE").status_int == 204
    assert call(service, "DELETE").status_int == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"care_of_address": "x"}, "care_of_address"),
        ({"care_of_address": None}, "care_of_address"),
        ({"home_link": 7}, "home_link"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": 65536}, "lifetime"),
        ({"lifetime": True}, "lifetime"),
        ({"lifetime": 1.5}, "lifetime"),
        ({"life": 1}, "did you mean lifetime?"),
    ],
)
def test_a_body_that_is_wrong(change: dict[str, Any], said: str) -> None:
    service = FakeService()
    answer = call(service, "PUT", {**GOOD, **change})
    assert answer.status_int == 400 and said in answer.json["detail"]
    assert not service.bindings


def test_what_cannot_be_is_a_conflict() -> None:
    answer = call(FakeService(), "PUT", {**GOOD, "home_link": "nowhere"})
    assert answer.status_int == 409 and "no home link nowhere" in answer.json["detail"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_if_match(method: str) -> None:
    service = FakeService(view(HOME))
    service.bindings[packed(HOME)].version = "one"
    body = GOOD if method == "PUT" else None
    tag = call(service, "GET").headers["ETag"]
    for other in ('"0123456789abcdef"', f"W/{tag}", '"a", "b"'):
        assert call(service, method, body, If_Match=other).status_int == 412
    assert call(service, method, body, If_Match="nonsense").status_int == 400
    assert service.bindings[packed(HOME)].version == "one"
    assert call(service, method, body, If_Match=f'"x", {tag}').status_int in (200, 204)


def test_if_match_of_what_is_not_there() -> None:
    service = FakeService()
    assert call(service, "PUT", GOOD, If_Match="*").status_int == 412
    assert call(service, "DELETE", If_Match="*").status_int == 412
    assert not service.bindings


def test_if_none_match() -> None:
    service = FakeService()
    assert call(service, "PUT", GOOD, If_None_Match="*").status_int == 201
    assert call(service, "PUT", GOOD, If_None_Match="*").status_int == 412
