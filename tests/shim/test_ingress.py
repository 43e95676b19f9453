"""What the network sends, and what Open vSwitch gets of it: RFC 2473 goes in, GRE comes out, by scapy's opinion."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.shim.uplink import BRIDGE_MAC, HOME_AGENT, ROUTER_MAC, Uplink, as_bytes

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"
HOME = "2001:db8:1::100"
CORRESPONDENT = "2001:db8:c::1"

ETHERNET = Ether(src=ROUTER_MAC, dst=BRIDGE_MAC)
INNER = IPv6(src=HOME, dst=CORRESPONDENT, hlim=17, tc=0x5A, fl=0x54321) / UDP(sport=1, dport=2) / Raw(b"payload")
IPV4 = IP(src="10.0.0.2", dst="10.0.0.1") / UDP()
GRE_KEY_0 = GRE(proto=0x86DD, key_present=1, key=0)


def outer(**fields: object) -> Packet:
    """The tunnel's header; every field that must survive has a value of its own."""
    return ETHERNET / IPv6(**{"src": CARE_OF, "dst": HOME_AGENT, "hlim": 61, "tc": 0xB8, "fl": 0xABCDE, **fields})


def option(next_header: int, options: bytes = b"\x01\x04" + bytes(4)) -> Raw:
    """An options header (hop-by-hop or destination); without `options` it is padding."""
    return Raw(bytes([next_header, (len(options) + 2) // 8 - 1]) + options)


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(INNER, id="udp"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT, nh=59), id="smallest"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / TCP() / Raw(bytes(1460 - 60)), id="1500 on the wire"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / UDP() / Raw(bytes(8992 - 40 - 48)), id="jumbo frame"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / INNER, id="tunnel in tunnel"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / GRE() / IPV4, id="gre in tunnel"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / IPv6ExtHdrHopByHop() / UDP(), id="inner options"),
        pytest.param(IPv6(src=HOME, dst=CORRESPONDENT) / IPv6ExtHdrFragment(m=1) / Raw(bytes(8)), id="inner fragment"),
    ],
)
def test_tunnel_packet_becomes_gre(uplink: Uplink, inner: Packet) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(as_bytes(outer() / inner)))
    assert frames == [as_bytes(outer(nh=47) / GRE_KEY_0 / inner)]
    assert moved == {"ingress_tunnel": 1}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(b"\x04\x01\x04\x01\x01\x00", id="as Linux ip6tnl sends it"),
        pytest.param(b"\x04\x01\x00\x00\x00\x00", id="Pad1"),
        pytest.param(b"\x01\x01\x00\x04\x01\x04", id="padding first"),
        pytest.param(b"\x00\x04\x01\x04\x01\x00", id="padding around"),
        pytest.param(b"\x01\x04\x00\x00\x00\x00", id="padding only"),
        pytest.param(b"\x04\x02\x04\x04\x01\x00", id="limit of wrong length, to be skipped like any unknown option"),
        pytest.param(b"\x04\x01\x04\x01\x09" + bytes(9), id="long padding behind"),
        pytest.param(b"\x01\x09" + bytes(9) + b"\x04\x01\x04", id="long padding first"),
        pytest.param(b"\x04\x01\x04" + bytes(67), id="72 octets"),
        pytest.param(b"\x3e\x0c" + bytes(12), id="unknown option"),
    ],
)
def test_encapsulation_limit_is_taken_off(uplink: Uplink, options: bytes) -> None:
    """RFC 2473 section 4.1.1."""
    frames, moved = uplink.counted(lambda: uplink.coming_in(outer(nh=60) / option(41, options) / INNER))
    assert frames == [as_bytes(outer(nh=47) / GRE_KEY_0 / INNER)]
    assert moved == {"ingress_tunnel_limit": 1}


def test_what_lies_behind_the_packet_stays_behind_it(uplink: Uplink) -> None:
    """Ethernet padding is outside the payload length; so it is afterwards."""
    assert uplink.coming_in(as_bytes(outer() / INNER) + b"padding") == [
        as_bytes(outer(nh=47) / GRE_KEY_0 / INNER) + b"padding"
    ]


def test_bytes_behind_the_inner_packet_stay(uplink: Uplink) -> None:
    """A tunnel packet may be longer than the packet in it; the receiver of the inner one cuts it."""
    frames = uplink.coming_in(outer() / INNER / Raw(b"more"))
    assert frames == [as_bytes(outer(nh=47) / GRE_KEY_0 / INNER / Raw(b"more"))]


