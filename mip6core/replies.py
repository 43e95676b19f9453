"""What the home agent answers, as packets (RFC 6275 sections 9.3.3, 9.5.4, 10.3.1, 10.3.2)."""

from __future__ import annotations

import struct
from typing import Final

from mip6core.actions import SendDatagram
from mip6core.addresses import UNSPECIFIED, Address
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.mh import BindingAcknowledgement, BindingError
from mip6core.codec.options import BindingRefreshAdvice
from mip6core.constants import ICMPV6, LIFETIME_UNIT, MOBILITY_HEADER
from mip6core.home_link import HomeLink
from mip6core.registration import Registration, on_link
from mip6core.status import BindingErrorStatus


def binding_acknowledgement(request: Registration, status: int, after_flows: bool) -> SendDatagram:
    """A Binding Acknowledgement to the source address of the Binding Update (9.5.4).

    A Type 2 Routing Header takes the home address along, unless the mobile node used that as its source
    address. K is zero: no key management protocol is running (10.3.1). The lifetime is 0 unless a
    registration is accepted. It carries the authentication option if the mobile node is to use it, whatever the
    status (RFC 4285 section 5.1.1).
    """
    link = request.link
    lifetime = request.lifetime_units
    options: tuple[BindingRefreshAdvice, ...] = ()
    if lifetime and link.refresh_interval is not None:
        interval = link.refresh_interval // LIFETIME_UNIT
        if 0 < interval < lifetime:  # 6.2.4: it must be the smaller one
            options = (BindingRefreshAdvice(interval),)
    source = link.address
    home_address, destination = request.home_address, request.reply_to
    if not options and destination != home_address and request.authentication is None:
        packet = _acknowledgement_to_care_of_address(
            source, destination, home_address, status, request.sequence, lifetime
        )
        return SendDatagram(link, packet, request.reply_link_layer_address, after_flows)
    acknowledgement = BindingAcknowledgement(status, 0, request.sequence, lifetime, options)
    # 6.1.1: the checksum is made with the final destination, which is the home address either way.
    if request.authentication is None:
        upper = mh.build(acknowledgement, source, home_address)
    else:
        upper = request.authentication.build(acknowledgement, request.care_of_address, source, home_address)
    packet = ipv6.build(
        source,
        destination,
        MOBILITY_HEADER,
        upper,
        type2_home_address=None if destination == home_address else home_address,
    )
    return SendDatagram(link, packet, request.reply_link_layer_address, after_flows)


# Nearly all acknowledgements differ in a few fields: the rest is taken from one that was built of its parts.
_SAMPLE: Final = ipv6.build(
    UNSPECIFIED,
    UNSPECIFIED,
    MOBILITY_HEADER,
    mh.build(BindingAcknowledgement(0, 0, 0, 0), UNSPECIFIED, UNSPECIFIED),
    type2_home_address=UNSPECIFIED,
)
_ACKNOWLEDGEMENT = struct.Struct("!8s16s16s8s16s4sHBxHH4s")
_IPV6, _, _, _ROUTING, _, _MOBILITY, _CHECKSUM, _, _, _, _PADDING = _ACKNOWLEDGEMENT.unpack(_SAMPLE)


def _acknowledgement_to_care_of_address(
    source: Address, destination: Address, home_address: Address, status: int, sequence: int, lifetime: int
) -> bytes:
    """The packet with a Type 2 Routing header and no options, octet by octet what `ipv6.build` and `mh.build` make."""
    # In one's complement the checksum of what differs is subtracted from that of the sample (see codec.checksum).
    differing = int.from_bytes(source + home_address, "big") + (status << 8) + sequence + lifetime
    checksum = (_CHECKSUM - differing) % 0xFFFF
    return _ACKNOWLEDGEMENT.pack(
        _IPV6,
        source,
        destination,
        _ROUTING,
        home_address,
        _MOBILITY,
        checksum,
        status,
        sequence,
        lifetime,
        _PADDING,
    )


def binding_error(
    link: HomeLink,
    status: BindingErrorStatus,
    destination: Address,
    home_address: Address | None,
    link_layer_destination: bytes | None,
) -> SendDatagram:
    """A Binding Error to the address on the wire (9.3.3): never with a routing header (6.1)."""
    upper = mh.build(BindingError(status, home_address or UNSPECIFIED), link.address, destination)
    packet = ipv6.build(link.address, destination, MOBILITY_HEADER, upper)
    return SendDatagram(link, packet, link_layer_destination)


def icmpv6_message(
    link: HomeLink,
    destination: Address,
    message: icmpv6.Message,
    link_layer_source: bytes,
    home_address: Address | None = None,
) -> SendDatagram:
    """An ICMPv6 message from the home agent, in answer to a packet from `destination`.

    That came from `link_layer_source`, or out of a tunnel if this is empty, and so goes the answer. With `home_address`
    it has a Type 2 Routing header.
    """
    upper = icmpv6.build(message, link.address, home_address or destination)
    packet = ipv6.build(link.address, destination, ICMPV6, upper, type2_home_address=home_address)
    mac = on_link(link, destination, link_layer_source)
    return SendDatagram(link, packet, mac, through_bindings=not link_layer_source)
