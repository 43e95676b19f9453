"""Encryption and integrity as ESP uses them: octets and keys in, octets out.

Each encryption says how long its initialization vector is and to what length the plain text is padded (RFC 4303
section 2.4). Integrity covers all octets in front of the Integrity Check Value; AES-GCM brings its own.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RandomOctets = Callable[[int], bytes]


class BadIntegrity(Exception):
    """The Integrity Check Value is not that of the packet under this key."""


class Transform(Protocol):
    """What one security association does to its packets. `header` is the SPI and the sequence number."""

    alignment: int  # octets: the plain text, with padding, is a multiple of it

    def seal(self, header: bytes, plain: bytes) -> bytes:
        """Initialization vector, cipher text and Integrity Check Value; `plain` is aligned."""

    def open(self, header: bytes, body: bytes) -> bytes:
        """The plain text of what comes behind the header. Raises BadIntegrity, also where it is too short."""


class _Hmac:
    """HMAC, truncated (RFC 2404, RFC 4868)."""

    __slots__ = ("_hash", "_key", "length")

    def __init__(self, key: bytes, hash_name: str, length: int) -> None:
        self._key = key
        self._hash = hash_name
        self.length = length  # octets

    def value(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, self._hash)[: self.length]


class NullTransform:
    """No encryption (RFC 2410), with integrity."""

    __slots__ = ("_integrity",)
    alignment = 4

    def __init__(self, integrity: _Hmac) -> None:
        self._integrity = integrity

    def seal(self, header: bytes, plain: bytes) -> bytes:
        return plain + self._integrity.value(header + plain)

    def open(self, header: bytes, body: bytes) -> bytes:
        return _checked(self._integrity, header, body)


class CbcTransform:
    """A block cipher in CBC mode (RFC 2451, RFC 3602), with integrity.

    To set up a cipher costs ten times as much as to use it, so each direction has one that goes on for ever: what a
    packet begins with is, for the blocks behind it, the initialization vector, whatever came before. A random block
    that has been encrypted is one that nobody can predict.
    """

    __slots__ = ("_decrypt", "_encrypt", "_integrity", "_random", "alignment")

    def __init__(self, algorithm: algorithms.AES | TripleDES, integrity: _Hmac, random: RandomOctets) -> None:
        self.alignment = algorithm.block_size // 8
        cipher = Cipher(algorithm, modes.CBC(bytes(self.alignment)))
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update
        self._integrity = integrity
        self._random = random

    def seal(self, header: bytes, plain: bytes) -> bytes:
        body = self._encrypt(self._random(self.alignment) + plain)
        return body + self._integrity.value(header + body)

    def open(self, header: bytes, body: bytes) -> bytes:
        body = _checked(self._integrity, header, body)
        block = self.alignment
        if len(body) < 2 * block or len(body) % block:
            raise BadIntegrity
        return self._decrypt(body)[block:]


class GcmTransform:
    """AES-GCM with an Integrity Check Value of 16 octets (RFC 4106). The key ends with the salt, of 4 octets.

    The vector must never come twice under one key, and a static key outlives this process: a counter would begin
    anew. So it is random, and each direction has a key of its own. A million packets meet with a probability below
    one in ten million.
    """

    __slots__ = ("_aead", "_random", "_salt")
    alignment = 4
    SALT: Final = 4  # octets
    VECTOR: Final = 8
    TAG: Final = 16

    def __init__(self, key: bytes, random: RandomOctets) -> None:
        self._aead = AESGCM(key[: -self.SALT])
        self._salt = key[-self.SALT :]
        self._random = random

    def seal(self, header: bytes, plain: bytes) -> bytes:
        vector = self._random(self.VECTOR)
        return vector + self._aead.encrypt(self._salt + vector, plain, header)

    def open(self, header: bytes, body: bytes) -> bytes:
        if len(body) < self.VECTOR + self.TAG:
            raise BadIntegrity
        try:
            return self._aead.decrypt(self._salt + body[: self.VECTOR], body[self.VECTOR :], header)
        except InvalidTag:
            raise BadIntegrity from None


_INTEGRITY: Final = {  # hash, octets of the Integrity Check Value
    "hmac-sha1-96": ("sha1", 12),
    "hmac-sha256-128": ("sha256", 16),
    "hmac-sha384-192": ("sha384", 24),
    "hmac-sha512-256": ("sha512", 32),
}


def make(
    encryption: str, encryption_key: bytes, integrity: str | None, integrity_key: bytes, random: RandomOctets
) -> Transform:
    """The transform of the algorithms' names in the configuration file; key lengths have been checked there."""
    if encryption == "aes-gcm":
        return GcmTransform(encryption_key, random)
    hash_name, length = _INTEGRITY[integrity or ""]
    check = _Hmac(integrity_key, hash_name, length)
    if encryption == "aes-cbc":
        return CbcTransform(algorithms.AES(encryption_key), check, random)
    if encryption == "3des-cbc":
        return CbcTransform(TripleDES(encryption_key), check, random)
    if encryption == "null":
        return NullTransform(check)
    raise ValueError(f"no such encryption: {encryption}")


def _checked(integrity: _Hmac, header: bytes, body: bytes) -> bytes:
    """`body` without its Integrity Check Value. Raises BadIntegrity."""
    end = len(body) - integrity.length
    if end < 0 or not hmac.compare_digest(integrity.value(header + body[:end]), body[end:]):
        raise BadIntegrity
    return body[:end]
