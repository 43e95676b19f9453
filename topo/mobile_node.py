"""A mobile node (RFC 6275 section 11) for the kernel of a network namespace.

    python -m topo.mobile_node --interface mn-eth0 --home-address 2001:db8:1::100/64 --home-agent 2001:db8:1::2

The kernel's host stack finds routers and forms care-of addresses. This program speaks Mobile IPv6 with the home agent
and sets up the kernel's end of the tunnel. With --correspondent it also registers with that node, by return
routability, and carries the packets of the direct path. Programs that are to keep their connections bind to the home
address. Each event is a line of JSON on standard output; its `at` is in seconds of the monotonic clock. SIGTERM ends
the program, which takes away what it made but does not de-register.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from mip6core import addresses
from mip6core.addresses import Address
from mip6core.codec import ipv6
from mip6core.constants import MOBILITY_HEADER
from mip6core.errors import ParseError
from topo.correspondent_registration import MAX_RR_BINDING_LIFETIME
from topo.direct_path import DirectPath
from topo.mobile_node_effects import (
    CloseTunnel,
    Detach,
    Effect,
    EndRouteOptimization,
    Event,
    GoHome,
    OpenTunnel,
    OptimizeRoute,
    Send,
    SetNeighbor,
    UseTunnel,
)
from topo.mobile_node_engine import (
    INITIAL_BINDACK_TIMEOUT_FIRST_REG,
    LIFETIME_UNIT,
    MobileNode,
    Settings,
    prefix_of,
)
from topo.mobile_node_kernel import Kernel, KernelError
from topo.optimized_packets import HEADER
from topo.packet_socket import FirstPackets, PacketSocket
from topo.rtnetlink import AddressState, LinkGone, LinkState, Monitor

ROUTE_WITHIN: Final = 1.0  # seconds that the kernel may need to take over what a Router Advertisement tells
ROUTE_INTERVAL: Final = 0.02  # seconds between two looks whether it has
MAX_LIFETIME: Final = 0xFFFF * LIFETIME_UNIT
_SIOCGIFHWADDR: Final = 0x8927
_SIOCGIFMTU: Final = 0x8921
_IFREQ: Final = 40  # octets of struct ifreq
_IFNAMSIZ: Final = 16  # octets of its first member


class Program:
    """The engine, joined to the kernel and the clock."""

    def __init__(self, device: str, settings: Settings, kernel: Kernel) -> None:
        self._device = device
        self._settings = settings
        self._kernel = kernel
        self._engine = MobileNode(settings, int.from_bytes(os.urandom(2), "big"), os.urandom)
        self._monitor = Monitor(device)
        self._packets = PacketSocket(device)
        self._routed = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._routed.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        self._unsent: list[tuple[float, bytes]] = []  # until when to try again, packet
        self._first_packets: FirstPackets | None = None
        self._direct_path: DirectPath | None = None
        if settings.correspondents:
            self._direct_path = DirectPath(settings.home_address, self._send_routed)
            kernel.prepare_direct_path(device_mtu(device) - HEADER)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until SIGTERM or SIGINT, or until the device is deleted."""
        stop, wake = socket.socketpair()
        wake.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno())
        for source in (stop, self._monitor, self._packets, self._direct_path):
            if source is not None:
                self._selector.register(source, selectors.EVENT_READ)
        self._monitor.request()
        with contextlib.suppress(LinkGone):
            while True:
                timer = self._engine.next_timer()
                timeout = None if timer is None else max(0.0, timer - time.monotonic())
                if self._unsent:
                    timeout = ROUTE_INTERVAL if timeout is None else min(timeout, ROUTE_INTERVAL)
                ready = [key.fileobj for key, _ in self._selector.select(timeout)]
                if stop in ready:
                    return
                self._read(ready)
                self._send_again()
                self._do(self._engine.tick(time.monotonic()))

    def _read(self, ready: Sequence[object]) -> None:
        # The kernel first: a Router Advertisement belongs to the link that netlink has announced before it
        if self._monitor in ready:
            for change in self._monitor.read():
                self._kernel_change(change, time.monotonic())
        if self._packets in ready:
            for packet in self._packets.packets():
                with contextlib.suppress(ParseError):
                    self._packet(ipv6.parse(packet), time.monotonic())
        if self._direct_path is not None and self._direct_path in ready:
            self._direct_path.forward_out(time.monotonic())
        if self._direct_path is not None:
            for event in self._direct_path.events():
                emit(event)
        first = self._first_packets
        if first is not None and first in ready:
            for direction in first.read():
                emit(Event(f"first_packet_{direction}", time.monotonic()))
            if first.complete:
                self._watch(None)

    def _packet(self, datagram: ipv6.Datagram, now: float) -> None:
        if self._direct_path is not None and datagram.upper_protocol != MOBILITY_HEADER:
            self._direct_path.forward_in(datagram.packet, now)
        self._do(self._engine.receive(datagram, now))

    def _kernel_change(self, change: LinkState | AddressState, now: float) -> None:
        if isinstance(change, LinkState):
            self._do(self._engine.link_up(now) if change.up else self._engine.link_down(now))
        elif change.usable:
            self._do(self._engine.address_usable(change.address, now))
        elif not change.present or change.duplicate:
            self._do(self._engine.address_gone(change.address, now, change.duplicate))

    def _do(self, wanted: Sequence[Effect]) -> None:
        for effect in wanted:
            try:
                self._do_one(effect)
            except (KernelError, OSError) as error:
                emit(Event("error", time.monotonic(), {"text": str(error)}))

    def _do_one(self, effect: Effect) -> None:
        match effect:
            case Event():
                emit(effect)
            case Send(packet, None):
                self._send_or_wait(packet, time.monotonic() + ROUTE_WITHIN)
            case Send(packet, bytes() as destination):
                self._packets.send(destination, self._settings.link_layer_address, packet)
            case Detach():
                self._unsent.clear()
                self._watch(None)
                self._kernel.detach()
                self._set_care_of_address(None)
                self._packets.drain()  # what came by the link that has been left
            case OpenTunnel(care_of_address):
                self._kernel.open_tunnel(care_of_address)
                self._set_care_of_address(care_of_address)
                self._watch((care_of_address, self._settings.home_agent))
            case UseTunnel():
                self._kernel.use_tunnel()
            case CloseTunnel():
                self._kernel.close_tunnel()
            case GoHome(home_addresses, duplicate_address_detection):
                self._kernel.go_home(home_addresses, duplicate_address_detection)
                self._set_care_of_address(None)
                self._watch(())
            case OptimizeRoute(correspondent):
                assert self._direct_path is not None
                self._direct_path.expect(correspondent)
                self._kernel.optimize(correspondent)
            case EndRouteOptimization(correspondent):
                self._kernel.end_optimization(correspondent)
            case SetNeighbor(address, link_layer_address):
                self._kernel.set_neighbor(address, link_layer_address)

    def _send_or_wait(self, packet: bytes, until: float) -> None:
        """Send a packet, later if the kernel has no route yet: on a new link this program hears the router first."""
        try:
            self._send_routed(packet)
        except OSError as error:
            if error.errno != errno.ENETUNREACH or time.monotonic() >= until:
                raise
            self._unsent.append((until, packet))

    def _send_again(self) -> None:
        waiting, self._unsent = self._unsent, []
        for until, packet in waiting:
            try:
                self._send_or_wait(packet, until)
            except OSError as error:
                emit(Event("error", time.monotonic(), {"text": str(error)}))

    def _send_routed(self, packet: bytes) -> None:
        self._routed.sendto(packet, (addresses.text(packet[24:40]), 0))

    def _set_care_of_address(self, care_of_address: Address | None) -> None:
        if self._direct_path is not None:
            self._direct_path.care_of_address = care_of_address

    def _watch(self, tunnel: tuple[Address, ...] | None) -> None:
        """Wait for the first packets through the tunnel with these ends; (): without one; None: no longer."""
        if self._first_packets is not None:
            self._selector.unregister(self._first_packets)
            self._first_packets.close()
            self._first_packets = None
        if tunnel is not None:
            self._first_packets = FirstPackets(self._device, self._settings.home_address, tunnel)
            self._selector.register(self._first_packets, selectors.EVENT_READ)


