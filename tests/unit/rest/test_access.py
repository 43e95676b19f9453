"""Who may do what over REST, as a client sees it."""

from __future__ import annotations

import hashlib

import pytest
from webob import Request, Response

from rest.access import AccessControl, Scope
from rest.wsgi import make_app
from tests.unit.rest import contract
from tests.unit.rest.fake_service import FakeService, view

READER, ADMINISTRATOR = "reader-token", "administrator-token"
TOKENS = {
    hashlib.sha256(READER.encode()).hexdigest(): Scope.READ,
    hashlib.sha256(ADMINISTRATOR.encode()).hexdigest(): Scope.ADMIN,
}
BINDING = "/v1/bindings/2001:db8:1::a"


def call(
    method: str, path: str, token: str | None = None, anonymous: Scope = Scope.OPEN, **headers: str
) -> tuple[Response, FakeService]:
    service = FakeService(view("2001:db8:1::a"))
    if token is not None:
        headers["Authorization"] = token
    request = Request.blank(path, method=method, headers=headers)
    response = request.get_response(make_app(service, AccessControl(TOKENS, anonymous)))
    return contract.check(request, response), service


@pytest.mark.parametrize(
    ("token", "reading", "clearing"),
    [
        (f"Bearer {ADMINISTRATOR}", 200, 204),
        (f"bearer  {ADMINISTRATOR}", 200, 204),  # the scheme has no case (RFC 9110 section 11.1)
        (f"Bearer {READER}", 200, 403),
        ("Bearer another-token", 401, 401),
        (f"Basic {ADMINISTRATOR}", 401, 401),
        ("Bearer", 401, 401),
        (f"Bearer {ADMINISTRATOR} {READER}", 401, 401),
        ("", 401, 401),
        (None, 401, 401),
    ],
)
def test_a_token_is_good_for_its_scope(token: str | None, reading: int, clearing: int) -> None:
    assert call("GET", BINDING, token)[0].status_int == reading
    answer, service = call("DELETE", BINDING, token)
    assert answer.status_int == clearing
    assert len(service.bindings) == (0 if clearing == 204 else 1)


def test_who_is_refused_learns_what_is_needed() -> None:
    nobody, _ = call("GET", BINDING)
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    assert nobody.content_type == "application/problem+json"
    wrong, _ = call("GET", BINDING, "Bearer wrong")
    assert wrong.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert "wrong" not in wrong.text
    reader, _ = call("DELETE", BINDING, f"Bearer {READER}")
    assert reader.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_for_everybody(path: str) -> None:
    assert call("GET", path)[0].status_int == 200


@pytest.mark.parametrize(
    ("anonymous", "reading", "clearing"), [(Scope.OPEN, 401, 401), (Scope.READ, 200, 401), (Scope.ADMIN, 200, 204)]
)
def test_what_may_be_done_without_a_token_is_configured(anonymous: Scope, reading: int, clearing: int) -> None:
    assert call("GET", BINDING, anonymous=anonymous)[0].status_int == reading
    assert call("DELETE", BINDING, anonymous=anonymous)[0].status_int == clearing


def test_a_wrong_token_is_refused_where_none_is_needed() -> None:
    assert call("GET", BINDING, "Bearer wrong", anonymous=Scope.ADMIN)[0].status_int == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8080"}, 204),
        ({"Host": "[::1]:8080"}, 204),
        ({"Host": "localhost"}, 204),
        ({"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}, 204),
        ({"Host": "127.0.0.1:8080", "Origin": "https://evil.example"}, 403),
        ({"Host": "127.0.0.1:8080", "Origin": "null"}, 403),
        ({"Host": "rebound.example:8080", "Origin": "http://rebound.example:8080"}, 403),
        ({"Host": "rebound.example"}, 403),
    ],
)
def test_pages_of_other_sites_cannot_use_that_this_machine_needs_no_token(headers: dict[str, str], status: int) -> None:
    answer, service = call("DELETE", BINDING, anonymous=Scope.ADMIN, **headers)
    assert answer.status_int == status
    assert len(service.bindings) == (0 if status == 204 else 1)


def test_a_page_with_a_token_may_have_any_name() -> None:
    answer, _ = call("GET", BINDING, f"Bearer {READER}", Host="controller.example", Origin="https://noc.example")
    assert answer.status_int == 200
