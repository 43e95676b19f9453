"""/v1/flows and `mip6ctl show flows`, on a fake application."""

from __future__ import annotations

import pytest

from rest.wsgi import make_app
from tests.unit.rest.fake_service import FakeService, packed
from tests.unit.rest.test_api import call, problem
from tests.unit.rest.test_cli import Ctl, served


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def test_every_field_in_the_form_of_the_api(service: FakeService) -> None:
    endless, punt, *_ = call(service, "/v1/flows").json["flows"]
    assert endless == {
        "bridge": "br-home",
        "table": "10 reverse_tunnel",
        "priority": 100,
        "category": "reverse_tunnel",
        "meaning": "out of its tunnel",
        "generation": 3,
        "match": "ipv6,ipv6_src=2001:db8:1::0",
        "actions": "goto 20 bindings",
        "packets": 0,
        "bytes": 0,
        "remaining_lifetime": None,
        "sequence": 7,
    }
    assert (punt["punt"], punt["remaining_lifetime"]) == ("signalling", 89)


def test_pages(service: FakeService) -> None:
    first = call(service, "/v1/flows?limit=20").json
    assert (len(first["flows"]), first["total"]) == (20, 25)
    rest = call(service, f"/v1/flows?limit=20&cursor={first['next_cursor']}").json
    assert [flow["packets"] for flow in rest["flows"]] == list(range(20, 25))
    assert rest["next_cursor"] is None


def test_filters_go_to_the_switch(service: FakeService) -> None:
    call(service, "/v1/flows?link=homenet&table=bindings&category=tunnel&home_address=2001:db8:1::a")
    assert service.flows_asked == ("homenet", "bindings", "tunnel", packed("2001:db8:1::a"))
    problem(call(service, "/v1/flows?home_address=2001:db8:1::/64"), 400)
    assert "classify" in problem(call(service, "/v1/flows?table=nowhere"), 400)["detail"]


def test_a_switch_that_was_asked_too_much(service: FakeService) -> None:
    service.switch_is_busy = True
    response = call(service, "/v1/flows")
    assert "many flows" in problem(response, 503)["detail"]
    assert response.headers["Retry-After"] == "5"


def test_command_line(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest.cli.flows.PAGE", 10)
    monkeypatch.setenv("PATH", "/nonexistent")  # no tool of Open vSwitch is here
    ctl = Ctl(capsys)
    with served(make_app(service)) as url:
        monkeypatch.setenv("MIP6CTL_SERVER", url)
        shown = ctl("show", "flows")
        assert "br-home: 25 flows" in shown and "out of its tunnel" in shown
        assert len(ctl.json("show", "flows")["flows"]) == 25
        ctl("show", "flows", "--link", "homenet", "--table", "10", "--category", "tunnel")
        assert service.flows_asked == ("homenet", "10", "tunnel", None)
        service.switch_is_busy = True
        assert "many flows" in ctl("show", "flows", status=1)
