"""`deploy/bench control`: Binding Updates a second, and the controller's CPU for each.

A fake switch holds 64 Binding Updates outstanding, all of them moves of registered mobile nodes. Each is checked in
full by the controller (header chain, checksum, options, sequence number, addresses, lifetime) and answered by its
flows, a barrier and a Binding Acknowledgement; the fake switch checks the answers. With `--authentication` each mobile
node has a key of its own, signs its Binding Updates with a timestamp (RFC 4285), and checks the answer's signature.
With `--esp` everything goes under ESP, AES-CBC with HMAC-SHA2-256 (RFC 3776), with keys of each mobile node's own.
With `--in-process` there is no other process and no socket: the CPU time is that of the controller's own code.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deploy.benchmarks.authentication import Authentication
from deploy.benchmarks.esp import Esp
from deploy.benchmarks.fake_switch import (
    ANSWER_TIMEOUT,
    FLOW_MOD,
    LOCAL_PORT,
    NEIGHBOR_DISCOVERY_ITEM,
    ROUTER,
    ROUTER_MAC,
    FakeSwitch,
    Node,
    Stream,
    binding_update,
    neighbor_advertisement,
)

CONFIG = """
openflow: {{port: {openflow}}}
rest: {{port: {rest}}}
limits: {{punt_rates: {{signalling: 1000000}}}}
security:
  unprotected_signalling: {unprotected}
  mobile_nodes: {mobile_nodes}
home_links:
  - name: bench
    bridge: br-bench
    address: 2001:db8:1::2
    prefixes: [2001:db8:1::/64]
    router: 2001:db8:1::1
    uplinks: [uplink0]
    tunnel_port: tunnel0
"""
OPENFLOW_PORT = 36653
REST_PORT = 38080
OUTSTANDING = 64
LIFETIME_UNITS = 900
FIRST_FLOW_MODS = 2  # tunnel, reverse tunnel; proxy Neighbor Discovery names the home address elsewhere
MOVE_FLOW_MODS = 3  # tunnel, reverse tunnel, end of the old reverse tunnel
START_TIMEOUT = 20  # seconds
ESP_ITEM = 7


class Controller(Protocol):
    """What is measured."""

    @property
    def stream(self) -> Stream:
        """The switch's end of the OpenFlow connection."""

    def cpu(self) -> float:
        """Seconds of CPU that the controller has used."""

    def close(self) -> None:
        """End it."""


class ControllerProcess:
    """The controller as users run it."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "ryu_apps.launcher", "--config", str(config), "--log-level", "warning"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stream = self._connect()
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.settimeout(ANSWER_TIMEOUT)

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                return socket.create_connection(("127.0.0.1", OPENFLOW_PORT))
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def cpu(self) -> float:
        """Seconds of CPU that the controller has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        self.stream.close()
        self._process.terminate()
        self._process.wait(10)


