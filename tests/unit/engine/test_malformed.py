"""Packets to the home agent whose headers are wrong, and what their sender is told (RFC 8200 section 4)."""

from __future__ import annotations

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ParamProblem,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Raw,
)
from scapy.packet import Packet

from mip6core.actions import SendDatagram
from mip6core.addresses import text
from mip6core.codec import ipv6
from mip6core.errors import ParseError
from mip6core.home_agent import Limits
from tests.unit.discovery.link import ANYCAST
from tests.unit.engine.shell import HA_MAC, MN_MAC, ROUTER_MAC, Shell

HOME_AGENT, HOME_ADDRESS, CARE_OF = "2001:db8:1::2", "2001:db8:1::99", "2001:db8:f1::1"
HEADER = IPv6(src=CARE_OF, dst=HOME_AGENT)
UPDATE = MIP6MH_BU(seq=1, flags="AH", mhtime=100)
OPTION = HAO(hoa=HOME_ADDRESS)
ROUTING_0 = IPv6ExtHdrRouting(type=0, segleft=1, addresses=["2001:db8:9::1"])
ROUTING_9 = IPv6ExtHdrRouting(type=9, segleft=3, addresses=["2001:db8:9::1"])


def punted(shell: Shell, packet: bytes, mac: bytes = ROUTER_MAC) -> SendDatagram | None:
    """What the shell does with a packet that nobody but the home agent gets; the one thing that is sent."""
    try:
        actions = shell.ha.receive(shell.link, ipv6.parse(packet), mac, shell.now)
    except ParseError as error:
        actions = shell.ha.malformed(shell.link, packet, error, mac, shell.now)
    assert len(actions) <= 1
    assert all(isinstance(action, SendDatagram) for action in actions)
    return actions[0] if actions else None  # type: ignore[return-value]


def problem(shell: Shell, packet: Packet | bytes, mac: bytes = ROUTER_MAC) -> tuple[int, int] | None:
    """Code and pointer of the Parameter Problem to the sender, after a look at the rest of it."""
    octets = bytes(packet)
    sent = punted(shell, octets, mac)
    if sent is None:
        return None
    found = IPv6(sent.packet)
    assert (found.src, found.dst) == (HOME_AGENT, IPv6(octets).src)
    again = found.copy()
    del again[1].cksum, again.plen
    assert bytes(again) == sent.packet
    message = found[ICMPv6ParamProblem]
    assert sent.packet[48:] == octets[: 1280 - 48]
    return message.code, message.ptr


def option_at(kind: int, *headers: Packet) -> tuple[Packet, int]:
    """A packet with an unknown option behind some headers, and where scapy put the option."""
    stack = HEADER
    for header in headers:
        stack = stack / header
    offset = len(bytes(stack)) + 2
    options = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=kind, optdata=b"abcd")])
    return stack / options / UPDATE, offset


@pytest.mark.parametrize("kind", [0x80 | 5, 0xC0 | 5, 0x80 | 0x3F, 0xFF], ids=hex)
@pytest.mark.parametrize("headers", [(), (IPv6ExtHdrDestOpt(options=[OPTION]),)], ids=["first", "behind HAO"])
def test_unknown_options_that_ask_for_an_answer(kind: int, headers: tuple[Packet, ...]) -> None:
    packet, offset = option_at(kind, *headers)
    assert bytes(packet)[offset] == kind
    assert problem(Shell(), packet) == (2, offset)


@pytest.mark.parametrize("kind", [0x40, 0x7F], ids=hex)
def test_unknown_options_that_ask_for_silence(kind: int) -> None:
    shell = Shell()
    assert problem(shell, option_at(kind)[0]) is None
    assert shell.statistics == {"dropped_unrecognized_option": 1}


def test_hop_by_hop_options_too() -> None:
    packet = HEADER / IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0xBE)]) / UPDATE
    assert problem(Shell(), packet) == (2, 42)


@pytest.mark.parametrize(
    ("packet", "expected", "reason"),
    [
        (HEADER / ROUTING_0 / UPDATE, (0, 42), "bad_routing_header"),
        (HEADER / ROUTING_9 / UPDATE, (0, 42), "bad_routing_header"),
        (HEADER / IPv6ExtHdrDestOpt() / ROUTING_9 / UPDATE, (0, 50), "bad_routing_header"),
        (HEADER / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / UPDATE, (1, 40), "bad_header_order"),
        (HEADER / ROUTING_9.__class__(type=9, segleft=0) / IPv6ExtHdrHopByHop() / UPDATE, (1, 40), "bad_header_order"),
    ],
    ids=["type 0", "type 9", "type 9 behind options", "hop-by-hop second", "hop-by-hop third"],
)
def test_headers_of_rfc_8200(packet: Packet, expected: tuple[int, int], reason: str) -> None:
    """Unknown Routing Type with segments left (section 4.4): code 0; unrecognized Next Header (section 4): code 1."""
    shell = Shell()
    assert problem(shell, packet) == expected
    assert shell.statistics == {f"dropped_{reason}": 1, "icmpv6_sent_parameter_problem": 1}


