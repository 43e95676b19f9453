"""Which complaints of a host are about Mobile IPv6: quotations made by scapy."""

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BRR,
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ParamProblem,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    Raw,
)
from scapy.packet import Packet

from ryu_apps.parameter_problems import without_mobility

ETHERNET = bytes(12) + b"\x86\xdd"
HOST, OTHER, HOME = "2001:db8:c::1", "2001:db8:f::1", "2001:db8:1::100"
WITH_ROUTING = IPv6(src=OTHER, dst=HOST) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME]) / UDP()
WITH_OTHER_ROUTING = IPv6(src=OTHER, dst=HOST) / IPv6ExtHdrRouting(type=3, segleft=1, addresses=[HOME]) / UDP()
BEHIND_HOP_BY_HOP = IPv6(src=OTHER, dst=HOST) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
BEHIND_HOP_BY_HOP /= IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME]) / UDP()
MOBILITY = IPv6(src=OTHER, dst=HOST) / MIP6MH_BRR()
WITH_OPTION = IPv6(src=OTHER, dst=HOST) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)], nh=17) / UDP()


def problem(code: int, pointer: int, quoted: Packet) -> bytes:
    return ETHERNET + bytes(IPv6(src=HOST, dst=OTHER) / ICMPv6ParamProblem(code=code, ptr=pointer) / Raw(bytes(quoted)))


def with_option_and(option_type: int) -> Packet:
    """A Home Address option, and at octet 64 another option."""
    options = [PadN(optdata=b"\0\0"), HAO(hoa=HOME), HBHOptUnknown(otype=option_type, optdata=b"ab")]
    return IPv6(src=OTHER, dst=HOST) / IPv6ExtHdrDestOpt(options=options, nh=17) / UDP()


@pytest.mark.parametrize(
    ("code", "pointer", "quoted", "about"),
    [
        (0, 42, WITH_ROUTING, True),
        (0, 43, WITH_ROUTING, True),
        (0, 50, BEHIND_HOP_BY_HOP, True),
        (0, 42, BEHIND_HOP_BY_HOP, False),  # in the header before
        (0, 42, WITH_OTHER_ROUTING, False),
        (0, 6, WITH_ROUTING, False),
        (0, 64, WITH_ROUTING, False),  # behind it
        (0, 4000, WITH_ROUTING, False),
        (1, 6, MOBILITY, True),
        (1, 6, WITH_ROUTING, False),
        (1, 5, MOBILITY, False),
        (2, 46, WITH_OPTION, True),
        (2, 47, WITH_OPTION, False),
        (2, 46, MOBILITY, False),
        (3, 42, WITH_ROUTING, False),
    ],
)
def test_what_it_points_to(code: int, pointer: int, quoted: Packet, about: bool) -> None:
    assert bytes(WITH_OPTION)[46] == 0xC9
    complaint = problem(code, pointer, quoted)
    assert without_mobility(complaint) == (None if about else complaint)


@pytest.mark.parametrize(("option_type", "reported"), [(0x1E, False), (0x5E, False), (0x9E, True), (0xDE, True)])
def test_an_option_behind_a_home_address_option(option_type: int, reported: bool) -> None:
    """The two high bits of its type say what is due (RFC 8200 section 4.2)."""
    quoted = with_option_and(option_type)
    assert bytes(quoted)[46] == 0xC9 and bytes(quoted)[64] == option_type
    frame = without_mobility(problem(2, 46, quoted))
    if not reported:
        assert frame is None
        return
    assert frame == problem(2, 64, quoted)


def test_other_messages() -> None:
    for message in (ICMPv6EchoRequest(), ICMPv6DestUnreach() / Raw(bytes(WITH_ROUTING))):
        frame = ETHERNET + bytes(IPv6(src=HOST, dst=OTHER) / message)
        assert without_mobility(frame) == frame


@pytest.mark.parametrize("quoted", [WITH_ROUTING, BEHIND_HOP_BY_HOP, MOBILITY, WITH_OPTION])
def test_cut_anywhere(quoted: Packet) -> None:
    """A quotation may end anywhere, and the packet may have been cut by the punt."""
    for length in range(len(bytes(quoted)) + 1):
        for pointer in (0, 6, 42, 46, length):
            without_mobility(problem(0, pointer, Raw(bytes(quoted)[:length])))
            without_mobility(problem(2, pointer, Raw(bytes(quoted)[:length]))[: 54 + length])
