"""Bindings that a switch kept over a restart of the program, and what the shell asks to bring a switch up to date."""

from __future__ import annotations

from mip6core.addresses import Prefix
from mip6core.fsm import State
from mip6core.home_agent import HomePrefix
from tests.unit.engine import wire
from tests.unit.engine.shell import COA1, COA2, HOA, HOA_LINK_LOCAL, HOST, HOST_MAC, Shell, home_link, of_kind, only
from tests.unit.engine.wire import A, H, L, address

HOA2 = address("2001:db8:1:1::99")


def adopt(
    shell: Shell, home_address: bytes = HOA, *, sequence: int = 15, flags: int = A | H, remaining: float = 100.0
) -> bool:
    """What the shell does for flows that it finds in a switch."""
    taken = shell.ha.adopt(shell.link, home_address, COA1, sequence, flags, remaining, shell.now)
    if taken:
        entry = shell.ha.bindings.get(home_address)
        assert entry is not None
        shell.flows[home_address] = (COA1, entry.link_local)
    shell.check()
    return taken


def test_an_adopted_binding_is_as_it_was() -> None:
    shell = Shell()
    assert adopt(shell, flags=A | H | L, remaining=101.0)
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.state is State.BOUND
    assert (entry.care_of_address, entry.sequence, entry.flags) == (COA1, 15, A | H | L)
    assert (entry.lifetime, entry.expires_at) == (104, shell.now + 101.0)
    assert len(shell.receive(wire.neighbor_solicitation(HOST, HOA), HOST_MAC)) == 1
    assert len(shell.receive(wire.neighbor_solicitation(HOST, HOA_LINK_LOCAL), HOST_MAC)) == 1
    assert shell.advance(100.9) == [] and shell.flows
    shell.advance(0.1)
    assert shell.flows == {} and len(shell.ha.bindings) == 0


def test_it_is_refreshed_and_moved_like_any_other() -> None:
    """No Duplicate Address Detection: the home agent has a binding for the address (10.3.1)."""
    shell = Shell()
    adopt(shell)
    assert only(shell.update(COA2, 15)).packet.status == 135
    assert only(shell.update(COA2, 16)).packet.status == 0
    assert shell.flows == {HOA: (COA2, False)}
    assert only(shell.update(COA2, 17, lifetime=0)).packet.status == 0


def test_what_the_engine_knows_better_is_not_adopted() -> None:
    shell = Shell()
    shell.bind(COA2, 20)
    assert not adopt(shell)
    assert shell.flows == {HOA: (COA2, False)}
    shell.update(COA2, 21, lifetime=0)
    assert not adopt(shell)


def test_nor_what_is_over_or_of_another_prefix() -> None:
    shell = Shell()
    assert not adopt(shell, remaining=0.0)
    assert not adopt(shell, HOA2)
    assert len(shell.ha.bindings) == 0


def test_on_a_virtual_link() -> None:
    shell = Shell(home_link(virtual=True))
    assert adopt(shell, flags=A | H | L)
    assert only(shell.update(COA2, 16, flags=A | H | L)).packet.status == 0


def test_while_another_home_address_tests_the_same_link_local_address() -> None:
    prefixes = tuple(HomePrefix(Prefix.parse(text)) for text in ("2001:db8:1::/64", "2001:db8:1:1::/64"))
    shell = Shell(home_link(prefixes=prefixes))
    shell.bind(COA1, 1, home_address=HOA2)
    shell.update(COA1, 2, home_address=HOA2, flags=A | H | L)
    shell.advance(0.5)
    assert adopt(shell, flags=A | H | L)
    assert only(of_kind(shell.advance(0.5), "BA")).packet.status == 0
    assert shell.flows == {HOA: (COA1, True), HOA2: (COA1, False)}


def test_addresses_under_test_can_be_asked_for() -> None:
    """A switch that comes back has to watch them again."""
    other = home_link(name="other", address=address("2001:db8:2::2"), prefixes=())
    shell = Shell(home_link(), other)
    shell.update(flags=A | H | L)
    assert shell.ha.watched(shell.link) == [HOA, HOA_LINK_LOCAL]
    assert shell.ha.watched(other) == []
    shell.advance(1.0)
    assert shell.ha.watched(shell.link) == []
