"""What home bindings have carried: when the switch is asked, and what its answers tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from itertools import count

import pytest

from ryu_apps import cookies, home_pipeline
from ryu_apps.binding_counters import BindingCounters
from ryu_apps.cookies import Category
from ryu_apps.flowspec import FlowSpec
from ryu_apps.pipeline import Table
from tests.unit.ryu_apps.flow_answers import answer

HOME, CARE_OF, NEW_CARE_OF = "2001:db8:1::100", "2001:db8:f1::100", "2001:db8:f2::100"


def packed(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


def flows(care_of_address: str = CARE_OF, home_address: str = HOME) -> tuple[FlowSpec, FlowSpec]:
    item = cookies.binding_item(7, 0)
    named = (home_address, care_of_address)
    return (
        home_pipeline.tunnel_flow(*named, cookies.cookie(Category.TUNNEL, 3, item), 400),
        home_pipeline.reverse_tunnel_flow(*named, cookies.cookie(Category.REVERSE_TUNNEL, 3, item), 400),
    )


@pytest.fixture
def where() -> dict[bytes, bytes]:
    """Care-of addresses by home address."""
    return {packed(HOME): packed(CARE_OF)}


@pytest.fixture
def counters(where: dict[bytes, bytes]) -> BindingCounters:
    return BindingCounters(where.get)


@pytest.fixture
def next_xid() -> Callable[[], int]:
    return count(1).__next__


def test_counts_of_one_binding(counters: BindingCounters, next_xid: Callable[[], int]) -> None:
    assert counters.of(packed(HOME)) is None
    asked = counters.ask_one(packed(HOME), next_xid, 100.0)
    assert asked is not None
    out, way_in = flows()
    assert counters.add(1, answer(1, (out, 5)), 100.1)
    assert not asked.answered.is_set()
    assert counters.add(2, answer(2, (way_in, 7)), 100.2)
    assert asked.answered.is_set()
    found = counters.of(packed(HOME))
    assert found is not None
    assert (found.packets_out, found.bytes_out, found.packets_in, found.bytes_in) == (5, 500, 7, 700)
    assert found.counted_at == 100.2
    assert not counters.add(2, answer(2, (way_in, 9)), 101.0)  # it was answered


def test_the_questions_go_to_the_tables_of_the_two_ways(counters: BindingCounters, next_xid: Callable[[], int]) -> None:
    one, everything = counters.ask_one(packed(HOME), next_xid, 1.0), counters.ask_all(1, next_xid, 1.0)
    assert one is not None and everything is not None
    for asked, named in ((one, True), (everything, False)):
        assert [message[16] for message in asked.messages] == [Table.BINDINGS, Table.REVERSE_TUNNEL]
        assert all((packed(HOME) in message) == named for message in asked.messages)


def test_a_move_begins_anew(counters: BindingCounters, where: dict[bytes, bytes], next_xid: Callable[[], int]) -> None:
    counters.ask_one(packed(HOME), next_xid, 100.0)
    for xid, flow in zip((1, 2), flows(), strict=True):
        counters.add(xid, answer(xid, (flow, 5)), 100.0)
    where[packed(HOME)] = packed(NEW_CARE_OF)
    assert counters.of(packed(HOME)) is None  # nothing is known about where it is now
    counters.ask_one(packed(HOME), next_xid, 101.0)
    counters.add(3, answer(3, (flows(NEW_CARE_OF)[0], 2)), 101.0)
    counters.add(4, answer(4, (flows()[1], 5)), 101.0)  # still that of the old care-of address: too late
    found = counters.of(packed(HOME))
    assert found is not None
    assert (found.packets_out, found.packets_in) == (2, None)


def test_who_has_no_binding_takes_no_room(counters: BindingCounters, next_xid: Callable[[], int]) -> None:
    stranger = "2001:db8:1::dead"
    counters.ask_all(1, next_xid, 100.0)
    counters.add(1, answer(1, *((flow, 5) for flow in flows(home_address=stranger))), 100.0)
    assert counters.of(packed(stranger)) is None
    assert packed(stranger) not in counters._counts
    counters.add(1, answer(1, (flows()[0], 5)), 100.0)
    counters.forget(packed(HOME))
    assert packed(HOME) not in counters._counts


def test_however_many_ask_the_switch_is_asked_once(counters: BindingCounters, next_xid: Callable[[], int]) -> None:
    first = counters.ask_all(10, next_xid, 100.0)
    assert first is not None and len(first.messages) == 2
    second = counters.ask_all(10, next_xid, 100.5)
    assert second is not None and second.messages == () and second.answered is first.answered
    assert counters.add(1, answer(1, more=True), 101.0)
    assert counters.add(1, answer(1), 101.0)
    assert counters.add(2, answer(2), 101.0)
    assert first.answered.is_set()
    assert counters.ask_all(10, next_xid, 104.9) is None  # it has just been asked
    third = counters.ask_all(10, next_xid, 105.0)
    assert third is not None and len(third.messages) == 2


@pytest.mark.parametrize(("bindings", "interval"), [(1, 5.0), (10_000, 10.0), (100_000, 100.0)])
def test_pace(counters: BindingCounters, next_xid: Callable[[], int], bindings: int, interval: float) -> None:
    assert counters.ask_all(0, next_xid, 99.0) is None
    assert counters.ask_all(bindings, next_xid, 100.0) is not None
    for xid in (1, 2):
        counters.add(xid, answer(xid), 100.0)
    assert counters.ask_all(bindings, next_xid, 100.0 + interval - 0.1) is None
    assert counters.ask_all(bindings, next_xid, 100.0 + interval) is not None


def test_questions_about_single_bindings_are_limited(counters: BindingCounters, next_xid: Callable[[], int]) -> None:
    """Nobody answers here; what is waited for in vain is forgotten."""
    asked = [counters.ask_one(packed(HOME), next_xid, 100.0 + second) for second in range(60) for _ in range(100)]
    assert 60 * 20 <= len([one for one in asked if one is not None]) <= 61 * 20 + 40
    assert len(counters._questions) <= 2 * (20 * 11 + 40)
    assert asked[0] is not None and asked[0].answered.is_set()  # whoever waits gets no answer, but goes on


def test_an_answer_that_never_comes_is_not_waited_for_for_ever(
    counters: BindingCounters, next_xid: Callable[[], int]
) -> None:
    first = counters.ask_all(1, next_xid, 100.0)
    assert first is not None
    second = counters.ask_all(1, next_xid, 110.0)
    assert second is not None and second.messages and second.answered is not first.answered
    assert first.answered.is_set()
