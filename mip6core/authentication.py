"""The authentication option for Binding Updates and their acknowledgements (RFC 4285, with RFC 4283).

It is the light alternative to IPsec, for the registration alone: prefix discovery and return routability are not
protected by it. A mobile node that has a security association here is believed only with it, whatever else
protects the packet: the checks of an IPsec policy are made elsewhere, and neither replaces the other.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Final

from mip6core.addresses import Address
from mip6core.codec import mh
from mip6core.codec.mh import BindingAcknowledgement, BindingUpdate
from mip6core.codec.options import (
    MN_AAA,
    MN_HA,
    MN_NAI,
    MessageIdentifier,
    MobileNodeIdentifier,
    MobilityMessageAuthentication,
    MobilityOption,
)
from mip6core.registration import Discarded, Registration
from mip6core.status import BindingAcknowledgementStatus as Status

KEY_LENGTH: Final = 16  # octets, section 5.1
MIN_SPI: Final = 256  # those below are reserved, section 5.1
DEFAULT_WINDOW: Final = 7.0  # seconds that clocks may differ, section 6
_AUTHENTICATOR_LENGTH: Final = 12  # octets: the first 96 bits
_NTP_EPOCH: Final = 2_208_988_800  # seconds from 1900 to 1970 (RFC 5905 section 6)
_HALF_RANGE: Final = 1 << 63  # of a timestamp, whose seconds begin anew every 2**32: next in 2036


@dataclass(frozen=True, slots=True)
class MobilitySecurityAssociation:
    """What a mobile node and its home agent share (section 5.1). HMAC_SHA1 is the one algorithm of the RFC."""

    home_address: Address
    spi: int  # the mobility SPI, MIN_SPI or more
    key: bytes = field(repr=False)  # KEY_LENGTH octets
    mn_id: bytes  # the NAI with which the mobile node identifies itself
    timestamps: bool = True  # replay protection of section 6; otherwise only by sequence number
    window: float = DEFAULT_WINDOW  # seconds


@dataclass(frozen=True, slots=True)
class AuthenticatedReply:
    """How a Binding Update is acknowledged to a mobile node with a security association."""

    association: MobilitySecurityAssociation
    timestamp: int | None = None  # for the replay protection option; None: the Binding Update had none

    def build(
        self, acknowledgement: BindingAcknowledgement, care_of_address: Address, source: Address, home_address: Address
    ) -> bytes:
        """The Mobility Header, with the options of section 4 behind those it has."""
        association = self.association
        added: list[MobilityOption] = [MobileNodeIdentifier(MN_NAI, association.mn_id)]
        if self.timestamp is not None:
            added.append(MessageIdentifier(self.timestamp))
        added.append(MobilityMessageAuthentication(MN_HA, association.spi, bytes(_AUTHENTICATOR_LENGTH)))
        acknowledgement.options = (*acknowledgement.options, *added)
        covered = mh.assemble(acknowledgement)[:-_AUTHENTICATOR_LENGTH]  # the option ends the message
        return mh.seal(covered + _authenticator(association, care_of_address, covered), source, home_address)


class Authenticator:
    """The security associations, and which timestamps of each mobile node have been accepted."""

    __slots__ = ("_accepted", "_associations", "_started", "_wall_clock", "home_addresses")

    def __init__(
        self, associations: Iterable[MobilitySecurityAssociation], wall_clock: Callable[[], float] | None
    ) -> None:
        """`wall_clock` gives seconds since 1970. Raises ValueError if two associations are for one home address,
        or if one needs a clock and there is none."""
        self._wall_clock = wall_clock
        self.set_associations(associations)
        # What was accepted before the start is forgotten, so nothing from before it is accepted again.
        self._started = 0 if wall_clock is None else _ntp(wall_clock())
        self._accepted: dict[Address, int] = {}

    def set_associations(self, associations: Iterable[MobilitySecurityAssociation]) -> None:
        """Have these and no others. What has been accepted is not accepted again. Raises ValueError as at the start."""
        found: dict[Address, MobilitySecurityAssociation] = {}
        for association in associations:
            if found.setdefault(association.home_address, association) is not association:
                raise ValueError(f"two security associations for {association.home_address.hex()}")
            if association.timestamps and self._wall_clock is None:
                raise ValueError("replay protection by timestamp needs a clock")
        self._associations = found
        self.home_addresses: Set[Address] = found.keys()  # of those that have associations

    def reply(self, home_address: Address) -> AuthenticatedReply | None:
        """How acknowledgements to a mobile node are authenticated that answer no packet seen here."""
        association = self._associations.get(home_address)
        return None if association is None else AuthenticatedReply(association)

    def check(self, request: Registration, update: BindingUpdate, upper: bytes) -> int:
        """Authenticate `update`, whose octets are `upper`: 0, or the status with which it is to be refused.

        Sets `request.authentication`, and `request.fresh` if a timestamp shows that it is no replay. Raises
        Discarded where the RFC wants silence.
        """
        association = self._associations.get(request.home_address)
        if association is None and not request.carries_authentication:
            return 0
        option = _mn_ha_option(update.options)
        if association is None or (option is not None and option.spi != association.spi):
            raise Discarded("no_mobility_security_association")  # 5.1.1, 5.3
        if option is None:
            raise Discarded("no_authentication")  # 5
        timestamp = mn_id = None
        for other in update.options:
            if type(other) is MessageIdentifier:
                timestamp = other.timestamp
            elif type(other) is MobileNodeIdentifier and other.subtype == MN_NAI:
                mn_id = other.identifier
        request.authentication = AuthenticatedReply(association, timestamp)
        covered = upper[:4] + b"\0\0" + upper[6 : option.offset]
        wanted = _authenticator(association, request.care_of_address, covered)
        if not hmac.compare_digest(wanted, option.authenticator) or mn_id != association.mn_id:
            return Status.MIPV6_AUTH_FAIL
        if not association.timestamps:
            return 0
        if timestamp is None:
            return Status.MIPV6_MESG_ID_REQD
        return self._check_timestamp(request, association, timestamp)

    def _check_timestamp(self, request: Registration, association: MobilitySecurityAssociation, timestamp: int) -> int:
        """Close to our time, and later than all accepted before (section 6)."""
        assert self._wall_clock is not None
        now = _ntp(self._wall_clock())
        difference = (timestamp - now + _HALF_RANGE) % (2 * _HALF_RANGE) - _HALF_RANGE
        when = now + difference  # the timestamp without the wrap
        home_address = association.home_address
        if abs(difference) > association.window * 2**32 or when <= self._accepted.get(home_address, self._started):
            ours = now >> 32 & 0xFFFFFFFF
            request.authentication = AuthenticatedReply(association, ours << 32 | timestamp & 0xFFFFFFFF)
            return Status.MIPV6_ID_MISMATCH
        self._accepted[home_address] = when
        request.fresh = True
        return 0


def _mn_ha_option(options: tuple[MobilityOption, ...]) -> MobilityMessageAuthentication | None:
    """The MN-HA option. Authentication options come last, one of each subtype, MN-HA before MN-AAA (5, 5.1, 5.2).

    An MN-AAA option beside it is left alone: there is no AAA server here, and MN-HA vouches for the packet.
    """
    found: list[MobilityMessageAuthentication] = []
    for option in options:
        if type(option) is MobilityMessageAuthentication:
            found.append(option)
        elif found:
            raise Discarded("authentication_not_last")
    subtypes = [option.subtype for option in found]
    if len(set(subtypes)) != len(subtypes):
        raise Discarded("authentication_twice")
    if MN_HA not in subtypes:
        return None
    position = subtypes.index(MN_HA)
    if MN_AAA in subtypes[:position]:
        raise Discarded("authentication_order")
    return found[position]


def _authenticator(association: MobilitySecurityAssociation, care_of_address: Address, covered: bytes) -> bytes:
    """Section 5.1. `covered` is the Mobility Header up to and including the SPI, its checksum zero."""
    mobility_data = care_of_address + association.home_address + covered
    return hmac.digest(association.key, mobility_data, "sha1")[:_AUTHENTICATOR_LENGTH]


def _ntp(seconds: float) -> int:
    """Seconds since 1970 as an NTP timestamp that does not wrap."""
    return int((seconds + _NTP_EPOCH) * 2**32)
