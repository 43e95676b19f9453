"""The short ways that usual packets take give what the long ways give, for any octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from mip6core import usual_update
from mip6core.addresses import Prefix
from mip6core.codec import checksum, ipv6, mh, options
from mip6core.codec.mh import BindingAcknowledgement
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError
from mip6core.home_link import HomeLink, HomePrefix
from mip6core.registration import Registration, read
from mip6core.replies import binding_acknowledgement

bounded = settings(max_examples=500, deadline=None, derandomize=True, database=None)
NEVER = b"never found"
HOME_AGENT, HOME, CARE_OF = b"\x20" * 15 + b"\x01", b"\x20" * 15 + b"\x02", b"\x30" * 16
LINK = HomeLink("home", HOME_AGENT, (HomePrefix(Prefix.parse("2020::/16")),))
ON_LINK = b"\x20" * 15 + b"\x03"
MAC = b"\x02" * 6

u8, u16 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1)
# Addresses of all kinds, and those on which a sum of 16-bit words could go wrong
address = st.binary(min_size=16, max_size=16) | st.sampled_from((bytes(16), b"\xff" * 16, b"\xfe\x80" + bytes(14)))
unicast = address.map(lambda octets: bytes((0x20 | octets[0] & 0x1F,)) + octets[1:])  # a quarter of it all: 2000::/3


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


@st.composite
def updates(draw: st.DrawFn) -> bytes:
    """Packets much like a usual Binding Update, most with a right checksum."""
    source = draw(address)
    care_of_address = draw(st.sampled_from((source, source, source, CARE_OF)))
    home_address = draw(address)
    destination = draw(st.sampled_from((HOME_AGENT, HOME_AGENT, HOME_AGENT, CARE_OF)))
    update = mh.BindingUpdate(draw(u16), draw(u16), draw(u16), (options.AlternateCareOfAddress(care_of_address),))
    whole = ipv6.build(source, destination, MOBILITY_HEADER, mh.assemble(update), home_address=home_address)
    octets = draw(damaged(whole))
    if draw(st.integers(0, 3)):
        home_address, upper = octets[48:64], octets[64:68] + bytes(2) + octets[70:]
        if len(home_address) == 16:
            octets = octets[:64] + mh.seal(upper, home_address, octets[24:40])
    return octets


def long_way(packet: bytes) -> Registration:
    datagram = ipv6.parse(packet)
    assert datagram.upper_protocol == MOBILITY_HEADER and datagram.destination == HOME_AGENT
    assert datagram.unrecognized_option is datagram.type2_home_address is datagram.fragment_id is None
    message = mh.parse(datagram.upper, datagram.checksum_source, HOME_AGENT)
    assert isinstance(message, mh.BindingUpdate)
    return read(LINK, datagram, message, MAC)


@bounded
@given(updates())
def test_binding_updates(packet: bytes) -> None:
    """Whatever is taken for a usual one, the long way takes for the same."""
    usual = usual_update.read(LINK, packet, MAC)
    assert usual is None or usual == long_way(packet)


@bounded
@given(u16, u16, u16, unicast | st.just(ON_LINK), unicast, st.sampled_from((MAC, b"")))
def test_usual_packets_take_the_short_ways(
    sequence: int, flags: int, lifetime: int, care_of_address: bytes, home_address: bytes, mac: bytes
) -> None:
    update = mh.BindingUpdate(sequence, flags, lifetime, (options.AlternateCareOfAddress(care_of_address),))
    message = mh.build(update, home_address, HOME_AGENT)
    packet = ipv6.build(care_of_address, HOME_AGENT, MOBILITY_HEADER, message, home_address=home_address)
    with patch.object(ipv6, "_parse_extension_headers"):
        datagram = ipv6.parse(packet)
    assert datagram.home_address == home_address
    assert usual_update.read(LINK, packet, mac) == read(LINK, datagram, update, mac)


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
