"""ICMPv6 errors about route optimised packets: they quote what was on the wire, and the host gets what it has sent."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    HAO,
    ICMPv6DestUnreach,
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

ON_THE_PATH = "2001:db8:e::1"
CARE_OF = "2001:db8:f::100"
HOME = "2001:db8:1::100"
CORRESPONDENT = "2001:db8:c::99"
NEIGHBOUR = "2001:db8:1::99"  # on the home link
STRANGER = "2001:db8:d::99"

FIELDS = {"hlim": 61, "tc": 0xB8, "fl": 0xABCDE}  # what must survive has a value of its own
ROUTING = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME])
DATA = UDP(sport=1, dport=2) / Raw(b"payload")
TOO_BIG = ICMPv6PacketTooBig(mtu=1400)


def joined(packet: Packet, *headers: Packet) -> Packet:
    for header in headers:
        packet /= header.copy()
    return packet


def error(message: Packet, quoted: Packet, cut: int | None = None, dst: str = CORRESPONDENT) -> Packet:
    """A frame with an ICMPv6 error that quotes (the first `cut` octets of) a packet; scapy makes the checksum."""
    outer = Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=ON_THE_PATH, dst=dst, hlim=57, tc=0xC0)
    return outer / message.copy() / Raw(bytes(quoted)[:cut])


def optimized(*headers: Packet, src: str = CORRESPONDENT, dst: str = CARE_OF, **fields: object) -> Packet:
    """A packet as it was on the wire, `headers` with the Routing Header in them."""
    return joined(IPv6(src=src, dst=dst, **FIELDS, **fields), *headers)


def plain(*headers: Packet, src: str = CORRESPONDENT, **fields: object) -> Packet:
    """The same as the correspondent has sent it."""
    return joined(IPv6(src=src, dst=HOME, **FIELDS, **fields), *headers)


def arriving(uplink: Uplink, frame: Packet) -> tuple[list[bytes], dict[str, int]]:
    return uplink.counted(lambda: uplink.coming_in(as_bytes(frame)))


@pytest.mark.parametrize(
    "message",
    [
        TOO_BIG,
        *(ICMPv6DestUnreach(code=code) for code in range(7)),
        ICMPv6TimeExceeded(code=0),
        ICMPv6TimeExceeded(code=1),
    ],
    ids=lambda message: f"{message.name} {message.code}",
)
def test_error_quotes_what_the_correspondent_sent(uplink: Uplink, message: Packet) -> None:
    frames, moved = arriving(uplink, error(message, optimized(ROUTING, DATA)))
    expected = ICMPv6PacketTooBig(mtu=1376) if message is TOO_BIG else message
    assert frames == [as_bytes(error(expected, plain(DATA)))]
    assert moved == {"ingress_icmp_error": 1}


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [
        *((9000, 8976), (1500, 1476), (1305, 1281), (1304, 1280), (2**32 - 1, 2**32 - 25)),
        *((1303, 1280), (1280, 1280)),  # a host never goes lower: RFC 8200 section 5
        *((1279, 1279), (0, 0)),  # for the host to discard: RFC 8201 section 4
    ],
)
def test_mtu(uplink: Uplink, told: int, passed_on: int) -> None:
    """The correspondent's packets grow by the Routing Header, 24 octets, on their way."""
    frames, _ = arriving(uplink, error(ICMPv6PacketTooBig(mtu=told), optimized(ROUTING, DATA)))
    assert frames == [as_bytes(error(ICMPv6PacketTooBig(mtu=passed_on), plain(DATA)))]


HOP_BY_HOP = [IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(length - 4))]) for length in (8, 24, 64)]
FRAGMENT = IPv6ExtHdrFragment(nh=17, m=1, id=9) / Raw(bytes(range(48)))


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        pytest.param(optimized(ROUTING, TCP()), plain(TCP()), id="tcp"),
        pytest.param(optimized(ROUTING, UDP() / Raw(b"x")), plain(UDP() / Raw(b"x")), id="odd length"),
        pytest.param(optimized(ROUTING, FRAGMENT), plain(FRAGMENT), id="fragment"),
        *(
            pytest.param(
                optimized(options, ROUTING, DATA), plain(options, DATA), id=f"{len(options)} octets of hop-by-hop"
            )
            for options in HOP_BY_HOP
        ),
        pytest.param(
            optimized(ROUTING, IPv6ExtHdrDestOpt(), DATA), plain(IPv6ExtHdrDestOpt(), DATA), id="options, too"
        ),
        pytest.param(
            optimized(IPv6ExtHdrRouting(type=2, segleft=0, addresses=[CARE_OF]), DATA, dst=HOME),
            plain(DATA),
            id="quoted by a mobile node that had swapped the addresses",
        ),
        pytest.param(
            optimized(IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME], nh=59)), plain(nh=59), id="nothing behind"
        ),
    ],
)
def test_packets_of_all_kinds_are_quoted(uplink: Uplink, quoted: Packet, expected: Packet) -> None:
    frames, moved = arriving(uplink, error(ICMPv6TimeExceeded(), quoted))
    assert frames == [as_bytes(error(ICMPv6TimeExceeded(), expected))]
    assert moved == {"ingress_icmp_error": 1}


