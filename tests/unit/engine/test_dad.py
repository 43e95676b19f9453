"""Duplicate Address Detection before a first registration (RFC 6275 section 10.3.1, RFC 4862 section 5.4)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6

from mip6core.actions import SendDatagram, WatchAddress
from mip6core.addresses import Prefix
from mip6core.fsm import State
from mip6core.home_agent import HomeLink, HomePrefix
from tests.unit.engine import wire
from tests.unit.engine.shell import (
    COA1,
    COA2,
    COA3,
    HA_MAC,
    HOA,
    HOA_LINK_LOCAL,
    HOST,
    HOST_MAC,
    Sent,
    Shell,
    home_link,
    of_kind,
    only,
)
from tests.unit.engine.wire import A, H, L, address

HOST_LINK_LOCAL = address("fe80::aa")


def two_prefixes(**more: object) -> HomeLink:
    texts = ("2001:db8:1::/64", "2001:db8:1:1::/64")
    return home_link(prefixes=tuple(HomePrefix(Prefix.parse(text)) for text in texts), **more)


def state(shell: Shell) -> State:
    entry = shell.ha.bindings.get(HOA)
    return State.ABSENT if entry is None else entry.state


def targets(sent: list[Sent]) -> list[bytes]:
    return [one.packet.target for one in of_kind(sent, "NS")]


def test_the_home_address_is_tested_before_anything_is_answered() -> None:
    """Case HA_2_3_1."""
    shell = Shell()
    sent = only(shell.update())
    assert [type(action) for action in shell.actions] == [WatchAddress, SendDatagram]
    group = address("ff02::1:ff00:99")
    assert (sent.packet.kind, sent.packet.source, sent.packet.destination) == ("NS", wire.UNSPECIFIED, group)
    assert (sent.packet.target, sent.packet.link_layer_address) == (HOA, None)
    assert sent.mac == bytes.fromhex("3333ff000099") and not sent.after_flows
    packet = IPv6(sent.raw)
    assert packet[ICMPv6ND_NS].tgt == "2001:db8:1::99" and packet.hlim == 255
    assert ICMPv6NDOptSrcLLAddr not in packet
    assert shell.ha.next_timer() == shell.now + 1.0  # RetransTimer
    assert shell.advance(0.999) == [] and state(shell) is State.DAD
    assert len(of_kind(shell.advance(0.001), "BA")) == 1 and state(shell) is State.BOUND
    assert shell.watched == set() and shell.statistics["dad_started"] == 1


def test_with_l_the_link_local_address_is_tested_too() -> None:
    """Case HA_2_3_2; 10.3.1."""
    shell = Shell()
    sent = shell.update(flags=A | H | L)
    assert targets(sent) == [HOA, HOA_LINK_LOCAL]
    assert only(of_kind(shell.advance(1.0), "BA")).packet.status == 0
    assert shell.flows == {HOA: (COA1, True)}


def claim(target: bytes) -> dict[str, bytes]:
    """What other nodes may say about `target`."""
    return {
        "NA": wire.neighbor_advertisement(HOST_LINK_LOCAL, target),
        "NA solicited": wire.neighbor_advertisement(HOST_LINK_LOCAL, target, destination=HOST, flags=0x60),
        "NA not overriding": wire.neighbor_advertisement(HOST_LINK_LOCAL, target, flags=0x80),
        "DAD NS": wire.neighbor_solicitation(wire.UNSPECIFIED, target),
        "NS": wire.neighbor_solicitation(HOST, target, link_layer_address=HOST_MAC),
        "NS without option": wire.neighbor_solicitation(HOST_LINK_LOCAL, target),
        "NA forwarded": wire.neighbor_advertisement(HOST_LINK_LOCAL, target, hop_limit=254),
        "DAD NS forwarded": wire.neighbor_solicitation(wire.UNSPECIFIED, target, hop_limit=64),
        "NA of another": wire.neighbor_advertisement(HOST_LINK_LOCAL, HOST),
        "DAD NS of another": wire.neighbor_solicitation(wire.UNSPECIFIED, HOST),
    }


@pytest.mark.parametrize("flags", [A | H, H, A | H | L, H | L])
@pytest.mark.parametrize("what", ["NA", "NA solicited", "NA not overriding", "DAD NS"])
def test_another_node_with_the_address_means_134(what: str, flags: int) -> None:
    """Cases HA_2_4_*; also when A=0. RFC 4862 5.4.3 and 5.4.4."""
    shell = Shell()
    shell.update(flags=flags)
    shell.advance(0.5)
    sent = only(shell.receive(claim(HOA)[what], HOST_MAC))
    assert (sent.packet.kind, sent.packet.status, sent.packet.sequence) == ("BA", 134, 15)
    assert (sent.packet.destination, sent.packet.routing, sent.packet.lifetime) == (COA1, HOA, 0)
    assert len(shell.ha.bindings) == 0 and shell.watched == set() and shell.ha.next_timer() is None
    assert shell.statistics["dad_failed"] == 1


@pytest.mark.parametrize("what", ["NA", "DAD NS"])
def test_the_link_local_address_counts_as_much(what: str) -> None:
    """10.3.1: the complete Binding Update is refused."""
    shell = Shell()
    shell.update(flags=A | H | L)
    assert only(shell.receive(claim(HOA_LINK_LOCAL)[what], HOST_MAC)).packet.status == 134
    assert len(shell.ha.bindings) == 0 and shell.watched == set()


@pytest.mark.parametrize(
    "what",
    ["NS", "NS without option", "NA forwarded", "DAD NS forwarded", "NA of another", "DAD NS of another"],
)
def test_what_is_no_claim_changes_nothing(what: str) -> None:
    """Who only looks for the address has it not (RFC 4862 5.4.3); what was forwarded is not valid (RFC 4861 7.1)."""
    shell = Shell()
    shell.update()
    assert shell.receive(claim(HOA)[what], HOST_MAC) == []
    assert shell.statistics["dad_failed"] == 0
    assert only(of_kind(shell.advance(1.0), "BA")).packet.status == 0


@pytest.mark.parametrize("what", ["NA", "DAD NS"])
def test_our_own_frames_are_no_claim(what: str) -> None:
    """Checklist: the proxy's own packets, or a looped back probe, must not count."""
    shell = Shell()
    shell.update()
    assert shell.receive(claim(HOA)[what], HA_MAC) == []
    assert shell.statistics["dropped_own_frame"] == 1
    assert only(of_kind(shell.advance(1.0), "BA")).packet.status == 0


