"""ESP between mobile node and home agent (RFC 3776 section 4, RFC 4877): scapy's, with static keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Packet

from tests.conformance import wire
from tests.conformance.wire import Seen


@dataclass(frozen=True)
class Keys:
    """One direction of one security association."""

    spi: int
    encryption_key: bytes
    integrity_key: bytes


class Association:
    """A pair of them, as both ends are configured with it: AES-CBC with HMAC-SHA-256 (RFC 4868)."""

    def __init__(self, number: int, index: int) -> None:
        """`number` is the case's. The keys are different for each, and no better than that."""
        self.inbound, self.outbound = (
            Keys(
                0x10000 + 16 * number + 2 * index + direction,
                hashlib.sha256(f"encryption {number} {index} {direction}".encode()).digest()[:16],
                hashlib.sha256(f"integrity {number} {index} {direction}".encode()).digest(),
            )
            for direction in (0, 1)  # to the home agent, from it
        )

    def configuration(self, kind: str) -> dict[str, Any]:
        """An entry of the home agent's configuration."""

        def direction(keys: Keys) -> dict[str, Any]:
            return {
                "spi": keys.spi,
                "encryption_key": keys.encryption_key.hex(),
                "integrity_key": keys.integrity_key.hex(),
            }

        return {
            "kind": kind,
            # All Mobility Headers, as SA1 and SA2 of the catalogue; of ICMPv6 not the echoes, which probe in clear.
            "selector": "protocol" if kind == "binding" else "message",
            "encryption": "aes-cbc",
            "integrity": "hmac-sha256-128",
            "inbound": direction(self.inbound),
            "outbound": direction(self.outbound),
        }


KINDS: Final = ("binding", "prefix_discovery", "return_routability")  # SA1/2, SA5/6 and SA3/4 of the catalogue


class Protection:
    """Seals what the mobile node of a case sends, and opens what it receives."""

    def __init__(self, number: int, home_address: str, home_agent: str) -> None:
        self._home_address = home_address
        self._home_agent = home_agent
        self._associations = {kind: Association(number, index) for index, kind in enumerate(KINDS)}

    def configuration(self) -> dict[str, Any]:
        """The mobile node in the home agent's configuration; what comes in clear does not count."""
        associations = [association.configuration(kind) for kind, association in self._associations.items()]
        return {
            "home_address": self._home_address,
            "unprotected_signalling": "refuse",
            "associations": associations,
        }

    def seal(self, protocol: int, upper: bytes) -> bytes:
        """ESP in transport mode around signalling; the Home Address option stays outside (RFC 3776 section 4.1)."""
        keys = self._signalling(protocol).inbound
        inner = wire.packet(self._home_address, self._home_agent, protocol, upper)
        return bytes(_scapy(keys).encrypt(IPv6(bytes(inner))))[40:]

    def open(self, payload: bytes) -> tuple[int, bytes]:
        """Protocol and message inside ESP in transport mode. Malformed if it is not as it should be."""
        outer = wire.packet(self._home_agent, self._home_address, wire.ESP, payload)
        for protocol in (wire.MOBILITY, wire.ICMPV6):
            keys = self._signalling(protocol).outbound
            if keys.spi == int.from_bytes(payload[:4], "big"):
                octets = _opened(_scapy(keys), bytes(outer))
                return octets[6], octets[40:]
        raise wire.Malformed(f"ESP with SPI {int.from_bytes(payload[:4], 'big'):#x}, which is not for signalling")

    def seal_tunnel(self, care_of_address: str, inner: Packet) -> bytes:
        """A packet from the care-of address with `inner` in an ESP tunnel (RFC 3776 section 4.3)."""
        tunnel = IPv6(src=care_of_address, dst=self._home_agent)
        association = _scapy(self._associations["return_routability"].inbound, tunnel)
        return bytes(association.encrypt(IPv6(bytes(inner))))

    def open_tunnel(self, seen: Seen) -> Seen:
        """The packet in an ESP tunnel from the home agent. Malformed if it is not as it should be."""
        keys = self._associations["return_routability"].outbound
        if seen.protocol != wire.ESP or int.from_bytes(seen.upper[:4], "big") != keys.spi:
            raise wire.Malformed(f"{seen} instead of ESP with the SPI for return routability")
        association = _scapy(keys, IPv6(src=self._home_agent, dst=seen.destination))
        return wire.read(_opened(association, seen.octets))

    def _signalling(self, protocol: int) -> Association:
        return self._associations["binding" if protocol == wire.MOBILITY else "prefix_discovery"]


def _scapy(keys: Keys, tunnel_header: IPv6 | None = None) -> SecurityAssociation:
    return SecurityAssociation(
        ESP,
        spi=keys.spi,
        crypt_algo="AES-CBC",
        crypt_key=keys.encryption_key,
        auth_algo="SHA2-256-128",
        auth_key=keys.integrity_key,
        tunnel_header=tunnel_header,
    )


def _opened(association: SecurityAssociation, octets: bytes) -> bytes:
    try:
        return bytes(association.decrypt(IPv6(octets)))
    except (IPSecIntegrityError, ValueError, TypeError) as error:
        raise wire.Malformed(f"ESP that cannot be opened: {error}") from error
