"""Old Binding Updates never count again (RFC 6275 sections 5.2.8, 9.5.1, 9.5.3, 15.4.4)."""

from __future__ import annotations

import pytest

from mip6core.correspondent import CorrespondentLimits
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, COA1, COA2, HOA, NO_TOKEN
from tests.unit.correspondent.shell import Shell, only


def home_addresses(count: int) -> list[bytes]:
    return [HOA[:-2] + number.to_bytes(2, "big") for number in range(1, count + 1)]


def delete(shell: Shell, home_address: bytes = HOA, sequence: int = 16) -> None:
    home = shell.home_test(home_address)
    ba = only(shell.update(home, NO_TOKEN, home_address=home_address, sequence=sequence, lifetime=0))
    assert ba.status == 0 and (CN, home_address) not in shell.routes


class Recorded:
    """A binding that was made with a Binding Update that somebody has recorded."""

    def __init__(self, shell: Shell, sequence: int = 15, lifetime: int = 10, home_address: bytes = HOA) -> None:
        self.shell = shell
        home, care_of = shell.home_test(home_address), shell.care_of_test()
        self.packet = peer.update(home, care_of, sequence=sequence, lifetime=lifetime, home_address=home_address)
        assert only(shell.receive(self.packet)).status == 0

    def replay(self) -> int:
        """Play it back; returns the status."""
        routes = dict(self.shell.routes)
        status = only(self.shell.receive(self.packet)).status
        assert self.shell.routes == routes
        return status


def test_while_there_is_a_binding() -> None:
    recorded = Recorded(Shell())
    assert recorded.replay() == 135
    recorded.shell.bind(sequence=16)
    assert recorded.replay() == 135


def test_after_deletion_as_long_as_its_nonces_are_valid() -> None:
    recorded = Recorded(Shell())
    shell = recorded.shell
    delete(shell)
    shell.advance(100.0)
    assert recorded.replay() == 135
    shell.advance(139.9)
    assert recorded.replay() == 135 and shell.cn.bindings.remembered == 1
    shell.advance(0.2)
    assert recorded.replay() == 138
    shell.advance(1.0)
    assert shell.cn.bindings.remembered == 0 and shell.cn.next_timer() is None


@pytest.mark.parametrize("how", ["expired", "cleared", "failed", "refused"])
def test_however_the_binding_ended(how: str) -> None:
    shell = Shell()
    recorded = Recorded(shell, lifetime=1)
    if how == "expired":
        shell.advance(4.0)
    elif how == "cleared":
        shell.carry_out(shell.cn.clear(CN, HOA, shell.now))
    elif how == "failed":
        shell.carry_out(shell.cn.installation_failed(CN, HOA, shell.now))
    else:
        shell.update(shell.home_test(), shell.care_of_test(), sequence=16, optimizable=False)
    assert shell.routes == {} and recorded.replay() == 135


def test_a_binding_that_outlived_its_nonces_leaves_nothing_behind() -> None:
    shell = Shell()
    Recorded(shell, lifetime=100)
    shell.advance(250.0)
    shell.carry_out(shell.cn.clear(CN, HOA, shell.now))
    assert shell.cn.bindings.remembered == 0


def test_the_newest_nonces_count_for_how_long_it_is_remembered() -> None:
    shell = Shell()
    Recorded(shell, lifetime=105)
    shell.advance(100.0)
    second = Recorded(shell, sequence=16)
    shell.carry_out(shell.cn.clear(CN, HOA, shell.now))
    shell.advance(150.0)  # those of the first are over, if not those of the second
    assert second.replay() == 135


def test_the_older_nonce_of_two_counts() -> None:
    shell = Shell()
    home = shell.home_test()
    shell.advance(100.0)
    assert only(shell.update(home, shell.care_of_test())).status == 0
    shell.carry_out(shell.cn.clear(CN, HOA, shell.now))
    shell.advance(139.0)
    assert shell.cn.bindings.remembered == 1
    shell.advance(1.0)
    assert shell.cn.bindings.remembered == 0  # without the home nonce nobody can replay it


def test_nor_does_one_count_that_was_refused_meanwhile() -> None:
    shell = Shell()
    Recorded(shell)
    delete(shell)
    shell.advance(100.0)
    refused = peer.update(shell.home_test(), shell.care_of_test(), sequence=17)
    assert only(shell.receive(refused, optimizable=False)).status == 129
    shell.advance(150.0)
    assert only(shell.receive(refused)).status == 135 and shell.routes == {}


def test_a_delayed_older_binding_update_after_the_deletion() -> None:
    """It was never accepted, and is old all the same."""
    shell = Shell()
    home, care_of = shell.home_test(), shell.care_of_test()
    delayed = peer.update(home, care_of, sequence=15)
    shell.update(home, care_of, sequence=16)
    assert only(shell.update(home, NO_TOKEN, sequence=17, lifetime=0)).status == 0
    assert only(shell.receive(delayed)).status == 135 and shell.routes == {}


