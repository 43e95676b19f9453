"""The tester's ends of the links: raw sockets on which it plays every machine but the home agent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.conformance import wire
from tests.conformance.wire import Seen
from topo import lab

_ETH_P_ALL: Final = 3
_PACKET_OUTGOING: Final = 4
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35  # also the type of the control message
_TIMESPEC: Final = struct.Struct("@qq")
_RECEIVE_BUFFER: Final = 8 << 20

# Every address of a case has an interface identifier made of 02:00:00:NN:NN:RR: case number, role.
_IDENTIFIER: Final = b"\x00\x00\x00\xff\xfe"
MOBILE_NODE, CORRESPONDENT, FIRST_OTHER = 1, 2, 3  # roles


def mac_of(number: int, role: int) -> str:
    """The link-layer address of a machine of case `number`."""
    return (b"\x02\0\0" + number.to_bytes(2, "big") + bytes((role,))).hex(":")


def identifier(number: int, role: int) -> bytes:
    """The interface identifier that RFC 4291 appendix A makes of `mac_of`."""
    return _IDENTIFIER + number.to_bytes(2, "big") + bytes((role,))


class Inbox:
    """Packets of one case, from all links. Moments are the kernel's: a packet is no later for being read late."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._changed = threading.Condition()

    def put(self, seen: Seen) -> None:
        with self._changed:
            self._seen.append(seen)
            self._changed.notify_all()

    def find(self, wanted: Callable[[Seen], object], since: float, timeout: float) -> Seen | None:
        """A packet that is `wanted` and has come after `since`, waiting for it; None if there is none in time."""
        deadline = time.monotonic() + timeout
        index = 0
        while True:
            with self._changed:
                if index == len(self._seen):
                    self._changed.wait(max(0.0, deadline - time.monotonic()))
                batch = self._seen[index:]
            for seen in batch:
                if seen.at >= since and wanted(seen):
                    return seen
            index += len(batch)
            if time.monotonic() >= deadline:
                return None

    def since(self, moment: float) -> list[Seen]:
        with self._changed:
            return [seen for seen in self._seen if seen.at >= moment]


class Switchboard:
    """Gives each packet from the home agent to the cases whose addresses are in it; Router Advertisements to all."""

    def __init__(self) -> None:
        self._inboxes: dict[bytes, Inbox] = {}
        self._lock = threading.Lock()

    def open(self, number: int) -> Inbox:
        with self._lock:
            return self._inboxes.setdefault(number.to_bytes(2, "big"), Inbox())

    def close(self, number: int) -> None:
        with self._lock:
            self._inboxes.pop(number.to_bytes(2, "big"), None)

    def put(self, seen: Seen) -> None:
        with self._lock:
            if seen.is_icmpv6(wire.ROUTER_ADVERTISEMENT):
                inboxes = set(self._inboxes.values())
            else:
                numbers = {part[:2] for part in seen.octets.split(_IDENTIFIER)[1:]}
                inboxes = {self._inboxes[number] for number in numbers if number in self._inboxes}
        for inbox in inboxes:
            inbox.put(seen)


class Wire:
    """One device of the tester. A thread takes in what the other side sends and answers for the tester's addresses."""

    def __init__(self, device: str, ns: str, switchboard: Switchboard) -> None:
        self.device = device
        self._switchboard = switchboard
        self._owned: dict[str, tuple[str, bool]] = {}  # address: (MAC address, is a router)
        self._neighbours: dict[str, str] = {}
        self._changed = threading.Condition()
        with lab.inside(ns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._open = True
        self.malformed: dict[bytes, int] = defaultdict(int)
        self._thread = threading.Thread(target=self._listen, name=f"wire-{device}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()

    def own(self, address: str, mac: str, router: bool = False) -> None:
        """From now on a machine with this address is on the link."""
        self._owned[address] = (mac, router)

    def disown(self, address: str) -> None:
        self._owned.pop(address, None)

    def send(self, mac_source: str, mac_destination: str, packet: Packet | bytes) -> None:
        """Put a packet on the wire."""
        frame = Ether(src=mac_source, dst=mac_destination, type=0x86DD) / packet
        self._socket.send(bytes(frame))

    def resolve(self, address: str, source: str, mac: str, timeout: float = 3.0) -> str | None:
        """Ask for the link-layer address of `address` as any neighbour does; None if nobody answers."""
        with self._changed:
            self._neighbours.pop(address, None)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.send(mac, wire.multicast_mac(wire.solicited_node(address)), solicitation(address, source, mac))
            with self._changed:
                if self._changed.wait_for(lambda: address in self._neighbours, min(1.0, timeout)):
                    return self._neighbours[address]
        return None

    def _listen(self) -> None:
        while self._open:
            try:
                frame, control, _, address = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(_TIMESPEC.size))
            except TimeoutError:
                continue
            except OSError:
                return
            if address[2] == _PACKET_OUTGOING:
                continue
            try:
                seen = wire.read_frame(frame, _moment(control))
                if seen is not None:
                    self._switchboard.put(seen)
                    self._neighbour_discovery(seen)
            except wire.Malformed:
                self.malformed[frame] += 1

    def _neighbour_discovery(self, seen: Seen) -> None:
        target = seen.target
        if target is None or seen.hop_limit != 255 or not seen.checksum_right:
            return
        if seen.is_icmpv6(wire.NEIGHBOR_ADVERTISEMENT):
            option = seen.nd_options.get(2)
            with self._changed:
                self._neighbours[target] = option.hex(":") if option else seen.mac_source
                self._changed.notify_all()
        elif target in self._owned and seen.source != wire.UNSPECIFIED:
            mac, router = self._owned[target]
            with contextlib.suppress(OSError):
                self.send(mac, seen.mac_source, advertisement(target, target, seen.source, mac, router=router))


def _moment(control: list[tuple[int, int, bytes]]) -> float:
    """When the kernel took the packet in: seconds of the system's clock."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def solicitation(
    target: str,
    source: str,
    mac: str | None,
    destination: str | None = None,
) -> bytes:
    """A Neighbor Solicitation (RFC 4861 section 4.3) from the IPv6 header on; without `mac` no option."""
    message: Packet = ICMPv6ND_NS(tgt=target)
    if mac is not None:
        message /= ICMPv6NDOptSrcLLAddr(lladdr=mac)
    return _nd(source, destination or wire.solicited_node(target), message)


def advertisement(
    target: str,
    source: str,
    destination: str,
    mac: str,
    *,
    router: bool = False,
    solicited: bool = True,
    override: bool = True,
) -> bytes:
    """A Neighbor Advertisement (RFC 4861 section 4.4) from the IPv6 header on."""
    message = ICMPv6ND_NA(tgt=target, R=int(router), S=int(solicited), O=int(override))
    return _nd(source, destination, message / ICMPv6NDOptDstLLAddr(lladdr=mac))


def _nd(source: str, destination: str, message: Packet) -> bytes:
    upper = wire.upper_octets(source, destination, message, wire.ICMPV6, hop_limit=255)
    return bytes(wire.packet(source, destination, wire.ICMPV6, upper, hop_limit=255))
