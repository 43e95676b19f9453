"""The mobile node's end of the direct path to its correspondents: a TUN device, and this program behind it.

Kernels can do this by themselves with xfrm and Mobile IPv6 built in; a TUN device works in all of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

from mip6core import addresses
from mip6core.addresses import Address
from topo.mobile_node_effects import Event
from topo.mobile_node_kernel import DIRECT_DEVICE
from topo.optimized_packets import error_for_home_address, with_home_address, without_routing_header

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_IFREQ = struct.Struct("16sH22x")


class DirectPath:
    """Takes the kernel's packets from DIRECT_DEVICE to the link, and the link's to the kernel."""

    def __init__(self, home_address: Address, send: Callable[[bytes], None]) -> None:
        """Make the device; it is gone when the program ends. `send` sends by the kernel's routes. OSError."""
        self.care_of_address: Address | None = None
        self._home_address = home_address
        self._send = send
        self._expected: set[tuple[str, Address]] = set()
        self._events: list[Event] = []
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._device, _TUNSETIFF, _IFREQ.pack(DIRECT_DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))

    def fileno(self) -> int:
        """The device: readable when the kernel has a packet for a correspondent."""
        return self._device

    def expect(self, correspondent: Address) -> None:
        """The direct path has begun: tell of its first packet in each direction."""
        self._expected |= {("in", correspondent), ("out", correspondent)}

    def events(self) -> list[Event]:
        """What there is to tell since the last call."""
        told, self._events = self._events, []
        return told

    def forward_out(self, now: float) -> None:
        """Send all packets that the kernel has for correspondents."""
        while True:
            try:
                packet = os.read(self._device, 65_536)
            except BlockingIOError:
                return
            if self.care_of_address is None or packet[8:24] != self._home_address:
                continue
            direct = with_home_address(packet, self.care_of_address)
            if direct is not None:
                with contextlib.suppress(OSError):  # no way there at the moment: a lost packet
                    self._send(direct)
                    self._tell("out", packet[24:40], now)

    def forward_in(self, packet: bytes, now: float) -> None:
        """Hand a packet from the link to the kernel if a correspondent has sent it directly, or it is about one."""
        if self.care_of_address is None:
            return
        ends = self.care_of_address, self._home_address
        plain = without_routing_header(packet, *ends)
        if plain is not None:
            self._tell("in", packet[8:24], now)
        else:
            plain = error_for_home_address(packet, *ends)
        if plain is not None:
            with contextlib.suppress(OSError):  # the kernel does not want it: a lost packet
                os.write(self._device, plain)

    def _tell(self, direction: str, correspondent: Address, now: float) -> None:
        if (direction, correspondent) in self._expected:
            self._expected.discard((direction, correspondent))
            details: dict[str, object] = {"correspondent": addresses.text(correspondent)}
            self._events.append(Event(f"first_direct_packet_{direction}", now, details))
