"""Validity of Mobility Headers, Binding Errors, and what is left to the host (RFC 6275 sections 8.2, 9.2, 9.3)."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import MIP6MH_BE, ICMPv6ParamProblem, IPv6

from mip6core.codec import ipv6
from mip6core.correspondent import CorrespondentLimits
from mip6core.errors import ParseError
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, COA1, COA2, HOA, HOA2, ROUTER, TEP
from tests.unit.correspondent.shell import Shell, only
from tests.unit.engine import wire
from tests.unit.engine.wire import address, binding_update_data, checksum

FOR_MOBILE_NODES = [0, 3, 4, 6, 7]
LENGTHS = {0: 2, 1: 10, 2: 10, 3: 18, 4: 18, 5: 10, 6: 10, 7: 18}  # octets behind the checksum, section 6.1


def message(mh_type: int, source: bytes = COA1, home_address: bytes | None = None, **more: object) -> bytes:
    data = bytes(LENGTHS.get(mh_type, 10))
    if mh_type in (5, 6):
        data = binding_update_data(1, 0, 1)
    upper = wire.mobility_header(mh_type, data, home_address or source, CN, **more)  # type: ignore[arg-type]
    return wire.ipv6(source, CN, 135, upper, home_address=home_address)


class TestValidity:
    @pytest.mark.parametrize("mh_type", [1, 2, 5, 200])
    def test_a_wrong_checksum_is_dropped_silently(self, mh_type: int) -> None:
        shell = Shell()
        assert shell.receive(message(mh_type, checksum_error=1)) == []
        assert shell.statistics["dropped_bad_checksum"] == 1

    @pytest.mark.parametrize("mh_type", range(8))
    @pytest.mark.parametrize("home_address, offset", [(None, 40), (HOA, 64)])
    def test_a_wrong_payload_protocol(self, mh_type: int, home_address: bytes | None, offset: int) -> None:
        shell = Shell()
        shell.bind(home_address=HOA2)
        packet = message(mh_type, home_address=home_address, payload_proto=0xFF)
        answer = only(shell.receive(packet))
        assert (answer.kind, answer.code, answer.pointer) == ("PP", 0, offset)
        assert (answer.source, answer.destination, answer.invoking) == (CN, COA1, packet)
        assert IPv6(answer.raw)[ICMPv6ParamProblem].ptr == offset

    @pytest.mark.parametrize("mh_type", [1, 2, 3, 4, 5, 6, 7])
    def test_too_short_for_its_type(self, mh_type: int) -> None:
        answer = only(Shell().receive(message(mh_type, header_length=0)))
        assert (answer.kind, answer.code, answer.pointer) == ("PP", 0, 41)

    def test_a_binding_update_behind_the_option(self) -> None:
        shell = Shell()
        home, care_of = shell.home_test(), shell.care_of_test()
        for changes, pointer in (({"header_length": 0}, 65), ({"payload_proto": 0xFF}, 64)):
            answer = only(shell.update(home, care_of, **changes))
            assert (answer.kind, answer.pointer, answer.destination) == ("PP", pointer, COA1)
        assert shell.routes == {}

    def test_the_answer_goes_to_the_source_whatever_the_binding_cache_says(self) -> None:
        shell = Shell()
        shell.bind()
        answer = only(shell.receive(message(1, HOA, payload_proto=0xFF)))
        assert answer.destination == HOA and answer.routing is None

    def test_they_are_rate_limited_apart_from_binding_errors(self) -> None:
        shell = Shell(limits=CorrespondentLimits(error_rate_per_peer=1.0, error_burst_per_peer=2.0))
        assert [len(shell.receive(message(1, payload_proto=0))) for _ in range(4)] == [1, 1, 0, 0]
        assert [len(shell.receive(message(77))) for _ in range(4)] == [1, 1, 0, 0]
        assert (shell.statistics["icmpv6_suppressed"], shell.statistics["be_suppressed"]) == (2, 2)
        shell.advance(1.0)
        assert len(shell.receive(message(77))) == 1

    @pytest.mark.parametrize("source", ["::", "::1"])
    def test_never_to_what_is_no_unicast_address(self, source: str) -> None:
        assert Shell().receive(message(1, address(source), payload_proto=0)) == []

    def test_shorter_than_any_message(self) -> None:
        shell = Shell()
        for length in range(8):
            assert shell.receive(wire.ipv6(COA1, CN, 135, bytes((59, 0, 1, 0, 0, 0, 0, 0))[:length])) == []
        assert shell.statistics["dropped_truncated"] == 8


class TestUnknownTypes:
    def test_binding_error_2(self) -> None:
        shell = Shell()
        answer = only(shell.receive(message(0xFF, HOA)))
        assert (answer.kind, answer.status, answer.source, answer.destination) == ("BE", 2, CN, HOA)
        assert answer.home_address == bytes(16) and answer.routing is None
        assert IPv6(answer.raw)[MIP6MH_BE].status == 2

    def test_with_the_home_address_of_the_option(self) -> None:
        answer = only(Shell().receive(message(8, COA1, HOA)))
        assert (answer.status, answer.destination, answer.home_address) == (2, COA1, HOA)

    @pytest.mark.parametrize("source", ["::", "::1"])
    def test_not_to_what_is_no_unicast_address(self, source: str) -> None:
        assert Shell().receive(message(8, address(source))) == []


class TestLeftToTheHost:
    """A host may be a mobile node that visits the link."""

    @pytest.mark.parametrize("mh_type", FOR_MOBILE_NODES)
    def test_what_a_mobile_node_gets(self, mh_type: int) -> None:
        assert Shell().goes_on(message(mh_type))

    @pytest.mark.parametrize("mh_type", FOR_MOBILE_NODES)
    def test_behind_a_routing_header(self, mh_type: int) -> None:
        """The host's home address is in it, as in a Binding Acknowledgement of its home agent."""
        upper = wire.mobility_header(mh_type, bytes(LENGTHS[mh_type]), COA1, HOA)
        assert Shell().goes_on(wire.ipv6(COA1, CN, 135, upper, routing=HOA))

    @pytest.mark.parametrize("mh_type", FOR_MOBILE_NODES)
    def test_what_it_will_itself_find_wrong(self, mh_type: int) -> None:
        assert Shell().goes_on(message(mh_type, checksum_error=1))

    @pytest.mark.parametrize("mh_type", FOR_MOBILE_NODES)
    def test_but_not_with_a_home_address_option(self, mh_type: int) -> None:
        """6.1: only a Binding Update may have one."""
        shell = Shell()
        assert shell.receive(message(mh_type, COA1, HOA)) == []
        assert shell.statistics["dropped_home_address_option"] == 1

    def test_options_that_may_not_be_skipped(self) -> None:
        upper = message(3)[40:]
        assert Shell().goes_on(wire.ipv6(COA1, CN, 135, upper, options=bytes([0, 0x9F, 4, 0, 0, 0, 0])))

    def test_other_protocols(self) -> None:
        assert Shell().goes_on(wire.ipv6(COA1, CN, 17, bytes(8)))
        assert Shell().goes_on(wire.ipv6(COA1, CN, 50, bytes(40), home_address=HOA))

    def test_fragments(self) -> None:
        upper = peer.init(1, HOA, CN)[40:]
        for offset_and_flags in (1, 8):
            fragment = struct.pack("!BBHI", 135, 0, offset_and_flags, 7) + upper
            assert Shell().goes_on(wire.ipv6(HOA, CN, 44, fragment))
        whole = struct.pack("!BBHI", 135, 0, 0, 7) + upper
        assert only(Shell().receive(wire.ipv6(HOA, CN, 44, whole))).kind == "HOT"


