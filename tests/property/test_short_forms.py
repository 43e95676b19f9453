"""The short ways that usual packets take give what the long ways give, for any octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from mip6core.codec import checksum, ipv6, mh, options
from mip6core.codec.mh import BindingAcknowledgement
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError
from mip6core.home_link import HomeLink
from mip6core.registration import Registration
from mip6core.replies import binding_acknowledgement

bounded = settings(max_examples=500, deadline=None, derandomize=True, database=None)
NEVER = b"never found"

u8, u16 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1)
# Addresses of all kinds, and those on which a sum of 16-bit words could go wrong
address = st.binary(min_size=16, max_size=16) | st.sampled_from((bytes(16), b"\xff" * 16, b"\xfe\x80" + bytes(14)))


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with up to three octets changed, or cut, or with more behind it."""
    octets = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(u8)
    return bytes(octets[: draw(st.integers(0, len(octets)) | st.just(len(octets)))]) + draw(st.binary(max_size=8))


@st.composite
def home_address_packets(draw: st.DrawFn) -> bytes:
    """Packets much like those with a Home Address option."""
    protocol = draw(st.sampled_from((MOBILITY_HEADER, 58, 59, 0, 43, 44, 60)) | u8)
    upper = draw(st.binary(max_size=60))
    packet = ipv6.build(draw(address), draw(address), protocol, upper, home_address=draw(address))
    return draw(damaged(packet))


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or all of the error that it raises."""
    try:
        return function(*arguments)
    except ParseError as error:
        return error.reason, error.code, error.pointer


@bounded
@given(home_address_packets())
def test_home_address_options(packet: bytes) -> None:
    short = outcome(ipv6.parse, packet)
    with patch.object(ipv6, "_HOME_ADDRESS_ALONE", NEVER):
        assert outcome(ipv6.parse, packet) == short


@bounded
@given(u16, u16, u16, address, st.data())
def test_alternate_care_of_addresses(
    sequence: int, flags: int, lifetime: int, where: bytes, data: st.DataObject
) -> None:
    update = mh.BindingUpdate(sequence, flags, lifetime, (options.AlternateCareOfAddress(where),))
    octets = data.draw(damaged(mh.assemble(update)))
    short = outcome(options.parse, octets, 12)
    with patch.object(options, "_ALTERNATE_CARE_OF_ADDRESS_ALONE", NEVER):
        assert outcome(options.parse, octets, 12) == short


def test_the_short_ways_are_taken() -> None:
    """By what the long way would not survive."""
    update = mh.BindingUpdate(1, 0xC000, 60, (options.AlternateCareOfAddress(bytes(16)),))
    packet = ipv6.build(bytes(16), bytes(16), MOBILITY_HEADER, mh.assemble(update), home_address=b"\x20" * 16)
    with patch.object(ipv6, "_parse_extension_headers"):
        assert ipv6.parse(packet).home_address == b"\x20" * 16
    with patch.object(options, "PADN", None):
        assert options.parse(mh.assemble(update), 12) == update.options


@bounded
@given(address, address, address, u8, u16, u16)
def test_acknowledgements(
    home_agent: bytes, reply_to: bytes, home_address: bytes, status: int, sequence: int, lifetime: int
) -> None:
    link = HomeLink("home", home_agent, ())
    request = Registration(link, home_address, reply_to, sequence, 0xC000, lifetime, reply_to, None)
    sent = binding_acknowledgement(request, status, after_flows=True).packet
    message = mh.build(BindingAcknowledgement(status, 0, sequence, lifetime), home_agent, home_address)
    routing = None if reply_to == home_address else home_address
    assert sent == ipv6.build(home_agent, reply_to, MOBILITY_HEADER, message, type2_home_address=routing)
    assert checksum.upper_layer(home_agent, home_address, MOBILITY_HEADER, sent[-16:]) == 0