FRAGMENTABLE = bytes(INNER)


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(outer(dst="2001:db8:1::3") / INNER, None, id="other destination"),
        pytest.param(outer(dst="2001:db8:1::3", nh=47) / GRE_KEY_0 / INNER, None, id="gre to other destination"),
        pytest.param(outer() / TCP(), None, id="tcp"),
        pytest.param(outer() / ICMPv6EchoRequest(), None, id="echo request"),
        pytest.param(outer(nh=60) / option(6) / TCP(), None, id="tcp behind options"),
        pytest.param(outer(nh=50) / Raw(bytes(40)), None, id="esp"),
        pytest.param(outer(nh=135) / Raw(bytes(40)), None, id="mobility header"),
        pytest.param(outer(nh=4) / IPV4, None, id="ipv4 in ipv6"),
        pytest.param(ETHERNET / IP(src="10.0.0.2", dst="10.0.0.1") / GRE(proto=0x86DD) / INNER, None, id="ipv4"),
        pytest.param(Ether(src=ROUTER_MAC, dst=BRIDGE_MAC, type=0x88B6) / Raw(bytes(60)), None, id="not ip"),
        pytest.param(ETHERNET / Raw(bytes(outer() / INNER)[14:50]), None, id="shorter than a header"),
        pytest.param(outer(plen=0, nh=59), None, id="no next header"),
        pytest.param(ETHERNET / Dot1Q(vlan=5) / (outer() / INNER).payload, None, id="tunnel packet with a VLAN tag"),
        pytest.param(ETHERNET / Dot1Q(vlan=5) / (outer() / TCP()).payload, None, id="tcp with a VLAN tag"),
        pytest.param(
            ETHERNET / Dot1Q(vlan=5) / (outer(dst="2001:db8:1::3", nh=47) / GRE_KEY_0 / INNER).payload,
            None,
            id="gre to other destination with a VLAN tag",
        ),
        pytest.param(
            outer() / IPv6ExtHdrFragment(nh=41, m=1, id=9) / Raw(FRAGMENTABLE[:48]),
            "ingress_fragment_passed",
            id="first fragment",
        ),
        pytest.param(
            outer() / IPv6ExtHdrFragment(nh=41, offset=6, id=9) / Raw(FRAGMENTABLE[48:]),
            "ingress_fragment_passed",
            id="last fragment",
        ),
        pytest.param(
            outer() / IPv6ExtHdrFragment(nh=47, m=1, id=9) / GRE_KEY_0 / INNER,
            "ingress_fragment_passed",
            id="first fragment of gre",
        ),
        pytest.param(outer(nh=0) / option(41) / INNER, "ingress_options_passed", id="hop-by-hop options"),
        pytest.param(
            outer(nh=60) / option(41, b"\x04\x01\x04\x01\x01\x00\x84\x06" + bytes(6)) / INNER,
            "ingress_options_passed",
            id="option not to be skipped",
        ),
        pytest.param(
            outer(nh=60) / option(41, b"\x04\x01\x04\x01\x0a" + bytes(9)) / INNER,
            "ingress_options_passed",
            id="longer padding too long",
        ),
        pytest.param(
            outer(nh=60) / option(41, b"\x04\x01\x04\x01\x49" + bytes(73)) / INNER,
            "ingress_options_passed",
            id="longer than anybody sends",
        ),
        pytest.param(
            outer(nh=60) / option(41, b"\x01\x05" + bytes(4)) / INNER, "ingress_options_passed", id="padding too long"
        ),
        pytest.param(
            outer(nh=60) / option(41, b"\x01\x03\x00\x00\x00\x04") / INNER,
            "ingress_options_passed",
            id="option without a length",
        ),
        pytest.param(
            outer(nh=60) / option(60, b"\x04\x01\x04\x01\x01\x00") / option(41) / INNER,
            "ingress_options_passed",
            id="two options headers",
        ),
        pytest.param(
            outer() / IPv6ExtHdrRouting(nh=41, type=4, segleft=0) / INNER,
            "ingress_options_passed",
            id="routing header",
        ),
    ],
)
def test_left_alone(uplink: Uplink, frame: Packet, counter: str | None) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [bytes(frame)]
    assert moved == ({counter: 1} if counter else {})


