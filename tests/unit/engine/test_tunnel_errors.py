"""ICMPv6 errors from inside the tunnel and what becomes of them (RFC 2473 section 8, RFC 6275 section 9.3.4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Raw,
)
from scapy.packet import Packet

from mip6core.codec import ipv6
from mip6core.home_agent import Limits
from mip6core.tunnel_errors import Report
from tests.unit.engine.shell import COA1, COA2, HOA, Shell

HOME_AGENT, HOME_ADDRESS, CARE_OF, OLD_CARE_OF = "2001:db8:1::2", "2001:db8:1::99", "2001:db8:f1::1", "2001:db8:f2::1"
CORRESPONDENT, ROUTER_ON_THE_WAY = "2001:db8:9::9", "2001:db8:aaaa::1"
LIMIT_HEADER = 8  # octets: a Tunnel Encapsulation Limit and padding

Relay = Callable[[Packet], Packet | None]


def inner(size: int = 100, source: str = CORRESPONDENT, destination: str = HOME_ADDRESS) -> Packet:
    """The original packet, `size` octets long."""
    packet = IPv6(src=source, dst=destination, hlim=9) / UDP(sport=5, dport=7) / Raw(bytes(range(200)) * 10)
    return IPv6(bytes(packet)[:4] + (size - 40).to_bytes(2, "big") + bytes(packet)[6:size])


def tunnelled(original: Packet, care_of: str = CARE_OF, limit: int | None = None) -> Packet:
    """The tunnel packet, with a Tunnel Encapsulation Limit option if so (laid out as in RFC 2473 section 5.1)."""
    outer = IPv6(src=HOME_AGENT, dst=care_of, nh=41 if limit is None else 60)
    header = b"" if limit is None else bytes((41, 0, 4, 1, limit, 1, 1, 0))
    return IPv6(bytes(outer / Raw(header + bytes(original))))


def reported(error: Packet, about: Packet | bytes, room: int = 1232) -> Packet:
    """The ICMPv6 error of a router within the tunnel, with as much of the packet in error as there is `room` for."""
    return IPv6(bytes(IPv6(src=ROUTER_ON_THE_WAY, dst=HOME_AGENT) / error / Raw(bytes(about)[:room])))


@pytest.fixture
def shell() -> Shell:
    shell = Shell()
    shell.bind()
    shell.statistics.clear()
    return shell


def report(shell: Shell, packet: Packet | bytes) -> Report:
    return shell.ha.tunnel_errors.relay(shell.link, ipv6.parse(bytes(packet)), shell.now)


def relay(shell: Shell, packet: Packet | bytes) -> Packet | None:
    """What is sent to the original sender, with a checksum that scapy agrees with."""
    sent = report(shell, packet).packet
    if sent is None:
        return None
    found = IPv6(sent)
    again = found.copy()
    del again[1].cksum, again.plen
    assert bytes(again) == sent
    return found


UNREACHABLE = (1, 3)
NO_ROUTE, HOP_LIMIT = ICMPv6DestUnreach(code=0), ICMPv6TimeExceeded(code=0)


@pytest.mark.parametrize(
    "error", [NO_ROUTE, *(ICMPv6DestUnreach(code=code) for code in (1, 3, 4)), HOP_LIMIT], ids=lambda e: repr(e)[1:40]
)
def test_an_unreachable_care_of_address_is_an_unreachable_home_address(shell: Shell, error: Packet) -> None:
    original = inner()
    found = relay(shell, reported(error, tunnelled(original)))
    assert found is not None
    assert (found.src, found.dst) == (HOME_AGENT, CORRESPONDENT)
    assert (found[ICMPv6DestUnreach].type, found[ICMPv6DestUnreach].code) == UNREACHABLE
    assert bytes(found)[48:] == bytes(original)
    assert shell.statistics == {"tunnel_errors_relayed": 1}


@pytest.mark.parametrize(
    ("reported_mtu", "size", "limit", "expected"),
    [
        (1400, 1460, None, 1360),
        (1400, 1361, None, 1360),
        (1400, 1452, 4, 1352),  # the headers of the tunnel are 48 octets
        (1320, 1281, None, 1280),
        (1319, 1281, None, 1280),  # section 7.1: never less than the minimum MTU
        (1280, 1460, None, 1280),
        (0, 1460, None, 1280),
    ],
)
def test_packet_too_big(shell: Shell, reported_mtu: int, size: int, limit: int | None, expected: int) -> None:
    original = inner(size)
    packet = reported(ICMPv6PacketTooBig(mtu=reported_mtu), tunnelled(original, limit=limit))
    found = relay(shell, packet)
    assert found is not None
    assert (found.dst, found[ICMPv6PacketTooBig].code, found[ICMPv6PacketTooBig].mtu) == (CORRESPONDENT, 0, expected)
    assert bytes(original).startswith(bytes(found)[48:])
    assert len(bytes(found)) <= 1280


@pytest.mark.parametrize(
    ("reported_mtu", "size"),
    [(1400, 1360), (9000, 1460), (1320, 1280), (1290, 1250)],
    ids=["it fits", "nonsense", "it fits in the tunnel", "it fits as well"],
)
def test_packet_too_big_that_the_sender_can_do_nothing_about(shell: Shell, reported_mtu: int, size: int) -> None:
    """RFC 2473 section 8.2: only if the original packet is larger than the minimum MTU."""
    assert relay(shell, reported(ICMPv6PacketTooBig(mtu=reported_mtu), tunnelled(inner(size)))) is None
    assert shell.statistics == {"dropped_tunnel_error_not_relayed": 1}


@pytest.mark.parametrize(
    ("reported_mtu", "size", "narrow"),
    [
        *((1280, 1280, True), (1289, 1250, True), (1319, 1300, True), (1319, 1280, True), (500, 600, True)),
        *((1320, 1300, False), (1400, 1440, False), (1290, 1250, False)),
    ],
)
def test_a_path_that_does_not_carry_the_minimum_mtu(shell: Shell, reported_mtu: int, size: int, narrow: bool) -> None:
    """Section 7.1 (b): the sender cannot send less, so the tunnel packets have to be fragmented."""
    found = report(shell, reported(ICMPv6PacketTooBig(mtu=reported_mtu), tunnelled(inner(size))))
    assert (found.narrow is shell.ha.bindings.get_bound(HOA)) == narrow
    assert (found.packet is not None) == (size > 1280)
    moved = reported(ICMPv6PacketTooBig(mtu=1280), tunnelled(inner(1280), care_of=OLD_CARE_OF))
    assert report(shell, moved).narrow is None


@pytest.mark.parametrize("limit", [0, 1])
def test_parameter_problem_about_the_encapsulation_limit(shell: Shell, limit: int) -> None:
    """Section 8.1: the tunnel packet could not enter another tunnel. The option's third octet is at fault."""
    original = inner()
    packet = tunnelled(original, limit=limit)
    assert bytes(packet)[44] == limit
    found = relay(shell, reported(ICMPv6ParamProblem(code=0, ptr=44), packet))
    assert found is not None
    assert (found[ICMPv6DestUnreach].type, found[ICMPv6DestUnreach].code) == UNREACHABLE
    assert bytes(found)[48:] == bytes(original)


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (ICMPv6ParamProblem(code=0, ptr=44), None),  # in the middle of the original packet
        (ICMPv6ParamProblem(code=0, ptr=44), 2),
        (ICMPv6ParamProblem(code=0, ptr=43), 0),
        (ICMPv6ParamProblem(code=2, ptr=44), 0),
        (ICMPv6ParamProblem(code=0, ptr=0), 0),
        (ICMPv6ParamProblem(code=0, ptr=0xFFFFFFFF), 0),
        (ICMPv6ParamProblem(code=1, ptr=6), None),  # no IPv6 tunnels at the care-of address
        (ICMPv6TimeExceeded(code=1), None),  # of reassembly
    ],
)
def test_errors_that_are_no_business_of_the_sender(shell: Shell, error: Packet, limit: int | None) -> None:
    assert relay(shell, reported(error, tunnelled(inner(), limit=limit))) is None
    assert shell.statistics == {"dropped_tunnel_error_not_relayed": 1}


