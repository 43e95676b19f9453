"""Header chains that the vectors do not have: options to be refused, fragments, bounds."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    HBHOptUnknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    RouterAlert,
)

from mip6core import addresses
from mip6core.codec import ipv6
from mip6core.constants import AH, ESP, MOBILITY_HEADER, NO_NEXT_HEADER
from mip6core.errors import ParseError

CARE_OF = addresses.parse("2001:db8:f1::5")
HOME = addresses.parse("2001:db8:100::10")
HOME_AGENT = addresses.parse("2001:db8:100::1")
HEADER = IPv6(src="2001:db8:f1::5", dst="2001:db8:100::1")
PAYLOAD = bytes(range(16))
PAD_6 = bytes.fromhex("010400000000")


def ipv6_packet(next_header: int, payload: bytes) -> bytes:
    """A packet laid out by scapy up to `payload`."""
    return bytes(IPv6(src=HEADER.src, dst=HEADER.dst, nh=next_header, plen=len(payload))) + payload


def options_header(next_header: int, *options: bytes) -> bytes:
    """A hop-by-hop or destination options header; `options` must fill it."""
    data = b"".join(options)
    assert len(data) % 8 == 6
    return bytes((next_header, len(data) // 8)) + data


def test_octets_behind_the_payload_are_left_out() -> None:
    packet = ipv6_packet(NO_NEXT_HEADER, b"")
    datagram = ipv6.parse(packet + bytes(6))  # as in an Ethernet frame of the least length
    assert datagram.packet == packet
    assert datagram.upper == b""


def test_a_packet_is_parsed_without_what_follows_in_its_frame() -> None:
    packet = bytes(HEADER / IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:100::10")]) / MIP6MH_BU())
    datagram = ipv6.parse(packet + b"\xbb" * 4)
    assert datagram.packet == packet
    assert datagram == ipv6.parse(packet)


@pytest.mark.parametrize("protocol", [ESP, AH, NO_NEXT_HEADER, 6, 41, 255])
def test_any_other_next_header_is_the_upper_protocol(protocol: int) -> None:
    datagram = ipv6.parse(ipv6_packet(60, options_header(protocol, PAD_6) + PAYLOAD))
    assert (datagram.upper_protocol, datagram.upper_offset, datagram.upper) == (protocol, 48, PAYLOAD)


def test_destination_options_behind_an_authentication_header_are_not_looked_at() -> None:
    option = b"\xc9\x10" + HOME
    beneath = bytes((60, 4)) + bytes(22) + options_header(59, b"\x01\x02\0\0", option)
    assert ipv6.parse(ipv6_packet(AH, beneath)).home_address is None


def test_the_addresses_of_the_checksum() -> None:
    plain = ipv6.parse(ipv6_packet(59, b""))
    assert (plain.checksum_source, plain.checksum_destination) == (CARE_OF, HOME_AGENT)
    both = HEADER / IPv6ExtHdrRouting(type=2, segleft=1, addresses=["2001:db8:100::20"])
    both /= IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:100::10")])
    datagram = ipv6.parse(bytes(both / MIP6MH_BU()))
    assert datagram.checksum_source == HOME
    assert datagram.checksum_destination == addresses.parse("2001:db8:100::20")
    assert (datagram.source, datagram.destination) == (CARE_OF, HOME_AGENT)


class TestUnrecognizedOptions:
    """RFC 8200 section 4.2: the two high bits of an unknown option's type say what to do."""

    @pytest.mark.parametrize("option_type", [0x04, 0x1E, 0x3E])
    def test_00_is_skipped(self, option_type: int) -> None:
        header = options_header(59, bytes((option_type, 1, 255, 1, 1, 0)))
        assert ipv6.parse(ipv6_packet(60, header)).unrecognized_option is None

    @pytest.mark.parametrize("option_type", [0x5E, 0x80, 0x8A, 0xC2, 0xFF])
    @pytest.mark.parametrize("next_header", [0, 60])
    def test_others_are_noted_with_their_offset(self, option_type: int, next_header: int) -> None:
        header = options_header(59, b"\0", bytes((option_type, 1, 255)), b"\x01\0")
        datagram = ipv6.parse(ipv6_packet(next_header, header))
        assert datagram.unrecognized_option == (option_type, 43)

    def test_the_first_one_counts_and_later_headers_are_still_read(self) -> None:
        packet = HEADER / IPv6ExtHdrHopByHop(options=[RouterAlert(), HBHOptUnknown(otype=0x9E, optdata=b"")])
        packet /= IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:100::10"), HBHOptUnknown(otype=0xDE)])
        datagram = ipv6.parse(bytes(packet / MIP6MH_BU()))
        assert datagram.unrecognized_option == (0x9E, 46)
        assert datagram.home_address == HOME

    def test_a_home_address_option_among_hop_by_hop_options_is_not_known(self) -> None:
        header = options_header(59, b"\x01\x02\0\0\xc9\x10", HOME)
        datagram = ipv6.parse(ipv6_packet(0, header))
        assert datagram.home_address is None
        assert datagram.unrecognized_option == (0xC9, 46)


