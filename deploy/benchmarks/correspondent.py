"""`deploy/bench correspondent`: return routability and bindings of correspondents a second, and the CPU for each.

A fake switch holds 64 messages of mobile nodes outstanding, to a host on a correspondent link. In turn: Home Test
Inits, Care-of Test Inits from two networks, and Binding Updates that move every mobile node from one of them to the
other, with an authenticator made of the tokens that came. A Binding Update counts when its flows, a barrier and a
Binding Acknowledgement have come that is signed with the same key. With `--in-process` there is no other process and no
socket: the CPU time is that of the controller's own code.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.benchmarks.control import OPENFLOW_PORT, OUTSTANDING, REST_PORT, Controller, ControllerProcess
from deploy.benchmarks.fake_switch import (
    FLOW_MOD,
    HOME_AGENT_MAC,
    LOCAL_PORT,
    NEIGHBOR_DISCOVERY_ITEM,
    ROUTER,
    ROUTER_MAC,
    SIGNALLING_COOKIE_ITEM,
    FakeSwitch,
    neighbor_advertisement,
)

HOST: Final = bytes.fromhex("20010db800010000000000000000000c")
CONFIG: Final = """
openflow: {{port: {openflow}}}
rest: {{port: {rest}}}
limits: {{punt_rates: {{return_routability: 1000000}}}}
correspondent_links:
  - name: bench
    bridge: br-bench
    address: 2001:db8:1::2
    prefixes: [2001:db8:1::/64]
    router: 2001:db8:1::1
    uplinks: [uplink0]
    tunnel_port: tunnel0