def test_only_what_was_sent_to_the_care_of_address_of_the_binding(shell: Shell) -> None:
    """Nobody makes the home agent send errors about packets that it cannot have sent."""
    wrong = [
        tunnelled(inner(), care_of=OLD_CARE_OF),
        tunnelled(inner(destination="2001:db8:1::98")),
        tunnelled(inner(destination=CORRESPONDENT)),
        IPv6(bytes(IPv6(src=CORRESPONDENT, dst=CARE_OF, nh=41) / Raw(bytes(inner())))),
        IPv6(bytes(IPv6(src=HOME_AGENT, dst=CARE_OF, nh=41) / Raw(b"\x45" + bytes(inner())[1:]))),
        bytes(tunnelled(inner()))[:79],  # the original header is cut off
        bytes(tunnelled(inner()))[:40],
    ]
    for packet in wrong:
        assert relay(shell, reported(NO_ROUTE, packet)) is None
    assert shell.statistics == {"dropped_tunnel_error_not_ours": len(wrong)}


def test_a_binding_that_has_moved_or_ended(shell: Shell) -> None:
    about_first = reported(NO_ROUTE, tunnelled(inner()))
    shell.update(COA2, 16)
    assert relay(shell, about_first) is None
    assert relay(shell, reported(NO_ROUTE, tunnelled(inner(), care_of=OLD_CARE_OF))) is not None
    shell.update(COA2, 17, lifetime=0)
    assert relay(shell, reported(NO_ROUTE, tunnelled(inner(), care_of=OLD_CARE_OF))) is None
    assert shell.statistics["dropped_tunnel_error_not_ours"] == 2


