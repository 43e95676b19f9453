"""How long a binding lasts (RFC 6275 sections 6.2.4, 9.6, 10.3.1)."""

from __future__ import annotations

import math
from random import Random

import pytest

from mip6core.actions import InstallBinding, SendDatagram
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from mip6core.fsm import State
from mip6core.home_agent import HomePrefix
from tests.unit.engine import wire
from tests.unit.engine.shell import (
    COA1,
    COA2,
    HA,
    HOA,
    HOST,
    HOST_MAC,
    ROUTER_MAC,
    Shell,
    home_link,
    of_kind,
    only,
)
from tests.unit.engine.wire import A, H, L, neighbor_solicitation

PREFIX = Prefix.parse("2001:db8:1::/64")


def shell_with(valid: float = math.inf, preferred: float = math.inf, since: float | None = None) -> Shell:
    return Shell(home_link(prefixes=(HomePrefix(PREFIX, valid, preferred, since),)))


@pytest.mark.parametrize(("asked", "granted"), [(1, 1), (150, 150), (151, 150), (65535, 150)])
def test_it_is_limited_by_the_configured_maximum(asked: int, granted: int) -> None:
    shell = Shell(home_link(max_lifetime=603))  # 150 units and 3 seconds
    assert shell.bind(lifetime=asked).lifetime == granted
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.lifetime == granted * 4


@pytest.mark.parametrize(
    ("valid", "preferred", "asked", "granted", "status"),
    [
        pytest.param(math.inf, math.inf, 105, 105, 0, id="for ever"),
        pytest.param(427, math.inf, 105, 105, 0, id="106 units: valid beyond the end"),
        pytest.param(423, math.inf, 105, 105, 1, id="105 units: invalid at the end"),
        pytest.param(419, math.inf, 105, 104, 1, id="104 units: shortened"),
        pytest.param(7, 7, 105, 1, 1, id="one unit"),
        pytest.param(math.inf, 423, 105, 105, 0, id="105 units: preferred until the end"),
        pytest.param(math.inf, 419, 105, 105, 1, id="deprecated during the lifetime"),
        pytest.param(math.inf, 0, 105, 105, 1, id="deprecated"),
        pytest.param(1000, 0, 105, 105, 1, id="the preferred lifetime shortens nothing"),
    ],
)
def test_prefix_lifetimes_in_units_of_four_seconds(
    valid: float, preferred: float, asked: int, granted: int, status: int
) -> None:
    """10.3.1: the two low bits of the seconds are ignored."""
    ba = shell_with(valid, preferred).bind(lifetime=asked)
    assert (ba.lifetime, ba.status) == (granted, status)


@pytest.mark.parametrize("valid", [0, 3])
def test_a_prefix_with_no_whole_unit_left_is_not_on_link(valid: int) -> None:
    """An acceptance with lifetime 0 would be read as a deletion."""
    assert only(shell_with(valid).update()).packet.status == 132


def test_prefix_lifetimes_that_run_down() -> None:
    shell = shell_with(valid=1000, preferred=500, since=900.0)  # 900 and 400 left now
    assert shell.bind(COA1, 15, lifetime=100).status == 0
    ba = only(shell.update(COA1, 16, lifetime=1000)).packet
    assert (ba.lifetime, ba.status) == (224, 1)  # 899 seconds
    shell.advance(899.0)
    assert shell.ha.bindings.get(HOA) is None  # gone before its prefix
    assert only(shell.update(COA1, 1)).packet.status == 132


@pytest.mark.parametrize(
    ("interval", "lifetime", "advice"),
    [(None, 105, None), (200, 105, 50), (420, 105, None), (416, 105, 104), (3, 105, None)],
)
def test_refresh_advice_is_strictly_smaller_than_the_lifetime_or_absent(
    interval: int | None, lifetime: int, advice: int | None
) -> None:
    """6.2.4, 10.3.1."""
    shell = Shell(home_link(refresh_interval=interval))
    assert shell.bind(lifetime=lifetime).refresh == advice
    assert only(shell.update(sequence=15)).packet.refresh is None  # 135
    assert only(shell.update(sequence=16, lifetime=0)).packet.refresh is None  # 10.3.2: MUST be omitted


def test_a_binding_ends_with_its_lifetime_and_the_flows_with_it() -> None:
    """9.6; proxy Neighbor Discovery stops too."""
    shell = Shell()
    shell.bind(lifetime=105)
    end = shell.now - 1.0 + 420
    shell.advance(end - shell.now - 0.001)
    assert shell.flows == {HOA: (COA1, False)}
    assert of_kind(shell.receive(neighbor_solicitation(HOST, HOA), HOST_MAC), "NA")
    assert shell.advance(0.001) == []
    assert shell.flows == {} and len(shell.ha.bindings) == 0
    assert shell.receive(neighbor_solicitation(HOST, HOA), HOST_MAC) == []
    assert shell.ha.next_timer() is None
    assert [event.kind for event in shell.events] == ["registered", "expired"]