@pytest.mark.parametrize("size", [64, 65, 71, 72, 100, 101, 1231, 1232, 1452])
def test_quotation_is_cut_anywhere(uplink: Uplink, size: int) -> None:
    """RFC 4443 quotes as much as fits into 1280 octets; others quote less, or more."""
    upper = UDP() / Raw(bytes(i % 251 for i in range(1400)))
    frames, moved = arriving(uplink, error(TOO_BIG, optimized(ROUTING, upper), cut=size))
    assert frames == [as_bytes(error(ICMPv6PacketTooBig(mtu=1376), plain(upper), cut=size - 24))]
    assert moved == {"ingress_icmp_error": 1}


def test_fields_of_the_error_itself_stay(uplink: Uplink) -> None:
    frame = error(TOO_BIG, optimized(ROUTING, DATA))
    frame[IPv6].fl = 0x54321
    expected = error(ICMPv6PacketTooBig(mtu=1376), plain(DATA))
    expected[IPv6].fl = 0x54321
    padding = b"padding"  # behind the packet, as Ethernet has it
    assert uplink.coming_in(as_bytes(frame) + padding) == [as_bytes(expected) + padding]


@pytest.mark.parametrize("destination", [HOME_AGENT, NEIGHBOUR, OFFICE_END_POINT])
def test_who_is_a_correspondent(uplink: Uplink, destination: str) -> None:
    frame = error(TOO_BIG, optimized(ROUTING, DATA, src=destination), dst=destination)
    expected = error(ICMPv6PacketTooBig(mtu=1376), plain(DATA, src=destination), dst=destination)
    assert uplink.coming_in(as_bytes(frame)) == [as_bytes(expected)]


@pytest.mark.parametrize(
    ("place", "passed_on"),
    [
        (0, 0),  # version
        (39, 39),
        (40, 6),  # Next Header: of the Routing Header, and now of the IPv6 header
        (64, 40),
        (70, 46),
        (2000, 1976),
    ],
)
def test_place_of_a_problem(uplink: Uplink, place: int, passed_on: int) -> None:
    """RFC 4443 section 3.4: the pointer is into the quoted packet."""
    frames, _ = arriving(uplink, error(ICMPv6ParamProblem(code=1, ptr=place), optimized(ROUTING, DATA)))
    assert frames == [as_bytes(error(ICMPv6ParamProblem(code=1, ptr=passed_on), plain(DATA)))]


@pytest.mark.parametrize(("place", "passed_on"), [(6, 6), (40, 40), (48, 40), (72, 48)])
def test_place_of_a_problem_behind_hop_by_hop_options(uplink: Uplink, place: int, passed_on: int) -> None:
    options = HOP_BY_HOP[0]
    frames, _ = arriving(uplink, error(ICMPv6ParamProblem(code=1, ptr=place), optimized(options, ROUTING, DATA)))
    assert frames == [as_bytes(error(ICMPv6ParamProblem(code=1, ptr=passed_on), plain(options, DATA)))]


def test_wrong_checksum_stays_wrong(uplink: Uplink) -> None:
    """By as much as before: whether the message is believed is for the host to say."""
    frame, expected = error(TOO_BIG, optimized(ROUTING, DATA)), error(ICMPv6PacketTooBig(mtu=1376), plain(DATA))
    for packet in (frame, expected):
        right = Ether(bytes(packet))[ICMPv6PacketTooBig].cksum
        packet[ICMPv6PacketTooBig].cksum = (right + 1) % 0xFFFF
    assert uplink.coming_in(bytes(frame)) == [bytes(expected)]


