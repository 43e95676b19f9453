"""A mobile node that does route optimisation (RFC 6275 sections 6.3 and 6.4) and nothing else, octet by octet.

Its home address is on a tun device, so that its kernel's transport protocols do the rest and check every checksum.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import struct
import threading
from types import TracebackType

from mip6core import addresses
from topo import lab

_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TUN_WITHOUT_HEADER = 0x1001
_ETH_P_IPV6 = 0x86DD
_IPV6_HEADER = 40
_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS = 0, 43, 60
_OVERHEAD = 24  # octets of either header


class MobileNodeByHand:
    """Sends with a Home Address option from its care-of address, takes what comes with a Type 2 Routing Header.

    A context manager, in namespace `ns`: `device` is where packets leave for and come from `router_mac`. The care-of
    address is nobody's but this object's; the router must have a neighbour entry for it.
    """

    def __init__(
        self, ns: str, device: str, router_mac: str, home_address: str, care_of_address: str, mtu: int = 1500
    ) -> None:
        self._home_address = addresses.parse(home_address)
        self._care_of_address = addresses.parse(care_of_address)
        self._stopping, self._stop = os.pipe()
        with lab.inside(ns):
            self._tun = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self._tun, _TUNSETIFF, struct.pack("16sH22x", b"tun-home", _IFF_TUN_WITHOUT_HEADER))
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IPV6))
            self._wire.bind((device, _ETH_P_IPV6))
            mac = self._wire.getsockname()[4]
        self._ethernet = bytes.fromhex(router_mac.replace(":", "")) + mac + struct.pack("!H", _ETH_P_IPV6)
        lab.run(f"ip link set tun-home mtu {mtu - _OVERHEAD} up", ns)
        lab.run(f"ip addr add {home_address}/128 dev tun-home nodad", ns)
        lab.run("ip -6 route add default dev tun-home", ns)
        self._thread = threading.Thread(target=self._run)
        self.received = 0  # packets with a Routing Header
        self.source = self._care_of_address  # of what it sends; another address is a lie

    def __enter__(self) -> MobileNodeByHand:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._stop, b"x")
        self._thread.join()
        self._wire.close()
        for descriptor in (self._tun, self._stop, self._stopping):
            os.close(descriptor)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._tun, selectors.EVENT_READ)
            selector.register(self._wire, selectors.EVENT_READ)
            selector.register(self._stopping, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._stopping:
                        return
                    if key.fd == self._tun:
                        self._send(os.read(self._tun, 1 << 16))
                    else:
                        self._receive(self._wire.recv(1 << 16)[len(self._ethernet) :])

    def _send(self, packet: bytes) -> None:
        if packet[8:24] != self._home_address or packet[24] == 0xFF:
            return  # the tun device's own multicast
        next_header, first, rest = _behind_hop_by_hop(packet)
        option = struct.pack("!BBBBH", next_header, 2, 1, 2, 0) + b"\xc9\x10" + self._home_address
        packet = _with_next_header(first, _DESTINATION_OPTIONS) + option + rest
        self._wire.send(self._ethernet + _fixed(packet, self.source, packet[24:40], _OVERHEAD))

    def _receive(self, packet: bytes) -> None:
        next_header, first, rest = _behind_hop_by_hop(packet)
        routed = bytes([2, 2, 1]) + bytes(4) + self._home_address
        if packet[24:40] != self._care_of_address or next_header != _ROUTING or rest[1:_OVERHEAD] != routed:
            return
        self.received += 1
        packet = _with_next_header(first, rest[0]) + rest[_OVERHEAD:]
        os.write(self._tun, _fixed(packet, packet[8:24], self._home_address, -_OVERHEAD))


def _behind_hop_by_hop(packet: bytes) -> tuple[int, bytes, bytes]:
    """Next header, what is before it, and what is from it on, not counting hop-by-hop options."""
    next_header, length = packet[6], _IPV6_HEADER
    if next_header == _HOP_BY_HOP:
        next_header, length = packet[length], length + (packet[length + 1] + 1) * 8
    return next_header, packet[:length], packet[length:]


def _with_next_header(headers: bytes, next_header: int) -> bytes:
    """Headers (IPv6, or IPv6 and hop-by-hop options) with another Next Header in the last of them."""
    place = 6 if len(headers) == _IPV6_HEADER else _IPV6_HEADER
    return headers[:place] + bytes([next_header]) + headers[place + 1 :]


def _fixed(packet: bytes, source: bytes, destination: bytes, growth: int) -> bytes:
    """The packet with these addresses and a payload length that is larger by `growth`."""
    payload = int.from_bytes(packet[4:6], "big") + growth
    return packet[:4] + struct.pack("!H", payload) + packet[6:8] + source + destination + packet[_IPV6_HEADER:]
