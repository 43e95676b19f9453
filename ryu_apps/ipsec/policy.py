"""What is protected between a mobile node and the home agent (RFC 3776 sections 3 and 5, RFC 4877 section 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deploy.config.associations import BINDING, PREFIX_DISCOVERY, RETURN_ROUTABILITY, AssociationConfig
from mip6core.addresses import Address
from mip6core.codec.icmpv6 import MobilePrefixAdvertisement, MobilePrefixSolicitation
from mip6core.codec.mh import MHType
from mip6core.constants import ICMPV6, MOBILITY_HEADER
from ryu_apps.ipsec import transforms
from ryu_apps.ipsec.esp import Inbound, Outbound

RandomOctets = Callable[[int], bytes]

_PROTOCOL: Final = {BINDING: MOBILITY_HEADER, PREFIX_DISCOVERY: ICMPV6, RETURN_ROUTABILITY: MOBILITY_HEADER}
_TYPE_OFFSET: Final = {MOBILITY_HEADER: 2, ICMPV6: 0}  # of the octet that says which message it is
_FROM_MOBILE_NODE: Final = {
    BINDING: MHType.BINDING_UPDATE.value,
    PREFIX_DISCOVERY: MobilePrefixSolicitation.icmp_type,
    RETURN_ROUTABILITY: MHType.HOME_TEST_INIT.value,
}
_TO_MOBILE_NODE: Final = {
    BINDING: MHType.BINDING_ACKNOWLEDGEMENT.value,
    PREFIX_DISCOVERY: MobilePrefixAdvertisement.icmp_type,
    RETURN_ROUTABILITY: MHType.HOME_TEST.value,
}
# Neighbor Discovery runs before any association could be used.
_NEIGHBOR_DISCOVERY: Final = range(133, 138)


class Association:
    """A pair of security associations for one home address, one in each direction."""

    __slots__ = (
        "_by_message",
        "config",
        "home_address",
        "in_clear",
        "inbound",
        "kind",
        "outbound",
        "protocol",
        "tunnel",
    )

    def __init__(self, home_address: Address, config: AssociationConfig, random: RandomOctets, sequence: int) -> None:
        self.home_address = home_address
        self.config = config
        self.kind = config.kind
        self.protocol = _PROTOCOL[config.kind]
        self.tunnel = config.kind == RETURN_ROUTABILITY
        # The last request came unprotected, which this mobile node may: so is it answered.
        self.in_clear = False
        self._by_message = config.selector == "message"
        inward, outward = (
            transforms.make(
                config.encryption, direction.encryption_key, config.integrity, direction.integrity_key, random
            )
            for direction in (config.inbound, config.outbound)
        )
        self.inbound = Inbound(config.inbound.spi, inward, config.anti_replay)
        self.outbound = Outbound(config.outbound.spi, outward, sequence, wraps=not config.anti_replay)

    def covers_request(self, protocol: int, upper: bytes) -> bool:
        """Whether the selectors fit a message from the mobile node."""
        return protocol == self.protocol and self._fits(upper, _FROM_MOBILE_NODE[self.kind])

    def covers_reply(self, protocol: int, upper: bytes) -> bool:
        """Whether the selectors fit a message to the mobile node."""
        return protocol == self.protocol and self._fits(upper, _TO_MOBILE_NODE[self.kind])

    def _fits(self, upper: bytes, message: int) -> bool:
        offset = _TYPE_OFFSET[self.protocol]
        if len(upper) <= offset:
            return not self._by_message
        found = upper[offset]
        if self._by_message:
            return found == message
        return self.protocol != ICMPV6 or found not in _NEIGHBOR_DISCOVERY


def request_kind(protocol: int, upper: bytes) -> str | None:
    """The kind of a request to the home agent that wants protection whoever sends it; None: it is no such one."""
    if protocol == MOBILITY_HEADER:
        return BINDING if upper[2:3] == _BINDING_UPDATE else None
    if protocol == ICMPV6:
        return PREFIX_DISCOVERY if upper[:1] == _SOLICITATION else None
    return None


_BINDING_UPDATE: Final = bytes((_FROM_MOBILE_NODE[BINDING],))
_SOLICITATION: Final = bytes((_FROM_MOBILE_NODE[PREFIX_DISCOVERY],))


class MobileNode:
    """What holds for one home address."""

    __slots__ = ("accepts_clear", "associations", "authenticated")

    def __init__(self, associations: dict[str, Association], accepts_clear: bool, authenticated: bool) -> None:
        self.associations = associations  # by kind
        self.accepts_clear = accepts_clear
        # The engine asks for the authentication option of RFC 4285, which is enough unless IPsec is agreed on.
        self.authenticated = authenticated and BINDING not in associations
