"""Static bindings: the operator's, not the mobile node's."""

from __future__ import annotations

import math

import pytest

from mip6core.access import AccessList
from mip6core.fsm import State
from mip6core.home_agent import Limits
from tests.unit.engine import wire
from tests.unit.engine.shell import COA1, COA2, HA, HOA, Sent, Shell, home_link, of_kind, only
from tests.unit.engine.wire import A, H, L, address

NOBODY = AccessList(())


def put(
    shell: Shell, care_of_address: bytes = COA1, lifetime: float = math.inf, home_address: bytes = HOA
) -> list[Sent]:
    return shell.carry_out(shell.ha.put(shell.link, home_address, care_of_address, lifetime, shell.now))


def status(sent: list[Sent]) -> int:
    return only(of_kind(sent, "BA")).packet.status


def test_it_is_bound_at_once_and_for_ever() -> None:
    shell = Shell()
    announced = put(shell)
    assert of_kind(announced, "NA") and not of_kind(announced, "BA")
    shell.advance(10**7)
    assert shell.flows == {HOA: (COA1, False)}
    assert shell.events[0].kind == "registered"
    shell.clear()
    assert shell.flows == {} and len(shell.ha.bindings) == 0


def test_one_with_a_lifetime_ends() -> None:
    shell = Shell()
    put(shell, lifetime=60)
    shell.advance(59)
    assert shell.flows
    shell.advance(2)
    assert shell.flows == {} and shell.events[-1].kind == "expired"


@pytest.mark.parametrize("fields", [{}, {"lifetime": 0}, {"flags": A | H | L}, {"sequence": 0}, {"flags": A}])
def test_binding_updates_are_refused(fields: dict[str, int]) -> None:
    shell = Shell()
    put(shell)
    assert status(shell.update(COA2, **fields)) == 129
    assert shell.flows == {HOA: (COA1, False)}
    shell.clear()
    assert shell.bind(COA2).status == 0


def test_it_takes_the_place_of_what_is_registered_or_under_test() -> None:
    shell = Shell()
    shell.bind(COA1, flags=A | H | L)
    put(shell, COA2)
    assert shell.flows == {HOA: (COA2, False)}
    assert shell.events[-1].kind == "moved"
    shell = Shell()
    shell.update(COA1)
    put(shell, COA2)
    assert not shell.watched
    shell.advance(10)
    assert shell.flows == {HOA: (COA2, False)}


def test_it_is_put_again() -> None:
    shell = Shell()
    put(shell, COA1)
    put(shell, COA2, 60)
    assert shell.flows == {HOA: (COA2, False)}
    put(shell, COA2)
    shell.advance(1000)
    assert shell.flows == {HOA: (COA2, False)}


def test_rules_and_limits_are_for_mobile_nodes() -> None:
    shell = Shell(access=NOBODY)
    put(shell)
    shell.carry_out(shell.ha.set_rules(Limits(), NOBODY, (), shell.now))
    assert shell.flows


def test_it_ends_with_its_prefix() -> None:
    shell = Shell()
    put(shell)
    shell.set_prefixes()
    assert shell.flows == {}


def test_a_switch_that_refuses_it() -> None:
    shell = Shell()
    put(shell)
    assert not of_kind(shell.fail_installation(), "BA")
    assert shell.flows == {}


@pytest.mark.parametrize(
    ("home_address", "care_of_address", "said"),
    [
        (address("2001:db8:9::1"), COA1, "in no prefix"),
        (HA, COA1, "router or home agent"),
        (address("2001:db8:1::"), COA1, "router or home agent"),
        (HOA, HA, "come back"),
        (HOA, HOA, "come back"),
        (HOA, address("2001:db8:1::55"), "come back"),
        (HOA, address("fe80::1"), "routable"),
        (HOA, address("ff02::1"), "routable"),
    ],
)
def test_what_cannot_be(home_address: bytes, care_of_address: bytes, said: str) -> None:
    shell = Shell()
    with pytest.raises(ValueError, match=said):
        shell.ha.put(shell.link, home_address, care_of_address, math.inf, shell.now)
    assert len(shell.ha.bindings) == 0


def test_there_must_be_room() -> None:
    shell = Shell(limits=Limits(max_bindings=1))
    put(shell)
    with pytest.raises(ValueError, match="limits"):
        shell.ha.put(shell.link, address("2001:db8:1::77"), COA1, math.inf, shell.now)
    put(shell, COA2)


def test_it_is_adopted_as_what_it_is() -> None:
    shell = Shell(home_link(virtual=True))
    arguments = (shell.link, HOA, COA1, 0, wire.H, math.inf, shell.now)
    assert shell.ha.adopt(*arguments, static=True)
    shell.flows[HOA] = (COA1, False)
    (entry,) = shell.ha.bindings
    assert (entry.state, entry.expires_at) == (State.STATIC, math.inf)
    assert status(shell.update(COA2)) == 129
    assert not shell.ha.adopt(*arguments, static=True)
    assert not shell.ha.adopt(shell.link, address("2001:db8:9::1"), COA1, 0, 0, math.inf, shell.now, static=True)
