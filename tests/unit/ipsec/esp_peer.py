"""The other end of an association, by scapy: same keys, another implementation of ESP."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet6 import HAO, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.ipsec import ESP, SecurityAssociation

from deploy.config.associations import ENCRYPTION_KEYS, INTEGRITY_KEYS

HOME_AGENT = "2001:db8:1::2"
HOME_ADDRESS = "2001:db8:1::100"
CARE_OF_ADDRESS = "2001:db8:f1::100"

# Ours: scapy's
ENCRYPTION = {"aes-gcm": "AES-GCM", "aes-cbc": "AES-CBC", "3des-cbc": "3DES", "null": "NULL"}
INTEGRITY = {
    "hmac-sha1-96": "HMAC-SHA1-96",
    "hmac-sha256-128": "SHA2-256-128",
    "hmac-sha384-192": "SHA2-384-192",
    "hmac-sha512-256": "SHA2-512-256",
}


@dataclass(frozen=True)
class Suite:
    """Two algorithms and a length of key."""

    encryption: str
    key_length: int
    integrity: str | None

    def __str__(self) -> str:
        return f"{self.encryption}-{8 * self.key_length}-{self.integrity}"


SUITES = [
    Suite(encryption, length, integrity)
    for encryption, lengths in ENCRYPTION_KEYS.items()
    for length in lengths
    for integrity in ([None] if encryption == "aes-gcm" else INTEGRITY_KEYS)
]
CLASSIC = Suite("3des-cbc", 24, "hmac-sha1-96")  # that of the IPv6 Ready specifications


def keys(suite: Suite) -> tuple[bytes, bytes]:
    """Fresh ones, for encryption and integrity."""
    return os.urandom(suite.key_length), os.urandom(INTEGRITY_KEYS[suite.integrity] if suite.integrity else 0)


def direction(suite: Suite, spi: int) -> dict[str, Any]:
    """A direction as the configuration file has it, with fresh keys."""
    encryption_key, integrity_key = keys(suite)
    found: dict[str, Any] = {"spi": spi}
    if encryption_key:
        found["encryption_key"] = encryption_key.hex()
    if integrity_key:
        found["integrity_key"] = integrity_key.hex()
    return found


def association(kind: str, spi: int, suite: Suite = CLASSIC, **more: Any) -> dict[str, Any]:
    """An association as the configuration file has it; its SPIs are `spi` inbound and the next one outbound."""
    found = {"kind": kind, "encryption": suite.encryption, **more}
    if suite.integrity:
        found["integrity"] = suite.integrity
    return {**found, "inbound": direction(suite, spi), "outbound": direction(suite, spi + 1)}


def peer(suite: Suite, one: dict[str, Any], tunnel: tuple[str, str] | None = None) -> SecurityAssociation:
    """One direction, by scapy. `tunnel` is outer source and destination."""
    return SecurityAssociation(
        ESP,
        spi=one["spi"],
        crypt_algo=ENCRYPTION[suite.encryption],
        crypt_key=bytes.fromhex(one.get("encryption_key", "")) or None,
        auth_algo=INTEGRITY[suite.integrity] if suite.integrity else None,
        auth_key=bytes.fromhex(one.get("integrity_key", "")) or None,
        tunnel_header=IPv6(src=tunnel[0], dst=tunnel[1]) if tunnel else None,
    )


def from_away(
    upper: Any, home_address: str = HOME_ADDRESS, care_of_address: str = CARE_OF_ADDRESS, home_agent: str = HOME_AGENT
) -> IPv6:
    """A message to the home agent with a Home Address option; checksums are in place."""
    packet = IPv6(src=care_of_address, dst=home_agent) / IPv6ExtHdrDestOpt(options=[HAO(hoa=home_address)]) / upper
    return IPv6(bytes(packet))
