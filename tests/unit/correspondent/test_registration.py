"""Binding Updates at a correspondent (RFC 6275 sections 9.5.1 to 9.5.4)."""

from __future__ import annotations

import hashlib
import struct

import pytest
from scapy.layers.inet6 import MIP6MH_BA, IPv6, IPv6ExtHdrRouting, MIP6OptBindingAuthData

from mip6core.correspondent import CorrespondentLimits
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, CN2, COA1, COA2, HOA, HOA2, NO_TOKEN, ROUTER, TEP, Answer, Token
from tests.unit.correspondent.shell import Shell, correspondent_link, only
from tests.unit.engine.wire import A, H, K, L, address, checksum


def both(home: Token, care_of: Token) -> bytes:
    """Kbm of a registration (5.2.5)."""
    return hashlib.sha1(home.value + care_of.value).digest()


def tokens(shell: Shell) -> tuple[Token, Token]:
    return shell.home_test(), shell.care_of_test()


def refused(shell: Shell, sent: list[Answer]) -> bool:
    return sent == [] and shell.routes == {}


class TestRegistration:
    def test_with_both_tokens_it_is_accepted_and_acknowledged_with_an_authenticator(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        ba = only(shell.update(home, care_of, sequence=4711))
        assert (ba.kind, ba.source, ba.destination, ba.routing) == ("BA", CN, COA1, HOA)
        assert (ba.status, ba.sequence, ba.lifetime, ba.options) == (0, 4711, 10, [5])
        assert ba.is_authentic(both(home, care_of), COA1) and ba.after_flows
        assert shell.routes == {(CN, HOA): COA1}
        binding = shell.binding()
        assert (binding.lifetime, binding.sequence, binding.expires_at) == (40, 4711, shell.now + 40)
        assert (binding.home_nonce_index, binding.care_of_nonce_index) == (home.index, care_of.index)
        (event,) = shell.events
        assert (event.kind, event.correspondent, event.home_address, event.care_of_address) == (
            "registered",
            CN,
            HOA,
            COA1,
        )

    def test_scapy_reads_the_acknowledgement(self) -> None:
        shell = Shell()
        packet = IPv6(shell.bind(sequence=7).raw)
        assert packet[IPv6ExtHdrRouting].type == 2 and packet[MIP6MH_BA].seq == 7
        last = packet[MIP6MH_BA].options[-1]
        assert isinstance(last, MIP6OptBindingAuthData) and len(packet[MIP6MH_BA].options) == 2

    def test_without_a_flag_there_is_no_acknowledgement(self) -> None:
        shell = Shell()
        assert shell.update(*tokens(shell), flags=0) == [] and shell.routes == {(CN, HOA): COA1}

    @pytest.mark.parametrize("flags", [A | L, A | K, A | 0xFFF, A | L | K | 0xFFF])
    def test_other_flags_are_ignored(self, flags: int) -> None:
        assert Shell().bind(flags=flags).status == 0

    def test_the_reserved_octet_is_ignored(self) -> None:
        assert Shell().bind(mh_reserved=0xFF).status == 0

    def test_unknown_options_are_skipped(self) -> None:
        assert Shell().bind(extra=b"\xc8\x04abcd\x02\x02\0\x05").status == 0

    @pytest.mark.parametrize("sequence", [0, 1, 32767, 32768, 65535])
    def test_the_first_may_have_any_sequence_number(self, sequence: int) -> None:
        assert Shell().bind(sequence=sequence).sequence == sequence

    def test_a_refresh_keeps_the_flows(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of)
        shell.advance(10.0)
        ba = only(shell.update(home, care_of, sequence=16, lifetime=20))
        assert (ba.status, ba.lifetime, ba.after_flows) == (0, 20, False)
        binding = shell.binding()
        assert (binding.registered_at, binding.updated_at) == (shell.now - 10.0, shell.now)
        assert binding.expires_at == shell.now + 80 and shell.events[-1].kind == "refreshed"

    def test_a_move(self) -> None:
        shell = Shell()
        shell.bind()
        ba = shell.bind(care_of_address=COA2, sequence=16)
        assert (ba.status, ba.destination, ba.routing) == (0, COA2, HOA) and ba.after_flows
        assert shell.routes == {(CN, HOA): COA2} and shell.events[-1].kind == "moved"

    def test_a_move_with_the_old_home_token(self) -> None:
        """5.2.7: a fast mobile node reuses it."""
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of)
        shell.advance(45.0)
        ba = only(shell.update(home, shell.care_of_test(COA2), care_of_address=COA2, sequence=16))
        assert ba.status == 0 and shell.routes == {(CN, HOA): COA2}

    def test_one_care_of_token_for_two_home_addresses(self) -> None:
        shell = Shell()
        care_of = shell.care_of_test()
        for home_address in (HOA, HOA2):
            home = shell.home_test(home_address)
            assert only(shell.update(home, care_of, home_address=home_address)).status == 0
        assert len(shell.routes) == 2

    def test_each_correspondent_has_its_own_binding(self) -> None:
        shell = Shell()
        shell.bind(sequence=100)
        assert shell.bind(correspondent=CN2, care_of_address=COA2, sequence=5).status == 0
        assert shell.routes == {(CN, HOA): COA1, (CN2, HOA): COA2}

    def test_tokens_of_one_correspondent_are_nothing_to_another(self) -> None:
        shell = Shell()
        assert refused(shell, shell.update(*tokens(shell), correspondent=CN2))

    def test_from_the_home_address_itself(self) -> None:
        """Source is the home address, the care-of address is in the option: no routing header."""
        shell = Shell()
        ba = only(shell.update(*tokens(shell), source=HOA, alternate=COA1, home_address_option=False))
        assert (ba.status, ba.destination, ba.routing) == (0, HOA, None)
        assert shell.routes == {(CN, HOA): COA1}