class TestFragments:
    """RFC 8200 section 4.5."""

    def test_without_a_fragment_header(self) -> None:
        datagram = ipv6.parse(ipv6_packet(59, b""))
        assert datagram.fragment_offset is datagram.more_fragments is datagram.fragment_id is None

    def test_first_fragment_is_walked_to_the_upper_layer(self) -> None:
        header = IPv6ExtHdrFragment(nh=60, offset=0, m=1, id=0xDEADBEEF)
        rest = bytes(header) + options_header(MOBILITY_HEADER, PAD_6) + PAYLOAD
        datagram = ipv6.parse(ipv6_packet(44, rest))
        assert (datagram.fragment_offset, datagram.more_fragments) == (0, True)
        assert datagram.fragment_id == 0xDEADBEEF
        assert (datagram.upper_protocol, datagram.upper_offset, datagram.upper) == (135, 56, PAYLOAD)

    def test_reserved_fields_are_ignored(self) -> None:
        header = IPv6ExtHdrFragment(nh=59, res1=0xFF, res2=3, offset=0, m=0, id=7)
        datagram = ipv6.parse(ipv6_packet(44, bytes(header) + PAYLOAD))
        assert (datagram.fragment_offset, datagram.more_fragments, datagram.upper) == (0, False, PAYLOAD)

    def test_later_fragment_is_raw(self) -> None:
        header = IPv6ExtHdrFragment(nh=60, offset=181, m=0, id=7)
        datagram = ipv6.parse(ipv6_packet(44, bytes(header) + b"\xff" * 12))
        assert (datagram.fragment_offset, datagram.more_fragments) == (1448, False)
        assert (datagram.upper_protocol, datagram.upper_offset, datagram.upper) == (60, 48, b"\xff" * 12)

    def test_home_address_option_before_the_fragment_header(self) -> None:
        packet = HEADER / IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:100::10")])
        packet /= IPv6ExtHdrFragment(nh=135, offset=0, m=0, id=7)
        datagram = ipv6.parse(bytes(packet / MIP6MH_BU(seq=1)))
        assert (datagram.home_address, datagram.fragment_id) == (HOME, 7)
        assert datagram.upper_protocol == MOBILITY_HEADER


def test_eight_extension_headers_are_allowed() -> None:
    chain = options_header(60, PAD_6) * 7 + options_header(59, PAD_6)
    assert ipv6.parse(ipv6_packet(60, chain)).upper_offset == 104


def test_routing_headers_without_segments_left_are_passed_over() -> None:
    header = bytes((59, 2, 0, 0)) + bytes(4) + HOME  # type 0, RFC 5095: ignored then
    datagram = ipv6.parse(ipv6_packet(43, header))
    assert datagram.type2_home_address is None
    assert datagram.checksum_destination == HOME_AGENT


def test_an_option_header_of_the_greatest_length_is_walked_in_bounded_steps() -> None:
    header = bytes((59, 255)) + bytes(2046)  # Pad1 only
    assert ipv6.parse(ipv6_packet(60, header)).upper_offset == 40 + 2048


@pytest.mark.parametrize("length", range(64))
def test_every_cut_of_a_binding_update_is_refused(length: int) -> None:
    packet = bytes(HEADER / IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:100::10")]) / MIP6MH_BU(seq=1))
    with pytest.raises(ParseError, match=r"^truncated$"):
        ipv6.parse(packet[:length])


class TestUpperLayer:
    """Found without a look into the headers before it."""

    def test_behind_headers_that_are_wrong_in_themselves(self) -> None:
        chain = bytes((43, 0)) + b"\xc9\x63" + bytes(4)  # an option longer than its header
        chain += bytes((0, 0, 0, 1)) + bytes(4)  # a routing header with segments left
        chain += bytes((58, 1)) + bytes(14)  # hop-by-hop options in the wrong place
        packet = ipv6_packet(60, chain + PAYLOAD)
        assert ipv6.upper_layer(packet) == (58, 72)
        assert ipv6.upper_layer(packet[:72]) == (58, 72)
        assert ipv6.upper_layer(packet[:63]) is None

    @pytest.mark.parametrize("length", [0, 39, 47])
    def test_cut_off(self, length: int) -> None:
        assert ipv6.upper_layer(ipv6_packet(60, options_header(59, PAD_6))[:length]) is None

    def test_fragments(self) -> None:
        first = ipv6_packet(44, bytes(IPv6ExtHdrFragment(nh=60, m=1)) + options_header(135, PAD_6))
        later = ipv6_packet(44, bytes(IPv6ExtHdrFragment(nh=60, offset=1)) + options_header(135, PAD_6))
        assert ipv6.upper_layer(first) == (135, 56)
        assert ipv6.upper_layer(later) == (44, 48)

    def test_the_chain_is_no_longer_than_that_of_a_packet_that_is_parsed(self) -> None:
        assert ipv6.upper_layer(ipv6_packet(60, options_header(60, PAD_6) * 7 + options_header(59, PAD_6))) == (59, 104)
        assert ipv6.upper_layer(ipv6_packet(60, options_header(60, PAD_6) * 8 + options_header(59, PAD_6))) is None


def test_build_refuses_what_does_not_fit_the_header() -> None:
    with pytest.raises(Exception, match="format requires"):
        ipv6.build(CARE_OF, HOME_AGENT, 59, bytes(65536))
