"""Return routability, the correspondent's side (RFC 6275 sections 5.2 and 6.2.7): keys, nonces, tokens, authenticators.

Nothing here belongs to one mobile node: tokens are made again from the addresses and nonce indices in a Binding Update.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from mip6core.addresses import Address
from mip6core.chance import RandomOctets
from mip6core.constants import MAX_NONCE_LIFETIME, MAX_TOKEN_LIFETIME

AUTHENTICATOR_LENGTH: Final = 12  # octets: the first 96 bits (6.2.7)
MAX_NONCES: Final = 256  # that are valid at once

_NODE_KEY_LENGTH: Final = 20  # octets (5.2.1)
_NONCE_LENGTH: Final = 8  # octets, as 5.2.2 recommends
_TOKEN_LENGTH: Final = 8  # octets: the first 64 bits (5.2.5)
_NONCE_INTERVAL: Final = MAX_NONCE_LIFETIME - MAX_TOKEN_LIFETIME
_IN_ONE_LIFETIME: Final = MAX_NONCE_LIFETIME // _NONCE_INTERVAL  # nonces that the interval alone asks for
_HOME: Final = b"\0"
_CARE_OF: Final = b"\x01"


class Nonce:
    """One nonce. A token made with it is good for MAX_TOKEN_LIFETIME seconds at least (5.2.7)."""

    __slots__ = ("index", "made_at", "serial", "value")

    def __init__(self, serial: int, index: int, value: bytes, made_at: float) -> None:
        self.serial = serial  # counts up from 1 and never wraps, unlike the index
        self.index = index  # 16 bits, what mobile nodes know it by
        self.value = value
        self.made_at = made_at  # monotonic seconds; it is made when it is first used


class Nonces:
    """The nonces that are valid, at most MAX_NONCES; one is made when it is asked for and the last one is too old."""

    __slots__ = ("_current", "_first_index", "_newest", "_rng", "_valid")

    def __init__(self, rng: RandomOctets) -> None:
        self._rng = rng
        # At random, so that an index from before a restart is rather unknown than another nonce's
        self._first_index = int.from_bytes(rng(2), "big")
        self._valid: dict[int, Nonce] = {}  # by index, oldest first
        self._current: Nonce | None = None  # for tokens from now on; None: a new one
        self._newest = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._valid)

    @property
    def newest(self) -> int:
        """The serial number of the newest nonce that was ever made; 0: none was."""
        return self._newest

    def current(self, now: float) -> Nonce:
        """The nonce to make tokens with."""
        nonce = self._current
        if nonce is None or now - nonce.made_at >= _NONCE_INTERVAL:
            self._discard_expired(now)
            self._newest += 1
            nonce = Nonce(self._newest, self._index(self._newest), self._rng(_NONCE_LENGTH), now)
            self._current = self._valid[nonce.index] = nonce
        return nonce

    def valid(self, now: float) -> list[Nonce]:
        """All of them, oldest first."""
        self._discard_expired(now)
        return list(self._valid.values())

    def find(self, index: int, now: float) -> Nonce | None:
        """The nonce of an index in a Binding Update; None if it is not recognized, or not any longer."""
        self._discard_expired(now)
        return self._valid.get(index)

    def expiry(self, serial: int) -> float | None:
        """When a nonce stops being valid, monotonic seconds; None if it is not remembered."""
        nonce = self._valid.get(self._index(serial))
        return None if nonce is None or nonce.serial != serial else nonce.made_at + MAX_NONCE_LIFETIME

    def retire(self) -> None:
        """Make the next token with a new nonce, unless this has been asked for too often lately (5.2.7)."""
        if len(self._valid) < MAX_NONCES - _IN_ONE_LIFETIME:
            self._current = None

    def invalidate(self, serial: int) -> None:
        """Discard this nonce and all older ones: the last measure of 5.2.8."""
        for nonce in [nonce for nonce in self._valid.values() if nonce.serial <= serial]:
            del self._valid[nonce.index]
        if self._current is not None and self._current.serial <= serial:
            self._current = None

    def _index(self, serial: int) -> int:
        return (self._first_index + serial) & 0xFFFF

    def _discard_expired(self, now: float) -> None:
        valid = self._valid
        while valid:
            oldest = next(iter(valid.values()))
            if now - oldest.made_at < MAX_NONCE_LIFETIME:
                return
            del valid[oldest.index]


class ReturnRoutability:
    """What makes tokens and keys for all correspondents.

    Each has a node key of its own, derived from one secret: whoever reads the tokens sent to one place does not
    thereby own those that other correspondents would send there.
    """

    __slots__ = ("_secret", "nonces")

    def __init__(self, rng: RandomOctets) -> None:
        """`rng(n)` gives n random octets, of cryptographic quality."""
        self._secret = rng(_NODE_KEY_LENGTH)
        self.nonces = Nonces(rng)

    def home_keygen_token(self, correspondent: Address, home_address: Address, nonce: Nonce) -> bytes:
        """The token that shows who gets packets for the home address (5.2.5), 8 octets."""
        return _token(self._node_key(correspondent), home_address, nonce, _HOME)

    def care_of_keygen_token(self, correspondent: Address, care_of_address: Address, nonce: Nonce) -> bytes:
        """The token that shows who gets packets for the care-of address (5.2.5), 8 octets."""
        return _token(self._node_key(correspondent), care_of_address, nonce, _CARE_OF)

    def registration_key(
        self,
        correspondent: Address,
        home_address: Address,
        home_nonce: Nonce,
        care_of_address: Address,
        care_of_nonce: Nonce,
    ) -> bytes:
        """Kbm of a Binding Update that makes or changes a binding, 20 octets."""
        node_key = self._node_key(correspondent)
        home = _token(node_key, home_address, home_nonce, _HOME)
        return hashlib.sha1(home + _token(node_key, care_of_address, care_of_nonce, _CARE_OF)).digest()

    def deletion_key(self, correspondent: Address, home_address: Address, home_nonce: Nonce) -> bytes:
        """Kbm of a Binding Update that deletes a binding, 20 octets."""
        return hashlib.sha1(self.home_keygen_token(correspondent, home_address, home_nonce)).digest()

    def _node_key(self, correspondent: Address) -> bytes:
        """Kcn (5.2.1)."""
        return hmac.digest(self._secret, correspondent, "sha1")


def authenticator(key: bytes, care_of_address: Address, correspondent: Address, covered: bytes) -> bytes:
    """Section 6.2.7. `covered` is the Mobility Header up to the authenticator, its checksum zero."""
    return hmac.digest(key, care_of_address + correspondent + covered, "sha1")[:AUTHENTICATOR_LENGTH]


def is_authentic(received: bytes, key: bytes, care_of_address: Address, correspondent: Address, covered: bytes) -> bool:
    """Whether `received` is the authenticator; the time this takes tells nothing about it."""
    return hmac.compare_digest(authenticator(key, care_of_address, correspondent, covered), received)


def _token(node_key: bytes, address: Address, nonce: Nonce, kind: bytes) -> bytes:
    return hmac.digest(node_key, address + nonce.value + kind, "sha1")[:_TOKEN_LENGTH]
