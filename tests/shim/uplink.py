"""What the tests of the adapter have in common: the uplink device and its two sides."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from deploy.shim import Correspondents, Endpoint, libbpf
from deploy.shim.userspace import UserspaceAdapter
from mip6core import addresses
from mip6core.addresses import Prefix
from topo import lab

SHIM = Path(__file__).resolve().parents[2] / "deploy" / "shim"

DEVICE = "uplink0"
HOME_AGENT = "2001:db8:1::2"
BRIDGE_MAC = "02:00:00:00:00:01"
ROUTER_MAC = "02:00:00:00:00:fe"
OFFICE = "2001:db8:c::/64"  # correspondents on a bridge of their own
OFFICE_END_POINT = "2001:db8:c::2"
OFFICE_MAC = "02:00:00:00:00:0b"

# <linux/if_ether.h>, <linux/if_packet.h>
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_TP_STATUS_VLAN_VALID = 1 << 4
_SENTINEL = bytes.fromhex("ffffffffffff 020000000002 88b5") + bytes(46)  # 0x88b5: IEEE 802 local experiments


def endpoint(home_agent: str = HOME_AGENT, bridge_mac: str = BRIDGE_MAC) -> Endpoint:
    return Endpoint(addresses.parse(home_agent), bytes.fromhex(bridge_mac.replace(":", "")))


def correspondents(
    prefix: str = OFFICE, end_point: str = OFFICE_END_POINT, bridge_mac: str = OFFICE_MAC, *, esp: bool = False
) -> Correspondents:
    mac = bytes.fromhex(bridge_mac.replace(":", ""))
    return Correspondents(Prefix.parse(prefix), addresses.parse(end_point), mac, esp)


def as_bytes(frame: Packet) -> bytes:
    """The frame's bytes as scapy computes them, checked by taking them apart and putting them together again."""
    raw = bytes(frame)
    assert bytes(Ether(raw)) == raw
    return raw


class Side:
    """A packet socket on one end of the link."""

    def __init__(self, device: str, ns: str | None) -> None:
        def make() -> socket.socket:
            return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))

        if ns is None:
            self._socket = make()
        else:
            with lab.inside(ns):
                self._socket = make()
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.settimeout(5)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def receive(self) -> list[bytes]:
        """The frames that have come in up to the sentinel, which must have been sent."""
        frames = []
        while True:
            frame, extra, _, address = self._socket.recvmsg(1 << 17, socket.CMSG_SPACE(20))
            if address[2] == _PACKET_OUTGOING:
                continue
            if frame == _SENTINEL:
                return frames
            # The kernel takes the outermost VLAN tag off and tells it here (struct tpacket_auxdata).
            status, _, _, _, _, tag, protocol = struct.unpack("=IIIHHHH", extra[0][2])
            if status & _TP_STATUS_VLAN_VALID:
                frame = frame[:12] + struct.pack("!HH", protocol, tag) + frame[12:]
            frames.append(frame)

    def close(self) -> None:
        self._socket.close()


@dataclass
class Uplink:
    """The device under test: what goes in on one side, and what comes out on the other."""

    adapter: UserspaceAdapter
    inside: Side  # as Open vSwitch has it: a packet socket on the device
    outside: Side  # the other end of the cable

    def coming_in(self, frame: Packet | bytes) -> list[bytes]:
        """What Open vSwitch gets when the network sends `frame`."""
        self.outside.send(bytes(frame))
        self.outside.send(_SENTINEL)
        return self.inside.receive()

    def going_out(self, *frames: Packet | bytes) -> list[bytes]:
        """What is on the wire when Open vSwitch sends `frames`, and has sent before."""
        for frame in frames:
            self.inside.send(bytes(frame))
        self.inside.send(_SENTINEL)
        return self.outside.receive()

    def counted(self, action: Callable[[], list[bytes]]) -> tuple[list[bytes], dict[str, int]]:
        """The action's result, and which counters it moved by how much."""
        before = self.adapter.status(DEVICE).counters
        result = action()
        after = self.adapter.status(DEVICE).counters
        return result, {name: after[name] - before[name] for name in after if after[name] != before[name]}


def send_for_the_device_to_cut(frame: bytes, headers: int) -> None:
    """Send a TCP packet with segmentation offload: the first `headers` bytes are for each segment of 1400 bytes."""
    needs_checksum, tcp_over_ipv6 = 1, 4  # VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV6
    header = struct.pack("=BBHHHH", needs_checksum, tcp_over_ipv6, headers, 1400, headers - 20, 16)
    packet_vnet_hdr = 15
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.setsockopt(_SOL_PACKET, packet_vnet_hdr, 1)
        sender.bind((DEVICE, 0x86DD))
        sender.send(header + frame)


def another_build(directory: Path) -> Path:
    """An object that does the same, from source that differs in something."""
    for path in (SHIM / "build", SHIM / "ip6ip6.bpf.c", *SHIM.glob("*.h")):
        shutil.copy(path, directory)
    header = directory / "extension_headers.h"
    header.write_text(header.read_text().replace("MAX_OPTIONS 16", "MAX_OPTIONS 15"))
    subprocess.run([directory / "build"], check=True)
    return directory / "ip6ip6.bpf.o"


# --- the ways to attach ---

TCX = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 6)  # whether this kernel has it
BEST_WAY = ("xdp-native", "tcx" if TCX else "clsact")  # veth has native XDP
OLD_WAY = ("xdp-generic", "clsact")


def old_kernel(program_fd: int, ifindex: int, attach_type: int, flags: int) -> int:
    """`libbpf.link_create` of a kernel without tcx, on a device whose driver has no XDP."""
    if attach_type == libbpf.BPF_TCX_EGRESS:
        raise libbpf.LibbpfError(errno.EINVAL, "as Linux 6.1 answers")
    if flags & libbpf.XDP_FLAGS_DRV_MODE:
        raise libbpf.LibbpfError(errno.EOPNOTSUPP, "as a driver without XDP answers")
    return _link_create(program_fd, ifindex, attach_type, flags)


_link_create = libbpf.link_create


def attach(adapter: UserspaceAdapter, way: str, hosts: Sequence[Correspondents] = ()) -> None:
    """Attach in the "best way" that this kernel has, or in the "old way"."""
    with pytest.MonkeyPatch.context() as patch:
        if way == "old way":
            patch.setattr(libbpf, "link_create", old_kernel)
        status = adapter.attach(DEVICE, [endpoint()], hosts)
    assert (status.ingress, status.egress) == {"best way": BEST_WAY, "old way": OLD_WAY}[way]