def test_a_binding_that_is_only_being_tested_is_none() -> None:
    shell = Shell()
    shell.update(COA1)
    assert relay(shell, reported(NO_ROUTE, tunnelled(inner()))) is None
    assert shell.statistics["dropped_tunnel_error_not_ours"] == 1


@pytest.mark.parametrize(
    "about",
    [
        IPv6(src=HOME_AGENT, dst=CARE_OF) / UDP(sport=5, dport=7),
        IPv6(src=HOME_AGENT, dst=CARE_OF) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS]) / UDP(),
        IPv6(src=HOME_AGENT, dst=CARE_OF) / IPv6ExtHdrFragment(offset=10, nh=41) / Raw(bytes(99)),
    ],
    ids=["UDP", "routing header", "later fragment"],
)
def test_what_is_about_the_host_itself_is_left_to_it(shell: Shell, about: Packet) -> None:
    assert relay(shell, reported(NO_ROUTE, about)) is None
    assert shell.statistics == {"ignored_icmpv6_error": 1}


def test_a_quote_of_nothing(shell: Shell) -> None:
    for room in (0, 1, 39):
        assert relay(shell, reported(NO_ROUTE, tunnelled(inner()), room)) is None
    assert shell.statistics == {"ignored_icmpv6_error": 3}


def test_a_cut_quote(shell: Shell) -> None:
    """As much of the original packet as there is; that it is longer does not matter."""
    original = inner(1000)
    found = relay(shell, reported(NO_ROUTE, tunnelled(original), 40 + 48))
    assert found is not None
    assert bytes(found)[48:] == bytes(original)[:48]


def test_a_fragment_of_a_tunnel_packet(shell: Shell) -> None:
    """The first one shows the original packet."""
    original = inner()
    fragment = IPv6(src=HOME_AGENT, dst=CARE_OF) / IPv6ExtHdrFragment(m=1, nh=41) / Raw(bytes(original)[:64])
    found = relay(shell, reported(HOP_LIMIT, fragment))
    assert found is not None
    assert bytes(found)[48:] == bytes(original)[:64]


