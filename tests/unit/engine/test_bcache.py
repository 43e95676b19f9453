"""The Binding Cache as a table: what is added can be found, and what is removed leaves nothing behind."""

from __future__ import annotations

import pytest

from mip6core.bcache import BindingCache, BindingCacheEntry
from mip6core.fsm import State
from mip6core.registration import Registration
from mip6core.timers import TimerQueue
from tests.unit.engine.shell import COA1, HOA, HOA_LINK_LOCAL, home_link
from tests.unit.engine.wire import A, H, address

LINK = home_link()
HOA2 = address("2001:db8:1:1::99")


def entry(home_address: bytes = HOA) -> BindingCacheEntry:
    return BindingCacheEntry(Registration(LINK, home_address, COA1, 15, A | H, 105, COA1, None))


def test_one_entry_for_a_home_address() -> None:
    cache = BindingCache(TimerQueue())
    one = entry()
    cache.add(one)
    assert cache.get(HOA) is one and cache.get(HOA2) is None
    assert list(cache) == [one] and len(cache) == cache.count(LINK) == 1
    with pytest.raises(AssertionError):
        cache.add(entry())


def test_only_an_entry_in_a_bound_state_is_a_binding() -> None:
    cache = BindingCache(TimerQueue())
    one = entry()
    cache.add(one)
    for state in State:
        one.set_state(state)
        assert one.bound == (cache.get_bound(HOA) is one) == (state in (State.BOUND, State.BOUND_DAD, State.STATIC))


def test_removing_takes_the_timer_along() -> None:
    timers = TimerQueue()
    cache = BindingCache(timers)
    for mark in (False, True):
        one = entry()
        cache.add(one)
        cache.set_expiry(one, 100.0)
        if mark:
            cache.mark_deleted(one, 110.0)
            assert cache.oldest_deleted() is cache.oldest_deleted(LINK) is one
        cache.remove(one)
        assert len(cache) == cache.count(LINK) == len(timers) == 0
        assert cache.oldest_deleted() is None


def test_an_entry_that_serves_again_has_no_timer_and_is_not_up_for_removal() -> None:
    timers = TimerQueue()
    cache = BindingCache(timers)
    one = entry()
    cache.add(one)
    cache.mark_deleted(one, 110.0)
    cache.unmark_deleted(one)
    assert cache.oldest_deleted() is None and timers.next() is None


def test_a_link_local_address_belongs_to_its_first_holder() -> None:
    cache = BindingCache(TimerQueue())
    first, second, third = entry(), entry(HOA2), entry(address("2001:db8:1:2::99"))
    for one in (first, second, third):
        cache.hold_link_local(one)
    assert [one.link_local for one in (first, second, third)] == [True, False, False]
    assert cache.link_local_holders(LINK, HOA_LINK_LOCAL) == [first, second, third]
    assert cache.drop_link_local(second) is None
    assert cache.drop_link_local(first) is third and third.link_local
    assert cache.drop_link_local(third) is None
    assert cache.link_local_holders(LINK, HOA_LINK_LOCAL) == []