class TestAlternateCareOfAddress:
    def test_the_same_as_the_source(self) -> None:
        assert Shell().bind(alternate=COA1).status == 0

    def test_another_one_is_what_counts(self) -> None:
        shell = Shell()
        home, care_of = shell.home_test(), shell.care_of_test(COA2)
        ba = only(shell.update(home, care_of, source=COA1, care_of_address=COA2, alternate=COA2))
        assert (ba.status, ba.destination, ba.routing) == (0, COA1, HOA)
        assert ba.is_authentic(both(home, care_of), COA2) and shell.routes == {(CN, HOA): COA2}

    def test_a_test_of_the_source_does_not_do(self) -> None:
        shell = Shell()
        assert refused(shell, shell.update(*tokens(shell), source=COA1, care_of_address=COA2, alternate=COA2))

    @pytest.mark.parametrize("alternate", ["ff02::1", "::", "::1", "fe80::1"])
    def test_no_unicast_routable_one(self, alternate: str) -> None:
        shell = Shell()
        other = address(alternate)
        assert refused(
            shell, shell.update(*tokens(shell), source=COA1, care_of_address=other, alternate=other, lifetime=10)
        )

    @pytest.mark.parametrize("alternate", ["ff02::1", "::", "fe80::1"])
    def test_no_unicast_routable_one_in_a_deletion(self, alternate: str) -> None:
        """6.1.7; its authenticator does not depend on it."""
        shell = Shell()
        shell.bind()
        assert shell.update(shell.home_test(), NO_TOKEN, lifetime=0, alternate=address(alternate), sequence=16) == []
        assert shell.routes

    def test_two_of_them(self) -> None:
        shell = Shell()
        extra = b"\x01\0\x03\x10" + COA1  # behind the Nonce Indices, at no alignment, which nobody asks for
        assert refused(shell, shell.update(*tokens(shell), alternate=COA1, extra=extra))


