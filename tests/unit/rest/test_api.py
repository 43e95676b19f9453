"""The REST API as a client sees it, on a fake application."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from webob import Request, Response

from deploy import config
from deploy.config.effective import effective
from rest import serialize
from rest.service import Service
from rest.wsgi import make_app
from tests.unit.config.complete import complete
from tests.unit.rest import contract
from tests.unit.rest.fake_service import FakeService, packed, view


def call(service: Service, path: str, method: str = "GET", **options: Any) -> Response:
    request = Request.blank(path, method=method, **options)
    return contract.check(request, request.get_response(make_app(service)))


def problem(response: Response, status: int) -> dict[str, Any]:
    """The body of an error, checked for what RFC 9457 asks of each."""
    assert response.status_int == status
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.json
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["title"] == response.status.split(" ", 1)[1]
    assert body["request_id"] == response.headers["X-Request-Id"]
    return body


def home_addresses(response: Response) -> list[str]:
    assert response.status_int == 200, response.text
    return [binding["home_address"] for binding in response.json["bindings"]]


@pytest.fixture
def service() -> FakeService:
    return FakeService(
        view("2001:db8:1::b", "2001:db8:f::2"),
        view("2001:db8:1::a", "2001:db8:f::1"),
        view("2001:db8:2::a", "2001:db8:e::1", "labnet"),
    )


# --- showing bindings ---


def test_a_binding_has_every_field_in_the_form_of_the_api() -> None:
    response = call(FakeService(view("2001:db8:1:0:0:0:0:100")), "/v1/bindings/2001:db8:1::100")
    assert response.content_type == "application/json"
    assert response.json == {
        "home_address": "2001:db8:1::100",
        "care_of_address": "2001:db8:f::100",
        "home_link": "homenet",
        "sequence": 7,
        "lifetime": 420,
        "remaining_lifetime": 419,
        "flags": {"acknowledge": True, "home_registration": True, "link_local": False, "key_management": False},
        "registered_at": "2001-09-09T01:46:40.250Z",
        "updated_at": "2001-09-09T01:46:41.000Z",
        "state": "bound",
        "packets_out": None,
        "bytes_out": None,
        "packets_in": None,
        "bytes_in": None,
        "counted_at": None,
        "datapath_id": "00000000000000a1",
    }


def test_counters_are_asked_for_when_somebody_wants_them(service: FakeService) -> None:
    call(service, "/v1/bindings")
    call(service, "/v1/bindings/2001:db8:1::a?counters=false")
    assert service.asked_about == []
    one = call(service, "/v1/bindings/2001:db8:1::a?counters=true").json
    assert service.asked_about == [packed("2001:db8:1::a")]
    assert [one[name] for name in ("packets_out", "bytes_out", "packets_in", "bytes_in")] == [5, 500, 6, 600]
    assert one["counted_at"] == "2001-09-09T01:46:42.000Z"
    listed = call(service, "/v1/bindings?counters=true").json["bindings"]
    assert {entry["packets_in"] for entry in listed} == {6}
    call(service, "/v1/bindings?counters=true&home_address=2001:db8:1::a")
    call(service, "/v1/bindings?counters=true&home_address=2001:db8:1::/64")
    assert service.asked_about[1:] == [None, packed("2001:db8:1::a"), None]
    problem(call(service, "/v1/bindings?counters=yes"), 400)


def test_a_binding_is_found_by_any_way_to_write_its_address(service: FakeService) -> None:
    for text in ("2001:db8:1::a", "2001:0DB8:1:0:0:0:0:A", "2001%3Adb8%3A1%3A%3Aa"):
        assert call(service, f"/v1/bindings/{text}").json["home_address"] == "2001:db8:1::a"


def test_a_binding_that_is_not_there(service: FakeService) -> None:
    assert "2001:db8:1::ffff" in problem(call(service, "/v1/bindings/2001:db8:1::ffff"), 404)["detail"]


def test_the_list_is_in_the_order_of_home_addresses_and_tells_the_total(service: FakeService) -> None:
    response = call(service, "/v1/bindings")
    assert home_addresses(response) == ["2001:db8:1::a", "2001:db8:1::b", "2001:db8:2::a"]
    assert (response.json["total"], response.json["next_cursor"]) == (3, None)


def test_an_empty_list_is_a_list() -> None:
    assert call(FakeService(), "/v1/bindings").json == {"bindings": [], "total": 0, "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("home_address=2001:db8:1::a", ["2001:db8:1::a"]),
        ("home_address=2001:db8:1::ffff", []),
        ("home_address=2001:db8:1::/64", ["2001:db8:1::a", "2001:db8:1::b"]),
        ("care_of_prefix=2001:db8:f::/64", ["2001:db8:1::a", "2001:db8:1::b"]),
        ("care_of_prefix=2001:db8:f::2", ["2001:db8:1::b"]),
        ("home_link=labnet", ["2001:db8:2::a"]),
        ("home_link=nowhere", []),
        ("home_link=homenet&care_of_prefix=2001:db8:f::2/128", ["2001:db8:1::b"]),
        ("home_address=2001:db8:1::/64&home_link=labnet", []),
        ("home_address=2001:db8:1::a&home_link=labnet", []),
    ],
)
def test_filters_and_the_total_of_what_they_find(service: FakeService, query: str, found: list[str]) -> None:
    response = call(service, f"/v1/bindings?{query}")
    assert home_addresses(response) == found
    assert response.json["total"] == len(found)


# --- pages ---


def pages(service: FakeService, query: str, between: Any = lambda page: None) -> list[list[str]]:
    result = []
    cursor = ""
    while True:
        response = call(service, f"/v1/bindings?{query}{cursor}")
        result.append(home_addresses(response))
        between(response)
        if response.json["next_cursor"] is None:
            return result
        cursor = f"&cursor={response.json['next_cursor']}"


def test_pages_join_to_the_whole_list_in_order() -> None:
    numbers = random.Random(1).sample(range(1, 0xFFFF), 2500)
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in numbers))
    found = pages(service, "limit=1000")
    assert [len(page) for page in found] == [1000, 1000, 500]
    assert [packed(address) for page in found for address in page] == sorted(service.bindings)
    assert [len(page) for page in pages(service, "limit=1000&home_address=2001:db8:1::/113")] == [
        *(1000,) * (sum(number < 0x8000 for number in numbers) // 1000),
        sum(number < 0x8000 for number in numbers) % 1000,
    ]


def test_small_pages_of_a_long_list() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(2500, 0, -1)))
    found = pages(service, "limit=100")
    assert [len(page) for page in found] == [100] * 25
    assert [packed(address) for page in found for address in page] == sorted(service.bindings)


def test_a_full_last_page_has_no_next() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(1, 5)))
    assert [len(page) for page in pages(service, "limit=2")] == [2, 2]


def test_100_by_default_and_1000_at_most() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(1, 1200)))
    assert len(home_addresses(call(service, "/v1/bindings"))) == 100
    assert len(home_addresses(call(service, "/v1/bindings?limit=1000"))) == 1000
    assert "1000" in problem(call(service, "/v1/bindings?limit=1001"), 400)["detail"]


def test_bindings_that_come_and_go_between_pages_move_no_other() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(0x10, 0x90)))
    steady = {view_.home_address for view_ in service.bindings.values()}
    chance = random.Random(2)

    def change(response: Response) -> None:
        for address in response.json["bindings"][-3:]:  # also the one that the cursor stands for
            steady.discard(packed(address["home_address"]))
            service.clear(packed(address["home_address"]))
        service.add(*(view(f"2001:db8:1::{chance.randrange(0x1000, 0x2000):x}") for _ in range(2)))
        service.add(view(f"2001:db8:1::{chance.randrange(1, 0x10):x}"))

    found = [address for page in pages(service, "limit=10", change) for address in page]
    assert len(found) == len(set(found))
    assert steady <= set(map(packed, found))


def test_a_binding_that_goes_while_the_page_is_made_is_left_out() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(1, 10)))

    def disappear() -> None:
        service.bindings.pop(packed("2001:db8:1::3"), None)

    service.on_binding = disappear
    response = call(service, "/v1/bindings?limit=5")
    assert home_addresses(response) == [f"2001:db8:1::{number}" for number in (1, 2, 4, 5)]
    assert response.json["next_cursor"] is not None


def test_long_lists_let_others_run() -> None:
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(1, 20_000)))
    looked_at = 0
    most = 0

    def count() -> None:
        nonlocal looked_at
        looked_at += 1

    def cooperate() -> None:
        nonlocal looked_at, most
        most = max(most, looked_at)
        looked_at = 0

    service.on_binding = count
    Request.blank("/v1/bindings?limit=1000&home_link=homenet").get_response(make_app(service, cooperate=cooperate))
    assert 0 < most <= 100


def test_a_long_page_is_encoded_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON of a thousand entries at once takes ten milliseconds, in which nobody else runs."""
    service = FakeService(*(view(f"2001:db8:1::{number:x}") for number in range(1, 1001)))
    encoded = most = 0
    octets = serialize.octets

    def count(value: object) -> bytes:
        nonlocal encoded
        result = octets(value)
        encoded += len(result)
        return result

    def cooperate() -> None:
        nonlocal encoded, most
        most = max(most, encoded)
        encoded = 0

    monkeypatch.setattr(serialize, "octets", count)
    request = Request.blank("/v1/bindings?limit=1000")
    response = request.get_response(make_app(service, cooperate=cooperate))
    assert len(response.json["bindings"]) == response.json["total"] == 1000
    assert 0 < most < len(response.body) / 40