"""
UPLINK_PORT: Final = 1
CORRESPONDENT_SIGNALLING_ITEM: Final = 13
PLACES: Final = 2  # where a mobile node is by turns
LIFETIME_UNITS: Final = 105  # 420 s
FIRST_FLOW_MODS: Final = 2  # the way out, the way in
MOVE_FLOW_MODS: Final = 3  # and the end of the old way in
AUTHENTICATOR_LENGTH: Final = 12  # octets
ETHERNET_HEADER: Final = 14
ROUTING_HEADER: Final = 43
MOBILITY_HEADER: Final = 135
HOME_TEST_INIT, CARE_OF_TEST_INIT, HOME_TEST, CARE_OF_TEST, BINDING_UPDATE, BINDING_ACKNOWLEDGEMENT = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class KeygenToken:
    """What a Home Test or Care-of Test has brought."""

    nonce_index: int
    octets: bytes


@dataclass
class MobileNode:
    """One mobile node, its home far from the correspondent."""

    index: int
    sequence: int = 0
    place: int = 0
    flow_mods: int = 0  # since the last Binding Update
    key: bytes = b""  # Kbm of the last Binding Update
    home_address: bytes = field(init=False)
    care_of_addresses: tuple[bytes, ...] = field(init=False)
    home_token: KeygenToken = field(init=False)
    care_of_tokens: dict[bytes, KeygenToken] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        identifier = struct.pack("!II", 0x10000, self.index)
        self.home_address = bytes.fromhex("20010db800050000") + identifier
        self.care_of_addresses = tuple(
            struct.pack("!IHH", 0x20010DB8, 0xF000 | place, 0) + identifier for place in range(PLACES)
        )

    @property
    def care_of_address(self) -> bytes:
        return self.care_of_addresses[self.place]

    @property
    def cookie(self) -> bytes:
        return struct.pack("!II", 0xC00C1E, self.index)


Ask = Callable[[MobileNode], bytes]  # the frame that a mobile node sends
Answer = Callable[[MobileNode, bytes], bool]  # whether the packet that it gets is right


class Bench:
    """A controller, a fake switch, and mobile nodes that ask as fast as they are answered."""

    def __init__(self, directory: Path, nodes: int, in_process: bool = False) -> None:
        self.nodes = [MobileNode(index) for index in range(nodes)]
        self.by_home = {node.home_address: node for node in self.nodes}
        self.wrong = 0  # answers that were not as they should be
        self.flow_mods = FIRST_FLOW_MODS
        config = directory / "bench.yaml"
        config.write_text(CONFIG.format(openflow=OPENFLOW_PORT, rest=REST_PORT))
        ports = {LOCAL_PORT: "br-bench", UPLINK_PORT: "uplink0", 2: "tunnel0"}
        self.controller: Controller
        if in_process:
            from deploy.benchmarks.in_process import InProcess  # this process would not be without Ryu any more

            self.controller = InProcess(config, ports)
        else:
            self.controller = ControllerProcess(config)
        self.switch = FakeSwitch(self.controller.stream, ports)

    def prepare(self) -> None:
        """Wait for the flows, answer for the router, and bind every node once."""
        switch = self.switch
        while switch.punt_cookie is None or switch.out:
            switch.receive()
        switch.punt(neighbor_advertisement(ROUTER, ROUTER_MAC), item=NEIGHBOR_DISCOVERY_ITEM)
        switch.punt_cookie += CORRESPONDENT_SIGNALLING_ITEM - SIGNALLING_COOKIE_ITEM
        self.home_tests()
        self.care_of_tests()
        self._exchange(self.nodes, binding_update, self._acknowledged)
        self.flow_mods = MOVE_FLOW_MODS

    # Each lets all mobile nodes send as many messages, and returns how many that were.

    def home_tests(self) -> int:
        """A Home Test Init of each."""
        self._exchange(self.nodes, home_test_init, home_test)
        return len(self.nodes)

    def care_of_tests(self) -> int:
        """A Care-of Test Init of each from both places."""
        for _ in range(PLACES):
            self._move()
            self._exchange(self.nodes, care_of_test_init, care_of_test)
        return PLACES * len(self.nodes)

    def bindings(self) -> int:
        """A Binding Update of each, from the other place."""
        self._move()
        self._exchange(self.nodes, binding_update, self._acknowledged)
        return len(self.nodes)

    def _move(self) -> None:
        for node in self.nodes:
            node.place = (node.place + 1) % PLACES

    def _exchange(self, nodes: Iterable[MobileNode], ask: Ask, answer: Answer) -> None:
        """One message of each node, at most OUTSTANDING without an answer, until all have theirs."""
        queue = iter(nodes)
        outstanding: dict[bytes, MobileNode] = {}  # by the interface identifier, which all addresses of a node have

        def refill() -> None:
            while len(outstanding) < OUTSTANDING:
                node = next(queue, None)
                if node is None:
                    return
                outstanding[node.home_address[8:]] = node
                self.switch.punt(ask(node), UPLINK_PORT)

        self.switch.answered()
        refill()
        while outstanding:
            for kind, message in self.switch.receive():
                if kind == FLOW_MOD:
                    self._count_flow_mod(message)
                    continue
                (actions,) = struct.unpack_from("!H", message, 16)
                packet = message[24 + actions + ETHERNET_HEADER :]
                if packet[6] in (ROUTING_HEADER, MOBILITY_HEADER):  # and no Neighbor Solicitation
                    node = outstanding.pop(packet[32:40])
                    self.switch.answered()
                    self.wrong += not answer(node, packet)
            refill()

    def _count_flow_mod(self, message: bytes) -> None:
        # The match is at 48: eth_type (6 octets), then ipv6_src and ipv6_dst, one of which is the home address.
        node = self.by_home.get(message[62:78]) or self.by_home.get(message[82:98])
        if node is not None:
            node.flow_mods += 1

    def _acknowledged(self, node: MobileNode, packet: bytes) -> bool:
        message = packet[64:]
        if packet[6] != ROUTING_HEADER or packet[48:64] != node.home_address or packet[24:40] != node.care_of_address:
            return False
        covered = message[:4] + b"\0\0" + message[6:-AUTHENTICATOR_LENGTH]
        authentic = message.endswith(authenticator(node.key, node.care_of_address, covered))
        status, sequence = message[6], int.from_bytes(message[8:10], "big")
        accepted = message[2] == BINDING_ACKNOWLEDGEMENT and status == 0 and sequence == node.sequence
        return accepted and authentic and node.flow_mods >= self.flow_mods


# The mobile node's messages, and what it expects (RFC 6275 sections 6.1 and 6.2.7)


def home_test_init(node: MobileNode) -> bytes:
    message = struct.pack("!BBBBHH", 59, 1, HOME_TEST_INIT, 0, 0, 0) + node.cookie
    return _frame(node.home_address, node.home_address, message)


def care_of_test_init(node: MobileNode) -> bytes:
    message = struct.pack("!BBBBHH", 59, 1, CARE_OF_TEST_INIT, 0, 0, 0) + node.cookie
    return _frame(node.care_of_address, node.care_of_address, message)


def home_test(node: MobileNode, packet: bytes) -> bool:
    """Keeps the token."""
    node.home_token = _token(packet)
    return _is_test(packet, HOME_TEST, node.home_address, node.cookie)


def care_of_test(node: MobileNode, packet: bytes) -> bool:
    """Keeps the token."""
    node.care_of_tokens[node.care_of_address] = _token(packet)
    return _is_test(packet, CARE_OF_TEST, node.care_of_address, node.cookie)


def _is_test(packet: bytes, kind: int, destination: bytes, cookie: bytes) -> bool:
    return (packet[6], packet[24:40], packet[42], packet[48:56]) == (MOBILITY_HEADER, destination, kind, cookie)


def _token(packet: bytes) -> KeygenToken:
    return KeygenToken(int.from_bytes(packet[46:48], "big"), packet[56:64])


def binding_update(node: MobileNode) -> bytes:
    """The next one, authorized by the last tests."""
    care_of = node.care_of_address
    token = node.care_of_tokens[care_of]
    node.sequence = node.sequence + 1 & 0xFFFF
    node.flow_mods = 0
    node.key = hashlib.sha1(node.home_token.octets + token.octets).digest()
    message = struct.pack("!BBBBHHHH", 59, 3, BINDING_UPDATE, 0, 0, node.sequence, 0x8000, LIFETIME_UNITS)
    message += struct.pack("!BBHH", 4, 4, node.home_token.nonce_index, token.nonce_index)
    message += struct.pack("!BB", 5, AUTHENTICATOR_LENGTH)
    return _frame(care_of, node.home_address, message + authenticator(node.key, care_of, message))


def authenticator(key: bytes, care_of_address: bytes, covered: bytes) -> bytes:
    return hmac.digest(key, care_of_address + HOST + covered, "sha1")[:AUTHENTICATOR_LENGTH]


def _frame(source: bytes, checksum_source: bytes, message: bytes) -> bytes:
    """From the router; with a Home Address option where the two addresses differ."""
    total = int.from_bytes(checksum_source + HOST + struct.pack("!II", len(message), MOBILITY_HEADER) + message, "big")
    message = message[:4] + struct.pack("!H", 0xFFFF - total % 0xFFFF or 0xFFFF) + message[6:]
    next_header = MOBILITY_HEADER
    if source != checksum_source:
        message = struct.pack("!BBBBHBB", MOBILITY_HEADER, 2, 1, 2, 0, 0xC9, 16) + checksum_source + message
        next_header = 60
    header = struct.pack("!IHBB", 0x60000000, len(message), next_header, 64) + source + HOST
    return HOME_AGENT_MAC + ROUTER_MAC + b"\x86\xdd" + header + message


@dataclass
class Figures:
    """Of one kind of messages, one for each round."""

    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # microseconds for each

    def measure(self, bench: Bench, send: Callable[[], int], seconds: float) -> None:
        """One more round."""
        count, start, cpu = 0, time.perf_counter(), bench.controller.cpu()
        while time.perf_counter() - start < seconds:
            count += send()
        self.per_second.append(count / (time.perf_counter() - start))
        self.cpu.append((bench.controller.cpu() - cpu) / count * 1e6)


def measure(seconds: float, rounds: int, nodes: int, in_process: bool = False) -> dict[str, object]:
    """Medians of the rounds."""
    hoti, coti, bindings = Figures(), Figures(), Figures()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), nodes, in_process)
        try:
            bench.prepare()
            for _ in range(rounds):  # so the tokens are never old
                hoti.measure(bench, bench.home_tests, seconds)
                coti.measure(bench, bench.care_of_tests, seconds)
                bindings.measure(bench, bench.bindings, seconds)
            if bench.wrong:
                raise SystemExit(f"bench correspondent: {bench.wrong} messages were not answered as they should be")
        finally:
            bench.controller.close()
    return {
        "hoti_per_second": round(statistics.median(hoti.per_second)),
        "cpu_us_per_hoti": round(statistics.median(hoti.cpu), 1),
        "coti_per_second": round(statistics.median(coti.per_second)),
        "cpu_us_per_coti": round(statistics.median(coti.cpu), 1),
        "bindings_per_second": round(statistics.median(bindings.per_second)),
        "cpu_us_per_binding": round(statistics.median(bindings.cpu), 1),
        "in_process": in_process,
        "outstanding": OUTSTANDING,
        "nodes": nodes,
        "rounds": rounds,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="deploy/bench correspondent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each kind in each round (default: 2)")
    parser.add_argument("--nodes", type=int, default=2000, help="mobile nodes (default: 2000)")
    parser.add_argument("--in-process", action="store_true", help="the controller's own code, without its connection")
    options = parser.parse_args(argv)
    if min(options.rounds, options.seconds, options.nodes) <= 0:
        parser.error("numbers must be positive")
    found = measure(options.seconds, options.rounds, options.nodes, options.in_process)
    if options.json:
        print(json.dumps(found))
        return 0
    for name, what in (("hoti", "Home Tests"), ("coti", "Care-of Tests"), ("binding", "bindings")):
        rate = found["bindings_per_second" if name == "binding" else f"{name}_per_second"]
        print(f"{rate:>7,} {what} a second, {found[f'cpu_us_per_{name}']} us of controller CPU for each")
    print(f"{OUTSTANDING} outstanding, {options.nodes} mobile nodes, median of {options.rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
