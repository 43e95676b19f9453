"""De-registration (RFC 6275 section 10.3.2) and how bindings end from outside."""

from __future__ import annotations

import pytest

from mip6core.actions import ReleaseBinding, SendDatagram
from mip6core.fsm import State
from tests.unit.engine.shell import (
    COA1,
    COA2,
    HOA,
    MN_MAC,
    ROUTER_MAC,
    Sent,
    Shell,
    home_link,
    of_kind,
    only,
)
from tests.unit.engine.wire import A, H, L, address


def at_home(shell: Shell, sequence: int, *, option: bool = False, flags: int = A | H, **more: object) -> Sent:
    """De-register from the home link: source and Alternate Care-of Address are the home address."""
    values: dict[str, object] = {"lifetime": 0, "flags": flags, "home_address_option": option, "mac": MN_MAC}
    return only(shell.update(HOA, sequence, **(values | more)))  # type: ignore[arg-type]


@pytest.mark.parametrize("flags", [A | H, H])
def test_from_the_foreign_link(flags: int) -> None:
    """Cases HA_3_1_1, HA_3_1_6."""
    shell = Shell()
    shell.bind(COA1, 15)
    shell.advance(10.0)
    sent = only(shell.update(COA1, 16, lifetime=0, flags=flags))
    ba = sent.packet
    assert (ba.kind, ba.status, ba.flags, ba.sequence, ba.lifetime, ba.refresh) == ("BA", 0, 0, 16, 0, None)
    assert (ba.destination, ba.routing) == (COA1, HOA)
    release, answer = shell.actions
    assert isinstance(release, ReleaseBinding) and isinstance(answer, SendDatagram) and answer.after_flows
    assert shell.flows == {}


@pytest.mark.parametrize("option", [True, False])
@pytest.mark.parametrize("flags", [A | H, H])
def test_at_home(option: bool, flags: int) -> None:
    """Cases HA_3_1_2, HA_3_1_7: straight to the mobile node, no routing header, not tunnelled."""
    shell = Shell()
    shell.bind(COA1, 15)
    sent = at_home(shell, 16, option=option, flags=flags)
    ba = sent.packet
    assert (ba.status, ba.sequence, ba.lifetime) == (0, 16, 0)
    assert (ba.destination, ba.routing) == (HOA, None)
    assert sent.mac == MN_MAC and sent.after_flows
    assert shell.flows == {}


def test_home_address_as_care_of_address_is_the_older_way_to_say_it() -> None:
    """RFC 3775; checklist 0.8. The acknowledgement tells lifetime 0."""
    shell = Shell()
    shell.bind(COA1, 15)
    sent = at_home(shell, 16, lifetime=105, option=True)
    assert (sent.packet.status, sent.packet.lifetime) == (0, 0)
    assert shell.flows == {}


def test_from_another_care_of_address_than_the_registered_one() -> None:
    shell = Shell()
    shell.bind(COA1, 15)
    assert only(shell.update(COA2, 16, lifetime=0)).packet.status == 0
    assert shell.flows == {}


@pytest.mark.parametrize("flags", [A | H, H])
class TestWithoutABinding:
    """Status 133."""

    def test_from_the_foreign_link(self, flags: int) -> None:
        """Cases HA_3_2_1, HA_3_2_6."""
        shell = Shell()
        sent = only(shell.update(COA1, 15, lifetime=0, flags=flags))
        assert (sent.packet.status, sent.packet.sequence, sent.packet.routing) == (133, 15, HOA)
        assert sent.mac is None and len(shell.ha.bindings) == 0

    def test_at_home(self, flags: int) -> None:
        """Cases HA_3_2_4, HA_3_2_9."""
        shell = Shell()
        sent = at_home(shell, 15, flags=flags)
        assert (sent.packet.status, sent.packet.destination, sent.packet.routing) == (133, HOA, None)
        assert sent.mac == MN_MAC

    def test_on_a_virtual_link(self, flags: int) -> None:
        shell = Shell(home_link(virtual=True))
        sent = only(shell.update(HOA, 15, lifetime=0, flags=flags, home_address_option=False, mac=MN_MAC))
        assert sent.packet.status == 133 and sent.mac is None

    def test_for_an_address_that_is_not_ours(self, flags: int) -> None:
        shell = Shell()
        other = address("2001:db8:77::1")
        sent = only(shell.update(COA1, 15, lifetime=0, flags=flags, home_address=other))
        assert sent.packet.status == 133


@pytest.mark.parametrize("option", [True, False])
@pytest.mark.parametrize("flags", [A | H, H])
def test_a_stale_number_at_home_keeps_the_binding_and_reaches_the_sender(option: bool, flags: int) -> None:
    """Cases HA_3_3_1, HA_3_3_2: although the home address is defended, the answer goes to the link-layer address."""
    shell = Shell()
    shell.bind(COA1, 15)
    sent = at_home(shell, 14, option=option, flags=flags)
    assert (sent.packet.status, sent.packet.sequence) == (135, 15)
    assert (sent.packet.destination, sent.packet.routing, sent.mac) == (HOA, None, MN_MAC)
    assert shell.flows == {HOA: (COA1, False)}


