"""The mobile node's program in a real kernel; all that there is around it is the test's, by scapy."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6ND_RA,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from topo import lab

HOME_ADDRESS = "2001:db8:1::100"
HOME_AGENT = "2001:db8:1::2"
HOME_PREFIX = "2001:db8:1::"
VISITED = "2001:db8:a::"
CARE_OF_ADDRESS = "2001:db8:a::ff:fe00:100"  # by EUI-64 of the device
CORRESPONDENT = "2001:db8:9::9"
ROUTER = "fe80::1"
ROUTER_MAC = "02:00:00:00:0a:01"
AGENT_MAC = "02:00:00:00:27:02"
NODE_MAC = "02:00:00:00:01:00"
ETH_P_ALL = 3
PACKET_OUTGOING = 4


class World:
    """All that there is around the mobile node."""

    def __init__(self, network: lab.Network, lifetime: int, correspondents: Sequence[str] = ()) -> None:
        network.namespace("mn", dad=True)
        network.namespace("world")
        network.veth(lab.End("wire", "world", ROUTER_MAC), lab.End("mn-eth0", "mn", NODE_MAC))
        self.rules_before = lab.run("ip -6 rule", "mn").stdout
        # The kernel there answers the node's own Neighbor Discovery, as a router
        lab.sysctl("net/ipv6/conf/wire/forwarding", 1, "world")
        lab.run(f"ip -6 address add {ROUTER}/64 dev wire nodad", "world")
        with lab.inside("world"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind(("wire", ETH_P_ALL))
        words = f"-m topo.mobile_node --interface mn-eth0 --home-address {HOME_ADDRESS}/64 --home-agent {HOME_AGENT}"
        optimize = [word for correspondent in correspondents for word in ("--correspondent", correspondent)]
        self.program = network.background(
            [sys.executable, *words.split(), "--lifetime", str(lifetime), *optimize], "mn"
        )
        self.wait_for_event("link_up")

    def send(self, packet: Packet, source: str = ROUTER_MAC, destination: str = NODE_MAC) -> None:
        self.socket.send(bytes(Ether(src=source, dst=destination) / packet))

    def advertise(self, prefix: str) -> None:
        message = ICMPv6ND_RA(routerlifetime=600) / ICMPv6NDOptSrcLLAddr(lladdr=ROUTER_MAC)
        message /= ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, validlifetime=600, preferredlifetime=300)
        self.send(IPv6(src=ROUTER, dst="ff02::1", hlim=255) / message, destination="33:33:00:00:00:01")

    def packets(self, seconds: float) -> Iterator[Packet]:
        """What the mobile node sends from now on, for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame, address = self.socket.recvfrom(65_536)
            except TimeoutError:
                return
            except OSError as error:  # told once after the device was down
                if error.errno != errno.ENETDOWN:
                    raise
                continue
            if address[2] != PACKET_OUTGOING and frame[12:14] == b"\x86\xdd":
                yield Ether(frame)[IPv6]

    def wait_for(self, wanted: Callable[[Packet], object], what: str, seconds: float = 5.0) -> Packet:
        seen = []
        for packet in self.packets(seconds):
            if wanted(packet):
                return packet
            seen.append(packet.summary())
        raise lab.LabError(f"no {what}; there was: {seen}")

    def drain(self) -> None:
        for _ in self.packets(0.05):
            pass

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.program.output().splitlines()]

    def wait_for_event(self, name: str, count: int = 1) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            named = [event for event in self.events() if event["event"] == name]
            return named[count - 1] if len(named) >= count else None

        event = lab.wait_until(found, f"the event {name}")
        assert event is not None
        return event

    def visit(self) -> Packet:
        """Advertise the visited prefix; the Binding Update that follows."""
        self.drain()
        self.advertise(VISITED)
        return self.wait_for(lambda packet: MIP6MH_BU in packet, "Binding Update")

    def accept(self, update: Packet, status: int = 0) -> None:
        message = MIP6MH_BA(status=status, seq=update[MIP6MH_BU].seq, mhtime=update[MIP6MH_BU].mhtime)
        routing = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS])
        self.send(IPv6(src=HOME_AGENT, dst=update.src) / routing / message)

    def bind(self) -> None:
        self.accept(self.visit())
        self.wait_for_event("binding_acknowledgement")
        self.drain()

    def ping(self, source: str) -> subprocess.CompletedProcess[str]:
        return lab.run(["ping", "-6", "-c1", "-W1", "-I", source, CORRESPONDENT], "mn", check=False)


def tunnelled(packet: Packet) -> bool:
    return packet.nh == 41 and (packet.src, packet.dst) == (CARE_OF_ADDRESS, HOME_AGENT)


def from_home_address(packet: Packet) -> bool:
    """As sender of the packet or of one inside."""
    return HOME_ADDRESS in (packet.src, getattr(packet.payload, "src", None))