@pytest.mark.parametrize("padding", [[], [PadN(optdata=bytes(6))], [PadN(optdata=bytes(46))]], ids=[24, 32, 72])
def test_error_of_the_mobile_node_itself(uplink: Uplink, padding: list[Packet]) -> None:
    """From its home address, like all it sends to the correspondent: translated, and converted."""

    def message(source: str, destination: str, *headers: Packet) -> Packet:
        return joined(IPv6(src=source, dst=destination, **FIELDS), *headers)

    unreachable = ICMPv6DestUnreach(code=4)
    home_address = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME), *padding])
    quoted = Raw(bytes(optimized(ROUTING, DATA)))
    # scapy itself takes the home address into the checksum only where no other option is with it.
    unreachable.cksum = IPv6(bytes(message(HOME, CORRESPONDENT, unreachable, quoted)))[ICMPv6DestUnreach].cksum
    frame = Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / message(CARE_OF, CORRESPONDENT, home_address, unreachable, quoted)
    unreachable.cksum = None
    frames, moved = arriving(uplink, frame)
    inner = message(HOME, CORRESPONDENT, unreachable, Raw(bytes(plain(DATA))))
    tunnel = IPv6(src=CARE_OF, dst=OFFICE_END_POINT, nh=47, **FIELDS) / GRE(proto=0x86DD, key_present=1, key=1)
    assert frames == [as_bytes(Ether(src=ROUTER_MAC, dst=OFFICE_MAC) / tunnel / inner)]
    assert moved == {"ingress_icmp_error": 1, "ingress_home_address": 1}


def tagged(frame: Packet) -> Packet:
    return Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / Dot1Q(vlan=5) / frame.payload


@pytest.mark.parametrize(
    ("frame", "counted"),
    [
        pytest.param(error(TOO_BIG, optimized(ROUTING, DATA), cut=63), True, id="cut off in the routing header"),
        pytest.param(error(TOO_BIG, optimized(ROUTING, DATA), cut=40), True, id="cut off before the routing header"),
        pytest.param(
            error(TOO_BIG, optimized(HOP_BY_HOP[2], ROUTING, DATA), cut=127), True, id="cut off behind hop-by-hop"
        ),
        pytest.param(
            error(TOO_BIG, optimized(HOP_BY_HOP[2], ROUTING, DATA), cut=100), True, id="cut off in hop-by-hop"
        ),
        pytest.param(
            error(TOO_BIG, optimized(IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(68))]), ROUTING, DATA)),
            True,
            id="long hop-by-hop options",
        ),
        pytest.param(
            error(TOO_BIG, optimized(ROUTING, DATA, plen=23)), True, id="quoted packet shorter than the routing header"
        ),
        *(
            pytest.param(
                error(ICMPv6ParamProblem(code=0, ptr=place), optimized(ROUTING, DATA)), True, id=f"problem at {place}"
            )
            for place in (41, 42, 63)  # the correspondent sent no such octet
        ),
        pytest.param(error(TOO_BIG, optimized(ROUTING, DATA), cut=39), False, id="cut off in the ipv6 header"),
        pytest.param(error(TOO_BIG, optimized(HOP_BY_HOP[0], DATA), cut=41), False, id="cut off at hop-by-hop"),
        pytest.param(error(TOO_BIG, optimized(DATA)), False, id="no routing header"),
        pytest.param(error(TOO_BIG, optimized(IPv6(dst=HOME) / DATA)), False, id="tunnel packet"),
        pytest.param(error(TOO_BIG, optimized(HOP_BY_HOP[0], DATA)), False, id="hop-by-hop options only"),
        pytest.param(
            error(TOO_BIG, optimized(IPv6ExtHdrRouting(type=0, segleft=1, addresses=[HOME]), DATA)), False, id="type 0"
        ),
        pytest.param(
            error(TOO_BIG, optimized(IPv6ExtHdrRouting(type=2, segleft=2, addresses=[HOME]), DATA)), False, id="2 left"
        ),
        pytest.param(
            error(TOO_BIG, optimized(IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME, HOME]), DATA)),
            False,
            id="two addresses",
        ),
        pytest.param(error(TOO_BIG, optimized(ROUTING, DATA, src=STRANGER)), False, id="of a packet of another host"),
        pytest.param(
            error(TOO_BIG, optimized(ROUTING, DATA, src=STRANGER), dst=STRANGER), False, id="not to a correspondent"
        ),
        pytest.param(error(ICMPv6EchoRequest(), optimized(ROUTING, DATA)), False, id="not an error"),
        pytest.param(error(Raw(b"\x05" + bytes(7)), optimized(ROUTING, DATA)), False, id="no icmpv6"),
        pytest.param(tagged(error(TOO_BIG, optimized(ROUTING, DATA))), False, id="VLAN tag"),
    ],
)
def test_left_alone(uplink: Uplink, frame: Packet, counted: bool) -> None:
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [bytes(frame)]
    assert moved == ({"ingress_icmp_error_passed": 1} if counted else {})


@pytest.mark.parametrize("length", [8 + 40 + 23, 8 + 40, 8 + 40 + 24 + len(DATA) + 1])
def test_payload_length_short_of_the_routing_header_or_beyond_the_frame(uplink: Uplink, length: int) -> None:
    frame = error(TOO_BIG, optimized(ROUTING, DATA))
    frame[IPv6].plen = length
    frames, moved = uplink.counted(lambda: uplink.coming_in(frame))
    assert frames == [bytes(frame)]
    assert moved == {"ingress_icmp_error_passed": 1}