def emit(event: Event) -> None:
    """Print an event."""
    print(json.dumps({"event": event.name, "at": round(event.at, 6), **event.details}), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit status is 1 if it cannot start."""
    parser = argparse.ArgumentParser("python -m topo.mobile_node", description="A Mobile IPv6 mobile node.")
    add = parser.add_argument
    add("--interface", required=True, help="the device that roams")
    add("--home-address", required=True, metavar="ADDRESS/LENGTH", help="with the length of the home prefix")
    add("--home-agent", required=True, metavar="ADDRESS")
    add("--lifetime", type=int, default=60, metavar="SECONDS", help="of registrations (default: 60)")
    add(
        "--first-timeout",
        type=float,
        default=INITIAL_BINDACK_TIMEOUT_FIRST_REG,
        metavar="SECONDS",
        help="until the first Binding Update is sent again (InitialBindackTimeoutFirstReg, default: 1.5)",
    )
    add(
        "--correspondent",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="optimise the route to this node if it can; may be given several times",
    )
    add(
        "--correspondent-lifetime",
        type=int,
        default=MAX_RR_BINDING_LIFETIME,
        metavar="SECONDS",
        help=f"of registrations with correspondents (default: {MAX_RR_BINDING_LIFETIME}, which is the most)",
    )
    add(
        "--correspondent-patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="from the first registration with the home agent to the first with correspondents (default: 0)",
    )
    add("--link-local", action="store_true", help="set the L bit: also defend the derived link-local address")
    options = parser.parse_args(arguments)
    if not LIFETIME_UNIT <= options.lifetime <= MAX_LIFETIME:
        parser.error(f"--lifetime: {LIFETIME_UNIT} to {MAX_LIFETIME} seconds")
    if not LIFETIME_UNIT <= options.correspondent_lifetime <= MAX_RR_BINDING_LIFETIME:
        parser.error(f"--correspondent-lifetime: {LIFETIME_UNIT} to {MAX_RR_BINDING_LIFETIME} seconds")
    try:
        home_address, _, length = options.home_address.partition("/")
        own = addresses.parse(home_address)
        settings = Settings(
            home_address=own,
            home_prefix=prefix_of(own, int(length)),
            home_agent=addresses.parse(options.home_agent),
            link_layer_address=link_layer_address(options.interface),
            lifetime=options.lifetime,
            link_local_compatibility=options.link_local,
            first_timeout=options.first_timeout,
            correspondents=tuple(addresses.parse(correspondent) for correspondent in options.correspondent),
            correspondent_lifetime=options.correspondent_lifetime,
            correspondent_patience=options.correspondent_patience,
        )
        kernel = Kernel(options.interface, settings)
    except (ValueError, OSError, KernelError) as error:
        print(f"mobile node: {error}", file=sys.stderr)
        return 1
    emit(Event("started", time.monotonic(), {"tunnel": kernel.tunnel_kind, "optimistic_dad": kernel.optimistic}))
    try:
        Program(options.interface, settings, kernel).run()
    finally:
        kernel.restore()
    return 0


def link_layer_address(device: str) -> bytes:
    """The link-layer address of a device of this namespace. OSError if there is none of that name."""
    return _ask(device, _SIOCGIFHWADDR)[2:8]


def device_mtu(device: str) -> int:
    """The MTU of a device of this namespace, in octets. OSError if there is none of that name."""
    return int.from_bytes(_ask(device, _SIOCGIFMTU)[:4], sys.byteorder)


def _ask(device: str, request: int) -> bytes:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as query:
        return fcntl.ioctl(query, request, device.encode().ljust(_IFREQ, b"\0"))[_IFNAMSIZ:]


if __name__ == "__main__":
    sys.exit(main())
