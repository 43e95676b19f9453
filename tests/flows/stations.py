"""Machines of the campus: namespaces with the kernel's stack, and raw sockets on their devices."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from topo import lab
from topo.lab import run

_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 32 << 20


class Recorder:
    """Every frame that crosses a device, from the moment it is made."""

    def __init__(self, device: str, ns: str | None) -> None:
        with lab.inside(ns) if ns else nullcontext():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._socket.bind((device, _ETH_P_ALL))
        self._frames: list[tuple[bool, bytes]] = []

    def send(self, frame: Packet | bytes) -> None:
        """Put a frame on the wire."""
        self._socket.send(bytes(frame))

    def _read(self, seconds: float) -> tuple[bool, bytes] | None:
        """The next frame, and whether it goes out; None if there is none."""
        self._socket.settimeout(max(seconds, 1e-6))
        try:
            frame, address = self._socket.recvfrom(1 << 16)
        except (TimeoutError, BlockingIOError):
            return None
        self._frames.append((address[2] == _PACKET_OUTGOING, frame))
        return self._frames[-1]

    def frames(self, outgoing: bool | None = None) -> list[bytes]:
        """What has been seen so far: coming in, going out, or both."""
        while self._read(0):
            pass
        return [frame for out, frame in self._frames if outgoing in (None, out)]

    def packets(self, outgoing: bool | None = False) -> list[Packet]:
        """The same as IPv6 packets; other frames are left out."""
        frames = [Ether(frame) for frame in self.frames(outgoing) if frame[12:14] == b"\x86\xdd"]
        return [frame[IPv6] for frame in frames]

    def wait_for(
        self, wanted: Callable[[Packet], object], what: str, timeout: float = 3.0, outgoing: bool = False
    ) -> Packet:
        """The first frame with IPv6, seen or yet to come, that is `wanted`; LabError if there is none in time."""
        deadline = time.monotonic() + timeout
        index = 0
        while True:
            while index < len(self._frames):
                out, octets = self._frames[index]
                index += 1
                if out == outgoing and octets[12:14] == b"\x86\xdd" and wanted(frame := Ether(octets)):
                    return frame
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                seen = "\n".join(f"  {Ether(octets).summary()}" for out, octets in self._frames if out == outgoing)
                raise lab.LabError(f"waited {timeout:g} s in vain for {what}; there was:\n{seen}")

    def close(self) -> None:
        self._socket.close()


def recording(device: str, ns: str | None = None) -> AbstractContextManager[Recorder]:
    """A recorder for the block."""
    return closing(Recorder(device, ns))


def ping(ns: str | None, destination: str, *options: str, count: int = 3) -> int:
    """Send echo requests one after the other; how many were answered."""
    words = ["ping", "-n", "-q", "-c", str(count), "-i", "0.01", "-W", "1", *options, destination]
    printed = run(words, ns, check=False).stdout
    answered = re.search(r"(\d+) received", printed)
    assert answered, printed
    return int(answered[1])


@dataclass(frozen=True)
class Station:
    """A machine with one link."""

    ns: str
    device: str
    mac: str
    address: str

    def ping(self, destination: str, *options: str, count: int = 3) -> int:
        return ping(self.ns, destination, *options, count=count)

    def recording(self) -> AbstractContextManager[Recorder]:
        return recording(self.device, self.ns)


@dataclass(frozen=True)
class VisitedLink:
    """A foreign link: a mobile node's device there, its care-of address and the router's address on it."""

    device: str
    mac: str
    care_of_address: str
    router: str
    router_mac: str


@dataclass
class MobileNode:
    """A mobile node that is away: RFC 2473 by its kernel, signalling by scapy, nothing of ours."""

    ns: str
    home_address: str
    home_agent: str
    links: tuple[VisitedLink, ...]
    sequence: int = 100
    at: VisitedLink = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.links[0]

    def configure(self) -> None:
        """The node's end of the tunnel: seg6 with one segment is plain IPv6-in-IPv6, End.DT6 takes it apart."""
        run(f"ip addr add {self.home_address}/128 dev lo nodad", self.ns)
        run("ip -6 rule add pref 10 ipproto 41 lookup 100", self.ns)
        run("ip -6 rule add pref 100 table local", self.ns)
        run("ip -6 rule del pref 0", self.ns)
        run(f"ip -6 rule add pref 20 from {self.home_address} lookup 200", self.ns)
        for device in ("all", "lo", *(link.device for link in self.links)):
            lab.sysctl(f"net/ipv6/conf/{device}/seg6_enabled", 1, self.ns)
        for link in self.links:
            run(f"ip addr add {link.care_of_address}/64 dev {link.device} nodad", self.ns)
            way = f"encap seg6local action End.DT6 table 255 dev {link.device}"
            run(f"ip -6 route add {link.care_of_address}/128 table 100 {way}", self.ns)
        self.visit(self.at)

    def visit(self, link: VisitedLink) -> None:
        """Be on `link` from now on, and tunnel from there; the home agent is not told."""
        self.at = link
        run(f"ip -6 route replace default via {link.router} dev {link.device}", self.ns)
        run(f"ip sr tunsrc set {link.care_of_address}", self.ns)
        run(
            f"ip -6 route replace default table 200 encap seg6 mode encap.red segs {self.home_agent} "
            f"via {link.router} dev {link.device}",
            self.ns,
        )

    def ping(self, destination: str, *options: str, count: int = 3) -> int:
        """From the home address."""
        return ping(self.ns, destination, "-I", self.home_address, *options, count=count)

    def recording(self, link: VisitedLink | None = None) -> AbstractContextManager[Recorder]:
        return recording((link or self.at).device, self.ns)

    def binding_update(
        self,
        *,
        home_address: str | None = None,
        sequence: int | None = None,
        lifetime: int = 400,
        flags: str = "AH",
        link: VisitedLink | None = None,
    ) -> Packet:
        """A Binding Update in its frame; `lifetime` in seconds. It counts the sequence number up."""
        if sequence is None:
            self.sequence = sequence = self.sequence + 1
        link = link or self.at
        frame = Ether(src=link.mac, dst=link.router_mac) / IPv6(src=link.care_of_address, dst=self.home_agent)
        frame /= IPv6ExtHdrDestOpt(options=[HAO(hoa=home_address or self.home_address)])
        option = MIP6OptAltCoA(acoa=link.care_of_address)
        return frame / MIP6MH_BU(seq=sequence, flags=flags, mhtime=lifetime // 4, options=[option])

    def status(self, recorder: Recorder, update: Packet, timeout: float = 4.0) -> int:
        """The status in the acknowledgement of a Binding Update, seen or yet to come."""
        home_address = update[HAO].hoa
        answer = recorder.wait_for(
            lambda frame: acknowledged(frame) == home_address and frame[MIP6MH_BA].seq == update[MIP6MH_BU].seq,
            f"a Binding Acknowledgement with sequence number {update[MIP6MH_BU].seq} for {home_address}",
            timeout,
        )
        return int(answer[MIP6MH_BA].status)

    def register(self, link: VisitedLink | None = None, **fields: Any) -> int:
        """One Binding Update; the status of its acknowledgement."""
        update = self.binding_update(link=link, **fields)
        with self.recording(link) as recorder:
            recorder.send(update)
            return self.status(recorder, update)

    def reverse_tunnelled(self, inner: Packet, source: str | None = None) -> Packet:
        """A packet in the tunnel to the home agent, in its frame."""
        outer = IPv6(src=source or self.at.care_of_address, dst=self.home_agent, nh=41)
        return Ether(src=self.at.mac, dst=self.at.router_mac) / outer / inner

    def optimized(self, payload: Packet, destination: str, source: str | None = None, **fields: int) -> Packet:
        """A packet straight to a correspondent, with the Home Address option, in its frame."""
        header = IPv6(src=source or self.at.care_of_address, dst=destination, **fields)
        option = IPv6ExtHdrDestOpt(options=[HAO(hoa=self.home_address)])
        return Ether(src=self.at.mac, dst=self.at.router_mac) / header / option / payload

    def ping_optimized(self, destination: str, count: int = 3) -> int:
        """Echo requests with the Home Address option; how many replies come with a Type 2 Routing Header, and right."""
        answered = 0
        identifier = random.randrange(1 << 16)
        with self.recording() as visited:
            for number in range(count):
                visited.send(self.optimized(ICMPv6EchoRequest(id=identifier, seq=number), destination))
                with suppress(lab.LabError):
                    visited.wait_for(
                        lambda frame, wanted=(identifier, number): self._is_optimized_reply(frame, destination, wanted),
                        "an echo reply with a routing header",
                        timeout=1.0,
                    )
                    answered += 1
        return answered

    def _is_optimized_reply(self, frame: Packet, correspondent: str, wanted: tuple[int, int]) -> bool:
        if (frame[IPv6].src, frame[IPv6].dst) != (correspondent, self.at.care_of_address):
            return False
        found = routed(frame)
        if found is None or found[0] != self.home_address or ICMPv6EchoReply not in found[1]:
            return False
        reply = found[1][ICMPv6EchoReply]
        again = found[1].copy()
        del again[ICMPv6EchoReply].cksum
        return (reply.id, reply.seq) == wanted and bytes(again) == bytes(found[1])


def routed(frame: Packet) -> tuple[str, Packet] | None:
    """The address in a packet's Type 2 Routing Header, and the packet as its final destination has it."""
    octets = bytes(frame[IPv6])
    if octets[6] != 43 or octets[41:44] != b"\2\2\1":
        return None
    length = int.from_bytes(octets[4:6], "big") - 24
    inner = octets[:4] + length.to_bytes(2, "big") + octets[40:41] + octets[7:24] + octets[48:64] + octets[64:]
    return socket.inet_ntop(socket.AF_INET6, octets[48:64]), IPv6(inner)


def acknowledged(frame: Packet) -> str | None:
    """The home address that a Binding Acknowledgement is about: what its Type 2 Routing Header says."""
    if MIP6MH_BA not in frame:
        return None
    octets = bytes(frame[IPv6])
    if octets[6] != 43 or octets[42] != 2:
        return str(frame[IPv6].dst)
    return socket.inet_ntop(socket.AF_INET6, octets[48:64])
