"""ICMPv6 rules that the vectors do not have: size of errors, skipped options, reserved fields."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    ICMPv6HAADRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
    in6_chksum,
)

from mip6core import addresses
from mip6core.codec import icmpv6, ipv6
from mip6core.constants import ICMPV6

ROUTER = "fe80::a"
HOME = addresses.parse("2001:db8:100::10")
HOME_AGENT = addresses.parse("2001:db8:100::1")
NODE = addresses.parse("2001:db8:cc::2")


def received(packet: IPv6) -> icmpv6.Message:
    """The message that our codec sees in a packet of scapy's."""
    return icmpv6.parse(ipv6.parse(bytes(packet)))


@pytest.mark.parametrize(
    "make",
    [
        lambda packet: icmpv6.DestinationUnreachable(icmpv6.ADDRESS_UNREACHABLE, packet),
        lambda packet: icmpv6.PacketTooBig(1420, packet),
        lambda packet: icmpv6.TimeExceeded(0, packet),
        lambda packet: icmpv6.ParameterProblem(icmpv6.UNRECOGNIZED_OPTION, 46, packet),
    ],
)
@pytest.mark.parametrize("size", [1231, 1232, 1233, 9000])
def test_errors_quote_as_much_as_fits_in_1280_octets(make: Callable[[bytes], icmpv6.Message], size: int) -> None:
    invoking = bytes(range(256)) * 36
    upper = icmpv6.build(make(invoking[:size]), HOME_AGENT, NODE)
    packet = ipv6.build(HOME_AGENT, NODE, ICMPV6, upper)
    assert len(packet) == min(48 + size, 1280)  # RFC 4443 section 2.4 (c)
    assert upper[8:] == invoking[: min(size, 1232)]
    header = IPv6(src="2001:db8:100::1", dst="2001:db8:cc::2", nh=58)
    assert in6_chksum(58, header, upper) == 0


def test_types_have_the_numbers_of_the_rfcs() -> None:
    assert {item.name: item.value for item in icmpv6.ICMPv6Type} == {
        "DESTINATION_UNREACHABLE": 1,
        "PACKET_TOO_BIG": 2,
        "TIME_EXCEEDED": 3,
        "PARAMETER_PROBLEM": 4,
        "ECHO_REQUEST": 128,
        "ECHO_REPLY": 129,
        "ROUTER_SOLICITATION": 133,
        "ROUTER_ADVERTISEMENT": 134,
        "NEIGHBOR_SOLICITATION": 135,
        "NEIGHBOR_ADVERTISEMENT": 136,
        "HA_ADDRESS_DISCOVERY_REQUEST": 144,
        "HA_ADDRESS_DISCOVERY_REPLY": 145,
        "MOBILE_PREFIX_SOLICITATION": 146,
        "MOBILE_PREFIX_ADVERTISEMENT": 147,
    }
    codes = (icmpv6.ERRONEOUS_HEADER_FIELD, icmpv6.UNRECOGNIZED_NEXT_HEADER, icmpv6.UNRECOGNIZED_OPTION)
    assert codes == (0, 1, 2)
    assert icmpv6.ADDRESS_UNREACHABLE == 3


def test_unknown_options_are_skipped_and_the_first_of_a_kind_counts() -> None:
    packet = IPv6(src=ROUTER, dst="ff02::1:ff00:10", hlim=255) / ICMPv6ND_NS(tgt="2001:db8:100::10")
    packet /= ICMPv6NDOptUnknown(type=200, len=2, data=b"\xff" * 14)
    packet /= ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
    packet /= ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:02")
    assert received(packet) == icmpv6.NeighborSolicitation(HOME, bytes.fromhex("020000000001"))


def test_options_of_other_messages_are_ignored() -> None:
    packet = IPv6(src=ROUTER, dst="ff02::1", hlim=255) / ICMPv6ND_NA(R=0, S=0, O=0, tgt="2001:db8:100::10")
    packet /= ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
    assert received(packet) == icmpv6.NeighborAdvertisement(HOME)


def test_reserved_fields_are_ignored() -> None:
    link = IPv6(src=ROUTER, dst="ff02::1", hlim=255)
    advertisement = ICMPv6ND_NA(R=1, S=0, O=0, res=0x1FFFFFFF, tgt="2001:db8:100::10")
    assert received(link / advertisement) == icmpv6.NeighborAdvertisement(HOME, router=True)
    solicitation = ICMPv6ND_NS(res=0xFFFFFFFF, tgt="2001:db8:100::10")
    assert received(link / solicitation) == icmpv6.NeighborSolicitation(HOME)
    router = ICMPv6ND_RA(M=0, O=0, H=1, prf=3, P=1, res=3, chlim=0, routerlifetime=9)
    assert received(link / router) == icmpv6.RouterAdvertisement(9, home_agent=True)
    request = ICMPv6HAADRequest(id=5, R=1, res=0x7FFF)
    assert received(link / request) == icmpv6.HAAddressDiscoveryRequest(5)


def test_mobile_ipv6_messages_need_no_hop_limit_of_255() -> None:
    packet = IPv6(src="2001:db8:f1::5", dst="2001:db8:100::1", hlim=3) / ICMPv6HAADRequest(id=5, R=0)
    assert received(packet) == icmpv6.HAAddressDiscoveryRequest(5)


def test_other_types_are_handed_on_raw() -> None:
    upper = icmpv6.build(icmpv6.UnknownMessage(200, 7, b"whatever"), NODE, HOME_AGENT)
    packet = IPv6(src="2001:db8:cc::2", dst="2001:db8:100::1", nh=58) / upper
    assert received(packet) == icmpv6.UnknownMessage(200, 7, b"whatever")
