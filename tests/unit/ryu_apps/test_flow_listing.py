"""Which flows a switch is asked for, how often, and how its answers are shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from ryu_apps import cookies, flow_listing, home_pipeline, pipeline
from ryu_apps.cookies import Category
from ryu_apps.flow_listing import Answer, FlowListing, Question, question
from ryu_apps.flowspec import FlowSpec
from ryu_apps.pipeline import BridgeLayout, Table
from tests.unit.ryu_apps.flow_answers import answer

HOME, CARE_OF = "2001:db8:1::100", "2001:db8:f1::100"
EVERYTHING = Question(None, None, None)


def tunnel(home_address: str = HOME) -> FlowSpec:
    value = cookies.cookie(Category.TUNNEL, 3, cookies.binding_item(7, 0))
    return home_pipeline.tunnel_flow(home_address, CARE_OF, value, 400)


def many(number: int) -> Iterator[tuple[FlowSpec, int]]:
    return ((tunnel(f"2001:db8:1::{one:x}"), 0) for one in range(number))


@pytest.fixture
def listing() -> FlowListing:
    return FlowListing("br-home", 0xA1)


@pytest.fixture
def next_xid() -> Callable[[], int]:
    return count(1).__next__


def ask(listing: FlowListing, wanted: Question, next_xid: Callable[[], int], now: float) -> tuple[Answer, list[bytes]]:
    asked = listing.ask(wanted, next_xid, now)
    assert asked is not None
    return asked


def test_a_flow_in_words(listing: FlowListing, next_xid: Callable[[], int]) -> None:
    found, _ = ask(listing, EVERYTHING, next_xid, 0.0)
    assert listing.add(1, answer(1, (tunnel(), 5)))
    assert found.complete.is_set()
    ((key, flow),) = found.flows.items()
    assert len(key) == flow_listing.KEY_LENGTH and key.startswith(bytes(7) + b"\xa1\x14")
    view = listing.view(flow)
    assert (view.bridge, view.table, view.category, view.generation) == ("br-home", "20 bindings", "tunnel", 3)
    assert view.match == f"ipv6,ipv6_dst={HOME}"
    assert view.actions == f"set_field:{CARE_OF}->tun_ipv6_dst,goto 30 encapsulate"
    assert (view.packets, view.bytes, view.sequence, view.punt) == (5, 500, 7, None)
    assert view.remaining_lifetime == 390
    assert "tunnel" in view.meaning


def test_every_flow_of_a_bridge_can_be_shown(listing: FlowListing, next_xid: Callable[[], int]) -> None:
    layout = BridgeLayout("2001:db8:1::2", "02:00:00:00:00:02", ("2001:db8:1::/64",), 11, (2, 3), None, 1400)
    flows = pipeline.static_flows(layout, 1)
    found, _ = ask(listing, EVERYTHING, next_xid, 0.0)
    listing.add(1, answer(1, *((flow, 0) for flow in flows)))
    views = [listing.view(flow) for flow in found.flows.values()]
    assert len(views) == len(flows)
    assert not [view for view in views if "Action" in view.actions or "field_" in view.match + view.actions]
    assert "check_pkt_larger(1414)->reg0[0],goto 31 tunnel_output" in {view.actions for view in views}


def test_flows_of_another_version_are_shown_as_they_are(listing: FlowListing, next_xid: Callable[[], int]) -> None:
    found, _ = ask(listing, EVERYTHING, next_xid, 0.0)
    for number, category in enumerate((200, Category.PUNT, Category.PIPELINE)):
        value = cookies.APP_TAG << 48 | category << 40 | 99
        listing.add(1, answer(1, (FlowSpec(70, number, (), cookie=value), 0), more=True))
    views = {view.priority: view for view in map(listing.view, found.flows.values())}
    assert [views[number].category for number in range(3)] == ["unknown 200", "punt", "pipeline"]
    assert views[1].punt == "unknown 99" and views[2].table == "70"
    assert all(view.meaning and view.actions == "drop" for view in views.values())


def test_questions_are_narrow(next_xid: Callable[[], int]) -> None:
    home = ipaddress.IPv6Address(HOME).packed
    (one,) = Question(Table.BINDINGS, Category.TUNNEL, None).requests(next_xid)
    assert one[1][16] == Table.BINDINGS
    assert (Category.TUNNEL.to_bytes(1, "big")) == one[1][34:35]  # in the cookie
    several = list(Question(None, None, home).requests(next_xid))
    assert len(several) == 4 and all(home in message for _, message in several)


def test_names(next_xid: Callable[[], int]) -> None:
    assert question("20", "tunnel", None) == question("bindings", "tunnel", None)
    for names in (("99", None), (None, "nothing")):
        with pytest.raises(ValueError, match="one of"):
            question(*names, None)


def test_the_next_pages_come_from_the_same_answer(listing: FlowListing, next_xid: Callable[[], int]) -> None:
    first, messages = ask(listing, EVERYTHING, next_xid, 0.0)
    assert len(messages) == 1
    assert ask(listing, EVERYTHING, next_xid, 1.0) == (first, [])  # not whole yet
    listing.add(1, answer(1, (tunnel(), 5)))
    for now in (5.0, 14.0, 23.0):
        assert ask(listing, EVERYTHING, next_xid, now) == (first, [])
    again, messages = ask(listing, EVERYTHING, next_xid, 34.0)
    assert messages and again is not first


def test_one_question_after_another(listing: FlowListing, next_xid: Callable[[], int]) -> None:
    ask(listing, EVERYTHING, next_xid, 0.0)
    other = question("bindings", None, None)
    assert listing.ask(other, next_xid, 1.0) is None
    listing.add(1, answer(1))
    ask(listing, other, next_xid, 1.0)
    assert listing.ask(EVERYTHING, next_xid, 10.9) is None
    ask(listing, EVERYTHING, next_xid, 11.0)  # that answer never came


def test_who_reads_too_many_flows_has_to_wait(
    listing: FlowListing, next_xid: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listing, "FLOWS_AT_ONCE", 100)
    monkeypatch.setattr(flow_listing, "FLOWS_PER_SECOND", 10)
    listing = FlowListing("br-home", 0xA1)
    questions = [EVERYTHING, question("bindings", None, None)]
    ask(listing, questions[0], next_xid, 0.0)
    listing.add(1, answer(1, *many(150)))
    assert listing.ask(questions[1], next_xid, 4.9) is None
    ask(listing, questions[1], next_xid, 5.1)


def test_an_answer_is_bounded_and_forgotten(
    listing: FlowListing, next_xid: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listing, "MAX_FLOWS", 10)
    found, _ = ask(listing, EVERYTHING, next_xid, 0.0)
    listing.add(1, answer(1, *many(15)))
    assert (len(found.flows), found.left_out) == (10, 5)
    listing.tick(9.9)
    assert ask(listing, EVERYTHING, next_xid, 9.9)[0] is found
    listing.tick(20.0)
    assert ask(listing, EVERYTHING, next_xid, 20.0)[0] is not found