def test_claims_about_addresses_that_nobody_tests_are_ignored() -> None:
    shell = Shell()
    for packet in claim(HOA).values():
        assert shell.receive(packet, HOST_MAC) == []


def test_after_134_the_mobile_node_may_try_again_with_any_number() -> None:
    shell = Shell()
    shell.update(sequence=15)
    shell.receive(claim(HOA)["NA"], HOST_MAC)
    assert shell.bind(COA1, 3).status == 0


class TestMoreBindingUpdatesMeanwhile:
    """Checklist section 1: what comes during the test neither restarts nor confuses it."""

    def test_a_retransmission_does_not_restart_it_and_is_what_is_answered(self) -> None:
        """11.8: a retransmission has a new sequence number."""
        shell = Shell()
        shell.update(COA1, 15)
        shell.advance(0.9)
        assert shell.update(COA1, 16) == []
        ba = only(of_kind(shell.advance(0.1), "BA")).packet
        assert (ba.status, ba.sequence) == (0, 16)
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.expires_at == shell.now - 0.1 + 420
        assert shell.statistics["dad_started"] == 1
        assert of_kind(shell.advance(10.0), "BA") == []

    def test_a_doubled_packet_is_not_answered_twice(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        assert shell.update(COA1, 15) == []
        assert shell.statistics["bu_duplicate"] == 1
        assert only(of_kind(shell.advance(1.0), "BA")).packet.sequence == 15

    def test_an_older_one_is_out_of_window(self) -> None:
        shell = Shell()
        shell.update(COA2, 15)
        ba = only(shell.update(COA1, 14)).packet
        assert (ba.status, ba.sequence, ba.destination) == (135, 15, COA1)
        shell.advance(1.0)
        assert shell.flows == {HOA: (COA2, False)}

    def test_the_same_number_for_another_place_is_out_of_window(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        assert only(shell.update(COA2, 15)).packet.status == 135

    def test_a_move_meanwhile_is_what_gets_bound(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        shell.advance(0.5)
        assert shell.update(COA2, 16) == []
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.care_of_address == COA2
        ba = only(of_kind(shell.advance(0.5), "BA")).packet
        assert (ba.destination, ba.sequence) == (COA2, 16)
        assert shell.flows == {HOA: (COA2, False)}

    def test_134_goes_to_where_the_mobile_node_is_now(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        shell.update(COA2, 16)
        ba = only(shell.receive(claim(HOA)["NA"], HOST_MAC)).packet
        assert (ba.destination, ba.sequence, ba.status) == (COA2, 16, 134)

    def test_a_refused_one_does_not_end_what_waits(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        ba = only(shell.update(address("2001:db8:1::55"), 16, source=COA1)).packet
        assert ba.status == 174
        assert only(of_kind(shell.advance(1.0), "BA")).packet.sequence == 15

    def test_deregistration_cancels_it(self) -> None:
        shell = Shell()
        shell.update(COA1, 15, flags=A | H | L)
        shell.advance(0.5)
        ba = only(shell.update(COA1, 16, lifetime=0)).packet
        assert (ba.status, ba.lifetime, ba.sequence) == (0, 0, 16)
        assert shell.watched == set() and state(shell) is State.DELETED
        assert shell.advance(9.0) == [] and shell.flows == {}
        assert only(shell.update(COA1, 14)).packet.status == 135  # a late one does not start it again
        assert [event.kind for event in shell.events] == ["deregistered", "rejected"]

    def test_l_set_meanwhile_tests_the_link_local_address_in_addition(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        shell.advance(0.6)
        assert targets(shell.update(COA1, 16, flags=A | H | L)) == [HOA_LINK_LOCAL]
        assert shell.advance(0.5) == []  # the home address has passed
        # It is watched until the end, so that nobody takes it meanwhile.
        assert shell.watched == {("homenet", HOA), ("homenet", HOA_LINK_LOCAL)}
        assert only(of_kind(shell.advance(0.5), "BA")).packet.sequence == 16
        assert shell.flows == {HOA: (COA1, True)}

    def test_a_claim_after_one_of_two_has_passed(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        shell.advance(0.6)
        shell.update(COA1, 16, flags=A | H | L)
        shell.advance(0.5)
        assert only(shell.receive(claim(HOA)["NA"], HOST_MAC)).packet.status == 134

    def test_l_cleared_meanwhile_ends_that_test(self) -> None:
        shell = Shell()
        shell.update(COA1, 15, flags=A | H | L)
        shell.update(COA1, 16)
        assert shell.watched == {("homenet", HOA)}
        assert shell.receive(claim(HOA_LINK_LOCAL)["NA"], HOST_MAC) == []
        shell.advance(1.0)
        assert shell.flows == {HOA: (COA1, False)}

    def test_l_cleared_when_only_its_test_is_left_binds_at_once(self) -> None:
        shell = Shell()
        shell.update(COA1, 15)
        shell.advance(0.6)
        shell.update(COA1, 16, flags=A | H | L)
        shell.advance(0.5)
        assert of_kind(shell.update(COA1, 17), "BA")[0].packet.status == 0
        assert shell.flows == {HOA: (COA1, False)} and shell.watched == set()


class TestLinkLocalAddedLater:
    """10.3.1 for L on a binding that exists: the old binding stays until the link-local address has passed."""

    def test_it_is_tested_and_then_defended(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.advance(10.0)
        assert targets(shell.update(COA1, 16, flags=A | H | L)) == [HOA_LINK_LOCAL]
        assert state(shell) is State.BOUND_DAD and shell.flows == {HOA: (COA1, False)}
        sent = shell.advance(1.0)
        assert only(of_kind(sent, "BA")).packet.sequence == 16
        assert [one.packet.target for one in of_kind(sent, "NA")] == [HOA_LINK_LOCAL]
        assert shell.flows == {HOA: (COA1, True)} and state(shell) is State.BOUND

    def test_together_with_a_move_the_old_place_is_served_meanwhile(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        assert shell.flows == {HOA: (COA1, False)}
        shell.advance(1.0)
        assert shell.flows == {HOA: (COA2, True)}

    def test_a_newer_update_replaces_what_waits(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        shell.advance(0.5)
        assert shell.update(COA3, 17, flags=A | H | L) == []
        assert only(of_kind(shell.advance(0.5), "BA")).packet.destination == COA3
        assert shell.flows == {HOA: (COA3, True)}

    def test_l_cleared_again_takes_effect_at_once(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        assert of_kind(shell.update(COA2, 17), "BA")[0].packet.status == 0
        assert shell.flows == {HOA: (COA2, False)} and shell.watched == set()

    def test_a_duplicate_refuses_the_update_and_leaves_the_binding(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        ba = only(shell.receive(claim(HOA_LINK_LOCAL)["NA"], HOST_MAC)).packet
        assert (ba.status, ba.sequence, ba.destination) == (134, 16, COA2)
        assert shell.flows == {HOA: (COA1, False)} and state(shell) is State.BOUND
        assert only(shell.update(COA2, 17)).packet.status == 0

    def test_deregistration_meanwhile(self) -> None:
        shell = Shell()
        shell.bind(COA1, 15)
        shell.update(COA2, 16, flags=A | H | L)
        assert only(shell.update(COA2, 17, lifetime=0)).packet.status == 0
        assert shell.flows == {} and shell.watched == set()

    def test_the_old_binding_may_expire_meanwhile(self) -> None:
        """Then what waits is a first registration: the home address has to be tested as well."""
        shell = Shell()
        shell.bind(COA1, 15, lifetime=10)
        shell.advance(38.5)
        assert targets(shell.update(COA2, 16, flags=A | H | L, lifetime=105)) == [HOA_LINK_LOCAL]
        assert targets(shell.advance(0.5)) == [HOA]
        assert shell.flows == {} and state(shell) is State.DAD
        assert of_kind(shell.advance(0.999), "BA") == []
        assert only(of_kind(shell.advance(0.001), "BA")).packet.status == 0
        assert shell.flows == {HOA: (COA2, True)}
        assert [event.kind for event in shell.events] == ["registered", "expired", "registered"]


class TestLinkLocalOfSeveralHomeAddresses:
    """A mobile node with the same interface identifier in two home prefixes has one link-local address."""

    HOA2 = address("2001:db8:1:1::99")

    def shell(self) -> Shell:
        return Shell(two_prefixes())

    def both(self, shell: Shell) -> list[Sent]:
        sent = shell.update(COA1, 15, flags=A | H | L)
        sent += shell.update(COA1, 15, flags=A | H | L, home_address=self.HOA2)
        return sent

    def test_it_is_tested_once_for_both(self) -> None:
        shell = self.shell()
        assert targets(self.both(shell)) == [HOA, HOA_LINK_LOCAL, self.HOA2]
        assert [one.packet.status for one in of_kind(shell.advance(1.0), "BA")] == [0, 0]
        assert shell.flows == {HOA: (COA1, True), self.HOA2: (COA1, False)}

    def test_a_duplicate_refuses_both(self) -> None:
        shell = self.shell()
        self.both(shell)
        sent = shell.receive(claim(HOA_LINK_LOCAL)["NA"], HOST_MAC)
        assert [(one.packet.status, one.packet.routing) for one in sent] == [(134, HOA), (134, self.HOA2)]
        assert shell.watched == set() and len(shell.ha.bindings) == 0

    def test_the_second_needs_no_test_later(self) -> None:
        shell = self.shell()
        shell.bind(COA1, 15, flags=A | H | L)
        assert targets(shell.update(COA1, 15, flags=A | H | L, home_address=self.HOA2)) == [self.HOA2]
        shell.advance(1.0)
        assert shell.flows[self.HOA2] == (COA1, False)

    @pytest.mark.parametrize("how", ["deregister", "clear L", "expire", "clear"])
    def test_the_defence_is_inherited(self, how: str) -> None:
        shell = self.shell()
        self.both(shell)
        shell.advance(1.0)
        if how == "deregister":
            shell.update(COA1, 16, lifetime=0)
        elif how == "clear L":
            shell.update(COA1, 16)
        elif how == "clear":
            shell.clear()
        else:
            shell.update(COA1, 16, flags=A | H | L, lifetime=1)
            shell.advance(4.0)
        assert shell.flows[self.HOA2] == (COA1, True)
        answer = shell.receive(wire.neighbor_solicitation(HOST, HOA_LINK_LOCAL), HOST_MAC)
        assert of_kind(answer, "NA")
        shell.update(COA1, 17, lifetime=0, home_address=self.HOA2)
        assert shell.receive(wire.neighbor_solicitation(HOST, HOA_LINK_LOCAL), HOST_MAC) == []

    def test_the_end_of_a_sharer_changes_nothing(self) -> None:
        shell = self.shell()
        self.both(shell)
        shell.advance(1.0)
        shell.update(COA1, 16, lifetime=0, home_address=self.HOA2)
        assert shell.flows == {HOA: (COA1, True)}

    def test_a_quick_move_of_both_is_no_duplicate(self) -> None:
        """One after the other: for a moment the two home addresses wait for different places."""
        shell = self.shell()
        self.both(shell)
        assert shell.update(COA2, 16, flags=A | H | L) == []
        assert shell.update(COA2, 16, flags=A | H | L, home_address=self.HOA2) == []
        assert [one.packet.status for one in of_kind(shell.advance(1.0), "BA")] == [0, 0]
        assert shell.flows == {HOA: (COA2, True), self.HOA2: (COA2, False)}

    @pytest.mark.parametrize("bound", [False, True])
    def test_from_another_place_it_is_another_node_and_a_duplicate(self, bound: bool) -> None:
        shell = self.shell()
        shell.update(COA1, 15, flags=A | H | L)
        if bound:
            shell.advance(1.0)
        sent = shell.update(COA2, 15, flags=A | H | L, home_address=self.HOA2)
        assert only(sent).packet.status == 134
        assert targets(shell.update(COA2, 16, home_address=self.HOA2)) == [self.HOA2]


@pytest.mark.parametrize(
    "home_address",
    [
        pytest.param("2001:db8:1:1::2", id="identifier of the home agent's address"),
        pytest.param("2001:db8:1::ff:fe00:2", id="identifier of the home agent's link-layer address"),
        pytest.param("2001:db8:1::1", id="the router's"),
    ],
)
def test_link_local_addresses_that_are_ours_or_reserved_are_taken(home_address: str) -> None:
    """The home agent's own test would not be answered by itself."""
    link = two_prefixes(reserved=frozenset([address("fe80::1")]))
    shell = Shell(link)
    sent = only(shell.update(home_address=address(home_address), flags=A | H | L))
    assert sent.packet.status == 134
    assert targets(shell.update(sequence=16, home_address=address(home_address))) == [address(home_address)]
