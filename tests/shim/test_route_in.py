"""What mobile nodes send past the home agent, and what Open vSwitch gets of it: RFC 6275 section 9.3.1."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    HAO,
    ICMPv6EchoReply,
    ICMPv6MPSol,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    MIP6MH_HoTI,
    Pad1,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.shim.uplink import (
    BRIDGE_MAC,
    HOME_AGENT,
    OFFICE_END_POINT,
    OFFICE_MAC,
    ROUTER_MAC,
    Uplink,
    as_bytes,
)

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"
HOME = "2001:db8:1::100"
CORRESPONDENT = "2001:db8:c::99"
CORRESPONDENT_MAC = "02:00:00:00:00:99"
NEIGHBOUR = "2001:db8:1::99"  # on the home link
STRANGER = "2001:db8:d::99"

FIELDS = {"hlim": 61, "tc": 0xB8, "fl": 0xABCDE}  # what must survive has a value of its own
KEY_1 = GRE(proto=0x86DD, key_present=1, key=1)
HOME_ADDRESS = HAO(hoa=HOME)


def wire(*headers: Packet, dst: str = CORRESPONDENT, **fields: object) -> Packet:
    """A packet to a correspondent as it is on the wire."""
    packet = Ether(src=ROUTER_MAC, dst=CORRESPONDENT_MAC) / IPv6(**{"src": CARE_OF, "dst": dst, **FIELDS, **fields})
    for header in headers:
        packet /= header.copy()
    return packet


def option_header(**fields: object) -> Packet:
    """The Destination Options header that every mobile node sends, padded by scapy as section 6.3 wants it."""
    return IPv6ExtHdrDestOpt(options=[HOME_ADDRESS], **fields)


def converted(
    *headers: Packet, dst: str = CORRESPONDENT, end_point: str = OFFICE_END_POINT, mac: str = OFFICE_MAC
) -> bytes:
    """What Open vSwitch shall get: the packet of the home address, in GRE with key 1 from the care-of address."""
    inner = IPv6(src=HOME, dst=dst, **FIELDS)
    for header in headers:
        inner /= header.copy()
    outer = Ether(src=ROUTER_MAC, dst=mac) / IPv6(src=CARE_OF, dst=end_point, nh=47, **FIELDS)
    return as_bytes(outer / KEY_1 / inner)


def raw_options(next_header: int, options: bytes) -> Raw:
    """An options header byte by byte."""
    assert (len(options) + 2) % 8 == 0
    return Raw(bytes([next_header, (len(options) + 2) // 8 - 1]) + options)


ADDRESS_OPTION = b"\xc9\x10" + bytes(HOME_ADDRESS)[2:]
PADDING = bytes([1, 2, 0, 0])
LIMIT = b"\x04\x01\x04"  # Tunnel Encapsulation Limit; its type says that it may be skipped
DATA = UDP(sport=1, dport=2) / Raw(b"payload")
FRAGMENT = IPv6ExtHdrFragment(nh=17, m=1, id=9) / Raw(bytes(range(48)))
LAST_FRAGMENT = IPv6ExtHdrFragment(nh=17, offset=6, id=9) / Raw(bytes(13))


@pytest.mark.parametrize(
    "upper",
    [
        pytest.param((DATA,), id="udp"),
        pytest.param((TCP() / Raw(bytes(1500 - 40 - 24 - 20)),), id="1500 on the wire"),
        pytest.param((UDP() / Raw(bytes(8900 - 40 - 24 - 8)),), id="jumbo frame"),
        pytest.param((UDP() / Raw(b"x"),), id="odd length"),
        pytest.param((ICMPv6EchoReply(),), id="echo reply"),
        pytest.param((IPv6(src=HOME, dst=STRANGER) / DATA,), id="ipv6"),
        pytest.param((GRE(proto=0x86DD) / IPv6() / DATA,), id="gre"),
        pytest.param((IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]), DATA), id="second options header"),
        pytest.param((IPv6ExtHdrDestOpt(options=[RouterAlert()]), DATA), id="second options header of the host's"),
        pytest.param((FRAGMENT,), id="first fragment"),
        pytest.param((LAST_FRAGMENT,), id="last fragment"),
        pytest.param((IPv6ExtHdrFragment(nh=17, id=9) / DATA,), id="atomic fragment"),
        pytest.param(
            (IPv6ExtHdrFragment(nh=60, m=1) / IPv6ExtHdrDestOpt(nh=135) / Raw(bytes(24)),),
            id="fragment that may have a mobility header behind options",
        ),
    ],
)
def test_home_address_becomes_the_source(uplink: Uplink, upper: tuple[Packet, ...]) -> None:
    """The checksum, which scapy computes with the home address on both sides, needs no change."""
    frames, moved = uplink.counted(lambda: uplink.coming_in(as_bytes(wire(option_header(), *upper))))
    assert frames == [converted(*upper)]
    assert moved == {"ingress_home_address": 1}


def test_no_upper_layer(uplink: Uplink) -> None:
    assert uplink.coming_in(wire(option_header(nh=59))) == [converted()]


@pytest.mark.parametrize(
    "padding",
    [bytes([1, 2, 0, 0]), bytes(4), bytes([1, 1, 0, 0]), bytes([0, 1, 1, 7]), bytes([1, 0, 1, 0]), bytes([0, 0, 1, 0])],
    ids=str,
)
def test_padding_of_all_kinds(uplink: Uplink, padding: bytes) -> None:
    """RFC 8200 section 4.2: four octets, in any mix of Pad1 and PadN."""
    frames = uplink.coming_in(wire(raw_options(59, padding + ADDRESS_OPTION), nh=60))
    assert frames == [converted()]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(PADDING + ADDRESS_OPTION + b"\x01\x06" + bytes(6), id="PadN behind"),
        pytest.param(PADDING + ADDRESS_OPTION + bytes(8), id="Pad1 behind"),
        pytest.param(PADDING + ADDRESS_OPTION + b"\x01\x06" + ADDRESS_OPTION[:6], id="padding of any content"),
        pytest.param(b"\x01\x0a" + bytes(10) + ADDRESS_OPTION, id="PadN before"),
        pytest.param(bytes(12) + ADDRESS_OPTION, id="Pad1 before"),
        pytest.param(bytes(52) + ADDRESS_OPTION, id="72 octets of Pad1"),
        pytest.param(b"\x01\x32" + bytes(50) + ADDRESS_OPTION, id="72 octets, last"),
        pytest.param(PADDING + ADDRESS_OPTION + b"\x01\x2e" + bytes(46), id="72 octets, first"),
        pytest.param(LIMIT + b"\x00" + ADDRESS_OPTION, id="option in place of padding"),
        pytest.param(PADDING + ADDRESS_OPTION + LIMIT + b"\x01\x03" + bytes(3), id="option behind"),
        pytest.param(b"\x3e\x0a" + bytes(10) + ADDRESS_OPTION, id="unknown option before"),
        pytest.param(PADDING + ADDRESS_OPTION + b"\x1e\x02\xc9\x10" + PADDING, id="like a home address in an option"),
        pytest.param(PADDING + ADDRESS_OPTION + b"\x3e\x00" * 12, id="unknown options without contents"),
    ],
)
@pytest.mark.parametrize("hop_by_hop", [False, True], ids=["first", "second"])
def test_options_to_be_skipped_go_with_the_home_address(uplink: Uplink, options: bytes, hop_by_hop: bool) -> None:
    """RFC 8200 section 4.2: types with highest bits 00. What else is in the packet stays."""
    data = Raw(bytes(IPv6(src=HOME, dst=CORRESPONDENT) / DATA)[40:])
    before = [IPv6ExtHdrHopByHop(nh=60, options=[RouterAlert()])] if hop_by_hop else []
    behind = [IPv6ExtHdrHopByHop(options=[RouterAlert()])] if hop_by_hop else []
    frame = wire(*before, raw_options(17, options), data, nh=0 if hop_by_hop else 60)
    frames, moved = uplink.counted(lambda: uplink.coming_in(bytes(frame) + b"padding"))
    assert frames == [converted(*behind, DATA) + b"padding"]
    assert moved == {"ingress_home_address": 1}


def test_longer_options_at_the_end_of_the_packet(uplink: Uplink) -> None:
    frames = uplink.coming_in(wire(raw_options(59, PADDING + ADDRESS_OPTION + bytes(8)), nh=60))
    assert frames == [converted()]


@pytest.mark.parametrize("length", [8, 16, 24, 56, 64])
def test_hop_by_hop_header_stays_first(uplink: Uplink, length: int) -> None:
    """RFC 8200 section 4.1."""
    padding = [PadN(optdata=bytes(length - 2 - 4 - 2))] if length > 8 else [Pad1(), Pad1()]
    hop_by_hop = IPv6ExtHdrHopByHop(options=[RouterAlert(value=3), *padding], autopad=0)
    assert len(hop_by_hop) == length
    frames, moved = uplink.counted(lambda: uplink.coming_in(as_bytes(wire(hop_by_hop, option_header(), DATA))))
    assert frames == [converted(hop_by_hop, DATA)]
    assert moved == {"ingress_home_address": 1}


@pytest.mark.parametrize(
    ("destination", "end_point", "mac"),
    [
        pytest.param(HOME_AGENT, HOME_AGENT, BRIDGE_MAC, id="home agent"),
        pytest.param(NEIGHBOUR, HOME_AGENT, BRIDGE_MAC, id="host on the home link"),
        pytest.param(OFFICE_END_POINT, OFFICE_END_POINT, OFFICE_MAC, id="tunnel end point"),
    ],
)
@pytest.mark.parametrize(
    "upper",
    [
        pytest.param((DATA,), id="udp"),
        pytest.param((IPv6(src=HOME, dst=STRANGER) / DATA,), id="ipv6"),
        pytest.param((FRAGMENT,), id="fragment"),
    ],
)
def test_who_is_a_correspondent(
    uplink: Uplink, destination: str, end_point: str, mac: str, upper: tuple[Packet, ...]
) -> None:
    frames = uplink.coming_in(as_bytes(wire(option_header(), *upper, dst=destination)))
    assert frames == [converted(*upper, dst=destination, end_point=end_point, mac=mac)]


@pytest.mark.parametrize("source", [HOME_AGENT, OFFICE_END_POINT, CORRESPONDENT, HOME])
def test_source_on_the_wire_is_what_flows_see(uplink: Uplink, source: str) -> None:
    """Whoever it claims to be, it is held against the bindings like any other care-of address."""
    (frame,) = map(Ether, uplink.coming_in(wire(option_header(), DATA, src=source)))
    assert (frame[IPv6].src, frame[IPv6].dst, frame[GRE].key) == (source, OFFICE_END_POINT, 1)
    assert (frame[IPv6:2].src, frame[IPv6:2].dst) == (HOME, CORRESPONDENT)


def test_what_lies_behind_the_packet_stays_behind_it(uplink: Uplink) -> None:
    """Ethernet padding is outside the payload length; so it is afterwards."""
    frames = uplink.coming_in(as_bytes(wire(option_header(), DATA)) + b"padding")
    assert frames == [converted(DATA) + b"padding"]


def test_esp_is_data_for_hosts_and_signalling_for_home_agents(uplink: Uplink) -> None:
    """RFC 3776 section 3.1: the Binding Update is in ESP behind the option, and the home agent has the keys."""
    esp = Raw(bytes(range(64)))
    frames, moved = uplink.counted(lambda: uplink.coming_in(wire(option_header(nh=50), esp, dst=NEIGHBOUR)))
    inner = IPv6(src=HOME, dst=NEIGHBOUR, nh=50, **FIELDS) / esp
    outer = Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=CARE_OF, dst=HOME_AGENT, nh=47, **FIELDS)
    assert frames == [as_bytes(outer / KEY_1 / inner)]
    assert moved == {"ingress_home_address": 1}
    frame = bytes(wire(option_header(nh=50), esp, dst=HOME_AGENT))
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [frame]
    assert moved == {"ingress_signalling_passed": 1}


SECOND_OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
AUTHENTICATION = Raw(bytes([17, 4]) + bytes(22))


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(wire(option_header(), MIP6MH_HoTI()), "signalling", id="mobility header"),
        pytest.param(
            wire(option_header(), SECOND_OPTIONS, MIP6MH_HoTI()), "signalling", id="mobility header, second options"
        ),
        pytest.param(
            wire(option_header(), IPv6ExtHdrFragment(nh=135, m=1) / Raw(bytes(16))),
            "signalling",
            id="fragment of a mobility header",
        ),
        pytest.param(wire(option_header(nh=51), AUTHENTICATION, DATA), "signalling", id="ah"),
        pytest.param(
            wire(option_header(), IPv6ExtHdrFragment(nh=51, m=1) / Raw(bytes(16))), "signalling", id="fragment of ah"
        ),
        pytest.param(wire(option_header(), ICMPv6ND_NS(tgt=CORRESPONDENT)), "signalling", id="neighbor solicitation"),
        pytest.param(wire(option_header(), ICMPv6ND_Redirect()), "signalling", id="redirect"),
        pytest.param(wire(option_header(), ICMPv6MPSol(), dst=HOME_AGENT), "signalling", id="prefix solicitation"),
        pytest.param(
            wire(IPv6ExtHdrDestOpt(options=[HOME_ADDRESS, HOME_ADDRESS]), DATA), "home_address", id="twice in a header"
        ),
        pytest.param(wire(option_header(), option_header(), DATA), "home_address", id="twice"),
        pytest.param(
            wire(IPv6ExtHdrHopByHop(options=[HOME_ADDRESS]), option_header(), DATA),
            "home_address",
            id="in hop-by-hop options, too",
        ),
        pytest.param(wire(raw_options(17, ADDRESS_OPTION + PADDING), DATA, nh=60), "home_address", id="not aligned"),
        pytest.param(
            wire(raw_options(17, PADDING + b"\xc9\x0f" + ADDRESS_OPTION[2:]), DATA, nh=60),
            "home_address",
            id="of wrong length",
        ),
        pytest.param(
            wire(raw_options(17, b"\x01\x03\x00\x00" + ADDRESS_OPTION), DATA, nh=60), None, id="inside padding"
        ),
        pytest.param(wire(option_header(), IPv6ExtHdrRouting(), DATA), "home_address", id="before a routing header"),
        pytest.param(wire(option_header(), IPv6ExtHdrHopByHop(), DATA), "home_address", id="before hop-by-hop options"),
        pytest.param(
            wire(IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(68))]), option_header(), DATA),
            "home_address",
            id="behind long hop-by-hop options",
        ),
        pytest.param(wire(raw_options(17, bytes(30)), DATA, nh=60), "home_address", id="options without end"),
        *(
            pytest.param(
                wire(raw_options(17, PADDING + ADDRESS_OPTION + bytes([kind, 6]) + bytes(6)), DATA, nh=60),
                "home_address",
                id=f"and an option {kind:#x}, not to be skipped",
            )
            for kind in (0x44, 0x84, 0xC4, 0xC0, 0x7E)
        ),
        pytest.param(
            wire(raw_options(17, bytes([0x84, 2, 0, 0]) + ADDRESS_OPTION), DATA, nh=60),
            "home_address",
            id="behind an option not to be skipped",
        ),
        *(
            pytest.param(
                wire(raw_options(17, bytes(at - 2) + ADDRESS_OPTION + bytes(30 - at)), DATA, nh=60),
                "home_address",
                id=f"not aligned, at {at}",
            )
            for at in (2, 4, 5, 7, 8, 10)
        ),
        pytest.param(
            wire(raw_options(17, PADDING + ADDRESS_OPTION + PADDING + bytes(2) + ADDRESS_OPTION[:2]), DATA, nh=60),
            "home_address",
            id="and one cut off",
        ),
        pytest.param(
            wire(raw_options(17, PADDING + ADDRESS_OPTION + b"\x01\x07" + bytes(6)), DATA, nh=60),
            "home_address",
            id="and padding cut off",
        ),
        pytest.param(
            wire(raw_options(17, PADDING + ADDRESS_OPTION + bytes(7) + b"\x01"), DATA, nh=60),
            "home_address",
            id="and padding without a length",
        ),
        pytest.param(
            wire(raw_options(135, PADDING + ADDRESS_OPTION + b"\x01\x06" + bytes(6)), MIP6MH_HoTI(), nh=60),
            "signalling",
            id="mobility header behind longer options",
        ),
        pytest.param(
            wire(raw_options(58, PADDING + ADDRESS_OPTION + b"\x01\x06" + bytes(6)), ICMPv6ND_NS(tgt=STRANGER), nh=60),
            "signalling",
            id="neighbor solicitation behind longer options",
        ),
        pytest.param(
            wire(raw_options(60, PADDING + ADDRESS_OPTION + bytes(8)), option_header(), DATA, nh=60),
            "home_address",
            id="twice, longer options first",
        ),
        pytest.param(
            wire(raw_options(17, PADDING + ADDRESS_OPTION + b"\x01\x36" + bytes(54)), DATA, nh=60),
            "home_address",
            id="longer than anybody sends",
        ),
        # None of it for us, by any rule
        pytest.param(wire(option_header(), DATA, dst=STRANGER), None, id="not to a correspondent"),
        pytest.param(wire(SECOND_OPTIONS, DATA), None, id="no home address"),
        pytest.param(wire(SECOND_OPTIONS, option_header(), DATA), None, id="in the second options header"),
        pytest.param(wire(IPv6ExtHdrFragment() / option_header(), DATA), None, id="behind a fragment header"),
        pytest.param(wire(IPv6ExtHdrRouting(), option_header(), DATA), None, id="behind a routing header"),
        pytest.param(wire(IPv6ExtHdrHopByHop(options=[HOME_ADDRESS]), DATA), None, id="in hop-by-hop options"),
        pytest.param(wire(DATA), None, id="udp"),
        pytest.param(wire(IPv6() / DATA), None, id="ipv6 in ipv6 to a correspondent"),
        pytest.param(wire(IPv6() / DATA, dst=OFFICE_END_POINT), None, id="ipv6 in ipv6 to the end point"),
        pytest.param(wire(KEY_1 / IPv6() / DATA), None, id="gre to a correspondent"),
        pytest.param(
            Ether(src=ROUTER_MAC, dst=CORRESPONDENT_MAC) / Dot1Q(vlan=5) / wire(option_header(), DATA).payload,
            None,
            id="tagged",
        ),
        pytest.param(wire(Raw(bytes([17, 2, 1, 2])), nh=60), None, id="cut off in the options"),
        pytest.param(wire(nh=60), None, id="cut off before the options"),
        pytest.param(wire(Raw(bytes([60, 0, 1, 4, 0, 0, 0, 0])), nh=0), None, id="cut off behind hop-by-hop options"),
    ],
)
def test_left_alone(uplink: Uplink, frame: Packet, counter: str | None) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [bytes(frame)]
    assert moved == ({f"ingress_{counter}_passed": 1} if counter else {})


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(wire(option_header(), DATA, plen=23), id="payload length one short of the option"),
        pytest.param(
            wire(raw_options(17, PADDING + ADDRESS_OPTION + bytes(8)), DATA, nh=60, plen=31),
            id="payload length one short of longer options",
        ),
        pytest.param(wire(option_header(), DATA, plen=len(DATA) + 25), id="payload length beyond the frame"),
        pytest.param(wire(option_header(nh=60)), id="cut off before the second options"),
        pytest.param(wire(option_header(nh=44), Raw(b"\x11\0")), id="cut off in the fragment header"),
        pytest.param(wire(option_header(nh=58)), id="cut off before icmpv6"),
    ],
)
def test_broken_packet_is_left_to_the_host(uplink: Uplink, frame: Packet) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [bytes(frame)]
    assert moved == {"ingress_home_address_passed": 1}


@pytest.mark.parametrize("destination", [HOME_AGENT, OFFICE_END_POINT])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="alone"),
        pytest.param((option_header(),), id="behind a home address"),
        pytest.param((option_header(), SECOND_OPTIONS), id="behind two options headers"),
        pytest.param((option_header(), IPv6ExtHdrFragment()), id="behind an atomic fragment"),
        pytest.param((IPv6ExtHdrHopByHop(), option_header()), id="behind hop-by-hop options and a home address"),
    ],
)
@pytest.mark.parametrize("key", [0, 1])
@pytest.mark.parametrize("tagged", [False, True], ids=["untagged", "tagged"])
def test_real_gre_never_comes_through(
    uplink: Uplink, destination: str, headers: tuple[Packet, ...], key: int, tagged: bool
) -> None:
    """Open vSwitch would take it for its own tunnel, also out of the packet that it has just got from a tunnel."""
    gre = GRE(proto=0x86DD, key_present=1, key=key) / IPv6(src=HOME, dst=CORRESPONDENT) / DATA
    frame = wire(*headers, gre, dst=destination)
    if not headers:
        frame[IPv6].nh = 47
    if tagged:
        frame = Ether(src=ROUTER_MAC, dst=OFFICE_MAC) / Dot1Q(vlan=5) / frame.payload
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == []
    assert moved == {"ingress_gre_dropped": 1}
