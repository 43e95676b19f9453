"""Traffic of the data path benchmark: frames, a generator that sends them, a sink that counts what arrives."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.shim import libbpf
from mip6core.addresses import Address
from mip6core.codec import checksum, ipv6
from topo import lab

HERE: Final = Path(__file__).parent
ETHERTYPE_IPV6: Final = b"\x86\xdd"
NEXT_UDP: Final = 17
NEXT_IPV6: Final = 41
NEXT_ROUTING: Final = 43
DISCARD: Final = 9  # port, RFC 863
UDP_HEADER: Final = struct.Struct("!HHHH")
IPV6_HEADER: Final = 40  # octets
PROBE_WAIT: Final = 0.05  # seconds, much longer than a packet takes
ATTEMPTS: Final = 10  # at one measurement
MINIMUM_BUSY: Final = 0.1  # of the time; where the switch ran for less, a measurement says nothing
LEAD: Final = 0.15  # seconds of traffic before counting begins: the generator's start, the switch's first packets


def udp_packet(source: Address, destination: Address, size: int) -> bytes:
    """An IPv6 packet of `size` octets with UDP in it."""
    length = size - IPV6_HEADER
    data = bytes(length - UDP_HEADER.size)
    without = UDP_HEADER.pack(DISCARD, DISCARD, length, 0) + data
    value = checksum.upper_layer(source, destination, NEXT_UDP, without) or 0xFFFF  # RFC 8200 section 8.1
    return ipv6.build(source, destination, NEXT_UDP, UDP_HEADER.pack(DISCARD, DISCARD, length, value) + data)


def frame(destination: bytes, source: bytes, packet: bytes) -> bytes:
    """An Ethernet frame with an IPv6 packet in it."""
    return destination + source + ETHERTYPE_IPV6 + packet


def compile_generator(directory: Path) -> Path:
    """The generator as a program in `directory`."""
    program = directory / "packet_generator"
    lab.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(HERE / "packet_generator.c")])
    return program


def compile_sink(directory: Path) -> Path:
    """The sink's eBPF object in `directory`."""
    target = directory / "packet_sink.bpf.o"
    # <asm/types.h> is in a directory of the machine's own on multiarch systems
    options = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", f"-I/usr/include/{platform.machine()}-linux-gnu"]
    lab.run(["clang", *options, "-target", "bpf", "-c", str(HERE / "packet_sink.bpf.c"), "-o", str(target)])
    return target


class Sink:
    """Counts and drops, in XDP, the benchmark's packets that arrive at a device; until `close`."""

    def __init__(self, program: Path, ns: str, device: str) -> None:
        self._undo = contextlib.ExitStack()
        loaded = self._undo.enter_context(libbpf.Object(program))
        loaded.load()
        self._packets = loaded.map_fd("packets")
        with lab.inside(ns):
            link = libbpf.link_create(
                loaded.program_fd("packet_sink"),
                socket.if_nametoindex(device),
                libbpf.BPF_XDP,
                libbpf.XDP_FLAGS_DRV_MODE,
            )
        self._undo.callback(os.close, link)

    def packets(self, next_header: int) -> int:
        """Packets that had this next header, so far."""
        return libbpf.per_cpu_sum(self._packets, next_header)

    def close(self) -> None:
        """Detach the program."""
        self._undo.close()


@dataclass(frozen=True)
class Stream:
    """Packets that go one way through the switch: where they are sent and where they are counted."""

    ns: str
    device: str
    frames: tuple[bytes, ...]  # sent in turn
    sink: Sink
    next_header: int  # that they have at the sink

    def arrived(self) -> int:
        """Packets of this kind that the sink has counted so far."""
        return self.sink.packets(self.next_header)

    def probe(self) -> None:
        """Send single packets until one has been through: the way is there, and everybody knows his neighbours."""
        with lab.inside(self.ns):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sender:
            sender.bind((self.device, 0))

            def delivered() -> bool:
                before = self.arrived()
                sender.send(self.frames[0])
                time.sleep(PROBE_WAIT)
                return self.arrived() > before

            lab.wait_until(delivered, f"a packet from {self.device} at the other end")


@dataclass(frozen=True)
class Rate:
    """What came of one measurement, in thousand packets a second where nothing else is said."""

    offered: float  # by the generator
    arrived: float  # at the sink
    packets: int  # that this was, at the sink
    busy: float  # the part of the time during which the switch's thread ran, at most 1

    @property
    def forwarded(self) -> float:
        """Packets a second of the switch's processor time.

        On a machine with nothing else to do this is what arrives. On a busy one the switch gets a part of a processor
        only, a different one each time; this is what it would do with a whole one.
        """
        return self.arrived / self.busy


class Switch:
    """The thread of ovs-vswitchd that forwards packets: its main thread, as there are no poll mode drivers here."""

    def __init__(self, processor: int | None) -> None:
        self._process = int(Path("/run/openvswitch/ovs-vswitchd.pid").read_text())
        if processor is not None:
            os.sched_setaffinity(self._process, {processor})

    def processor_time(self) -> float:
        """Seconds that the thread has run, its packets' way through the kernel included."""
        statistics = Path(f"/proc/{self._process}/task/{self._process}/schedstat").read_text()
        return int(statistics.split()[0]) / 1e9


class Generator:
    """Runs the generator program, on processor number `processor` if one is given."""

    def __init__(self, program: Path, processor: int | None, switch: Switch) -> None:
        self._program = [str(program)]
        if processor is not None:
            self._program = ["taskset", "--cpu-list", str(processor), *self._program]
        self._switch = switch

    def measure(self, stream: Stream, seconds: float) -> Rate:
        """Send as fast as possible, and see how much arrives in `seconds`. LabError if the switch hardly runs."""
        for _ in range(ATTEMPTS):
            rate = self._measure_once(stream, seconds)
            if rate.busy >= MINIMUM_BUSY:
                return rate
        raise lab.LabError(f"the machine is too busy: the switch ran for {rate.busy:.0%} of the time")

    def _measure_once(self, stream: Stream, seconds: float) -> Rate:
        with lab.inside(stream.ns):
            process = subprocess.Popen(
                [*self._program, stream.device, str(LEAD + seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert process.stdin and process.stdout
        with process:
            process.stdin.write(b"".join(len(octets).to_bytes(2, "big") + octets for octets in stream.frames))
            process.stdin.close()
            time.sleep(LEAD)
            time_before, ran_before, before = time.perf_counter(), self._switch.processor_time(), stream.arrived()
            time.sleep(seconds)
            time_after, ran_after, after = time.perf_counter(), self._switch.processor_time(), stream.arrived()
            printed = process.stdout.read().split()
        if process.returncode != 0:
            raise lab.LabError(f"packet_generator ended with status {process.returncode}")
        elapsed = time_after - time_before
        return Rate(
            offered=int(printed[0]) / float(printed[1]) / 1e3,
            arrived=(after - before) / elapsed / 1e3,
            packets=after - before,
            busy=(ran_after - ran_before) / elapsed,
        )