class TestSilence:
    """What section 9.5.1 wants to be discarded silently."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"authorization": False},
            {"nonce_indices": False},
            {"trailing": bytes(8)},
            {"trailing": b"\x01\x06" + bytes(6)},
            {"key": bytes(20)},
            {"authenticated_address": COA2},
            {"authenticator_length": 4},
            {"authenticator_length": 20},
            {"authenticator_length": 0},
            {"extra": b"\x04\x04\0\0\0\0"},
            {"extra": b"\x05\x0c" + bytes(12)},
            {"flags": A | H},
        ],
    )
    def test_wrong_options(self, changes: dict[str, object]) -> None:
        shell = Shell()
        assert refused(shell, shell.update(*tokens(shell), **changes))
        assert [value for name, value in shell.statistics.items() if name.startswith("dropped_")] == [1]

    @pytest.mark.parametrize("source", ["fe80::1", "::", "::1", "fec0::1"])
    def test_a_source_that_is_no_care_of_address(self, source: str) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        assert refused(shell, shell.update(home, care_of, source=address(source), care_of_address=address(source)))
        assert refused(shell, shell.update(home, care_of, source=address(source), alternate=COA1))

    @pytest.mark.parametrize("source", ["fe80::1", "::", "::1"])
    def test_a_deletion_from_there(self, source: str) -> None:
        shell = Shell()
        shell.bind()
        home = shell.home_test()
        other = address(source)
        assert shell.update(home, NO_TOKEN, lifetime=0, source=other, home_address_option=False, sequence=16) == []
        assert shell.update(home, NO_TOKEN, lifetime=0, source=other, sequence=16) == []
        assert shell.routes == {(CN, HOA): COA1}

    def test_tokens_of_other_addresses(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        assert refused(shell, shell.update(shell.home_test(HOA2), care_of))
        assert refused(shell, shell.update(home, shell.care_of_test(COA2)))
        assert refused(shell, shell.update(care_of, home))
        assert refused(shell, shell.update(home, home))

    def test_a_registration_with_the_home_token_only(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        assert refused(shell, shell.update(home, care_of, key=hashlib.sha1(home.value).digest()))

    @pytest.mark.parametrize("octet", range(32))
    def test_any_changed_octet(self, octet: int) -> None:
        """The Mobility Header is covered as a whole; what is wrong in it otherwise draws no acknowledgement either."""
        shell = Shell()
        packet = bytearray(peer.update(*tokens(shell)))
        packet[64 + octet] ^= 0x11
        if octet not in (4, 5):
            # The checksum, so that only the authenticator can tell
            packet[68:70] = bytes(2)
            packet[68:70] = checksum(HOA, CN, 135, bytes(packet[64:])).to_bytes(2, "big")
        sent = shell.receive(bytes(packet))
        assert shell.routes == {} and not [one for one in sent if one.kind == "BA" and one.status < 136]


class TestNonces:
    def test_unknown_indices(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        old = Token((home.index + 1000) % 65536, bytes(8))
        for one, other, status in ((old, care_of, 136), (home, old, 137), (old, old, 138)):
            for flags in (A, 0):
                ba = only(shell.update(one, other, flags=flags, sequence=99))
                assert (ba.status, ba.sequence, ba.options, ba.authenticator) == (status, 99, [], None)
                assert (ba.destination, ba.routing) == (COA1, HOA)
        assert shell.routes == {}

    def test_expired_home_nonce(self) -> None:
        shell = Shell()
        home = shell.home_test()
        shell.advance(240.0)
        assert only(shell.update(home, shell.care_of_test(), flags=0)).status == 136

    def test_expired_care_of_nonce(self) -> None:
        shell = Shell()
        care_of = shell.care_of_test()
        shell.advance(240.0)
        assert only(shell.update(shell.home_test(), care_of)).status == 137

    def test_expired_nonces(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.advance(240.0)
        assert only(shell.update(home, care_of, flags=0)).status == 138

    def test_an_expired_home_nonce_does_not_delete(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        home = shell.home_test()
        shell.advance(240.0)
        for alternate in (None, COA1, HOA):
            ba = only(shell.update(home, NO_TOKEN, lifetime=0, sequence=16, alternate=alternate))
            assert (ba.status, ba.routing, ba.authenticator) == (136, HOA, None)
        ba = only(shell.update(home, NO_TOKEN, lifetime=0, sequence=16, source=HOA, home_address_option=False))
        assert (ba.status, ba.destination, ba.routing, ba.authenticator) == (136, HOA, None, None)
        assert shell.routes == {(CN, HOA): COA1}

    def test_these_acknowledgements_are_rate_limited(self) -> None:
        """Anybody can ask for them, with any source address."""
        shell = Shell(limits=CorrespondentLimits(error_rate_per_peer=1.0, error_burst_per_peer=2.0))
        old = Token(1, bytes(8))
        answers = [len(shell.update(old, old)) for _ in range(5)]
        assert answers == [1, 1, 0, 0, 0] and shell.statistics["ba_suppressed"] == 3
        assert shell.bind().status == 0


class TestSequenceNumbers:
    @pytest.mark.parametrize("last, following", [(10000, 10001), (10000, 42767), (42768, 9999), (65535, 0)])
    def test_newer(self, last: int, following: int) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of, sequence=last)
        ba = only(shell.update(home, care_of, sequence=following))
        assert (ba.status, ba.sequence) == (0, following) and ba.is_authentic(both(home, care_of), COA1)

    @pytest.mark.parametrize(
        "last, following", [(10000, 9999), (10000, 10000), (10000, 42768), (0, 65535), (15, 32783)]
    )
    @pytest.mark.parametrize("flags", [A, 0])
    def test_not_newer(self, last: int, following: int, flags: int) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of, sequence=last)
        ba = only(shell.update(home, care_of, sequence=following, flags=flags, lifetime=100))
        assert (ba.status, ba.sequence, ba.routing) == (135, last, HOA)
        assert ba.is_authentic(both(home, care_of), COA1)
        assert shell.binding().lifetime == 40

    def test_a_deletion_that_is_not_newer(self) -> None:
        shell = Shell()
        shell.bind(sequence=20)
        home = shell.home_test()
        ba = only(shell.update(home, NO_TOKEN, sequence=20, lifetime=0))
        assert (ba.status, ba.sequence) == (135, 20)
        assert ba.is_authentic(hashlib.sha1(home.value).digest(), HOA) and shell.routes


class TestLifetime:
    @pytest.mark.parametrize("asked, granted", [(1, 1), (10, 10), (105, 105), (106, 105), (65535, 105)])
    def test_at_most_420_seconds(self, asked: int, granted: int) -> None:
        shell = Shell()
        assert shell.bind(lifetime=asked).lifetime == granted
        shell.advance(granted * 4 - 0.1)
        assert shell.routes
        shell.advance(0.1)
        assert shell.routes == {} and shell.events[-1].kind == "expired"

    def test_the_links_own_maximum(self) -> None:
        shell = Shell(correspondent_link(max_lifetime=61))
        assert shell.bind(lifetime=100).lifetime == 15

    @pytest.mark.parametrize("first, second", [(100, 10), (10, 20)])
    def test_a_refresh_replaces_it(self, first: int, second: int) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of, lifetime=first)
        assert only(shell.update(home, care_of, lifetime=second, sequence=16)).lifetime == second
        shell.advance(second * 4 - 0.1)
        assert shell.routes
        shell.advance(0.2)
        assert shell.routes == {}

    def test_what_is_overdue_ends_before_a_binding_update_is_looked_at(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of, lifetime=1)
        shell.now += 5.0
        assert only(shell.update(home, care_of, sequence=16)).after_flows
        assert [event.kind for event in shell.events] == ["registered", "expired", "registered"]


class TestDeletion:
    def delete(self, shell: Shell, **changes: object) -> Answer:
        """With a new home token only, and a care-of nonce index of nobody's."""
        home = shell.home_test()
        care_of = Token((home.index + 777) % 65536, b"")
        ba = only(shell.update(home, care_of, **({"lifetime": 0, "sequence": 16} | changes)))
        address_used = changes.get("authenticated_address", HOA)
        assert isinstance(address_used, bytes)
        assert ba.is_authentic(hashlib.sha1(home.value).digest(), address_used)
        return ba

    def test_from_a_visited_link(self) -> None:
        shell = Shell()
        shell.bind()
        ba = self.delete(shell)
        assert (ba.status, ba.destination, ba.routing, ba.lifetime) == (0, COA1, HOA, 0)
        assert shell.routes == {} and shell.events[-1].kind == "deregistered"

    def test_with_the_home_address_as_alternate_care_of_address(self) -> None:
        shell = Shell()
        shell.bind()
        ba = self.delete(shell, alternate=HOA)
        assert (ba.status, ba.destination, ba.routing) == (0, COA1, HOA) and shell.routes == {}

    def test_with_an_authenticator_over_the_care_of_address(self) -> None:
        """As RFC 3775 section 6.2.7 had it."""
        shell = Shell()
        shell.bind()
        assert self.delete(shell, authenticated_address=COA1).status == 0 and shell.routes == {}

    @pytest.mark.parametrize("option", [False, True])
    @pytest.mark.parametrize("alternate", [None, HOA])
    def test_at_home(self, option: bool, alternate: bytes | None) -> None:
        shell = Shell()
        shell.bind()
        ba = self.delete(shell, source=HOA, home_address_option=option, alternate=alternate)
        assert (ba.status, ba.destination, ba.routing) == (0, HOA, None) and shell.routes == {}

    def test_the_home_address_as_care_of_address_says_the_same(self) -> None:
        shell = Shell()
        shell.bind()
        home = shell.home_test()
        key = hashlib.sha1(home.value).digest()
        ba = only(shell.update(home, NO_TOKEN, lifetime=30, source=HOA, care_of_address=HOA, sequence=16, key=key))
        assert (ba.status, ba.lifetime) == (0, 0) and shell.routes == {}

    def test_without_a_binding_nothing_is_made(self) -> None:
        shell = Shell()
        assert self.delete(shell).status == 0
        assert shell.routes == {} and shell.actions[0] is not None and shell.events == []
        assert shell.cn.bindings.remembered == 0

    def test_without_a_flag_there_is_no_acknowledgement(self) -> None:
        shell = Shell()
        shell.bind()
        assert shell.update(shell.home_test(), NO_TOKEN, lifetime=0, flags=0, sequence=16) == []
        assert shell.routes == {}

    def test_the_key_of_a_registration_does_not_delete(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of)
        assert shell.update(home, care_of, lifetime=0, sequence=16, key=both(home, care_of)) == []
        assert shell.routes


