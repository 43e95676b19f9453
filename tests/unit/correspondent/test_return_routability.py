"""Tests of reachability: HoTI, CoTI, tokens and nonces (RFC 6275 sections 5.2 and 9.4)."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet6 import IPv6, MIP6MH_CoT, MIP6MH_HoT

from mip6core.return_routability import MAX_NONCES, Nonces, ReturnRoutability
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, CN2, COA1, HOA, ROUTER, TEP, hmac_sha1
from tests.unit.correspondent.shell import Shell, correspondent_link, only
from tests.unit.engine import wire
from tests.unit.engine.wire import address


def test_home_test_init_is_answered_with_a_home_test() -> None:
    shell = Shell()
    answer = only(shell.receive(peer.init(1, HOA, CN, b"cookie-1")))
    assert (answer.kind, answer.source, answer.destination, answer.cookie) == ("HOT", CN, HOA, b"cookie-1")
    assert answer.routing is None and not answer.after_flows
    scapy = IPv6(answer.raw)[MIP6MH_HoT]
    assert bytes(scapy.cookie) == b"cookie-1" and bytes(scapy.token) == answer.token
    assert scapy.index == answer.index


def test_care_of_test_init_is_answered_with_a_care_of_test() -> None:
    shell = Shell()
    answer = only(shell.receive(peer.init(2, COA1, CN, b"cookie-2")))
    assert (answer.kind, answer.source, answer.destination, answer.cookie) == ("COT", CN, COA1, b"cookie-2")
    assert IPv6(answer.raw).haslayer(MIP6MH_CoT)


def test_tokens_follow_the_formulas() -> None:
    """5.2.5, with the octets that the engine drew: secret, first index, nonce."""
    drawn: list[bytes] = []
    source = random.Random(7)

    def rng(length: int) -> bytes:
        drawn.append(source.randbytes(length))
        return drawn[-1]

    routability = ReturnRoutability(rng)
    nonce = routability.nonces.current(0.0)
    secret, _, value = drawn
    assert (len(secret), len(value)) == (20, 8)
    node_key = hmac_sha1(secret, CN)
    home = hmac_sha1(node_key, HOA + value + b"\0")[:8]
    care_of = hmac_sha1(node_key, COA1 + value + b"\x01")[:8]
    assert routability.home_keygen_token(CN, HOA, nonce) == home
    assert routability.care_of_keygen_token(CN, COA1, nonce) == care_of
    assert routability.home_keygen_token(CN, COA1, nonce) != care_of


def test_tokens_are_for_one_address_at_one_correspondent() -> None:
    """A node key must not be shared (5.2.1): what one host is sent says nothing about another's."""
    shell = Shell()
    assert shell.home_test() == shell.home_test()
    assert len({shell.home_test().value, shell.home_test(COA1).value, shell.care_of_test(HOA).value}) == 3
    assert shell.home_test(HOA, CN).value != shell.home_test(HOA, CN2).value
    assert Shell(seed=1).home_test() != Shell(seed=2).home_test()


def test_tests_leave_nothing_behind() -> None:
    shell = Shell()
    for number in range(1000):
        shell.home_test(HOA[:-2] + number.to_bytes(2, "big"))
        shell.care_of_test(COA1[:-2] + number.to_bytes(2, "big"))
    assert len(shell.cn.bindings) == 0 and shell.cn.bindings.remembered == 0
    assert shell.cn.next_timer() is None


@pytest.mark.parametrize("mh_type", [1, 2])
def test_with_a_home_address_option_they_are_ignored(mh_type: int) -> None:
    shell = Shell()
    assert shell.receive(peer.init(mh_type, COA1, CN, home_address=HOA)) == []
    assert shell.statistics["dropped_home_address_option"] == 1


@pytest.mark.parametrize("mh_type", [1, 2])
@pytest.mark.parametrize("source", ["::", "::1", "fe80::1", "fec0::1", "::ffff:192.0.2.1"])
def test_not_to_an_address_that_is_no_mobile_nodes(mh_type: int, source: str) -> None:
    assert Shell().receive(peer.init(mh_type, address(source), CN)) == []


@pytest.mark.parametrize("mh_type", [1, 2])
def test_reserved_fields_and_options_are_ignored(mh_type: int) -> None:
    shell = Shell()
    upper = bytearray(wire.mobility_header(mh_type, b"\xff\xff" + b"12345678" + b"\xc8\x06option", HOA, CN))
    upper[3] = 0xFF
    upper[4:6] = bytes(2)
    upper[4:6] = wire.checksum(HOA, CN, 135, bytes(upper)).to_bytes(2, "big")
    answer = only(shell.receive(wire.ipv6(HOA, CN, 135, bytes(upper))))
    assert answer.cookie == b"12345678" and len(answer.raw) == 64


