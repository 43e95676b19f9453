"""A Binding Update as a request, and what must be true of it before all else (RFC 6275 section 9.5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mip6core.addresses import (
    Address,
    is_link_local,
    is_loopback,
    is_multicast,
    is_unicast_routable,
    is_unspecified,
)
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.mh import BU_HOME_REGISTRATION, BindingUpdate
from mip6core.codec.options import AlternateCareOfAddress, MobilityMessageAuthentication, NonceIndices
from mip6core.home_link import HomeLink

if TYPE_CHECKING:
    from mip6core.authentication import AuthenticatedReply


class Discarded(Exception):
    """The packet must be discarded silently; `reason` is the tail of a counter's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Registration:
    """What a Binding Update asks for, and where it is answered."""

    link: HomeLink
    home_address: Address
    care_of_address: Address
    sequence: int
    flags: int
    lifetime_units: int  # of 4 seconds: asked for, then granted; 0 if nothing is
    reply_to: Address  # the Source Address
    reply_link_layer_address: bytes | None  # of the sender, if it is on the home link
    carries_authentication: bool = False  # an option of RFC 4285, right or wrong
    status: int = 0  # of the acknowledgement if it is accepted: 0 or 1
    expires_at: float = 0.0  # monotonic seconds, lifetime counted from the arrival of the Binding Update
    authentication: AuthenticatedReply | None = None  # with which it is acknowledged
    fresh: bool = False  # shown by a timestamp, so that the sequence number does not count (RFC 4285 section 7)


def read(link: HomeLink, datagram: Datagram, update: BindingUpdate, link_layer_source: bytes) -> Registration:
    """The request in a Binding Update. Raises Discarded where section 9.5.1 asks for silence."""
    source = care_of_address = datagram.source
    home_address = datagram.home_address  # routable, if there is one: `codec.ipv6` saw to it
    if home_address is None:
        if not is_unicast_routable(source):
            raise Discarded("home_address_not_routable")
        home_address = source
    carries_authentication = False
    vouched_for = not datagram.protected or source == home_address
    for option in update.options:
        if type(option) is AlternateCareOfAddress:
            care_of_address = option.address
            vouched_for = True
        elif type(option) is NonceIndices and update.flags & BU_HOME_REGISTRATION:
            raise Discarded("nonce_indices")
        elif type(option) is MobilityMessageAuthentication:
            carries_authentication = True
    if not vouched_for:  # IPsec does not protect the Source Address (RFC 4877 section 4.3)
        raise Discarded("no_alternate_care_of_address")
    if not is_unicast_routable(care_of_address):
        raise Discarded("care_of_address_not_routable")  # 6.1.7
    if care_of_address != source:
        if not is_unicast(source):
            raise Discarded("source_not_unicast")  # 9.5.4
        if datagram.home_address is None and update.lifetime:
            raise Discarded("no_home_address_option")  # 10.3.1; only a de-registration may omit it (10.3.2)
    return Registration(
        link,
        home_address,
        care_of_address,
        update.sequence,
        update.flags,
        update.lifetime,
        source,
        on_link(link, source, link_layer_source),
        carries_authentication,
    )


def is_unicast(address: Address) -> bool:
    """Whether an answer can be sent to a packet's source address."""
    return not (is_multicast(address) or is_unspecified(address) or is_loopback(address))


def on_link(link: HomeLink, source: Address, link_layer_source: bytes) -> bytes | None:
    """The link-layer address a packet came from, if its sender is on the home link; else None.

    Such a sender is answered at that address: the home agent may be defending the sender's own address
    (10.3.2).
    """
    if not link_layer_source or link.virtual:
        return None
    if is_link_local(source) or link.find_prefix(source) is not None:
        return link_layer_source
    return None