class Bench:
    """A controller, a fake switch, and mobile nodes that move as fast as they are answered."""

    def __init__(
        self,
        directory: Path,
        nodes: int,
        authentication: Authentication | None = None,
        esp: Esp | None = None,
        in_process: bool = False,
    ) -> None:
        self.nodes = [Node(index) for index in range(nodes)]
        self.by_home = {node.home_address: node for node in self.nodes}
        self.authentication = authentication
        self.esp = esp
        self.refused = 0
        config = directory / "bench.yaml"
        unprotected, mobile_nodes = "accept", "[]"
        security = authentication or esp
        if security is not None:
            unprotected, mobile_nodes = "refuse", security.configuration(self.nodes)
        config.write_text(
            CONFIG.format(openflow=OPENFLOW_PORT, rest=REST_PORT, unprotected=unprotected, mobile_nodes=mobile_nodes)
        )
        ports = {LOCAL_PORT: "br-bench", 1: "uplink0", 2: "tunnel0"}
        self.controller: Controller
        if in_process:
            from deploy.benchmarks.in_process import InProcess  # this process would not be without Ryu any more

            self.controller = InProcess(config, ports)
        else:
            self.controller = ControllerProcess(config)
        self.switch = FakeSwitch(self.controller.stream, ports)

    def prepare(self) -> None:
        """Wait for the flows, answer for the router, and register every node."""
        switch = self.switch
        while switch.punt_cookie is None or switch.out:
            switch.receive()
        signalling = switch.punt_cookie
        switch.punt(neighbor_advertisement(ROUTER, ROUTER_MAC), item=NEIGHBOR_DISCOVERY_ITEM)
        switch.punt_cookie = signalling if self.esp is None else signalling - 1 + ESP_ITEM
        # All at once, since each waits a second for Duplicate Address Detection
        self.run(self.nodes, len(self.nodes), FIRST_FLOW_MODS)

    def run(self, nodes: Sequence[Node], limit: int = OUTSTANDING, flow_mods: int = MOVE_FLOW_MODS) -> None:
        """One Binding Update of each node, at most `limit` outstanding, until all are answered."""
        queue = iter(nodes)
        outstanding: dict[bytes, Node] = {}

        def refill() -> None:
            while len(outstanding) < limit:
                node = next(queue, None)
                if node is None:
                    return
                outstanding[node.home_address] = node
                self.move(node)

        self.switch.answered()
        refill()
        while outstanding:
            self.receive(outstanding, flow_mods)
            refill()

    def receive(self, outstanding: dict[bytes, Node], flow_mods: int) -> None:
        """What has arrived: the nodes that are answered leave `outstanding`, which is by home address."""
        for kind, message in self.switch.receive():
            if kind == FLOW_MOD:
                self._count_flow_mod(message)
            else:
                self._acknowledged(message, outstanding, flow_mods)

    def move(self, node: Node) -> None:
        """The next Binding Update of a node, from another place."""
        node.sequence = node.sequence + 1 & 0xFFFF
        node.place += 1
        node.flow_mods = 0
        frame = binding_update(node, LIFETIME_UNITS, None if self.authentication is None else self.authentication.sign)
        self.switch.punt(frame if self.esp is None else self.esp.wrap(node, frame))

    def _count_flow_mod(self, message: bytes) -> None:
        # The match is at 48: eth_type (6 octets), then ipv6_dst or ipv6_src, where those flows have the home address.
        node = self.by_home.get(message[62:78])
        if node is not None:
            node.flow_mods += 1

    def _acknowledged(self, message: bytes, outstanding: dict[bytes, Node], flow_mods: int) -> None:
        (actions,) = struct.unpack_from("!H", message, 16)
        packet = message[24 + actions + 14 :]
        if packet[6] != 43:  # a Binding Acknowledgement has a routing header; a Neighbor Advertisement has none
            return
        node = outstanding.pop(packet[48:64])
        self.switch.answered()
        if self.esp is not None:
            opened = self.esp.unwrap(node, packet)
            if opened is None:
                self.refused += 1
                return
            packet = opened
        status, sequence = packet[70], int.from_bytes(packet[72:74], "big")
        addressed = packet[24:40] == node.care_of_address
        authentic = self.authentication is None or self.authentication.answers(node, packet[64:])
        complete = addressed and authentic and node.flow_mods >= flow_mods
        if status != 0 or sequence != node.sequence or not complete:
            self.refused += 1


def measure(
    seconds: float,
    rounds: int,
    nodes: int,
    authentication: Authentication | None = None,
    esp: Esp | None = None,
    in_process: bool = False,
) -> dict[str, object]:
    """Medians of the rounds."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), nodes, authentication, esp, in_process)
        try:
            bench.prepare()
            rates, costs = [], []
            for _ in range(rounds):
                count, start, cpu = 0, time.perf_counter(), bench.controller.cpu()
                while time.perf_counter() - start < seconds:
                    bench.run(bench.nodes)
                    count += len(bench.nodes)
                elapsed = time.perf_counter() - start
                rates.append(count / elapsed)
                costs.append((bench.controller.cpu() - cpu) / count * 1e6)
            if bench.refused:
                raise SystemExit(f"bench control: {bench.refused} Binding Updates were not answered as they should be")
        finally:
            bench.controller.close()
    return {
        "bu_per_second": round(statistics.median(rates)),
        "cpu_us_per_bu": round(statistics.median(costs), 1),
        "authentication": authentication is not None,
        "esp": esp is not None,
        "in_process": in_process,
        "outstanding": OUTSTANDING,
        "nodes": nodes,
        "rounds": rounds,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deploy/bench control", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (default: 2)")
    parser.add_argument("--nodes", type=int, default=2000, help="registered mobile nodes (default: 2000)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--authentication", action="store_true", help="every Binding Update is signed (RFC 4285)")
    how.add_argument("--esp", action="store_true", help="every Binding Update comes under IPsec (RFC 3776)")
    parser.add_argument("--in-process", action="store_true", help="the controller's own code, without its connection")
    arguments = parser.parse_args(argv)
    authentication = Authentication() if arguments.authentication else None
    esp = Esp() if arguments.esp else None
    result = measure(arguments.seconds, arguments.rounds, arguments.nodes, authentication, esp, arguments.in_process)
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['bu_per_second']:,} BU/s, {result['cpu_us_per_bu']} us of controller CPU for each"
            f" ({OUTSTANDING} outstanding, {arguments.nodes} mobile nodes, median of {arguments.rounds} rounds)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
