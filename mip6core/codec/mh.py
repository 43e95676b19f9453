"""Mobility Header messages (RFC 6275 section 6.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from mip6core.addresses import Address
from mip6core.codec import checksum, options
from mip6core.codec.options import MobilityOption
from mip6core.codec.writer import PADDING
from mip6core.constants import MOBILITY_HEADER, NO_NEXT_HEADER
from mip6core.errors import ParseError


class MHType(IntEnum):
    """MH Type values, sections 6.1.2 to 6.1.9."""

    BINDING_REFRESH_REQUEST = 0
    HOME_TEST_INIT = 1
    CARE_OF_TEST_INIT = 2
    HOME_TEST = 3
    CARE_OF_TEST = 4
    BINDING_UPDATE = 5
    BINDING_ACKNOWLEDGEMENT = 6
    BINDING_ERROR = 7


# As plain ints: reading a member of an enumeration costs as much as a function call in Python 3.11.
_BINDING_REFRESH_REQUEST: Final = MHType.BINDING_REFRESH_REQUEST.value
_HOME_TEST_INIT: Final = MHType.HOME_TEST_INIT.value
_CARE_OF_TEST_INIT: Final = MHType.CARE_OF_TEST_INIT.value
_HOME_TEST: Final = MHType.HOME_TEST.value
_CARE_OF_TEST: Final = MHType.CARE_OF_TEST.value
_BINDING_UPDATE: Final = MHType.BINDING_UPDATE.value
_BINDING_ACKNOWLEDGEMENT: Final = MHType.BINDING_ACKNOWLEDGEMENT.value
_BINDING_ERROR: Final = MHType.BINDING_ERROR.value

# Plain ints: testing a bit of an IntFlag costs more than parsing the message.
BU_ACKNOWLEDGE: Final = 0x8000  # A
BU_HOME_REGISTRATION: Final = 0x4000  # H
BU_LINK_LOCAL: Final = 0x2000  # L
BU_KEY_MANAGEMENT: Final = 0x1000  # K
BA_KEY_MANAGEMENT: Final = 0x80  # K

_INIT = struct.Struct("!4BHH8s")
_TEST = struct.Struct("!4BHH8s8s")
_UPDATE = struct.Struct("!4BHHHH")
_UPDATE_FIELDS = struct.Struct("!HHH")
_ACKNOWLEDGEMENT = struct.Struct("!4BHBBHH")
_ACKNOWLEDGEMENT_FIELDS = struct.Struct("!BBHH")
_ERROR = struct.Struct("!4BHBB16s")


@dataclass(slots=True)
class BindingRefreshRequest:
    """Section 6.1.2."""

    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return bytes((NO_NEXT_HEADER, 0, _BINDING_REFRESH_REQUEST, 0, 0, 0, 0, 0))


@dataclass(slots=True)
class HomeTestInit:
    """Section 6.1.3."""

    home_init_cookie: bytes  # 8 octets
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return _INIT.pack(NO_NEXT_HEADER, 0, _HOME_TEST_INIT, 0, 0, 0, self.home_init_cookie)


@dataclass(slots=True)
class CareOfTestInit:
    """Section 6.1.4."""

    care_of_init_cookie: bytes  # 8 octets
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return _INIT.pack(NO_NEXT_HEADER, 0, _CARE_OF_TEST_INIT, 0, 0, 0, self.care_of_init_cookie)


@dataclass(slots=True)
class HomeTest:
    """Section 6.1.5."""

    home_nonce_index: int
    home_init_cookie: bytes  # 8 octets
    home_keygen_token: bytes  # 8 octets
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        fields = self.home_nonce_index, self.home_init_cookie, self.home_keygen_token
        return _TEST.pack(NO_NEXT_HEADER, 0, _HOME_TEST, 0, 0, *fields)


@dataclass(slots=True)
class CareOfTest:
    """Section 6.1.6."""

    care_of_nonce_index: int
    care_of_init_cookie: bytes  # 8 octets
    care_of_keygen_token: bytes  # 8 octets
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        fields = self.care_of_nonce_index, self.care_of_init_cookie, self.care_of_keygen_token
        return _TEST.pack(NO_NEXT_HEADER, 0, _CARE_OF_TEST, 0, 0, *fields)


@dataclass(slots=True)
class BindingUpdate:
    """Section 6.1.7."""

    sequence: int
    flags: int  # BU_*; reserved bits as they came
    lifetime: int  # units of 4 seconds; 0 deletes the binding
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return _UPDATE.pack(NO_NEXT_HEADER, 0, _BINDING_UPDATE, 0, 0, self.sequence, self.flags, self.lifetime)


@dataclass(slots=True)
class BindingAcknowledgement:
    """Section 6.1.8."""

    status: int  # BindingAcknowledgementStatus, or a value of an extension
    flags: int  # BA_*; reserved bits as they came
    sequence: int
    lifetime: int  # granted, units of 4 seconds
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return _ACKNOWLEDGEMENT.pack(
            NO_NEXT_HEADER, 0, _BINDING_ACKNOWLEDGEMENT, 0, 0, self.status, self.flags, self.sequence, self.lifetime
        )


@dataclass(slots=True)
class BindingError:
    """Section 6.1.9."""

    status: int  # BindingErrorStatus, or a value of an extension
    home_address: Address  # of the Home Address option; :: if there was none
    options: tuple[MobilityOption, ...] = ()

    def fixed_part(self) -> bytes:
        """All that comes before the options, Header Len and Checksum zero."""
        return _ERROR.pack(NO_NEXT_HEADER, 0, _BINDING_ERROR, 0, 0, self.status, 0, self.home_address)


@dataclass(slots=True)
class UnknownMessage:
    """A message of an MH Type not known here; it is answered with Binding Error 2 (section 9.2)."""

    mh_type: int
    data: bytes  # all that follows the Checksum field, 8n + 2 octets

    @property
    def options(self) -> tuple[MobilityOption, ...]:
        """None that are known to be some."""
        return ()

    def fixed_part(self) -> bytes:
        """The whole message, Header Len and Checksum zero."""
        return bytes((NO_NEXT_HEADER, 0, self.mh_type, 0, 0, 0)) + self.data


Message: TypeAlias = (
    BindingRefreshRequest
    | HomeTestInit
    | CareOfTestInit
    | HomeTest
    | CareOfTest
    | BindingUpdate
    | BindingAcknowledgement
    | BindingError
    | UnknownMessage
)

# The least octets of each type: the fixed part of section 6.1, filled up to a multiple of 8.
_MINIMUM_LENGTH: Final = (8, 16, 16, 24, 24, 16, 16, 24)
_LAST_KNOWN: Final = len(_MINIMUM_LENGTH) - 1


def parse(upper: bytes, source: Address, destination: Address) -> Message:
    """The message in `upper`, which starts with the Mobility Header; octets behind the header are ignored.

    `source` and `destination` are those of the checksum: `checksum_source` and `checksum_destination` of the
    Datagram. Checks come in the order of section 9.2. Raises ParseError, with a pointer where a Parameter
    Problem is to be sent; the pointer counts from the start of the Mobility Header.
    """
    if len(upper) < 8:
        raise ParseError("truncated")
    length = upper[1] * 8 + 8
    mh_type = upper[2]
    whole = upper
    if length != len(upper):
        if length > len(upper):
            raise ParseError("truncated")
        upper = upper[:length]
    if checksum.upper_layer(source, destination, MOBILITY_HEADER, upper) != 0:
        # Where Header Len is too small, the sender may have summed the octets it sent, not those it announced
        too_short = mh_type <= _LAST_KNOWN and length < _MINIMUM_LENGTH[mh_type]
        if not too_short or checksum.upper_layer(source, destination, MOBILITY_HEADER, whole) != 0:
            raise ParseError("bad_checksum")
    if mh_type > _LAST_KNOWN:
        return UnknownMessage(mh_type, upper[6:])
    if upper[0] != NO_NEXT_HEADER:
        raise ParseError("bad_payload_proto", 0)
    if length < _MINIMUM_LENGTH[mh_type]:
        raise ParseError("bad_header_length", 1)
    if mh_type == _BINDING_UPDATE:
        sequence, flags, lifetime = _UPDATE_FIELDS.unpack_from(upper, 6)
        return BindingUpdate(sequence, flags, lifetime, options.parse(upper, 12))
    if mh_type == _BINDING_ACKNOWLEDGEMENT:
        status, flags, sequence, lifetime = _ACKNOWLEDGEMENT_FIELDS.unpack_from(upper, 6)
        return BindingAcknowledgement(status, flags, sequence, lifetime, options.parse(upper, 12))
    if mh_type == _BINDING_REFRESH_REQUEST:
        return BindingRefreshRequest(options.parse(upper, 8))
    if mh_type == _BINDING_ERROR:
        return BindingError(upper[6], upper[8:24], options.parse(upper, 24))
    if mh_type in (_HOME_TEST_INIT, _CARE_OF_TEST_INIT):
        init = HomeTestInit if mh_type == _HOME_TEST_INIT else CareOfTestInit
        return init(upper[8:16], options.parse(upper, 16))
    test = HomeTest if mh_type == _HOME_TEST else CareOfTest
    return test(upper[6] << 8 | upper[7], upper[8:16], upper[16:24], options.parse(upper, 24))


def build(message: Message, source: Address, destination: Address) -> bytes:
    """The Mobility Header of `message`, padded to a multiple of 8 octets, with the checksum filled in."""
    return seal(assemble(message), source, destination)


def assemble(message: Message) -> bytes:
    """The same with the checksum zero."""
    data = message.fixed_part()
    if message.options:
        data = options.append(data, message.options)
    data += PADDING[-len(data) & 7]
    return data[:1] + bytes((len(data) // 8 - 1,)) + data[2:]


def seal(data: bytes, source: Address, destination: Address) -> bytes:
    """What `assemble` made, with the checksum filled in."""
    value = checksum.upper_layer(source, destination, MOBILITY_HEADER, data)
    return data[:4] + value.to_bytes(2, "big") + data[6:]
