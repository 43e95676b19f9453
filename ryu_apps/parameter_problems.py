"""Complaints of a host that does not know Mobile IPv6 (RFC 6275), about what it is to ignore.

Section 8.2: a routing header for an address that is not its own; section 9.2: messages that are for mobile nodes;
section 9.3.1: a Home Address option that the bridge has left in its place. A correspondent node would be silent.
"""

from __future__ import annotations

from typing import Final

from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import ParameterProblem
from mip6core.constants import (
    AH,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP,
    ICMPV6,
    MOBILITY_HEADER,
    ROUTING,
)
from mip6core.errors import ParseError

ERRONEOUS_FIELD, UNRECOGNIZED_NEXT_HEADER, UNRECOGNIZED_OPTION = 0, 1, 2  # codes
TYPE_2: Final = 2
TO_BE_REPORTED: Final = 2  # and 3: the two high bits of the type of an option
EXTENSION_HEADERS: Final = (HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION_OPTIONS)


def without_mobility(frame: bytes) -> bytes | None:
    """The frame of an ICMPv6 Parameter Problem as a host that knows Mobile IPv6 would have sent it; None: not at all.

    Such a host would have looked at the options behind a Home Address option (RFC 8200 section 4.2).
    """
    try:
        complaint = ipv6.parse(frame[14:])
        message = icmpv6.parse(complaint)
    except ParseError:
        return frame
    if not isinstance(message, ParameterProblem) or not _is_about_mobility(message):
        return frame
    if message.code != UNRECOGNIZED_OPTION:
        return None
    try:
        option = ipv6.parse(message.invoking).unrecognized_option
    except ParseError:
        return None
    if option is None or option[0] >> 6 < TO_BE_REPORTED:
        return None
    message.pointer = option[1]
    source, destination = complaint.source, complaint.destination
    upper = icmpv6.build(message, source, destination)
    return frame[:14] + ipv6.build(source, destination, ICMPV6, upper, hop_limit=complaint.hop_limit)


def _is_about_mobility(message: ParameterProblem) -> bool:
    """Whether it points to a Type 2 Routing header, Mobility Header or Home Address option."""
    quoted, pointer = message.invoking, message.pointer
    if pointer >= len(quoted):
        return False
    if message.code == UNRECOGNIZED_NEXT_HEADER:
        return quoted[pointer] == MOBILITY_HEADER
    if message.code == UNRECOGNIZED_OPTION:
        return quoted[pointer] == ipv6.HOME_ADDRESS_OPTION
    return message.code == ERRONEOUS_FIELD and _is_in_type_2(quoted, pointer)


def _is_in_type_2(quoted: bytes, pointer: int) -> bool:
    """Whether `pointer` is inside a Type 2 Routing header of the packet."""
    following, offset = quoted[6] if len(quoted) > 6 else 0, 40
    while following in EXTENSION_HEADERS and offset + 8 <= len(quoted) and offset <= pointer:
        if following == FRAGMENT:
            length = 8
        elif following == AH:
            length = (quoted[offset + 1] + 2) * 4  # RFC 4302 section 2.2
        else:
            length = (quoted[offset + 1] + 1) * 8
        if following == ROUTING and pointer < offset + length:
            return quoted[offset + 2] == TYPE_2
        following = quoted[offset]
        offset += length
    return False
