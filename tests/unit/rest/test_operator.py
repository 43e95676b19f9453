"""What operators do besides looking at bindings: statistics, nonces, debug topics, captures, reload."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from webob import Request, Response

from mip6core.errors import ConfigError
from rest.access import AccessControl, Scope
from rest.wsgi import make_app
from tests.unit.rest import contract
from tests.unit.rest.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def call(service: FakeService, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Response:
    request = Request.blank(path, method=method, headers=headers, body=body)
    return contract.check(request, request.get_response(make_app(service)))


def test_reload(service: FakeService) -> None:
    answer = call(service, "/v1/config:reload", "POST").json
    assert (answer["result"], answer["applied"][0]["setting"]) == ("applied", "limits.max_bindings")
    service.bad_file = ConfigError("limits.max_bindigs", "a known key")
    problem = call(service, "/v1/config:reload", "POST")
    assert problem.status_int == 409
    assert "limits.max_bindigs: expected a known key" in problem.json["detail"]


def test_statistics_are_cleared(service: FakeService) -> None:
    assert call(service, "/v1/statistics", "DELETE").status_int == 204
    assert service.statistics_cleared


def test_nonces_have_no_values(service: FakeService) -> None:
    assert call(service, "/v1/nonces").json == {
        "nonces": [
            {"index": 65535, "age": 29, "remaining_lifetime": 210},
            {"index": 0, "age": 1, "remaining_lifetime": 239},
        ]
    }


def test_topics_are_switched(service: FakeService) -> None:
    assert call(service, "/v1/debug").json == {"topics": {"signalling": False, "flows": True}}
    answer = call(service, "/v1/debug/signalling", "PUT", b'{"on": true}')
    assert answer.json == {"topics": {"signalling": True, "flows": True}}
    assert call(service, "/v1/debug/flows", "PUT", b'{"on": false}').json["topics"]["flows"] is False
    assert "signalling, flows" in call(service, "/v1/debug/nothing", "PUT", b'{"on": true}').json["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"{}", b'{"on": 1}', b'{"on": "yes"}', b'{"on": true, "x": 1}', b"\xff", b"[" * 60_000],
)
def test_bodies_that_are_none(service: FakeService, body: bytes) -> None:
    assert call(service, "/v1/debug/signalling", "PUT", body).status_int == 400
    assert service.topics["signalling"] is False


def test_a_capture_is_a_file_that_is_closed(service: FakeService) -> None:
    request = Request.blank("/v1/capture?home_address=2001:db8:1::/64&seconds=5")
    answer = contract.check(request, request.get_response(make_app(service)))
    assert (answer.content_type, answer.body) == ("application/x-pcapng", b"onetwo")
    assert str(service.captured[0]) == "2001:db8:1::/64" and service.captured[1] == 5
    assert service.file is not None and service.file.closed
    service.file = None
    assert call(service, "/v1/capture").status_int == 503
    assert call(service, "/v1/capture?seconds=3601").status_int == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/capture"),
        ("PUT", "/v1/debug/signalling"),
        ("POST", "/v1/config:reload"),
        ("DELETE", "/v1/statistics"),
    ],
)
def test_who_may_only_read_may_not(service: FakeService, method: str, path: str) -> None:
    request = Request.blank(path, method=method, body=json.dumps({"on": True}).encode())
    assert request.get_response(make_app(service, AccessControl({}, Scope.READ))).status_int == 401


class Lines(logging.Handler):
    """What a logger was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What `rest` logs while it is asked for everything. Its own handler: what others do to the root's is theirs."""
    logger = logging.getLogger("rest")
    handler = Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.said
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def test_requests_are_logged_where_that_is_asked_for(service: FakeService, lines: list[str]) -> None:
    call(service, "/v1/nothing\nelse")
    (line,) = lines
    assert line.startswith(r"request method=GET path='/v1/nothing\nelse' status=404")
