"""Optimised routes for the data path benchmark: return routability with the host, as RFC 6275 section 5.2 says.

The mobile nodes of these routes are at home behind the router, so the home agent of the benchmark does not know them.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import time
from typing import Final, TypeVar

from deploy.benchmarks.home_link import HOST, HOST_MAC, ROUTER_MAC, care_of_address
from deploy.benchmarks.traffic import frame
from mip6core import addresses
from mip6core.addresses import Address
from mip6core.codec import ipv6, mh
from mip6core.codec.ipv6 import Datagram
from mip6core.codec.options import BindingAuthorizationData, NonceIndices
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError
from topo import lab

M = TypeVar("M", mh.HomeTest, mh.CareOfTest, mh.BindingAcknowledgement)

COOKIE: Final = bytes(8)
LIFETIME_UNITS: Final = 105  # 420 s, the longest (section 12)
REFRESH: Final = 200.0  # seconds
ETH_P_IPV6: Final = 0x86DD
TIMEOUT: Final = 10.0  # seconds for an answer
AUTHENTICATOR_LENGTH: Final = 12  # octets
CHECKSUM: Final = slice(4, 6)  # of a Mobility Header


def home_address(index: int) -> Address:
    """Of the mobile node number `index` whose home is elsewhere."""
    return addresses.parse(f"2001:db8:5::1:{index >> 16:x}:{index & 0xFFFF:x}")


class Routes:
    """Routes between the host and mobile nodes 0 to `count` - 1, made from the router's side."""

    def __init__(self, count: int) -> None:
        """LabError if one of them cannot be made."""
        self._count = count
        self._sequence = 0
        self._made = 0.0  # monotonic seconds
        self._make()

    def refresh(self) -> None:
        """Make them anew when they have not long to live any more."""
        if time.monotonic() > self._made + REFRESH:
            self._make()

    def _make(self) -> None:
        self._made = time.monotonic()
        self._sequence += 1
        with lab.inside("router"):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IPV6))
        with wire:
            wire.bind(("router0", ETH_P_IPV6))
            wire.settimeout(TIMEOUT)
            for index in range(self._count):
                _optimize(wire, home_address(index), care_of_address(index), self._sequence)


def _optimize(wire: socket.socket, home: Address, care_of: Address, sequence: int) -> None:
    _send(wire, home, mh.HomeTestInit(COOKIE))
    home_test = _receive(wire, home, mh.HomeTest)
    _send(wire, care_of, mh.CareOfTestInit(COOKIE))
    care_of_test = _receive(wire, care_of, mh.CareOfTest)
    key = hashlib.sha1(home_test.home_keygen_token + care_of_test.care_of_keygen_token).digest()
    indices = NonceIndices(home_test.home_nonce_index, care_of_test.care_of_nonce_index)

    def update(authenticator: bytes) -> mh.BindingUpdate:
        return mh.BindingUpdate(
            sequence, mh.BU_ACKNOWLEDGE, LIFETIME_UNITS, (indices, BindingAuthorizationData(authenticator))
        )

    unsigned = bytearray(mh.build(update(bytes(AUTHENTICATOR_LENGTH)), home, HOST))
    unsigned[CHECKSUM] = bytes(2)
    covered = care_of + HOST + bytes(unsigned[:-AUTHENTICATOR_LENGTH])  # section 6.2.7
    authenticator = hmac.digest(key, covered, "sha1")[:AUTHENTICATOR_LENGTH]
    _send(wire, care_of, update(authenticator), home)
    status = _receive(wire, care_of, mh.BindingAcknowledgement).status
    if status != 0:
        raise lab.LabError(f"the correspondent answers with status {status}")


def _send(wire: socket.socket, source: Address, message: mh.Message, home: Address | None = None) -> None:
    upper = mh.build(message, home or source, HOST)
    wire.send(frame(HOST_MAC, ROUTER_MAC, ipv6.build(source, HOST, MOBILITY_HEADER, upper, home_address=home)))


def _receive(wire: socket.socket, destination: Address, kind: type[M]) -> M:
    """The next message of a kind to an address."""
    while True:
        try:
            datagram: Datagram = ipv6.parse(wire.recv(2000)[14:])
            if datagram.destination != destination or datagram.upper_protocol != MOBILITY_HEADER:
                continue
            message = mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
        except TimeoutError:
            raise lab.LabError(f"no {kind.__name__} for {addresses.text(destination)}") from None
        except ParseError:
            continue
        if isinstance(message, kind):
            return message