def test_nobody_begins_out_of_turn(service: FakeService) -> None:
    """However short its work is, a request asks before it begins: there may be many of them."""
    done: list[str] = []
    service.health = lambda: done.append("health") or (True, {})  # type: ignore[method-assign, func-returns-value]
    Request.blank("/healthz").get_response(make_app(service, cooperate=lambda: done.append("asked")))
    assert done == ["asked", "health"]


# --- clearing bindings ---


def test_clear_one(service: FakeService) -> None:
    response = call(service, "/v1/bindings/2001:db8:1::a", "DELETE")
    assert (response.status_int, response.body) == (204, b"")
    assert packed("2001:db8:1::a") not in service.bindings
    problem(call(service, "/v1/bindings/2001:db8:1::a", "DELETE"), 404)
    assert len(service.bindings) == 2


@pytest.mark.parametrize(
    ("prefix", "cleared"), [("2001:db8:1::/64", 2), ("2001:db8:2::a", 1), ("2001:db8:9::/48", 0), ("::/0", 3)]
)
def test_clear_a_prefix(service: FakeService, prefix: str, cleared: int) -> None:
    response = call(service, f"/v1/bindings?prefix={prefix}", "DELETE")
    assert response.json == {"cleared": cleared}
    assert len(service.bindings) == 3 - cleared


