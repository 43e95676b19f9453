"""The mobile nodes' side of the authentication option (RFC 4285), for a fake switch; it shares no code with ours."""

from __future__ import annotations

import hashlib
import hmac
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from deploy.benchmarks.fake_switch import Node

SPI: Final = 0x1000
AUTHENTICATOR_LENGTH: Final = 12  # octets
NTP_EPOCH: Final = 2_208_988_800  # seconds from 1900 to 1970


@dataclass
class Authentication:
    """Signs Binding Updates of all mobile nodes, and checks the answers to them. Keys differ by home address."""

    last_timestamp: int = 0

    def configuration(self, nodes: Iterable[Node]) -> str:
        """Entries of `security.mobile_nodes`."""
        return "".join(
            f"\n    - home_address: '{IPv6Address(node.home_address)}'\n"
            f"      authentication: {{spi: {SPI}, key: '{key(node).hex()}', mn_id: {identifier(node).decode()}}}"
            for node in nodes
        )

    def sign(self, node: Node, message: bytes) -> bytes:
        """A Binding Update, which ends at 8n, with the options of RFC 4285 behind it; the checksum is zero."""
        self.last_timestamp = max(self.last_timestamp + 1, int((time.time() + NTP_EPOCH) * 2**32))
        message += struct.pack("!BBB", 8, len(identifier(node)) + 1, 1) + identifier(node)
        message += bytes((2 - len(message)) % 8) + struct.pack("!BBQ", 10, 8, self.last_timestamp)
        message += bytes((5 - len(message)) % 8) + struct.pack("!BBBI", 9, 5 + AUTHENTICATOR_LENGTH, 1, SPI)
        message = message[:1] + bytes(((len(message) + AUTHENTICATOR_LENGTH) // 8 - 1,)) + message[2:]
        return message + authenticator(node, message)

    def answers(self, node: Node, message: bytes) -> bool:
        """Whether a Binding Acknowledgement is authentic, and has the timestamp of a Binding Update."""
        covered = message[:4] + b"\0\0" + message[6:-AUTHENTICATOR_LENGTH]
        return message.endswith(authenticator(node, covered)) and b"\x0a\x08" in covered


def key(node: Node) -> bytes:
    """16 octets of a mobile node's own."""
    return hashlib.sha256(node.home_address).digest()[:16]


def identifier(node: Node) -> bytes:
    """A Network Access Identifier."""
    return b"mn%05d@example.org" % node.index


def authenticator(node: Node, covered: bytes) -> bytes:
    """RFC 4285 section 5.1."""
    mobility_data = node.care_of_address + node.home_address + covered
    return hmac.digest(key(node), mobility_data, hashlib.sha1)[:AUTHENTICATOR_LENGTH]
