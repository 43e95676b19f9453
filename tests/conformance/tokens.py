"""How a Binding Update to a correspondent is authorised (RFC 6275 sections 5.2.5 and 6.2.7), and its options."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from tests.conformance import wire

AUTHENTICATOR: Final = 12  # octets
OPTIONS_AT: Final = 12  # octets from the start of a Binding Update
_ALIGNMENT: Final = {  # RFC 6275 section 6.2: xn+y
    wire.ALTERNATE_CARE_OF_ADDRESS: (8, 6),
    wire.NONCE_INDICES: (2, 0),
    wire.AUTHORIZATION: (8, 2),
}


@dataclass(frozen=True)
class Token:
    """What a Home Test or a Care-of Test brings (sections 6.1.5 and 6.1.6)."""

    index: int
    value: bytes


@dataclass(frozen=True)
class Tokens:
    """What a Binding Update is authorised with; for a deletion the care-of token does not count (section 5.2.5)."""

    home: Token
    care_of: Token | None = None
    deletion: bool = False

    @property
    def binding_key(self) -> bytes:
        """Kbm."""
        if self.care_of is None or self.deletion:
            return hashlib.sha1(self.home.value).digest()
        return hashlib.sha1(self.home.value + self.care_of.value).digest()

    @property
    def nonce_indices(self) -> bytes:
        indices = (self.home.index, self.care_of.index if self.care_of else 0)
        return b"".join(index.to_bytes(2, "big") for index in indices)

    def authenticator(self, care_of_address: str, correspondent: str, header: bytes) -> bytes:
        """Section 6.2.7, for a Mobility Header that ends with the room for it."""
        data = header[:4] + bytes(2) + header[6:-AUTHENTICATOR]
        message = wire.packed(care_of_address) + wire.packed(correspondent) + data
        return hmac.new(self.binding_key, message, hashlib.sha1).digest()[:AUTHENTICATOR]


def aligned(options: list[tuple[int, bytes]], start: int = OPTIONS_AT) -> bytes:
    """Mobility options with the padding that they need, from `start` octets after the header's begin to its end."""
    octets = b""
    for option_type, data in options:
        multiple, remainder = _ALIGNMENT.get(option_type, (1, 0))
        octets += _padding((remainder - start - len(octets)) % multiple)
        octets += bytes((option_type, len(data))) + data
    return octets + _padding(-(start + len(octets)) % 8)


def _padding(length: int) -> bytes:
    if length < 2:
        return bytes(length)
    return bytes((wire.PADN, length - 2)) + bytes(length - 2)