@pytest.mark.parametrize(
    "destination",
    [
        TEP,
        ROUTER,
        address("2001:db8:c::"),
        address("2001:db8:c:0:fdff:ffff:ffff:fffe"),
        address("2001:db8:d::1"),
        address("ff02::1"),
        address("fe80::1"),
    ],
)
def test_who_is_no_host_of_the_link_is_no_correspondent(destination: bytes) -> None:
    assert Shell().goes_on(peer.init(1, HOA, destination))


def test_every_host_is_one() -> None:
    for host in ("2001:db8:c::3", "2001:db8:c::ffff", "2001:db8:c:0:200:ff:fe00:1", "2001:db8:c:0:ffff::1"):
        Shell().home_test(correspondent=address(host))


def test_a_test_goes_to_the_home_address_although_there_is_a_binding() -> None:
    """6.1: messages bypass the Binding Cache."""
    shell = Shell()
    shell.bind()
    answer = only(shell.receive(peer.init(1, HOA, CN)))
    assert answer.destination == HOA and answer.routing is None


class TestNonces:
    def test_a_token_lives_for_210_seconds_at_least_and_for_240_at_most(self) -> None:
        for late in (0.0, 13.0, 29.9):
            shell = Shell()
            shell.care_of_test()  # the nonce is made
            shell.advance(late)
            home, care_of = shell.home_test(), shell.care_of_test()
            shell.advance(210.0)
            assert only(shell.update(home, care_of)).status == 0
            shell.advance(30.0 - late)
            assert only(shell.update(home, care_of, sequence=16)).status == 138

    def test_one_nonce_for_30_seconds(self) -> None:
        shell = Shell()
        first = shell.home_test()
        shell.advance(29.9)
        assert shell.home_test() == first
        shell.advance(0.1)
        second = shell.home_test()
        assert second.index == (first.index + 1) % 65536 and second.value != first.value

    def test_without_requests_there_are_no_new_ones(self) -> None:
        shell = Shell()
        first = shell.home_test()
        shell.advance(100_000.0)
        assert shell.home_test().index == (first.index + 1) % 65536

    def test_indices_wrap(self) -> None:
        nonces = Nonces(lambda length: b"\xff" * length)
        one, other = nonces.current(0.0), nonces.current(30.0)
        assert (one.index, other.index) == (0, 1)
        assert nonces.find(0, 30.0) is one and nonces.find(1, 239.9) is other
        assert nonces.find(0, 240.0) is None and nonces.expiry(one.serial) is None
        assert nonces.expiry(other.serial) == 270.0

    def test_they_are_bounded_however_many_are_retired(self) -> None:
        nonces = Nonces(random.Random(1).randbytes)
        now = 0.0
        for _ in range(3000):
            now += 0.2
            nonces.retire()
            nonces.current(now)
            assert len(nonces) <= MAX_NONCES
        assert len({nonces.current(now + n).index for n in range(0, 301, 30)}) == 11  # the interval still counts

    def test_invalidated_ones_are_unknown_and_the_next_token_has_a_new_one(self) -> None:
        nonces = Nonces(random.Random(1).randbytes)
        old, current = nonces.current(0.0), nonces.current(30.0)
        nonces.invalidate(old.serial)
        assert nonces.find(old.index, 30.0) is None and nonces.current(30.0) is current
        nonces.invalidate(current.serial)
        assert nonces.find(current.index, 30.0) is None and nonces.current(30.0).serial == current.serial + 1

    def test_secrets_are_in_no_representation(self) -> None:
        routability = ReturnRoutability(lambda length: b"secret-secret-secret"[:length])
        nonce = routability.nonces.current(0.0)
        assert "secret" not in f"{routability!r} {routability.nonces!r} {nonce!r}"


def test_two_links_keep_apart() -> None:
    with pytest.raises(ValueError, match="named"):
        Shell(correspondent_link(), correspondent_link())
    with pytest.raises(ValueError, match="overlaps"):
        Shell(correspondent_link(), correspondent_link(name="other"))


@pytest.mark.parametrize("seconds", [3, 421])
def test_a_maximum_lifetime_must_be_possible(seconds: int) -> None:
    with pytest.raises(ValueError, match="max_lifetime of office"):
        correspondent_link(max_lifetime=seconds)
