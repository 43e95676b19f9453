"""Packets on the direct path (RFC 6275 sections 6.3, 6.4, 11.3), against what scapy makes of the same contents."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    HAO,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.packet import Packet, Raw

from mip6core import addresses
from topo.optimized_packets import error_for_home_address, with_home_address, without_routing_header

HOME, CARE_OF, NODE, ROUTER = "2001:db8:1::100", "2001:db8:a::c0a", "2001:db8:c::3", "2001:db8:a::1"
HOA, COA = addresses.parse(HOME), addresses.parse(CARE_OF)

HOME_ADDRESS_HEADER = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0"), HAO(hoa=HOME)], autopad=0)
FRAGMENT = 44
ROUTING_HEADER = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME])
HOP_BY_HOP = IPv6ExtHdrHopByHop(options=[RouterAlert()])


PAYLOADS = [
    UDP(sport=1, dport=2) / Raw(b"data"),
    TCP(sport=1, dport=2) / Raw(b"more data"),
    ICMPv6EchoRequest(id=1, seq=2, data=b"ping"),
    IPv6ExtHdrFragment(nh=17, id=7, offset=0, m=1) / Raw(bytes(64)),
    IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / UDP(sport=1, dport=2),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
@pytest.mark.parametrize("first", [None, HOP_BY_HOP], ids=["", "hop by hop"])
def test_a_packet_out_gets_the_home_address_option(payload: Packet, first: Packet | None) -> None:
    headers = IPv6(src=HOME, dst=NODE, hlim=17, tc=3, fl=5)
    plain = IPv6(bytes(headers / first / payload if first else headers / payload))
    direct = with_home_address(bytes(plain), COA)
    headers = IPv6(src=CARE_OF, dst=NODE, hlim=17, tc=3, fl=5)
    whole = headers / first / HOME_ADDRESS_HEADER if first else headers / HOME_ADDRESS_HEADER
    inside = plain.payload.payload if first else plain.payload  # its checksum is the one of the home address
    if isinstance(inside, IPv6ExtHdrFragment):
        whole.lastlayer().nh = FRAGMENT
        inside = Raw(bytes(inside))  # or scapy would not put it behind options
    assert direct == bytes(whole / inside)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
@pytest.mark.parametrize("first", [None, HOP_BY_HOP], ids=["", "hop by hop"])
def test_a_packet_in_loses_the_routing_header(payload: Packet, first: Packet | None) -> None:
    headers = IPv6(src=NODE, dst=HOME, hlim=17, tc=3, fl=5)
    plain = IPv6(bytes(headers / first / payload if first else headers / payload))
    inside = plain.payload.payload if first else plain.payload
    headers = IPv6(src=NODE, dst=CARE_OF, hlim=17, tc=3, fl=5)
    whole = headers / first / ROUTING_HEADER if first else headers / ROUTING_HEADER
    assert without_routing_header(bytes(whole / inside), COA, HOA) == bytes(plain)


@pytest.mark.parametrize("destination", ["ff02::1", "ff0e::7", "fe80::3"])
def test_the_option_is_not_sent_to_groups_and_neighbors(destination: str) -> None:
    assert with_home_address(bytes(IPv6(src=HOME, dst=destination) / UDP()), COA) is None


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=NODE, dst=CARE_OF) / UDP(),
        IPv6(src=NODE, dst=ROUTER) / ROUTING_HEADER / UDP(),
        IPv6(src=NODE, dst=CARE_OF) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[NODE]) / UDP(),
        IPv6(src=NODE, dst=CARE_OF) / IPv6ExtHdrRouting(type=2, segleft=0, addresses=[HOME]) / UDP(),
        IPv6(src=NODE, dst=CARE_OF) / IPv6ExtHdrRouting(type=0, segleft=1, addresses=[HOME]) / UDP(),
        IPv6(src=NODE, dst=CARE_OF) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME, HOME]) / UDP(),
        bytes(IPv6(src=NODE, dst=CARE_OF) / ROUTING_HEADER)[:56],
        bytes(IPv6(src=NODE, dst=CARE_OF, nh=43)),
        bytes(IPv6(src=NODE, dst=CARE_OF, nh=0)) + b"\x2b\xff",
    ],
    ids=["none", "destination", "home address", "nothing left", "type", "length", "cut", "nothing", "beyond the end"],
)
def test_other_routing_headers_are_no_business_of_ours(packet: Packet | bytes) -> None:
    assert without_routing_header(bytes(packet), COA, HOA) is None


# --- ICMPv6 errors about packets with the option ---

ERRORS = [
    ICMPv6DestUnreach(code=3),
    ICMPv6PacketTooBig(mtu=1400),
    ICMPv6TimeExceeded(code=0),
    ICMPv6ParamProblem(code=1, ptr=6),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("length", [None, 90])
def test_an_error_is_turned_into_one_about_the_packet_as_the_sender_knows_it(error: Packet, length: int | None) -> None:
    plain = bytes(IPv6(src=HOME, dst=NODE) / UDP(sport=1, dport=2) / Raw(bytes(100)))
    direct = with_home_address(plain, COA)
    assert direct is not None
    cut = None if length is None else length - 24
    found = error_for_home_address(bytes(IPv6(src=ROUTER, dst=CARE_OF) / error / Raw(direct[:length])), COA, HOA)
    expected = error.copy()
    if isinstance(expected, ICMPv6PacketTooBig):
        expected.mtu = 1376
    assert found == bytes(IPv6(src=ROUTER, dst=HOME) / expected / Raw(plain[:cut]))


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=ROUTER, dst=CARE_OF) / ICMPv6TimeExceeded() / bytes(IPv6(src=CARE_OF, dst=NODE) / UDP()),
        IPv6(src=ROUTER, dst=HOME) / ICMPv6TimeExceeded() / bytes(IPv6(src=CARE_OF, dst=NODE) / HOME_ADDRESS_HEADER),
        IPv6(src=ROUTER, dst=CARE_OF) / ICMPv6TimeExceeded() / bytes(IPv6(src=ROUTER, dst=NODE) / HOME_ADDRESS_HEADER),
        IPv6(src=ROUTER, dst=CARE_OF) / ICMPv6EchoReply(data=bytes(IPv6(src=CARE_OF, dst=NODE) / HOME_ADDRESS_HEADER)),
        IPv6(src=ROUTER, dst=CARE_OF) / ICMPv6TimeExceeded(),
        IPv6(src=ROUTER, dst=CARE_OF)
        / ICMPv6TimeExceeded()
        / bytes(IPv6(src=CARE_OF, dst=NODE) / IPv6ExtHdrDestOpt(options=[HAO(hoa=NODE)])),
    ],
    ids=["no option", "to home", "not ours", "no error", "nothing quoted", "other home address"],
)
def test_other_packets_are_no_errors_about_optimised_ones(packet: Packet) -> None:
    assert error_for_home_address(bytes(packet), COA, HOA) is None