@pytest.mark.parametrize("query", ["", "?prefix=", "?home_address=2001:db8:1::a", "?prefix=::/0&home_link=x"])
def test_clear_needs_a_prefix_and_nothing_else(service: FakeService, query: str) -> None:
    problem(call(service, f"/v1/bindings{query}", "DELETE"), 400)
    assert len(service.bindings) == 3


# --- the rest ---


def test_switches(service: FakeService) -> None:
    connected, missing = call(service, "/v1/switches").json["switches"]
    assert connected == {
        "datapath_id": "00000000000000a1",
        "home_link": "homenet",
        "correspondent_link": "office",
        "bridge": "br-home",
        "connected": True,
        "address": "127.0.0.1:40000",
        "role": "equal",
        "ports": [{"number": 1, "name": "uplink0"}, {"number": 2, "name": "mip6-br-home"}],
    }
    assert (missing["datapath_id"], missing["connected"], missing["ports"]) == (None, False, [])


def test_configuration(service: FakeService) -> None:
    service.shown_configuration = effective(config.parse(complete()))
    assert call(service, "/v1/config").json == service.shown_configuration


def test_statistics(service: FakeService) -> None:
    assert call(service, "/v1/statistics").json == {"homenet": {"bu_received": 3, "ba_sent_0": 2}}


def test_health_and_readiness_give_their_reasons(service: FakeService) -> None:
    assert call(service, "/healthz").json == {"status": "ok", "checks": {"timer": "running"}}
    assert call(service, "/readyz").json == {"status": "ok", "checks": {"homenet": "connected"}}
    service.healthy = service.is_ready = False
    assert problem(call(service, "/healthz"), 503)["checks"] == {"timer": "dead"}
    assert problem(call(service, "/readyz"), 503)["checks"] == {"homenet": "no switch"}


