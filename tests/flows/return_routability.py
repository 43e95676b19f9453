"""The mobile node's side of return routability (RFC 6275 sections 5.2, 11.6), made by hand: nothing of ours."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import itertools
import struct
from dataclasses import dataclass, field

from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6MH_CoT,
    MIP6MH_CoTI,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.flows.stations import MobileNode, acknowledged

MOBILITY_HEADER = 135
BINDING_UPDATE = 5
ACKNOWLEDGE = 0x8000
_SEQUENCES = itertools.count(1000)
_COOKIES = itertools.count(0x1122334455667700)


def packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed


@dataclass
class Peer:
    """What a mobile node knows of one correspondent."""

    mobile: MobileNode
    correspondent: str
    sequence: int = field(init=False)  # of the last Binding Update
    home: tuple[int, bytes] = field(init=False)  # nonce index, token
    care_of: tuple[int, bytes] = field(init=False)

    def test(self) -> None:
        """Home Test by way of the home agent, Care-of Test straight (11.6.1)."""
        mobile = self.mobile
        cookie = struct.pack("!Q", next(_COOKIES))
        inner = IPv6(src=mobile.home_address, dst=self.correspondent) / MIP6MH_HoTI(cookie=cookie)
        outer = IPv6(src=mobile.at.care_of_address, dst=self.correspondent) / MIP6MH_CoTI(cookie=cookie)
        with mobile.recording() as visited:
            visited.send(mobile.reverse_tunnelled(inner))
            visited.send(Ether(src=mobile.at.mac, dst=mobile.at.router_mac) / outer)
            home_test = visited.wait_for(lambda f: MIP6MH_HoT in f and f[MIP6MH_HoT].cookie == cookie, "a Home Test")
            care_of_test = visited.wait_for(
                lambda f: MIP6MH_CoT in f and f[MIP6MH_CoT].cookie == cookie, "a Care-of Test"
            )
        assert (home_test[IPv6].src, home_test[IPv6].nh) == (mobile.home_agent, 41)
        assert (home_test[IPv6:2].src, home_test[IPv6:2].dst) == (self.correspondent, mobile.home_address)
        assert (care_of_test[IPv6].src, care_of_test[IPv6].dst) == (self.correspondent, mobile.at.care_of_address)
        self.home = (home_test[MIP6MH_HoT].index, bytes(home_test[MIP6MH_HoT].token))
        self.care_of = (care_of_test[MIP6MH_CoT].index, bytes(care_of_test[MIP6MH_CoT].token))

    def binding_update(self, lifetime: int = 400, source: str | None = None) -> Packet:
        """In its frame; `lifetime` in seconds, 0 de-registers."""
        self.sequence = next(_SEQUENCES)
        mobile = self.mobile
        head = struct.pack("!BBBBHHHH", 59, 3, BINDING_UPDATE, 0, 0, self.sequence, ACKNOWLEDGE, lifetime // 4)
        head += struct.pack("!BBHH", 4, 4, self.home[0], self.care_of[0])  # Nonce Indices
        tokens = self.home[1] + (self.care_of[1] if lifetime else b"")
        message = head + b"\x05\x0c"
        message += self._authenticator(tokens, message)
        header = IPv6(src=source or mobile.at.care_of_address, dst=self.correspondent)
        whole = header / IPv6ExtHdrDestOpt(options=[HAO(hoa=mobile.home_address)], nh=MOBILITY_HEADER)
        pseudo = IPv6(src=mobile.home_address, dst=self.correspondent)
        checksum = in6_chksum(MOBILITY_HEADER, pseudo, message)
        message = message[:4] + struct.pack("!H", checksum) + message[6:]
        return Ether(src=mobile.at.mac, dst=mobile.at.router_mac) / whole / Raw(message)

    def _authenticator(self, tokens: bytes, message: bytes) -> bytes:
        """Section 6.2.7; the checksum counts as zero."""
        key = hashlib.sha1(tokens, usedforsecurity=False).digest()
        care_of = packed(self.mobile.at.care_of_address)
        return hmac.new(key, care_of + packed(self.correspondent) + message, hashlib.sha1).digest()[:12]

    def register(self, lifetime: int = 400) -> int:
        """One Binding Update under the tokens that there are; the status of its acknowledgement."""
        update = self.binding_update(lifetime)
        with self.mobile.recording() as visited:
            visited.send(update)
            answer = visited.wait_for(
                lambda frame: (
                    acknowledged(frame) == self.mobile.home_address
                    and frame[IPv6].src == self.correspondent
                    and frame[MIP6MH_BA].seq == self.sequence
                ),
                "a Binding Acknowledgement of the correspondent",
            )
        return int(answer[MIP6MH_BA].status)

    def optimise(self, lifetime: int = 400) -> None:
        """Return routability, and a registration that is accepted."""
        self.test()
        assert self.register(lifetime) == 0