def test_an_expired_entry_forgets_its_sequence_number() -> None:
    """9.5.1: without an entry any number must be accepted."""
    shell = Shell()
    shell.bind(COA1, 15, lifetime=1)
    shell.advance(4.0)
    assert shell.bind(COA1, 3).status == 0


def test_a_packet_finds_an_overdue_binding_expired_even_before_the_tick() -> None:
    shell = Shell()
    shell.bind(COA1, 15, lifetime=10)
    shell.advance(5.0)
    shell.now += 1000.0
    sent = shell.update(COA2, 3)  # an old number, from which only expiry protects
    assert [one.packet.kind for one in sent] == ["NS"]
    assert shell.flows == {}


def test_refreshes_move_the_end_both_ways() -> None:
    shell = Shell()
    shell.bind(COA1, 15, lifetime=100)
    shell.advance(300.0)
    shell.update(COA1, 16, lifetime=100)
    shell.advance(200.0)
    assert shell.flows
    shell.update(COA1, 17, lifetime=2)
    shell.advance(7.999)
    assert shell.flows
    shell.advance(0.001)
    assert not shell.flows


def test_after_a_long_stop_everything_overdue_happens_in_the_order_of_time() -> None:
    shell = Shell()
    shell.bind(COA1, 15, lifetime=10)
    shell.update(COA1, 1, home_address=HOA[:15] + b"\x98", lifetime=1)
    sent = shell.jump(3600.0)
    # Its Duplicate Address Detection passed long ago, and the lifetime has run out since.
    assert [one.packet.kind for one in sent].count("BA") == 1
    assert shell.flows == {} and len(shell.ha.bindings) == 0
    assert [event.kind for event in shell.events] == ["registered", "registered", "expired", "expired"]


def test_a_clock_that_stands_still_or_steps_back_does_no_harm() -> None:
    shell = Shell()
    shell.bind(COA1, 15, lifetime=105)
    earlier = shell.now - 500.0
    assert shell.ha.tick(earlier) == []
    packet = ipv6.parse(wire.binding_update(HA, HOA, COA2, 16))
    refresh, acknowledgement = shell.ha.receive(shell.link, packet, ROUTER_MAC, earlier)
    assert isinstance(refresh, InstallBinding) and isinstance(acknowledgement, SendDatagram)
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.expires_at == earlier + 420


class TestRenumbering:
    """10.3.1: the home agent MUST remove a binding when its prefix's valid lifetime expires."""

    OTHER = Prefix.parse("2001:db8:5::/64")

    def test_bindings_go_with_their_prefix(self) -> None:
        shell = Shell(home_link(prefixes=(HomePrefix(PREFIX), HomePrefix(self.OTHER))), rng=Random(1).randbytes)
        shell.bind(COA1, 15)
        kept = self.OTHER.network[:15] + b"\x99"
        shell.bind(COA1, 15, home_address=kept)
        shell.set_prefixes(HomePrefix(self.OTHER))
        assert shell.flows == {kept: (COA1, False)}
        assert only(shell.update(COA1, 16)).packet.status == 132

    @pytest.mark.parametrize("state", [State.DAD, State.BOUND_DAD, State.DELETED])
    def test_in_every_other_state_too(self, state: State) -> None:
        shell = Shell()
        if state is State.DAD:
            shell.update(COA1, 15)
        else:
            shell.bind(COA1, 15)
            more = {"flags": A | H | L} if state is State.BOUND_DAD else {"lifetime": 0}
            shell.update(COA1, 16, **more)  # type: ignore[arg-type]
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.state is state
        shell.set_prefixes(HomePrefix(self.OTHER))
        assert len(shell.ha.bindings) == 0 and shell.flows == {}

    def test_a_shorter_lifetime_shortens_bindings_and_what_waits(self) -> None:
        shell = Shell(rng=Random(1).randbytes)
        shell.bind(COA1, 15, lifetime=1000)
        shell.update(COA2, 16, lifetime=1000, flags=A | H | L)  # waits for the link-local address
        shell.set_prefixes(HomePrefix(PREFIX, valid_lifetime=100.0, since=shell.now))
        end = shell.now + 100.0
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.expires_at == end
        shell.advance(1.0)
        assert shell.flows == {HOA: (COA2, True)} and entry.expires_at == end
        shell.advance(99.0)
        assert shell.flows == {}

    def test_a_prefix_of_another_link_is_refused(self) -> None:
        other = home_link(name="other", prefixes=(HomePrefix(self.OTHER),))
        shell = Shell(home_link(), other)
        with pytest.raises(ValueError, match="overlaps"):
            shell.set_prefixes(HomePrefix(self.OTHER))
        assert shell.link.prefixes == (HomePrefix(PREFIX),)


def test_a_maximum_below_one_unit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_lifetime"):
        home_link(max_lifetime=3)