class TestHomeRegistrations:
    def home_registration(self, shell: Shell, **changes: object) -> Answer:
        plain: dict[str, object] = {"nonce_indices": False, "authorization": False, "flags": A | H}
        return only(shell.update(NO_TOKEN, NO_TOKEN, **(plain | changes)))

    @pytest.mark.parametrize("flags", [A | H, H])
    def test_a_correspondent_is_no_home_agent(self, flags: int) -> None:
        shell = Shell()
        ba = self.home_registration(shell, flags=flags)
        assert (ba.status, ba.destination, ba.routing, ba.authenticator) == (131, COA1, HOA, None)
        assert shell.routes == {}

    def test_nor_can_one_be_ended(self) -> None:
        assert self.home_registration(Shell(), lifetime=0).status == 133

    def test_the_type_of_a_binding_does_not_change(self) -> None:
        shell = Shell()
        shell.bind(sequence=15)
        ba = self.home_registration(shell, sequence=16, lifetime=1)
        assert (ba.status, ba.routing) == (139, HOA)
        shell.advance(5.0)
        assert shell.routes == {(CN, HOA): COA1}
        home, care_of = tokens(shell)
        assert only(shell.update(home, care_of, sequence=16)).status == 0  # nobody vouched for that sequence number


class TestRefusal:
    def test_where_routes_cannot_be_optimised(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        ba = only(shell.update(home, care_of, optimizable=False))
        assert ba.status == 129 and ba.is_authentic(both(home, care_of), COA1) and shell.routes == {}
        assert shell.update(home, care_of, optimizable=False, flags=0, sequence=16) == []

    def test_having_moved_there_ends_the_binding(self) -> None:
        """It says where the mobile node no longer is."""
        shell = Shell()
        shell.bind()
        home, care_of = shell.home_test(), shell.care_of_test(COA2)
        ba = only(shell.update(home, care_of, optimizable=False, care_of_address=COA2, sequence=16))
        assert ba.status == 129 and shell.routes == {}
        assert only(shell.update(home, care_of, care_of_address=COA2, sequence=16)).status == 135  # it was valid

    def test_deletion_is_always_possible(self) -> None:
        shell = Shell()
        shell.bind()
        ba = only(shell.update(shell.home_test(), NO_TOKEN, lifetime=0, sequence=16, optimizable=False))
        assert ba.status == 0 and shell.routes == {}

    def test_a_care_of_address_on_the_correspondents_link_that_is_not_the_source(self) -> None:
        shell = Shell()
        there = address("2001:db8:c::77")
        home, care_of = shell.home_test(), shell.care_of_test(there)
        assert only(shell.update(home, care_of, care_of_address=there, alternate=there, source=COA1)).status == 129
        assert only(shell.update(home, care_of, care_of_address=there, sequence=16)).status == 0

    def test_no_packets_to_ourselves(self) -> None:
        for home_address, care_of_address, status in (
            (CN, COA1, 129),
            (HOA, CN, 174),
            (HOA, TEP, 174),
            (TEP, COA1, 129),
        ):
            shell = Shell()
            ba = shell.bind(home_address=home_address, care_of_address=care_of_address)
            assert ba.status == status and shell.routes == {}

    def test_the_routers_address_is_no_home_address(self) -> None:
        assert Shell().bind(home_address=ROUTER).status == 129

    @pytest.mark.parametrize("flags", [A, 0])
    def test_when_the_cache_is_full(self, flags: int) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=1))
        shell.bind()
        home, care_of = shell.home_test(HOA2), shell.care_of_test()
        ba = only(shell.update(home, care_of, home_address=HOA2, flags=flags))
        assert ba.status == 130 and ba.is_authentic(both(home, care_of), COA1)
        assert shell.bind(sequence=16).status == 0  # no new one
        shell.advance(40.0)
        assert only(shell.update(home, care_of, home_address=HOA2)).status == 0

    def test_when_the_switch_refuses_the_flows(self) -> None:
        shell = Shell()
        home, care_of = tokens(shell)
        shell.update(home, care_of, sequence=15)
        ba = only(shell.carry_out(shell.cn.installation_failed(CN, HOA, shell.now)))
        assert (ba.status, ba.sequence, ba.destination, ba.routing) == (130, 15, COA1, HOA)
        assert ba.is_authentic(both(home, care_of), COA1) and shell.routes == {}
        assert shell.carry_out(shell.cn.installation_failed(CN, HOA, shell.now)) == []

    def test_when_the_switch_loses_them_so_late_that_nothing_can_be_proved(self) -> None:
        shell = Shell()
        shell.bind(lifetime=105)
        shell.advance(240.0)
        assert shell.carry_out(shell.cn.installation_failed(CN, HOA, shell.now)) == [] and shell.routes == {}


def test_clear() -> None:
    shell = Shell()
    shell.bind()
    shell.bind(correspondent=CN2)
    shell.bind(home_address=HOA2)
    assert shell.carry_out(shell.cn.clear(CN, HOA, shell.now)) == []
    assert set(shell.routes) == {(CN2, HOA), (CN, HOA2)} and shell.events[-1].kind == "cleared"
    shell.bind(sequence=16)
    shell.carry_out(shell.cn.clear(None, HOA, shell.now))
    assert set(shell.routes) == {(CN, HOA2)}
    shell.carry_out(shell.cn.clear(CN2, HOA, shell.now))


def test_the_acknowledgement_names_no_refresh_interval() -> None:
    """Binding Refresh Advice is a home agent's (6.2.4)."""
    ba = Shell().bind()
    assert ba.options == [5] and struct.unpack_from("!H", ba.raw, 40 + 24 + 10)[0] == 10
