"""The mobile nodes' side of ESP (RFC 4303), for a fake switch; it shares no code with ours."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from deploy.benchmarks.fake_switch import Node

FIRST_SPI = 0x1000
ICV = 16  # octets, as are block and initialization vector
ETHERNET, IPV6, OPTIONS, ROUTING = 14, 40, 24, 24
PROTOCOL_ESP, PROTOCOL_MH = 50, 135


class Esp:
    """Wraps Binding Updates of all mobile nodes, and unwraps the answers. Keys differ by home address and direction."""

    def configuration(self, nodes: Iterable[Node]) -> str:
        """Entries of `security.mobile_nodes`."""
        return "".join(
            f"\n    - home_address: '{IPv6Address(node.home_address)}'\n      associations: [{{kind: binding,"
            f" encryption: aes-cbc, integrity: hmac-sha256-128, inbound: {self._direction(node, 0)},"
            f" outbound: {self._direction(node, 1)}}}]"
            for node in nodes
        )

    def _direction(self, node: Node, way: int) -> str:
        encryption, integrity = keys(node, way)
        return f"{{spi: {spi(node, way)}, encryption_key: '{encryption.hex()}', integrity_key: '{integrity.hex()}'}}"

    def wrap(self, node: Node, frame: bytes) -> bytes:
        """The frame of a Binding Update with a Home Address option, which stays outside."""
        start = ETHERNET + IPV6 + OPTIONS
        encryption, integrity = keys(node, 0)
        plain = frame[start:]
        padding = -(len(plain) + 2) % 16
        plain += bytes(range(1, padding + 1)) + bytes((padding, PROTOCOL_MH))
        vector = os.urandom(16)
        encryptor = Cipher(algorithms.AES(encryption), modes.CBC(vector)).encryptor()
        body = struct.pack("!II", spi(node, 0), node.sequence) + vector + encryptor.update(plain) + encryptor.finalize()
        body += hmac.digest(integrity, body, "sha256")[:ICV]
        length = struct.pack("!H", OPTIONS + len(body))
        head = frame[: ETHERNET + 4] + length + frame[ETHERNET + 6 : ETHERNET + IPV6]
        return head + bytes((PROTOCOL_ESP,)) + frame[ETHERNET + IPV6 + 1 : start] + body

    def unwrap(self, node: Node, packet: bytes) -> bytes | None:
        """A Binding Acknowledgement with a Type 2 Routing header, without its ESP; None: it is not authentic."""
        start = IPV6 + ROUTING
        body = packet[start:]
        encryption, integrity = keys(node, 1)
        authentic = hmac.digest(integrity, body[:-ICV], "sha256")[:ICV] == body[-ICV:]
        if packet[IPV6] != PROTOCOL_ESP or body[:4] != struct.pack("!I", spi(node, 1)) or not authentic:
            return None
        decryptor = Cipher(algorithms.AES(encryption), modes.CBC(body[8:24])).decryptor()
        plain = decryptor.update(body[24:-ICV]) + decryptor.finalize()
        return packet[:start] + plain[: -2 - plain[-2]] if plain[-1] == PROTOCOL_MH else None


def spi(node: Node, way: int) -> int:
    """0: from the mobile node, 1: to it."""
    return FIRST_SPI + 2 * node.index + way


def keys(node: Node, way: int) -> tuple[bytes, bytes]:
    """For encryption and integrity, of the direction's own."""
    digest = hashlib.sha512(node.home_address + bytes((way,))).digest()
    return digest[:16], digest[32:]
