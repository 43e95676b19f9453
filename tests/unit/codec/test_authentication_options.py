"""Options 8, 9 and 10 (RFC 4283, RFC 4285): lengths, places, and what the vectors of scapy do not have."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import MIP6OptMNID, MIP6OptMsgAuth, MIP6OptReplayProtection

from mip6core import addresses
from mip6core.codec import checksum, mh, options
from mip6core.codec.options import MessageIdentifier, MobileNodeIdentifier, MobilityMessageAuthentication
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError

SOURCE = addresses.parse("2001:db8:100::10")
DESTINATION = addresses.parse("2001:db8:100::1")


def test_numbers_are_those_of_the_rfcs() -> None:
    assert (options.MOBILE_NODE_IDENTIFIER, options.MN_NAI) == (8, 1)  # RFC 4283 sections 3 and 3.1
    assert (options.MOBILITY_MESSAGE_AUTHENTICATION, options.MESSAGE_IDENTIFIER) == (9, 10)  # RFC 4285 section 8
    assert (options.MN_HA, options.MN_AAA) == (1, 2)


@pytest.mark.parametrize(
    ("option", "theirs"),
    [
        (MobileNodeIdentifier(1, b"a@b"), MIP6OptMNID(subtype=1, id="a@b")),
        (MobileNodeIdentifier(7, b""), MIP6OptMNID(subtype=7, id="")),
        (
            MobilityMessageAuthentication(1, 0xFFFFFFFF, bytes(range(12))),
            MIP6OptMsgAuth(subtype=1, mspi=0xFFFFFFFF, authdata=bytes(range(12))),
        ),
        (
            MobilityMessageAuthentication(2, 3, bytes(range(20))),
            MIP6OptMsgAuth(subtype=2, mspi=3, authdata=bytes(range(20))),
        ),
        (MessageIdentifier(0x0123456789ABCDEF), MIP6OptReplayProtection(timestamp=0x0123456789ABCDEF)),
    ],
)
def test_an_option_is_scapys_both_ways(option: options.MobilityOption, theirs: object) -> None:
    octets = bytes(theirs)  # type: ignore[call-overload]
    assert options.parse(octets, 0) == (option,)
    writer = options.Writer()
    option.write(writer)
    assert bytes(writer.data).endswith(octets) and len(writer.data) - len(octets) < 8


@pytest.mark.parametrize(
    "octets",
    ["0800", "0900", "090401000001", "0a00", "0a0700000000000000", "0a09000000000000000000"],
)
def test_a_wrong_length_is_refused(octets: str) -> None:
    with pytest.raises(ParseError, match="bad_option_length"):
        options.parse(bytes.fromhex(octets), 0)


@pytest.mark.parametrize("identifier", [b"x" * length for length in range(9)])
def test_alignment_and_place_of_the_data(identifier: bytes) -> None:
    """Timestamp at 8n + 2, authentication at 4n + 1 and as the very last thing, whatever stands before them."""
    update = mh.BindingUpdate(
        1,
        0xC000,
        5,
        (
            MobileNodeIdentifier(1, identifier),
            MessageIdentifier(2**64 - 1),
            MobilityMessageAuthentication(1, 256, b"A" * 12),
        ),
    )
    octets = mh.build(update, SOURCE, DESTINATION)
    assert octets.index(b"\x0a\x08" + b"\xff" * 8) % 8 == 2
    at = octets.index(bytes.fromhex("09110100000100") + b"A" * 12)
    assert at % 4 == 1 and at + 19 == len(octets)
    read = mh.parse(octets, SOURCE, DESTINATION)
    assert read == update
    assert isinstance(read.options[2], MobilityMessageAuthentication) and read.options[2].offset == at + 7


def test_sealing_fills_in_the_checksum_alone() -> None:
    update = mh.BindingUpdate(1, 0xC000, 5)
    octets = mh.assemble(update)
    assert octets[4:6] == b"\0\0"
    sealed = mh.seal(octets, SOURCE, DESTINATION)
    assert sealed == mh.build(update, SOURCE, DESTINATION)
    assert sealed[:4] + sealed[6:] == octets[:4] + octets[6:]
    assert checksum.upper_layer(SOURCE, DESTINATION, MOBILITY_HEADER, sealed) == 0
