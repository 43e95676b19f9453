"""Mobility Header rules that the vectors do not have: order of checks, padding, the last option."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import IPv6, in6_chksum

from mip6core import addresses
from mip6core.codec import mh
from mip6core.codec.options import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingRefreshAdvice,
    NonceIndices,
    PadN,
    UnknownOption,
)
from mip6core.errors import ParseError

SOURCE = addresses.parse("2001:db8:100::10")
DESTINATION = addresses.parse("2001:db8:100::1")
ADDRESS = addresses.parse("2001:db8:f1::5")


def sealed(octets: bytes) -> bytes:
    """`octets` with the checksum that scapy gives them."""
    header = IPv6(src=addresses.text(SOURCE), dst=addresses.text(DESTINATION), nh=135)
    zeroed = octets[:4] + bytes(2) + octets[6:]
    return octets[:4] + in6_chksum(135, header, zeroed).to_bytes(2, "big") + octets[6:]


def parse(octets: bytes) -> mh.Message:
    """The message in `octets`, which scapy has sealed."""
    return mh.parse(sealed(octets), SOURCE, DESTINATION)


def message(options: bytes, mh_type: int = 5) -> bytes:
    """A Binding Update or Acknowledgement (zero fields) with these option octets, which must fill it up."""
    length = 12 + len(options)
    assert length % 8 == 0
    return bytes((59, length // 8 - 1, mh_type)) + bytes(9) + options


def parsed_options(options: bytes) -> tuple[object, ...]:
    """The options of a Binding Update with these option octets."""
    update = parse(message(options))
    assert isinstance(update, mh.BindingUpdate)
    return update.options


def test_flags_have_the_bits_of_section_6_1_7() -> None:
    flags = (mh.BU_ACKNOWLEDGE, mh.BU_HOME_REGISTRATION, mh.BU_LINK_LOCAL, mh.BU_KEY_MANAGEMENT)
    assert flags == (1 << 15, 1 << 14, 1 << 13, 1 << 12)  # |A|H|L|K| from the left
    assert mh.BA_KEY_MANAGEMENT == 1 << 7


def test_types_have_the_numbers_of_section_6_1() -> None:
    assert [(item.value, item.name) for item in mh.MHType] == [
        (0, "BINDING_REFRESH_REQUEST"),
        (1, "HOME_TEST_INIT"),
        (2, "CARE_OF_TEST_INIT"),
        (3, "HOME_TEST"),
        (4, "CARE_OF_TEST"),
        (5, "BINDING_UPDATE"),
        (6, "BINDING_ACKNOWLEDGEMENT"),
        (7, "BINDING_ERROR"),
    ]


def test_reserved_fields_are_ignored() -> None:
    update = parse(bytes.fromhex("3b0105ff0000002a8fff001e01020000"))
    assert update == mh.BindingUpdate(42, 0x8FFF, 30)  # reserved bits of the flags are handed on
    error = parse(bytes.fromhex("3b0207ff000001ff") + SOURCE)
    assert error == mh.BindingError(1, SOURCE)
    assert parse(bytes.fromhex("3b010100ffffffff0102030405060708")[:6] + b"\xff\xff" + bytes(8)) == (
        mh.HomeTestInit(bytes(8))
    )


def test_octets_behind_the_header_are_ignored() -> None:
    octets = sealed(bytes.fromhex("3b0105000000002ac000001e01020000"))
    assert mh.parse(octets + b"more", SOURCE, DESTINATION) == mh.BindingUpdate(42, 0xC000, 30)


@pytest.mark.parametrize("mh_type", [5, 99])
def test_the_checksum_covers_the_announced_octets_only(mh_type: int) -> None:
    """A sum over what follows as well is accepted only to report a Header Len too small for the type."""
    octets = sealed(bytes((59, 1, mh_type)) + bytes(13) + b"followed by this")
    with pytest.raises(ParseError, match=r"^bad_checksum$"):
        mh.parse(octets, SOURCE, DESTINATION)


def test_a_longer_message_than_the_type_needs_is_fine() -> None:
    request = parse(bytes.fromhex("3b010000000000000106000000000000"))
    assert request == mh.BindingRefreshRequest()


@pytest.mark.parametrize("payload_proto", [59, 6])
@pytest.mark.parametrize("mh_type", [8, 255])
def test_unknown_type_comes_before_payload_proto(payload_proto: int, mh_type: int) -> None:
    octets = bytes((payload_proto, 0, mh_type, 0, 0, 0, 0xAA, 0xBB))
    assert parse(octets) == mh.UnknownMessage(mh_type, b"\xaa\xbb")


def test_payload_proto_comes_before_header_len() -> None:
    with pytest.raises(ParseError) as caught:
        parse(bytes((6, 0, 5, 0, 0, 0, 0, 0)))
    assert (caught.value.reason, caught.value.pointer) == ("bad_payload_proto", 0)


def test_payload_proto_comes_before_header_len_where_the_sum_is_over_all_that_was_sent() -> None:
    with pytest.raises(ParseError) as caught:
        mh.parse(sealed(bytes((6, 0, 5)) + bytes(13)), SOURCE, DESTINATION)
    assert (caught.value.reason, caught.value.pointer) == ("bad_payload_proto", 0)


def test_the_checksum_covers_both_addresses() -> None:
    octets = sealed(bytes.fromhex("3b0105000000002ac000001e01020000"))
    for source, destination in ((ADDRESS, DESTINATION), (SOURCE, ADDRESS)):
        with pytest.raises(ParseError, match=r"^bad_checksum$"):
            mh.parse(octets, source, destination)


class TestOptions:
    """Section 6.2."""

    def test_padding_of_any_content_and_place_is_dropped(self) -> None:
        advice = bytes.fromhex("02020046")
        options = b"\0\0\0" + b"\x01\x03\xff\xee\xdd" + advice + b"\x01\0" + b"\x01\x04\x01\x02\x03\x04"
        assert parsed_options(options) == (BindingRefreshAdvice(70),)

    def test_alignment_is_not_asked_for(self) -> None:
        options = b"\x03\x10" + ADDRESS + b"\0" + bytes.fromhex("040400010002") + b"\0" * 3
        assert parsed_options(options) == (AlternateCareOfAddress(ADDRESS), NonceIndices(1, 2))

    def test_unknown_options_are_kept_and_those_behind_them_read(self) -> None:
        options = b"\x2a\x00" + b"\xff\x02ab" + b"\x02\x02\x00\x01" + b"\x01\x00"
        assert parsed_options(options) == (
            UnknownOption(42, b""),
            UnknownOption(255, b"ab"),
            BindingRefreshAdvice(1),
        )

    def test_a_known_option_in_another_message_is_no_error(self) -> None:
        octets = bytes((59, 1, 0)) + bytes(5) + b"\x02\x02\x00\x01" + b"\x01\x02\0\0"
        assert parse(octets) == mh.BindingRefreshRequest((BindingRefreshAdvice(1),))

    def test_binding_authorization_data_at_the_end(self) -> None:
        (option,) = parsed_options(b"\x01\x04" + bytes(4) + b"\x05\x0c" + bytes(range(12)))
        assert option == BindingAuthorizationData(bytes(range(12)))
        assert isinstance(option, BindingAuthorizationData) and option.ends_message

    @pytest.mark.parametrize(
        "behind", [b"\0" * 6, b"\x01\x04\0\0\0\0", b"\x04\x04\0\x01\0\x01"], ids=["Pad1", "PadN", "option"]
    )
    def test_binding_authorization_data_with_something_behind_it(self, behind: bytes) -> None:
        option = parsed_options(b"\x05\x0c" + bytes(range(12)) + behind)[0]
        assert isinstance(option, BindingAuthorizationData) and not option.ends_message

    @pytest.mark.parametrize("length", [0, 4, 10, 12, 20, 255])
    def test_binding_authorization_data_is_built_at_the_end(self, length: int) -> None:
        authenticator = b"\xab" * length
        update = mh.BindingUpdate(1, 0, 1, (NonceIndices(1, 2), BindingAuthorizationData(authenticator)))
        octets = mh.build(update, SOURCE, DESTINATION)
        assert octets.endswith(bytes((5, length)) + authenticator)
        assert octets == sealed(octets)

    @pytest.mark.parametrize("length", [1, 2, 3, 8, 257])
    def test_padding_can_be_built_on_purpose(self, length: int) -> None:
        update = mh.BindingUpdate(1, 0, 1, (PadN(length), UnknownOption(77, b"x")))
        octets = mh.build(update, SOURCE, DESTINATION)
        padding = b"\0" if length == 1 else bytes((1, length - 2)) + bytes(length - 2)
        assert octets[12:].startswith(padding + b"\x4d\x01x")
        assert parse(octets) == mh.BindingUpdate(1, 0, 1, (UnknownOption(77, b"x"),))

    @pytest.mark.parametrize("leading", range(9))
    def test_alignment_of_what_is_built(self, leading: int) -> None:
        first = () if leading == 0 else (PadN(leading),)
        for option, modulus, remainder, head in (
            (AlternateCareOfAddress(ADDRESS), 8, 6, b"\x03\x10"),  # section 6.2.5: 8n + 6
            (BindingRefreshAdvice(0x0A0B), 2, 0, b"\x02\x02\x0a\x0b"),  # section 6.2.4: 2n
            (NonceIndices(0x0A0B, 0x0C0D), 2, 0, b"\x04\x04\x0a\x0b\x0c\x0d"),  # section 6.2.6: 2n
        ):
            octets = mh.build(mh.BindingUpdate(1, 0, 1, (*first, option)), SOURCE, DESTINATION)
            assert octets.index(head) % modulus == remainder
            assert len(octets) % 8 == 0
            assert octets[1] == len(octets) // 8 - 1


def test_an_unknown_message_is_built_as_it_came() -> None:
    octets = sealed(bytes((59, 1, 77)) + bytes(3) + bytes(range(10)))
    assert mh.build(mh.UnknownMessage(77, bytes(range(10))), SOURCE, DESTINATION) == octets


def test_a_message_longer_than_header_len_can_say_is_not_built() -> None:
    options = tuple(UnknownOption(99, bytes(255)) for _ in range(9))
    with pytest.raises(ValueError, match="range"):
        mh.build(mh.BindingUpdate(1, 0, 1, options), SOURCE, DESTINATION)
