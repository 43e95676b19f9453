"""What is sent in a correspondent's name, as packets (RFC 6275 sections 9.3.3, 9.4.3, 9.4.4, 9.5.4, 9.5.5)."""

from __future__ import annotations

from mip6core.actions import SendDatagram
from mip6core.addresses import UNSPECIFIED, Address
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.mh import BindingAcknowledgement, BindingError, BindingRefreshRequest, CareOfTest, HomeTest
from mip6core.codec.options import BindingAuthorizationData
from mip6core.constants import ICMPV6, MOBILITY_HEADER
from mip6core.correspondent_cache import CorrespondentBinding
from mip6core.correspondent_link import CorrespondentLink
from mip6core.return_routability import AUTHENTICATOR_LENGTH, authenticator
from mip6core.status import BindingErrorStatus

_NO_AUTHENTICATOR = BindingAuthorizationData(bytes(AUTHENTICATOR_LENGTH))


def mobility_message(
    link: CorrespondentLink,
    correspondent: Address,
    destination: Address,
    message: HomeTest | CareOfTest | BindingError | BindingRefreshRequest,
) -> SendDatagram:
    """A message to just that address: no binding and no routing header is used (6.1)."""
    upper = mh.build(message, correspondent, destination)
    return SendDatagram(link, ipv6.build(correspondent, destination, MOBILITY_HEADER, upper), None)


def binding_error(
    link: CorrespondentLink,
    correspondent: Address,
    destination: Address,
    status: BindingErrorStatus,
    home_address: Address | None,
) -> SendDatagram:
    """A Binding Error to the address on the wire (9.3.3)."""
    return mobility_message(link, correspondent, destination, BindingError(status, home_address or UNSPECIFIED))


def binding_refresh_request(binding: CorrespondentBinding) -> SendDatagram:
    """A Binding Refresh Request, which goes to the home address (9.5.5)."""
    return mobility_message(binding.link, binding.correspondent, binding.home_address, BindingRefreshRequest())


def binding_acknowledgement(
    link: CorrespondentLink,
    correspondent: Address,
    home_address: Address,
    reply_to: Address,
    acknowledgement: BindingAcknowledgement,
    authorization: tuple[bytes, Address] | None,
    after_flows: bool,
) -> SendDatagram:
    """A Binding Acknowledgement to the source address of the Binding Update (9.5.4).

    `authorization` are Kbm and the care-of address of the Binding Update's authenticator; None: without one, which is
    for nonces that are not recognized and for home registrations.
    """
    if authorization is None:
        upper = mh.build(acknowledgement, correspondent, home_address)
    else:
        key, care_of_address = authorization
        acknowledgement.options = (_NO_AUTHENTICATOR,)
        covered = mh.assemble(acknowledgement)[:-AUTHENTICATOR_LENGTH]  # the option ends the message
        upper = covered + authenticator(key, care_of_address, correspondent, covered)
        # 6.1.1: the checksum is made with the final destination, which is the home address either way.
        upper = mh.seal(upper, correspondent, home_address)
    packet = ipv6.build(
        correspondent,
        reply_to,
        MOBILITY_HEADER,
        upper,
        type2_home_address=None if reply_to == home_address else home_address,
    )
    return SendDatagram(link, packet, None, after_flows)


def icmpv6_message(
    link: CorrespondentLink, correspondent: Address, destination: Address, message: icmpv6.Message
) -> SendDatagram:
    """An ICMPv6 message."""
    upper = icmpv6.build(message, correspondent, destination)
    return SendDatagram(link, ipv6.build(correspondent, destination, ICMPV6, upper), None)