@pytest.mark.parametrize("mh_type", [1, 2, 5, 99])
def test_a_routing_header_to_a_correspondent_is_dropped(mh_type: int) -> None:
    """8.2."""
    upper = wire.mobility_header(mh_type, bytes(10), COA1, HOA)
    assert Shell().receive(wire.ipv6(COA1, CN, 135, upper, routing=HOA)) == []


@pytest.mark.parametrize("option_type, answered", [(0x7F, False), (0x9F, True), (0xDF, True), (0x1F, None)])
def test_destination_options_that_may_not_be_skipped(option_type: int, answered: bool | None) -> None:
    """RFC 8200 section 4.2; None: it may."""
    upper = peer.init(1, HOA, CN)[40:]
    sent = Shell().receive(wire.ipv6(HOA, CN, 135, upper, options=bytes([0, option_type, 4, 0, 0, 0, 0])))
    if answered is None:
        assert only(sent).kind == "HOT"
    elif answered:
        assert (only(sent).kind, only(sent).code, only(sent).pointer) == ("PP", 2, 42)
    else:
        assert sent == []


class TestUnknownBinding:
    """Packets with a Home Address option that no flow takes (9.3.1)."""

    def test_binding_error_1(self) -> None:
        shell = Shell()
        for _ in range(2):  # the first made no entry
            answer = only(shell.unknown_binding(COA1, HOA))
            assert (answer.kind, answer.status, answer.home_address) == ("BE", 1, HOA)
            assert (answer.source, answer.destination, answer.routing) == (CN, COA1, None)
        assert len(shell.cn.bindings) == 0

    def test_both_addresses_must_be_those_of_the_binding(self) -> None:
        shell = Shell()
        shell.bind()
        assert only(shell.unknown_binding(COA1, HOA2)).home_address == HOA2
        answer = only(shell.unknown_binding(COA2, HOA))
        assert (answer.destination, answer.home_address) == (COA2, HOA)
        assert only(shell.unknown_binding(COA1, HOA, peer.CN2)).source == peer.CN2
        assert shell.routes == {(CN, HOA): COA1}

    def test_not_while_the_flows_are_on_their_way(self) -> None:
        shell = Shell()
        shell.bind()
        assert shell.unknown_binding(COA1, HOA) == []
        shell.now += 40.0  # nobody has told the engine yet
        assert len(shell.cn.unknown_binding(shell.link, COA1, HOA, CN, shell.now)) == 1

    @pytest.mark.parametrize("source", ["ff02::1", "::", "::1"])
    def test_never_to_what_is_no_unicast_address(self, source: str) -> None:
        assert Shell().unknown_binding(address(source), HOA) == []

    @pytest.mark.parametrize("home_address", ["ff02::1:ff00:99", "fe80::99", "::", "::1"])
    def test_not_about_an_address_that_can_have_no_binding(self, home_address: str) -> None:
        assert Shell().unknown_binding(COA1, address(home_address)) == []

    @pytest.mark.parametrize("correspondent", [TEP, ROUTER, HOA])
    def test_only_in_the_name_of_hosts(self, correspondent: bytes) -> None:
        assert Shell().unknown_binding(COA1, HOA, correspondent) == []

    def test_they_are_rate_limited(self) -> None:
        shell = Shell(limits=CorrespondentLimits(error_rate=5.0, error_burst=5.0))
        sources = [COA1[:-1] + bytes([number]) for number in range(20)]
        assert sum(len(shell.unknown_binding(source, HOA)) for source in sources) == 5


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 255]), st.booleans(), st.booleans())
def test_any_octets_never_raise_and_never_make_a_binding(data: bytes, mh_type: int, option: bool, fix: bool) -> None:
    shell = Shell()
    data = data.ljust(8, b"\0")
    upper = bytearray(bytes([59, min(len(data) // 8, 255) - 1 if fix else data[1], mh_type]) + data[3:])
    upper[4:6] = bytes(2)
    length = min(len(upper), upper[1] * 8 + 8)
    source = HOA if option else COA1
    upper[4:6] = checksum(source, CN, 135, bytes(upper[:length])).to_bytes(2, "big")
    packet = wire.ipv6(COA1, CN, 135, bytes(upper), home_address=HOA if option else None)
    actions = shell.cn.receive(shell.link, ipv6.parse(packet), shell.now)
    shell.carry_out(actions or [])
    assert shell.routes == {}


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_a_damaged_packet_never_raises_and_never_changes_a_binding(data: st.DataObject) -> None:
    shell = Shell(seed=3)
    home, care_of = shell.home_test(), shell.care_of_test()
    shell.update(home, care_of)
    moved = shell.care_of_test(COA2)
    packet = bytearray(
        data.draw(
            st.sampled_from(
                [
                    peer.update(home, moved, sequence=16, care_of_address=COA2),
                    peer.update(home, care_of, sequence=16, lifetime=0),
                    peer.init(1, HOA, CN),
                ]
            )
        )
    )
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    covered = packet[64:] if packet[6] == 60 else packet[40:]
    for _ in range(chance.randrange(1, 4)):
        packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
    after = packet[64:] if packet[6] == 60 else packet[40:]
    try:
        datagram = ipv6.parse(bytes(packet))
    except ParseError:
        return
    actions = shell.cn.receive(shell.link, datagram, shell.now)
    shell.carry_out(actions or [])
    if after != covered:
        assert shell.routes == {(CN, HOA): COA1}
