"""When an ICMPv6 error may be sent at all (RFC 4443 section 2.4 (e))."""

from __future__ import annotations

from typing import Final

from mip6core.addresses import is_loopback, is_multicast, is_unspecified
from mip6core.codec import ipv6
from mip6core.constants import ICMPV6

_FIRST_INFORMATIONAL_TYPE: Final = 128
_REDIRECT: Final = 137


def may_be_answered(packet: bytes, *, to_group: bool = False) -> bool:
    """Whether `packet`, of which the end may be missing, may be answered with an ICMPv6 error.

    Not if it is an error or a redirect itself, or may be one for all that can be seen of it; not if its source is no
    unicast address; and not if it went to a group, but for the errors that have leave to (`to_group`).
    """
    if len(packet) < 40:
        return False
    source = packet[8:24]
    if is_multicast(source) or is_unspecified(source) or is_loopback(source):
        return False
    if not to_group and is_multicast(packet[24:40]):
        return False
    upper = ipv6.upper_layer(packet)
    if upper is None:
        return False
    protocol, offset = upper
    if protocol != ICMPV6:
        return True
    icmpv6_type = packet[offset] if offset < len(packet) else 0
    return icmpv6_type >= _FIRST_INFORMATIONAL_TYPE and icmpv6_type != _REDIRECT
