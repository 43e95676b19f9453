"""The Binding Update that nearly every mobile node sends from away, read in one piece.

It is an IPv6 packet of 96 octets: a Home Address option, then a Binding Update whose one option is the Alternate
Care-of Address, which is the Source Address. `read` takes a quarter of the time that `codec.ipv6`, `codec.mh` and
`registration.read` take together; they judge all other packets, and would make the same of this one.
"""

from __future__ import annotations

import struct
from typing import Final

from mip6core.addresses import is_unicast_routable
from mip6core.codec.ipv6 import HOME_ADDRESS_OPTION
from mip6core.codec.mh import MHType
from mip6core.codec.options import ALTERNATE_CARE_OF_ADDRESS, PADN
from mip6core.constants import DESTINATION_OPTIONS, MOBILITY_HEADER, NO_NEXT_HEADER
from mip6core.home_link import HomeLink
from mip6core.registration import Registration

_LENGTH: Final = 96
_UPPER_LENGTH: Final = 32
_PACKET: Final = struct.Struct("!B3x3sx16s16s8s16s3s3xHHH4s16s")
_FIXED: Final = (
    bytes((0, _LENGTH - 40, DESTINATION_OPTIONS)),  # Payload Length and Next Header
    bytes((MOBILITY_HEADER, 2, PADN, 2, 0, 0, HOME_ADDRESS_OPTION, 16)),
    bytes((NO_NEXT_HEADER, 3, MHType.BINDING_UPDATE)),
    bytes((PADN, 0, ALTERNATE_CARE_OF_ADDRESS, 16)),
)


def read(link: HomeLink, packet: bytes, link_layer_source: bytes) -> Registration | None:
    """The request in `packet`, which starts with the IPv6 header; None if it is another packet, or a wrong one."""
    if len(packet) != _LENGTH:
        return None
    (
        version,
        payload,
        source,
        destination,
        home_option,
        home_address,
        head,
        sequence,
        flags,
        lifetime,
        care_of_option,
        care_of_address,
    ) = _PACKET.unpack(packet)
    if (
        (payload, home_option, head, care_of_option) != _FIXED
        or care_of_address != source
        or destination != link.address
        or version >> 4 != 6
        or not is_unicast_routable(source)
        or not is_unicast_routable(home_address)
    ):
        return None
    # See codec.checksum. The home address and the Mobility Header are what the packet ends with.
    if (int.from_bytes(destination + packet[48:], "big") + _UPPER_LENGTH + MOBILITY_HEADER) % 0xFFFF:
        return None
    reply_mac = None  # as `registration.on_link` says of a routable address
    if link_layer_source and not link.virtual and link.find_prefix(source) is not None:
        reply_mac = link_layer_source
    return Registration(link, home_address, source, sequence, flags, lifetime, source, reply_mac)
