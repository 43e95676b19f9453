"""A Binding Update to a correspondent, and what must be true of it before all else (RFC 6275 section 9.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from mip6core.addresses import Address, is_unicast_routable
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.mh import BU_HOME_REGISTRATION, BindingUpdate
from mip6core.codec.options import AlternateCareOfAddress, BindingAuthorizationData, NonceIndices
from mip6core.correspondent_link import CorrespondentLink
from mip6core.registration import Discarded
from mip6core.return_routability import AUTHENTICATOR_LENGTH


@dataclass(slots=True)
class CorrespondentUpdate:
    """What a Binding Update asks for, and where it is answered."""

    link: CorrespondentLink
    correspondent: Address
    home_address: Address
    care_of_address: Address
    sequence: int
    flags: int
    lifetime_units: int  # of 4 seconds
    reply_to: Address  # the Source Address
    indices: NonceIndices | None  # None: with the home registration flag
    authenticator: bytes
    covered: bytes  # by the authenticator: the Mobility Header up to there, its checksum zero
    deletion: bool


def read(link: CorrespondentLink, datagram: Datagram, update: BindingUpdate) -> CorrespondentUpdate:
    """The request in a Binding Update. Raises Discarded where section 9.5.1 asks for silence."""
    source = datagram.source
    home_address = datagram.home_address or source  # the one of an option is routable, or it is no Datagram
    if not is_unicast_routable(source):  # 6.1.7, 9.5.4
        raise Discarded("source_not_routable")
    alternate: AlternateCareOfAddress | None = None
    indices: NonceIndices | None = None
    authorization: BindingAuthorizationData | None = None
    for option in update.options:
        if type(option) is NonceIndices:
            if indices is not None:
                raise Discarded("nonce_indices_twice")
            indices = option
        elif type(option) is BindingAuthorizationData:
            if not option.ends_message:
                raise Discarded("authorization_not_last")
            authorization = option
        elif type(option) is AlternateCareOfAddress:
            if alternate is not None:
                raise Discarded("alternate_care_of_address_twice")
            alternate = option
    care_of_address = source if alternate is None else alternate.address
    if not is_unicast_routable(care_of_address):
        raise Discarded("care_of_address_not_routable")  # 6.1.7
    authenticator = covered = b""
    if update.flags & BU_HOME_REGISTRATION:
        if indices is not None:
            raise Discarded("nonce_indices")
    elif indices is None:
        raise Discarded("no_nonce_indices")
    elif authorization is None:
        raise Discarded("no_authorization")
    elif len(authorization.authenticator) != AUTHENTICATOR_LENGTH:
        raise Discarded("bad_authenticator_length")
    else:
        upper = datagram.upper
        authenticator = authorization.authenticator
        covered = upper[:4] + b"\0\0" + upper[6 : upper[1] * 8 + 8 - AUTHENTICATOR_LENGTH]
    return CorrespondentUpdate(
        link,
        datagram.destination,
        home_address,
        care_of_address,
        update.sequence,
        update.flags,
        update.lifetime,
        source,
        indices,
        authenticator,
        covered,
        # RFC 3775 had the home address as care-of address as another way to say it
        update.lifetime == 0 or care_of_address == home_address,
    )
