"""The mobile node's cryptography of return routability (RFC 6275 sections 5.2.5, 5.2.6, 6.2.7).

Written from the RFC and not taken from the correspondent's code: the two sides check each other.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from mip6core.addresses import Address
from mip6core.codec import mh
from mip6core.codec.options import BindingAuthorizationData

AUTHENTICATOR: Final = 12  # octets
_CHECKSUM: Final = slice(4, 6)  # where the Mobility Header has it


def binding_management_key(home_keygen_token: bytes, care_of_keygen_token: bytes = b"") -> bytes:
    """Kbm, 20 octets; without a care-of keygen token that of a de-registration."""
    return hashlib.sha1(home_keygen_token + care_of_keygen_token).digest()


def authenticator(key: bytes, care_of_address: Address, correspondent: Address, mobility_header: bytes) -> bytes:
    """First (96, HMAC_SHA1 (Kbm, care-of address | correspondent | MH Data)).

    `mobility_header` is the whole message, whose last octets are the Authenticator field; what that and the
    Checksum hold does not count.
    """
    data = bytearray(mobility_header[:-AUTHENTICATOR])
    data[_CHECKSUM] = bytes(2)
    return hmac.digest(key, care_of_address + correspondent + data, "sha1")[:AUTHENTICATOR]


def authorized_update(
    update: mh.BindingUpdate, key: bytes, care_of_address: Address, home_address: Address, correspondent: Address
) -> bytes:
    """The Mobility Header of a Binding Update to a correspondent, with Binding Authorization Data as its last option.

    `care_of_address` is the one to be registered; the home address in a de-registration.
    """
    blank = BindingAuthorizationData(bytes(AUTHENTICATOR))
    update = mh.BindingUpdate(update.sequence, update.flags, update.lifetime, (*update.options, blank))
    data = mh.assemble(update)
    value = authenticator(key, care_of_address, correspondent, data)
    return mh.seal(data[:-AUTHENTICATOR] + value, home_address, correspondent)


def is_authorized(
    message: mh.BindingAcknowledgement,
    mobility_header: bytes,
    key: bytes,
    care_of_address: Address,
    correspondent: Address,
) -> bool:
    """Whether an acknowledgement ends with valid Binding Authorization Data (11.7.3).

    Padding behind it would be covered in the place of the Authenticator, and so spoil it.
    """
    last = message.options[-1] if message.options else None
    if not isinstance(last, BindingAuthorizationData):
        return False
    expected = authenticator(key, care_of_address, correspondent, mobility_header)
    return hmac.compare_digest(last.authenticator, expected)