# --- wrong requests ---


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/bindings/nonsense", "home_address"),
        ("/v1/bindings/192.0.2.1", "home_address"),
        ("/v1/bindings/2001:db8:1::a?fields=all", "fields"),
        ("/v1/bindings?home_address=x", "home_address"),
        ("/v1/bindings?home_address=2001:db8:1::1/64", "home_address"),
        ("/v1/bindings?care_of_prefix=2001:db8::/x", "care_of_prefix"),
        ("/v1/bindings?limit=0", "limit"),
        ("/v1/bindings?limit=-1", "limit"),
        ("/v1/bindings?limit=%D9%A1", "limit"),  # a digit, but not one of ours
        ("/v1/bindings?limit=" + "9" * 5000, "limit"),
        ("/v1/bindings?limit=1&limit=2", "more than once"),
        ("/v1/bindings?cursor=x", "cursor"),
        ("/v1/bindings?cursor=%00", "cursor"),
        ("/v1/bindings?homeaddress=2001:db8:1::a", "did you mean home_address?"),
        ("/v1/bindings?x=%FF", "UTF-8"),
        ("/v1/bindings/%FF", "UTF-8"),
        ("/v1/switches?x=1", "unknown parameter"),
        ("/v1/statistics?x=1", "unknown parameter"),
        ("/healthz?x=1", "unknown parameter"),
        ("/readyz?x=1", "unknown parameter"),
    ],
)
def test_bad_requests_say_what_is_wrong(service: FakeService, path: str, word: str) -> None:
    assert word in problem(call(service, path), 400)["detail"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/bindings/", "/v1/bindings/a/b", "/V1/bindings", "/v2/bindings"])
def test_unknown_paths(service: FakeService, path: str) -> None:
    problem(call(service, path), 404)


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/v1/bindings", "POST", "DELETE, GET, HEAD"),
        ("/v1/bindings/2001:db8:1::a", "POST", "DELETE, GET, HEAD, PUT"),
        ("/v1/switches", "DELETE", "GET, HEAD"),
        ("/healthz", "POST", "GET, HEAD"),
        ("/healthz", "<script>", "GET, HEAD"),
    ],
)
def test_methods_that_are_not_possible(service: FakeService, path: str, method: str, allow: str) -> None:
    response = call(service, path, method)
    problem(response, 405)
    assert response.headers["Allow"] == allow


@pytest.mark.parametrize("path", ["/v1/bindings", "/v1/bindings/2001:db8:1::a", "/healthz", "/nothing"])
def test_head_is_get_without_the_body(service: FakeService, path: str) -> None:
    service.on_binding = lambda: None
    got, head = call(service, path), call(service, path, "HEAD")
    assert (head.status, head.content_type) == (got.status, got.content_type)
    assert head.body == b""


def test_bodies_are_bounded(service: FakeService) -> None:
    assert call(service, "/v1/bindings/2001:db8:1::a", "DELETE", body=b"x" * 65_536).status_int == 204
    problem(call(service, "/v1/bindings/2001:db8:1::b", "DELETE", body=b"x" * 65_537), 413)
    problem(call(service, "/v1/bindings/2001:db8:1::b", "DELETE", headers={"Transfer-Encoding": "chunked"}), 413)
    assert packed("2001:db8:1::b") in service.bindings


# --- every answer ---


def test_request_ids_are_kept_if_they_are_harmless(service: FakeService) -> None:
    def request_id(given: str) -> str:
        return str(call(service, "/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"])

    assert request_id("job-7.a_B") == "job-7.a_B"
    made = {request_id("line\tbreak"), request_id("x" * 65), request_id("")}
    assert len(made) == 3 and all(len(identifier) == 32 for identifier in made)


def test_answers_are_not_for_caches(service: FakeService) -> None:
    for path in ("/healthz", "/nothing", "/v1/bindings"):
        assert call(service, path).headers["Cache-Control"] == "no-store"


def test_a_bug_is_told_without_its_details_and_logged_once(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> None:
        raise RuntimeError("secret detail")

    service.on_binding = bug
    with caplog.at_level(logging.INFO):
        response = call(service, "/v1/bindings/2001:db8:1::a")
    body = problem(response, 500)
    assert "secret" not in response.text and "Traceback" not in response.text
    (record,) = caplog.records
    assert record.exc_info is not None
    assert body["request_id"] in record.getMessage()


def test_the_callers_mistakes_are_not_logged(service: FakeService, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for path in ("/nothing", "/v1/bindings?x=1", "/v1/bindings/x"):
            call(service, path)
    assert caplog.records == []
