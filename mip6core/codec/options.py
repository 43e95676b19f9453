"""Mobility options (RFC 6275 section 6.2, RFC 4283, RFC 4285)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mip6core.addresses import Address
from mip6core.codec.writer import Writer
from mip6core.errors import ParseError

PAD1: Final = 0
PADN: Final = 1
BINDING_REFRESH_ADVICE: Final = 2
ALTERNATE_CARE_OF_ADDRESS: Final = 3
NONCE_INDICES: Final = 4
BINDING_AUTHORIZATION_DATA: Final = 5
MOBILE_NODE_IDENTIFIER: Final = 8  # RFC 4283
MOBILITY_MESSAGE_AUTHENTICATION: Final = 9  # RFC 4285
MESSAGE_IDENTIFIER: Final = 10  # RFC 4285

MN_NAI: Final = 1  # subtype of MobileNodeIdentifier, RFC 4283 section 3.1
MN_HA: Final = 1  # subtypes of MobilityMessageAuthentication, RFC 4285 sections 5.1 and 5.2
MN_AAA: Final = 2

_REFRESH_ADVICE = struct.Struct("!BBH")
_NONCE_INDICES = struct.Struct("!BBHH")
_AUTHENTICATION = struct.Struct("!BBBI")
_MESSAGE_IDENTIFIER = struct.Struct("!BBQ")


@dataclass(slots=True)
class PadN:
    """Sections 6.2.2 and 6.2.3. Parsing drops padding, so this is for building only."""

    length: int  # octets of the whole option, 1 to 257; 1 is Pad1

    def write(self, writer: Writer) -> None:
        """Append the option."""
        writer.write(b"\0" if self.length == 1 else bytes((PADN, self.length - 2)) + bytes(self.length - 2))


@dataclass(slots=True)
class BindingRefreshAdvice:
    """Section 6.2.4."""

    interval: int  # units of 4 seconds

    def write(self, writer: Writer) -> None:
        """Append the option at its alignment, 2n."""
        writer.align(2, 0)
        writer.write(_REFRESH_ADVICE.pack(BINDING_REFRESH_ADVICE, 2, self.interval))


@dataclass(slots=True)
class AlternateCareOfAddress:
    """Section 6.2.5."""

    address: Address

    def write(self, writer: Writer) -> None:
        """Append the option at its alignment, 8n + 6."""
        writer.align(8, 6)
        writer.write(b"\x03\x10" + self.address)


@dataclass(slots=True)
class NonceIndices:
    """Section 6.2.6."""

    home_nonce_index: int
    care_of_nonce_index: int

    def write(self, writer: Writer) -> None:
        """Append the option at its alignment, 2n."""
        writer.align(2, 0)
        writer.write(_NONCE_INDICES.pack(NONCE_INDICES, 4, self.home_nonce_index, self.care_of_nonce_index))


@dataclass(slots=True)
class BindingAuthorizationData:
    """Section 6.2.7.

    The option must come last and without padding behind it (section 6.2): `ends_message` says whether it did.
    Its authenticator is then made of the last octets of the Mobility Header and covers all those before.
    """

    authenticator: bytes
    ends_message: bool = field(default=True, compare=False)  # set by parsing, not used by building

    def write(self, writer: Writer) -> None:
        """Append the option so that it ends at a multiple of 8 octets: 8n + 2 for an authenticator of 12."""
        length = len(self.authenticator)
        writer.align(8, -(2 + length) & 7)
        writer.write(bytes((BINDING_AUTHORIZATION_DATA, length)) + self.authenticator)


@dataclass(slots=True)
class MobileNodeIdentifier:
    """RFC 4283 section 3."""

    subtype: int  # MN_NAI, or one of a later RFC
    identifier: bytes  # of MN_NAI: user@realm

    def write(self, writer: Writer) -> None:
        """Append the option, which has no alignment."""
        writer.write(bytes((MOBILE_NODE_IDENTIFIER, len(self.identifier) + 1, self.subtype)) + self.identifier)


@dataclass(slots=True)
class MobilityMessageAuthentication:
    """RFC 4285 section 5. The data covers the Mobility Header up to and including the SPI."""

    subtype: int  # MN_HA, MN_AAA, or one of a later RFC
    spi: int  # 32 bits; 0 to 255 name algorithms (RFC 4285 section 8)
    authenticator: bytes  # the Authentication Data field
    offset: int = field(default=0, compare=False)  # of that field in the Mobility Header; set by parsing

    def write(self, writer: Writer) -> None:
        """Append the option at its alignment, 4n + 1: with 12 octets of data it ends at 8n, without padding behind."""
        writer.align(8, 5)
        length = 5 + len(self.authenticator)
        writer.write(_AUTHENTICATION.pack(MOBILITY_MESSAGE_AUTHENTICATION, length, self.subtype, self.spi))
        writer.write(self.authenticator)


@dataclass(slots=True)
class MessageIdentifier:
    """RFC 4285 section 6, the mobility message replay protection option."""

    timestamp: int  # 64 bits in the format of NTP: seconds, and their fraction in the low-order 32 bits

    def write(self, writer: Writer) -> None:
        """Append the option at its alignment, 8n + 2."""
        writer.align(8, 2)
        writer.write(_MESSAGE_IDENTIFIER.pack(MESSAGE_IDENTIFIER, 8, self.timestamp))


@dataclass(slots=True)
class UnknownOption:
    """An option this program does not know, kept as it came and skipped by the engines (section 6.2.1)."""

    option_type: int
    data: bytes

    def write(self, writer: Writer) -> None:
        """Append the option."""
        writer.write(bytes((self.option_type, len(self.data))) + self.data)


MobilityOption: TypeAlias = (
    PadN
    | BindingRefreshAdvice
    | AlternateCareOfAddress
    | NonceIndices
    | BindingAuthorizationData
    | MobileNodeIdentifier
    | MobilityMessageAuthentication
    | MessageIdentifier
    | UnknownOption
)


def parse(data: bytes, offset: int) -> tuple[MobilityOption, ...]:
    """The options of the Mobility Header `data` from `offset` to its end, without the padding.

    Raises ParseError: "truncated_option" for an option that runs past the end, "bad_option_length" for a
    known one whose length is not the one its RFC gives. No alignment is asked for.
    """
    found: list[MobilityOption] = []
    end = len(data)
    while offset < end:
        option_type = data[offset]
        if option_type == PAD1:
            offset += 1
            continue
        start = offset + 2
        if start > end or (offset := start + data[start - 1]) > end:
            raise ParseError("truncated_option")
        if option_type == PADN:
            continue
        length = offset - start
        if option_type == ALTERNATE_CARE_OF_ADDRESS:
            if length != 16:
                raise ParseError("bad_option_length")
            found.append(AlternateCareOfAddress(data[start:offset]))
        elif option_type == BINDING_REFRESH_ADVICE:
            if length != 2:
                raise ParseError("bad_option_length")
            found.append(BindingRefreshAdvice(data[start] << 8 | data[start + 1]))
        elif option_type == NONCE_INDICES:
            if length != 4:
                raise ParseError("bad_option_length")
            _, _, home, care_of = _NONCE_INDICES.unpack_from(data, start - 2)
            found.append(NonceIndices(home, care_of))
        elif option_type == BINDING_AUTHORIZATION_DATA:
            found.append(BindingAuthorizationData(data[start:offset], offset == end))
        elif option_type == MOBILITY_MESSAGE_AUTHENTICATION:
            if length < 5:
                raise ParseError("bad_option_length")
            _, _, subtype, spi = _AUTHENTICATION.unpack_from(data, start - 2)
            found.append(MobilityMessageAuthentication(subtype, spi, data[start + 5 : offset], start + 5))
        elif option_type == MESSAGE_IDENTIFIER:
            if length != 8:
                raise ParseError("bad_option_length")
            found.append(MessageIdentifier(int.from_bytes(data[start:offset], "big")))
        elif option_type == MOBILE_NODE_IDENTIFIER:
            if length < 1:
                raise ParseError("bad_option_length")
            found.append(MobileNodeIdentifier(data[start], data[start + 1 : offset]))
        else:
            found.append(UnknownOption(option_type, data[start:offset]))
    return tuple(found)


def append(data: bytes, options: Iterable[MobilityOption]) -> bytes:
    """The start of a Mobility Header with `options` behind it, each at its alignment."""
    writer = Writer(data)
    for option in options:
        option.write(writer)
    return bytes(writer.data)
