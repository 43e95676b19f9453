"""What optimised routes have carried, as answers of the switch tell it."""

import ipaddress

import pytest

from ryu_apps import cookies, correspondent_pipeline, flow_dump
from ryu_apps.cookies import Category
from ryu_apps.flow_dump import FlowDump, FoundRoute
from ryu_apps.flowspec import FlowSpec
from ryu_apps.route_counters import RouteCounters, RouteCounts
from tests.unit.ryu_apps.flow_answers import answer

HOST, HOME, CARE_OF, NEW_CARE_OF = "2001:db8:c::1", "2001:db8:1::100", "2001:db8:f1::100", "2001:db8:f2::100"
KEY = (ipaddress.IPv6Address(HOST).packed, ipaddress.IPv6Address(HOME).packed)


def flows(care_of_address: str = CARE_OF, sequence: int = 7) -> tuple[FlowSpec, FlowSpec]:
    item = cookies.binding_item(sequence, 0)
    named = (HOST, HOME, care_of_address)
    return (
        correspondent_pipeline.route_out_flow(*named, cookies.cookie(Category.ROUTE_OUT, 3, item), 400),
        correspondent_pipeline.route_in_flow(*named, cookies.cookie(Category.ROUTE_IN, 3, item), 400),
    )


def asked(counters: RouteCounters, now: float) -> tuple[int, int]:
    xids = (int(now) + 1, int(now) + 2)
    assert counters.due(1, now)
    assert len(list(counters.requests(xids, now))) == 2
    return xids


def test_what_has_been_counted() -> None:
    counters = RouteCounters(lambda key: key == KEY)
    out, way_in = flows()
    first, second = asked(counters, 100.0)
    assert counters.add(first, answer(first, (out, 5))) == {KEY}
    assert counters.add(second, answer(second, (way_in, 7))) == {KEY}
    assert counters.of(KEY) == RouteCounts(5, 500, 7, 700)
    first, second = asked(counters, 200.0)
    assert counters.add(first, answer(first, (out, 5))) == set()  # not used since
    _, moved = flows(NEW_CARE_OF)
    assert counters.add(second, answer(second, (moved, 2))) == {KEY}
    assert counters.of(KEY) == RouteCounts(5, 500, 9, 900)
    first, second = asked(counters, 300.0)
    assert counters.add(first, answer(first, (out, 1))) == {KEY}  # made anew: it has begun at 0
    assert counters.of(KEY).packets_out == 6
    counters.forget(KEY)
    assert counters.of(KEY) == RouteCounts()


def test_an_answer_in_parts_and_answers_of_others() -> None:
    counters = RouteCounters(lambda key: True)
    first, second = asked(counters, 100.0)
    out, way_in = flows()
    assert counters.add(999, answer(999, (out, 5))) is None
    assert counters.add(first, answer(first, (out, 5), more=True)) == {KEY}
    assert counters.add(first, answer(first)) == set()
    assert counters.add(first, answer(first)) is None  # it was whole
    assert not counters.due(1, 110.0)  # the other one is still to come
    assert counters.add(second, answer(second, (way_in, 1))) == {KEY}
    assert counters.due(1, 110.0)


def test_bindings_that_are_gone_take_no_room() -> None:
    counters = RouteCounters(lambda key: False)
    first, _ = asked(counters, 100.0)
    assert counters.add(first, answer(first, (flows()[0], 5))) == set()
    assert counters.of(KEY) == RouteCounts()


@pytest.mark.parametrize(("bindings", "interval"), [(1, 5.0), (20_000, 10.0), (1_000_000, 50.0)])
def test_pace(bindings: int, interval: float) -> None:
    counters = RouteCounters(lambda key: True)
    assert not counters.due(0, 100.0)
    assert counters.due(bindings, 100.0)
    assert not counters.due(bindings, 100.0 + interval - 0.1)
    assert counters.due(bindings, 100.0 + interval)


def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    counters = RouteCounters(lambda key: True)
    asked(counters, 100.0)
    assert not counters.due(1, 150.0)
    assert counters.due(1, 160.0)


def test_routes_are_found_in_a_dump() -> None:
    """After a restart: addresses in the flows, sequence number in the cookie, the time left in the timeout."""
    dump = FlowDump()
    assert dump.add(answer(1, *((flow, 0) for flow in flows(sequence=513))))
    host, home, care_of = (ipaddress.IPv6Address(text).packed for text in (HOST, HOME, CARE_OF))
    assert dump.routes == [FoundRoute(host, home, care_of, 513, 390)]
    assert dump.generations == {3} and dump.bindings == {}


def test_cut_answers() -> None:
    whole = answer(1, *((flow, 1) for flow in flows()))
    for length in range(16, len(whole)):
        list(flow_dump.entries(whole[:length]))
        FlowDump().add(whole[:length])