@pytest.mark.parametrize(
    "packet",
    [
        bytes(HEADER / IPv6ExtHdrDestOpt(options=[OPTION]) / UPDATE)[:60],
        bytes(HEADER / IPv6ExtHdrDestOpt(options=[OPTION, HAO(hoa="2001:db8:1::98")]) / UPDATE),
        bytes(HEADER / IPv6ExtHdrDestOpt(options=[HAO(hoa="ff02::1")]) / UPDATE),
        bytes(HEADER / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt(options=[OPTION]) / UPDATE),
        bytes(HEADER / IPv6ExtHdrDestOpt(options=[OPTION]) / ROUTING_0 / UPDATE),
    ],
    ids=["truncated", "two home addresses", "multicast home address", "behind a fragment", "before routing"],
)
def test_what_no_rfc_wants_answered(packet: bytes) -> None:
    shell = Shell()
    assert problem(shell, packet) is None
    assert sum(shell.statistics.values()) == 1


@pytest.mark.parametrize("inside", [ICMPv6DestUnreach() / IPv6(), ICMPv6ParamProblem() / IPv6()])
def test_no_answer_to_an_error(inside: Packet) -> None:
    """RFC 4443 section 2.4 (e), behind headers that cannot be made sense of, too."""
    for packet in (
        HEADER / ROUTING_9 / inside,
        HEADER / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xBE)]) / inside,
    ):
        assert problem(Shell(), packet) is None
    assert problem(Shell(), HEADER / ROUTING_9 / ICMPv6EchoRequest()) == (0, 42)


def test_no_answer_where_an_error_may_hide() -> None:
    """The chain is cut off behind the wrong header."""
    packet = bytes(HEADER / ROUTING_9 / IPv6ExtHdrDestOpt(options=[OPTION]) / UPDATE)[: 40 + 24 + 4]
    packet = packet[:4] + (len(packet) - 40).to_bytes(2, "big") + packet[6:]
    assert problem(Shell(), packet) is None


@pytest.mark.parametrize("source", ["::", "ff02::1", "::1"])
def test_no_answer_to_what_is_no_unicast_address(source: str) -> None:
    assert problem(Shell(), IPv6(src=source, dst=HOME_AGENT) / ROUTING_9 / UPDATE) is None


def test_groups_draw_one_kind_of_answer() -> None:
    """RFC 4443 section 2.4 (e.3): code 2 for an option of the kind that says so, nothing else."""
    group = IPv6(src=CARE_OF, dst="ff02::1")
    for kind, expected in ((0xBE, (2, 42)), (0xFE, None)):
        options = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=kind)])
        assert problem(Shell(), group / options / UPDATE) == expected
    assert problem(Shell(), group / ROUTING_9 / UPDATE) is None


def test_the_anycast_address_is_the_home_agents_own() -> None:
    asked = IPv6(src=CARE_OF, dst=text(ANYCAST))
    assert problem(Shell(), asked / ROUTING_9 / UDP()) == (0, 42)
    options = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xFE)])
    assert problem(Shell(), asked / options / UDP()) == (2, 42)


def test_others_are_answered_by_others() -> None:
    for destination in (HOME_ADDRESS, "2001:db8:1::77"):
        packet = IPv6(src=CARE_OF, dst=destination)
        assert problem(Shell(), packet / ROUTING_9 / UPDATE) is None
        options = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xFE)])
        assert problem(Shell(), packet / options / UPDATE) is None


def test_rate() -> None:
    """That of all Parameter Problems."""
    shell = Shell(limits=Limits(error_rate_per_peer=1, error_burst_per_peer=3))
    packets = [HEADER / ROUTING_9 / UPDATE, option_at(0xFE)[0], HEADER / Raw(b"")]
    sent = [problem(shell, packet) for packet in packets * 4]
    assert len([one for one in sent if one is not None]) == 3
    assert shell.statistics["icmpv6_suppressed"] == 5


def test_where_it_goes() -> None:
    """To the frame's sender on the home link; by its tunnel what came out of one; else by the router."""
    wrong = bytes(IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / ROUTING_9 / UPDATE)
    for packet, mac, expected in (
        (wrong, MN_MAC, (MN_MAC, False)),
        (wrong, b"", (None, True)),
        (bytes(HEADER / ROUTING_9 / UPDATE), ROUTER_MAC, (None, False)),
    ):
        sent = punted(Shell(), packet, mac)
        assert sent is not None
        assert (sent.link_layer_destination, sent.through_bindings) == expected
    assert HA_MAC != MN_MAC
