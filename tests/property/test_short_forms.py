"""The short ways that usual packets take give what the long ways give, for any octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from mip6core.addresses import Prefix
from mip6core.codec import checksum, ipv6, mh, options
from mip6core.codec.mh import BindingAcknowledgement
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError
from mip6core.home_link import HomeLink, HomePrefix
from mip6core.registration import Registration, read, read_usual
from mip6core.replies import binding_acknowledgement

bounded = settings(max_examples=500, deadline=None, derandomize=True, database=None)
NEVER = b"never found"
HOME_AGENT, HOME, CARE_OF = b"\x20" * 15 + b"\x01", b"\x20" * 15 + b"\x02", b"\x30" * 16
LINK = HomeLink("home", HOME_AGENT, (HomePrefix(Prefix.parse("2020::/16")),))
MAC = b"\x02" * 6

u8, u16 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1)
# Addresses of all kinds, and those on which a sum of 16-bit words could go wrong
address = st.binary(min_size=16, max_size=16) | st.sampled_from((bytes(16), b"\xff" * 16, b"\xfe\x80" + bytes(14)))


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole`, or up to three octets of it changed, or cut, or more behind it."""
    octets = bytearray(whole)
    match draw(st.sampled_from(("whole", "changed", "changed", "changed", "cut", "longer"))):
        case "changed":
            for _ in range(draw(st.integers(1, 3))):
                octets[draw(st.integers(0, len(octets) - 1))] = draw(u8)
        case "cut":
            del octets[draw(st.integers(0, len(octets))) :]
        case "longer":
            octets += draw(st.binary(min_size=1, max_size=16))
    return bytes(octets)


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


def test_home_address_options_that_are_cut() -> None:
    """With a Payload Length that says so."""
    whole = ipv6.build(CARE_OF, HOME_AGENT, MOBILITY_HEADER, b"", home_address=HOME)
    for end in range(40, len(whole)):
        packet = whole[:4] + (end - 40).to_bytes(2, "big") + whole[6:end]
        assert outcome(ipv6.parse, packet) == ("truncated", 0, None)
    assert ipv6.parse(whole).home_address == HOME


@bounded
@given(u16, u16, u16, address, address, st.none() | address, st.booleans(), st.data())
def test_binding_updates(
    sequence: int,
    flags: int,
    lifetime: int,
    source: bytes,
    home_address: bytes,
    care_of_address: bytes | None,
    right_checksum: bool,
    data: st.DataObject,
) -> None:
    """Whatever the short way takes for a usual Binding Update, the long way takes for the same."""
    option = options.AlternateCareOfAddress(source if care_of_address is None else care_of_address)
    upper = data.draw(damaged(mh.assemble(mh.BindingUpdate(sequence, flags, lifetime, (option,)))))
    if right_checksum:
        upper = mh.seal(upper[:4] + bytes(2) + upper[6:], home_address, HOME_AGENT)
    datagram = ipv6.Datagram(b"", source, HOME_AGENT, MOBILITY_HEADER, 64, upper, home_address)
    usual = read_usual(LINK, datagram, MAC)
    if usual is not None:
        message = mh.parse(upper, datagram.checksum_source, HOME_AGENT)
        assert isinstance(message, mh.BindingUpdate)
        assert read(LINK, datagram, message, MAC) == usual


def test_usual_packets_take_the_short_ways() -> None:
    update = mh.BindingUpdate(1, 0xC000, 60, (options.AlternateCareOfAddress(CARE_OF),))
    packet = ipv6.build(CARE_OF, HOME_AGENT, MOBILITY_HEADER, mh.build(update, HOME, HOME_AGENT), home_address=HOME)
    with patch.object(ipv6, "_parse_extension_headers"):
        datagram = ipv6.parse(packet)
    assert datagram.home_address == HOME
    assert read_usual(LINK, datagram, MAC) == read(LINK, datagram, update, MAC)


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