def chain(*kinds: int) -> Packet:
    """GRE behind extension headers of these kinds."""
    packet = outer(nh=kinds[0])
    for kind, following in zip(kinds, [*kinds[1:], 47], strict=True):
        if kind == 44:  # fragment header of a packet that is not fragmented, RFC 6946
            packet /= Raw(struct.pack("!BBHI", following, 0, 0, 1))
        elif kind == 43:
            packet /= Raw(bytes([following, 0, 4, 0, 0, 0, 0, 0]))
        elif kind == 51:  # length in 4 octets, less 2: RFC 4302 section 2.2
            packet /= Raw(bytes([following, 4]) + bytes(22))
        else:
            packet /= option(following)
    return packet / GRE_KEY_0 / INNER


# All of these but the tagged ones OVS 3.1 was seen to decapsulate when nothing stops them; a tagged one it decapsulates
# if the tag is stripped on the way to the bridge's own port.
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(outer(nh=47) / GRE_KEY_0 / INNER, id="key 0"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD) / INNER, id="no key"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, key_present=1, key=1) / INNER, id="key 1"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, chksum_present=1) / INNER, id="checksum"),
        pytest.param(outer(nh=47) / GRE(proto=0x0800) / IPV4, id="ipv4"),
        pytest.param(outer(nh=47) / Raw(b"\0\0"), id="half a gre header"),
        pytest.param(chain(60), id="destination options"),
        pytest.param(chain(0), id="hop-by-hop options"),
        pytest.param(chain(43), id="routing header"),
        pytest.param(chain(51), id="authentication header"),
        pytest.param(chain(44), id="atomic fragment"),
        pytest.param(chain(0, 60, 43, 44, 51, 60), id="all of them"),
        pytest.param(outer(nh=60) / option(47, bytes(254)) / GRE_KEY_0 / INNER, id="long options"),
        pytest.param(ETHERNET / Dot1Q(vlan=5) / (outer(nh=47) / GRE_KEY_0 / INNER).payload, id="VLAN tag"),
        pytest.param(ETHERNET / Dot1Q(prio=3) / chain(60, 0).payload, id="priority tag and options"),
        pytest.param(
            ETHERNET / Dot1AD(vlan=7) / Dot1Q(vlan=5) / (outer(nh=47) / GRE_KEY_0 / INNER).payload, id="two tags"
        ),
    ],
)
def test_real_gre_never_comes_through(uplink: Uplink, frame: Packet) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == []
    assert moved == {"ingress_gre_dropped": 1}


def test_gre_behind_more_headers_than_anybody_looks_at(uplink: Uplink) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(chain(*[60] * 12)))
    assert frames == []
    assert moved == {"ingress_chain_dropped": 1}


def inner_with(**fields: object) -> Packet:
    return IPv6(**{"src": HOME, "dst": CORRESPONDENT, "nh": 59, **fields}) / Raw(bytes(16))


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(outer(nh=41), "truncated", id="nothing inside"),
        pytest.param(outer(nh=41) / Raw(b"\x60" + bytes(38)), "truncated", id="one byte short of a header"),
        pytest.param(outer(nh=41, plen=39) / INNER, "truncated", id="payload length one byte short"),
        pytest.param(
            outer(nh=60, plen=47) / option(41, b"\x04\x01\x04\x01\x01\x00") / INNER,
            "truncated",
            id="payload length one byte short behind options",
        ),
        pytest.param(outer(nh=60), "truncated", id="options cut off"),
        pytest.param(outer(nh=60) / Raw(bytes([0, 0, 1, 4, 0, 0])), "truncated", id="options cut in the middle"),
        pytest.param(outer(nh=41) / IPV4 / Raw(bytes(40)), "version", id="inner ipv4"),
        pytest.param(outer(nh=41) / Raw(bytes(60)), "version", id="inner version 0"),
        pytest.param(outer(plen=len(INNER) + 1) / INNER, "length", id="payload length beyond the frame"),
        pytest.param(outer(plen=65535) / INNER, "length", id="largest payload length"),
        pytest.param(outer() / inner_with(plen=17), "length", id="inner length beyond the outer packet"),
        pytest.param(outer(plen=56) / inner_with(plen=24) / Raw(bytes(8)), "length", id="inner length in the padding"),
    ],
)
def test_broken_tunnel_packet_is_dropped(uplink: Uplink, frame: Packet, counter: str) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == []
    assert moved == {f"ingress_{counter}_dropped": 1}


def test_padding_option_of_scapy(uplink: Uplink) -> None:
    """The same header once more, made by scapy's own option classes."""
    header = IPv6ExtHdrDestOpt(nh=41, options=[PadN(optdata=bytes(4))])
    assert uplink.coming_in(outer() / header / INNER) == [as_bytes(outer(nh=47) / GRE_KEY_0 / INNER)]