def test_a_deletion_is_no_second_time_either() -> None:
    shell = Shell()
    Recorded(shell)
    deletion = peer.update(shell.home_test(), NO_TOKEN, sequence=16, lifetime=0)
    assert only(shell.receive(deletion)).status == 0
    assert shell.bind(sequence=17).status == 0
    assert only(shell.receive(deletion)).status == 135 and shell.routes


class TestAnySequenceNumber:
    """9.5.1: without a binding it must be accepted; new tokens show that the Binding Update is no old one."""

    @pytest.mark.parametrize("sequence", [0, 15, 16, 17, 32768, 32784, 65535])
    def test_with_new_tokens(self, sequence: int) -> None:
        shell = Shell()
        recorded = Recorded(shell, sequence=15)
        delete(shell, sequence=16)
        assert shell.bind(sequence=sequence).status == 0
        assert recorded.replay() in (135, 138)

    def test_the_old_one_stays_old_when_numbers_start_again(self) -> None:
        shell = Shell()
        recorded = Recorded(shell, sequence=1000)
        delete(shell, sequence=1001)
        again = Recorded(shell, sequence=5)
        assert recorded.replay() == 138  # by its number it would be newer
        delete(shell, sequence=6)
        assert recorded.replay() == 138 and again.replay() == 135

    def test_an_old_deletion_too(self) -> None:
        shell = Shell()
        Recorded(shell, sequence=1000)
        deletion = peer.update(shell.home_test(), NO_TOKEN, sequence=1001, lifetime=0)
        shell.receive(deletion)
        shell.bind(sequence=5)
        assert only(shell.receive(deletion)).status == 136 and shell.routes

    def test_with_the_old_tokens_the_number_decides(self) -> None:
        shell = Shell()
        home, care_of = shell.home_test(), shell.care_of_test()
        shell.update(home, care_of, sequence=15)
        shell.update(home, NO_TOKEN, sequence=16, lifetime=0)
        ba = only(shell.update(home, care_of, sequence=10))
        assert (ba.status, ba.sequence) == (135, 16)
        assert only(shell.update(home, care_of, sequence=17)).status == 0

    def test_one_new_token_is_enough(self) -> None:
        shell = Shell()
        home, care_of = shell.home_test(), shell.care_of_test()
        shell.update(home, care_of, sequence=15)
        shell.update(home, NO_TOKEN, sequence=16, lifetime=0)
        ba = only(shell.update(home, shell.care_of_test(COA2), sequence=10, care_of_address=COA2))
        assert ba.status == 0


def test_numbers_that_go_once_round() -> None:
    """0, 32767, 65534: after the last one 0 would look new."""
    shell = Shell()
    home, care_of = shell.home_test(), shell.care_of_test()
    packets = [peer.update(home, care_of, sequence=sequence) for sequence in (0, 32767, 65534)]
    assert [only(shell.receive(packet)).status for packet in packets] == [0, 0, 0]
    assert [only(shell.receive(packet)).status for packet in packets] == [138, 138, 138]
    assert shell.bind(sequence=65535).status == 0
    assert [only(shell.receive(packet)).status for packet in packets] == [138, 138, 138]


class TestFullMemory:
    def test_the_oldest_makes_room_and_its_nonces_are_over(self) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=2))
        first, second, third = home_addresses(3)
        recordings = []
        for home_address in (first, second, third):
            recordings.append(Recorded(shell, home_address=home_address))
            delete(shell, home_address)
            shell.advance(30.0)
        assert shell.cn.bindings.remembered == 2 and shell.statistics["nonces_invalidated"] == 1
        assert [recorded.replay() for recorded in recordings] == [138, 135, 135]

    def test_never_more_than_the_limit_and_never_a_replay(self) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=5, error_rate_per_peer=1e6, error_burst_per_peer=1e6))
        recordings = []
        for home_address in home_addresses(40):
            recordings.append(Recorded(shell, home_address=home_address))
            shell.carry_out(shell.cn.clear(CN, home_address, shell.now))
            shell.advance(1.0)
            assert shell.cn.bindings.remembered <= 5
        assert {recorded.replay() for recorded in recordings} <= {135, 138} and shell.routes == {}

    def test_what_has_older_nonces_than_all_that_is_remembered(self) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=1))
        first, second = home_addresses(2)
        early = peer.update(shell.home_test(second), shell.care_of_test(), home_address=second)
        shell.advance(40.0)
        recorded = Recorded(shell, home_address=first)
        shell.carry_out(shell.cn.clear(CN, first, shell.now))
        assert only(shell.receive(early)).status == 0
        shell.carry_out(shell.cn.clear(CN, second, shell.now))
        assert shell.cn.bindings.remembered == 1
        assert only(shell.receive(early)).status == 138 and recorded.replay() == 135

    def test_bindings_are_not_counted(self) -> None:
        shell = Shell(limits=CorrespondentLimits(max_bindings=2))
        for home_address in home_addresses(2):
            Recorded(shell, home_address=home_address)
            delete(shell, home_address)
        for home_address in home_addresses(2):
            assert shell.bind(home_address=home_address, sequence=20, care_of_address=COA1).status == 0
        assert len(shell.routes) == 2 and shell.cn.bindings.remembered == 0