class TestTheEntryIsKeptForAWhile:
    """10.3.2: MAX_DELETE_BCE_TIMEOUT, 10 seconds, for its sequence number only."""

    def deregistered(self) -> Shell:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA1, 17, lifetime=0)
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.state is State.DELETED and not entry.bound
        return shell

    def test_a_delayed_older_update_is_refused(self) -> None:
        """To the care-of address it came from, as the RFC's example says."""
        shell = self.deregistered()
        shell.advance(9.9)
        ba = only(shell.update(COA2, 16)).packet
        assert (ba.status, ba.sequence, ba.destination) == (135, 17, COA2)
        assert shell.flows == {}

    def test_and_forgotten_then(self) -> None:
        shell = self.deregistered()
        assert shell.advance(10.0) == []
        assert len(shell.ha.bindings) == 0 and shell.ha.next_timer() is None
        assert shell.bind(COA2, 16).status == 0
        assert [event.kind for event in shell.events] == ["registered", "deregistered", "registered"]

    def test_a_newer_registration_is_a_first_one(self) -> None:
        """Duplicate Address Detection again: somebody else may have taken the address."""
        shell = self.deregistered()
        sent = shell.update(COA2, 18)
        assert [one.packet.kind for one in sent] == ["NS"]
        assert only(of_kind(shell.advance(1.0), "BA")).packet.status == 0
        shell.advance(30.0)
        assert shell.flows == {HOA: (COA2, False)}  # the old timer is gone

    def test_on_a_virtual_link_it_is_bound_at_once(self) -> None:
        shell = Shell(home_link(virtual=True))
        shell.update(COA1, 15)
        shell.update(COA1, 16, lifetime=0)
        assert only(shell.update(COA2, 17)).packet.status == 0
        shell.advance(30.0)
        assert shell.flows == {HOA: (COA2, False)}

    def test_to_deregister_again_is_acknowledged_again(self) -> None:
        """The first acknowledgement was lost, and a retransmission has a new number (11.8)."""
        shell = self.deregistered()
        shell.advance(8.0)
        ba = only(shell.update(COA1, 18, lifetime=0)).packet
        assert (ba.status, ba.sequence, ba.lifetime) == (0, 18, 0)
        shell.advance(8.0)
        assert only(shell.update(COA1, 17)).packet.status == 135
        assert [event.kind for event in shell.events].count("deregistered") == 1


class TestClear:
    """The operator's "clear binding"."""

    def test_flows_go_and_the_node_may_register_with_any_number(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15, flags=A | H | L)
        assert shell.clear() == []
        assert [type(action) for action in shell.actions] == [ReleaseBinding]
        assert shell.flows == {} and len(shell.ha.bindings) == 0
        assert shell.bind(COA2, 3).status == 0
        assert [event.kind for event in shell.events] == ["registered", "cleared", "registered"]

    @pytest.mark.parametrize("state", [State.ABSENT, State.DAD, State.BOUND_DAD, State.DELETED])
    def test_in_every_state(self, state: State) -> None:
        shell = Shell()
        if state is State.DAD:
            shell.update(COA1, 15, flags=A | H | L)
        elif state is not State.ABSENT:
            shell.bind(COA1, 15)
            more = {"flags": A | H | L} if state is State.BOUND_DAD else {"lifetime": 0}
            shell.update(COA1, 16, **more)  # type: ignore[arg-type]
        shell.clear()
        assert shell.flows == {} and shell.watched == set() and len(shell.ha.bindings) == 0
        assert shell.ha.next_timer() is None
        assert shell.bind(COA1, 1).status == 0


class TestInstallationFailed:
    """The switch refused the flows: the mobile node must not believe that it is served."""

    def test_130_and_no_binding(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        ba = only(shell.fail_installation()).packet
        assert (ba.kind, ba.status, ba.sequence, ba.destination, ba.lifetime) == ("BA", 130, 15, COA1, 0)
        assert [type(action) for action in shell.actions] == [ReleaseBinding, SendDatagram]
        assert shell.flows == {} and len(shell.ha.bindings) == 0
        assert (shell.events[-1].kind, shell.events[-1].status) == ("rejected", 130)

    def test_after_a_move_it_goes_to_the_new_place(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16)
        ba = only(shell.fail_installation()).packet
        assert (ba.sequence, ba.destination) == (16, COA2)

    def test_with_an_update_that_waits_that_one_is_answered(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        ba = only(shell.fail_installation()).packet
        assert (ba.sequence, ba.destination) == (16, COA2)
        assert shell.watched == set() and of_kind(shell.advance(5.0), "BA") == []

    @pytest.mark.parametrize("state", [State.ABSENT, State.DAD, State.DELETED])
    def test_too_late_it_means_nothing(self, state: State) -> None:
        shell = Shell()
        if state is State.DAD:
            shell.update(COA1, 15)
        elif state is State.DELETED:
            shell.bind(COA1, 15)
            shell.update(COA1, 16, lifetime=0)
        before = len(shell.ha.bindings)
        assert shell.fail_installation() == [] and len(shell.ha.bindings) == before


def test_packets_without_a_frame_are_routed() -> None:
    """From the tunnel there is no link-layer source."""
    shell = Shell()
    shell.bind(COA1, 15)
    assert at_home(shell, 16, mac=b"").mac is None


def test_link_layer_source_of_a_node_elsewhere_is_the_routers_and_is_not_used() -> None:
    shell = Shell()
    assert only(shell.update(COA1, 15, lifetime=0, mac=ROUTER_MAC)).mac is None
