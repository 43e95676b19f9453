"""Binding Refresh Requests, unreachable care-of addresses, and adoption (RFC 6275 sections 9.5.5, 9.3.4)."""

from __future__ import annotations

import pytest

from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from mip6core.correspondent import CorrespondentLimits
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, CN2, COA1, COA2, HOA, HOA2, NO_TOKEN, ROUTER, TEP, Answer
from tests.unit.correspondent.shell import Shell, correspondent_link, only
from tests.unit.engine import wire
from tests.unit.engine.wire import A, H, address


class TestBindingRefreshRequests:
    def used(self, shell: Shell, seconds: float, every: float = 10.0) -> list[tuple[float, Answer]]:
        """Let time pass while the flows are looked at and have counted packets; what is sent, with its time."""
        sent: list[tuple[float, Answer]] = []
        end = shell.now + seconds
        look = shell.now
        while shell.now < end:
            if shell.now >= look:
                sent += [(shell.now, answer) for answer in shell.in_use()]
                look += every
            due = min(look, end, shell.cn.next_timer() or end)
            sent += [(due, answer) for answer in shell.advance(due - shell.now)]
        return sent

    def test_near_the_end_of_a_binding_in_use(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        start = shell.now
        sent = self.used(shell, 430.0)
        first_at, first = sent[0]
        assert first_at == start + 390.0
        assert (first.kind, first.source, first.destination, first.routing) == ("BRR", CN, HOA, None)
        assert [at - start - 390.0 for at, _ in sent] == [0.0, 1.0, 3.0, 7.0, 15.0]  # exponential back-off
        assert shell.routes == {} and shell.statistics["brr_sent"] == 5

    def test_short_bindings_get_a_shorter_lead(self) -> None:
        shell = Shell()
        shell.bind(lifetime=10)
        start = shell.now
        assert [at - start for at, _ in self.used(shell, 60.0, every=1.0)] == [30.0, 31.0, 33.0, 37.0]

    def test_not_for_a_binding_that_is_not_used(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        assert shell.advance(500.0) == []

    def test_not_for_one_that_was_used_long_ago(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        assert self.used(shell, 100.0) == [] and shell.advance(500.0) == []

    def test_use_that_begins_late(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        shell.advance(400.0)
        assert only(shell.in_use()).kind == "BRR"
        assert shell.in_use() == []  # rate limited

    def test_a_binding_update_ends_them(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        shell.advance(395.0)
        assert len(shell.in_use()) == 1
        shell.bind(sequence=16, lifetime=105)
        assert shell.advance(50.0) == [] and shell.in_use() == []

    def test_even_one_with_an_old_number(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        shell.advance(395.0)
        assert len(shell.in_use()) == 1
        assert shell.bind(sequence=3).status == 135
        assert shell.advance(20.0) == [] and shell.in_use() == []

    def test_what_is_gone_is_not_asked_for(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        shell.advance(395.0)
        shell.in_use()
        shell.update(shell.home_test(), NO_TOKEN, lifetime=0, sequence=16)
        assert shell.in_use() == [] and shell.advance(30.0) == []


def unreachable(source: bytes, invoking: bytes, destination: bytes = CN, icmp_type: int = 1) -> bytes:
    return wire.icmpv6(icmp_type, bytes(4) + invoking, source, destination, hop_limit=64)


class TestDestinationUnreachable:
    TRANSLATED = wire.ipv6(CN, HOA, 17, bytes(30))  # as the host gets it quoted
    ON_THE_WIRE = wire.ipv6(CN, COA1, 17, bytes(30), routing=HOA)

    def errors(self, shell: Shell, packet: bytes, count: int, pause: float) -> None:
        for _ in range(count):
            datagram = ipv6.parse(packet)
            shell.carry_out(shell.cn.icmpv6_error(shell.link, datagram, shell.now))
            shell.advance(pause)

    @pytest.mark.parametrize("invoking", [TRANSLATED, ON_THE_WIRE])
    def test_persistent_ones_end_the_binding(self, invoking: bytes) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, unreachable(ROUTER, invoking), 20, 0.5)
        assert shell.routes == {(CN, HOA): COA1}
        self.errors(shell, unreachable(ROUTER, invoking), 1, 0.5)
        assert shell.routes == {} and shell.events[-1].kind == "unreachable"
        assert only(shell.unknown_binding(COA1, HOA)).status == 1

    def test_a_few_do_not(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, unreachable(ROUTER, self.TRANSLATED), 2, 20.0)
        self.errors(shell, unreachable(ROUTER, self.TRANSLATED), 0, 20.0)
        assert shell.routes

    def test_nor_do_those_with_long_pauses(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, unreachable(ROUTER, self.TRANSLATED), 10, 31.0)
        assert shell.routes

    def test_a_binding_update_shows_that_all_is_well(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, unreachable(ROUTER, self.TRANSLATED), 20, 0.5)
        shell.bind(lifetime=105, sequence=16)
        self.errors(shell, unreachable(ROUTER, self.TRANSLATED), 15, 0.5)
        assert shell.routes

    @pytest.mark.parametrize(
        "packet",
        [
            unreachable(ROUTER, wire.ipv6(CN, COA2, 17, bytes(30), routing=HOA)),  # where it was before
            unreachable(ROUTER, wire.ipv6(CN, HOA2, 17, bytes(30))),
            unreachable(ROUTER, wire.ipv6(CN2, HOA, 17, bytes(30))),
            unreachable(ROUTER, TRANSLATED, icmp_type=2),
            unreachable(ROUTER, TRANSLATED, icmp_type=3),
            unreachable(ROUTER, TRANSLATED[:39]),
            unreachable(ROUTER, b""),
            wire.ipv6(ROUTER, CN, 58, bytes((1, 0, 0, 0)) + bytes(4) + TRANSLATED),  # checksum
            wire.ipv6(ROUTER, CN, 17, bytes(8)),
        ],
    )
    def test_about_something_else(self, packet: bytes) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, packet, 30, 0.5)
        assert shell.routes

    @pytest.mark.parametrize("length", range(40, 64))
    def test_a_quotation_cut_in_the_routing_header(self, length: int) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        self.errors(shell, unreachable(ROUTER, self.ON_THE_WIRE[:length]), 30, 0.5)
        assert shell.routes


class TestAdoption:
    """Bindings that a switch has kept over a restart."""

    def adopt(self, shell: Shell, sequence: int = 15, remaining: float = 101.0, **more: bytes) -> bool:
        addresses = {"correspondent": CN, "home": HOA, "care_of": COA1} | more
        taken = shell.cn.adopt(
            shell.link,
            addresses["correspondent"],
            addresses["home"],
            addresses["care_of"],
            sequence,
            remaining,
            shell.now,
        )
        if taken:
            shell.routes[addresses["correspondent"], addresses["home"]] = addresses["care_of"]
        shell.check()
        return taken

    def test_it_is_as_it_was(self) -> None:
        shell = Shell()
        assert self.adopt(shell)
        binding = shell.binding()
        assert (binding.sequence, binding.lifetime, binding.expires_at) == (15, 104, shell.now + 101.0)
        shell.advance(100.9)
        assert shell.routes
        shell.advance(0.1)
        assert shell.routes == {} and shell.cn.next_timer() is None

    def test_it_is_refreshed_moved_and_deleted_like_any_other(self) -> None:
        shell = Shell()
        self.adopt(shell)
        assert shell.bind(sequence=15).status == 135
        assert shell.bind(sequence=16).status == 0
        assert shell.bind(sequence=17, care_of_address=COA2).status == 0 and shell.routes == {(CN, HOA): COA2}
        ba = only(shell.update(shell.home_test(), NO_TOKEN, sequence=18, lifetime=0))
        assert ba.status == 0 and shell.routes == {}

    def test_a_registration_of_a_home_agent_does_not_change_it(self) -> None:
        shell = Shell()
        self.adopt(shell)
        packet = peer.update(NO_TOKEN, NO_TOKEN, nonce_indices=False, authorization=False, flags=A | H)
        assert only(shell.receive(packet)).status == 139

    def test_what_the_engine_knows_better(self) -> None:
        shell = Shell()
        shell.bind(sequence=20)
        assert not self.adopt(shell)
        shell.update(shell.home_test(), NO_TOKEN, sequence=21, lifetime=0)
        assert not self.adopt(shell)

    def test_what_is_no_longer_possible(self) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=1))
        assert not self.adopt(shell, remaining=0.0)
        assert not self.adopt(shell, correspondent=address("2001:db8:d::1"))
        assert not self.adopt(shell, correspondent=TEP)
        assert not self.adopt(shell, home=address("ff02::1"))
        assert not self.adopt(shell, care_of=address("fe80::1"))
        assert self.adopt(shell) and not self.adopt(shell, home=HOA2)

    def test_not_longer_than_the_link_allows(self) -> None:
        shell = Shell(correspondent_link(max_lifetime=60))
        assert self.adopt(shell) and shell.binding().expires_at == shell.now + 60.0

    def test_flows_refused_by_the_switch(self) -> None:
        """The nonces are those of before: nothing could be proved to the mobile node."""
        shell = Shell()
        self.adopt(shell)
        assert shell.carry_out(shell.cn.installation_failed(CN, HOA, shell.now)) == [] and shell.routes == {}


class TestReconfiguration:
    def test_correspondents_that_are_on_the_link_no_more_lose_their_bindings(self) -> None:
        shell = Shell()
        shell.bind()
        shell.bind(correspondent=CN2, lifetime=105)
        prefixes = (Prefix(CN2, 128),)
        shell.carry_out(shell.cn.set_link(shell.link, prefixes, 100, shell.now))
        assert set(shell.routes) == {(CN2, HOA)}
        assert shell.binding(CN2).lifetime == 420
        shell.bind(correspondent=CN2, sequence=99, lifetime=105)
        assert shell.binding(CN2).lifetime == 100

    def test_links_come_and_go(self) -> None:
        shell = Shell()
        shell.bind()
        with pytest.raises(ValueError):
            shell.cn.add_link(correspondent_link(name="other"))
        shell.carry_out(shell.cn.remove_link(shell.link, shell.now))
        assert shell.routes == {} and shell.cn.links == ()
        again = correspondent_link(name="other")
        shell.cn.add_link(again)
        shell.links = (again,)
        assert shell.bind().status == 0

    def test_limits_count_for_what_comes(self) -> None:
        shell = Shell()
        shell.bind()
        shell.cn.set_limits(CorrespondentLimits(max_bindings=1))
        assert shell.bind(correspondent=CN2).status == 130
        assert set(shell.routes) == {(CN, HOA)}