@pytest.mark.parametrize(
    "original",
    [
        IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / ICMPv6DestUnreach() / IPv6(),
        IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / ICMPv6PacketTooBig() / IPv6(),
        IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / IPv6ExtHdrDestOpt() / ICMPv6ParamProblem() / IPv6(),
        IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / ICMPv6ND_Redirect(),
        IPv6(src="::", dst=HOME_ADDRESS) / UDP(),
        IPv6(src="ff02::1", dst=HOME_ADDRESS) / UDP(),
    ],
    ids=["unreachable", "too big", "parameter problem behind options", "redirect", "no source", "group"],
)
def test_no_error_about_an_error(shell: Shell, original: Packet) -> None:
    """RFC 4443 section 2.4 (e)."""
    assert relay(shell, reported(NO_ROUTE, tunnelled(original))) is None
    assert shell.statistics == {"dropped_tunnel_error_not_relayed": 1}


def test_an_error_that_is_cut_before_it_shows(shell: Shell) -> None:
    original = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / IPv6ExtHdrDestOpt() / ICMPv6DestUnreach()
    for room in (80, 84, 88):
        assert relay(shell, reported(NO_ROUTE, tunnelled(original), room)) is None
    assert shell.statistics == {"dropped_tunnel_error_not_relayed": 3}


@pytest.mark.parametrize("original", [ICMPv6EchoRequest(), ICMPv6EchoReply()])
def test_informational_messages_are_no_errors(shell: Shell, original: Packet) -> None:
    packet = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / original
    assert relay(shell, reported(NO_ROUTE, tunnelled(packet))) is not None


def test_rate(shell: Shell) -> None:
    """Each original sender, and all together."""
    shell = Shell(limits=Limits(error_rate=1, error_burst=5, error_rate_per_peer=1, error_burst_per_peer=2))
    shell.bind()
    packets = [reported(NO_ROUTE, tunnelled(inner(source=f"2001:db8:9::{n}"))) for n in range(1, 9)]
    assert [relay(shell, packets[0]) is not None for _ in range(4)] == [True, True, False, False]
    assert sum(relay(shell, packet) is not None for packet in packets) == 3
    shell.now += 10
    assert relay(shell, packets[0]) is not None
    assert shell.statistics["icmpv6_suppressed"] == 7


def test_a_wrong_checksum(shell: Shell) -> None:
    packet = bytearray(bytes(reported(NO_ROUTE, tunnelled(inner()))))
    packet[-1] ^= 1
    assert relay(shell, bytes(packet)) is None
    assert shell.statistics == {"dropped_bad_checksum": 1}


@pytest.mark.parametrize(
    ("header", "counter"),
    [
        (IPv6ExtHdrFragment(m=1), "dropped_fragment"),
        (IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS]), "dropped_not_for_home_agent"),
        (IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x9E)]), "dropped_unrecognized_option"),
    ],
    ids=["fragment", "routing header", "option"],
)
def test_headers_that_the_host_answers_for(shell: Shell, header: Packet, counter: str) -> None:
    """It has its copy of the packet."""
    error = IPv6(src=ROUTER_ON_THE_WAY, dst=HOME_AGENT) / header / NO_ROUTE / Raw(bytes(tunnelled(inner())))
    assert relay(shell, error) is None
    assert shell.statistics == {counter: 1}


def test_a_mobile_node_reports_with_its_home_address(shell: Shell) -> None:
    """The checksum is made with the home address."""
    options = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    error = IPv6(src=CARE_OF, dst=HOME_AGENT) / options / NO_ROUTE / Raw(bytes(tunnelled(inner())))
    assert relay(shell, IPv6(bytes(error))) is not None


def test_not_an_error(shell: Shell) -> None:
    packet = IPv6(src=CORRESPONDENT, dst=HOME_AGENT) / ICMPv6EchoRequest(data=bytes(tunnelled(inner())))
    assert relay(shell, packet) is None
    assert shell.statistics == {"dropped_not_an_error": 1}
    assert shell.ha.bindings.get_bound(HOA) is not None
