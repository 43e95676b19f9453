"""Mobile nodes that register and move while something else happens, and how they fare."""

from __future__ import annotations

import heapq
import itertools
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from deploy.benchmarks.authentication import Authentication
from deploy.benchmarks.fake_switch import Node, binding_update
from mip6core.constants import ROUTING
from topo import lab
from topo.lab import End, Network

NS: Final = "mobile"
ROUTER_END: Final = "to-mobile"
MAC: Final = bytes.fromhex("0200000000f0")
GATEWAY_MAC: Final = bytes.fromhex("0200000000f1")
VISITED: Final = "2001:db8:f000::/36"  # where all their networks are
VISITED_SITES: Final = 0x20010DB8_F0000000
KINDS: Final = ("refresh", "move", "register", "move to a new network", "register from a new network")
KNOWN_NETWORKS: Final = 8  # that somebody always visits
RESIDENTS: Final = 40  # mobile nodes that are registered all the time
LIFETIME_UNITS: Final = 900  # an hour
ETHERTYPE_IPV6: Final = 0x86DD
ROUTING_AT: Final = 14 + 6
HOME_ADDRESS_AT: Final = 14 + 40 + 8
STATUS_AT: Final = HOME_ADDRESS_AT + 16 + 6
SEQUENCE_AT: Final = STATUS_AT + 2
# Retransmissions of RFC 6275 section 11.8: 1 s, doubled each time; 1.5 s for a first registration.
FIRST_TIMEOUT: Final = 1.5
TIMEOUT: Final = 1.0
PATIENCE: Final = 4.0  # seconds until the attempt counts as failed


@dataclass
class Roamer(Node):
    """A mobile node that visits any network."""

    network: int = VISITED_SITES  # 64 bits

    @property
    def care_of_address(self) -> bytes:
        return self.network.to_bytes(8, "big") + (0x0200_0000_0000_0000 | self.index).to_bytes(8, "big")


@dataclass
class Attempt:
    """To register, from the first Binding Update to the acknowledgement."""

    node: Roamer
    what: str
    began: float
    gap: float
    tries: int = 0
    latency: float | None = None  # seconds; None: in vain, so far
    sequences: set[int] = field(default_factory=set)


class Roamers:
    """All of them, behind the router."""

    def __init__(self, newcomers: int) -> None:
        """`newcomers` are as many first registrations as there can be."""
        self._authentication = Authentication()
        self._residents = [Roamer(index) for index in range(RESIDENTS)]
        self._newcomers = [Roamer(index) for index in range(RESIDENTS, RESIDENTS + newcomers)]
        self._random = random.Random(6275)
        self.networks = [VISITED_SITES | number << 8 for number in range(KNOWN_NETWORKS)]
        self._socket: socket.socket

    def configuration(self) -> str:
        """Entries of `security.mobile_nodes`: each has a key (RFC 4285)."""
        return self._authentication.configuration([*self._residents, *self._newcomers])

    def connect(self, network: Network) -> None:
        """Be behind the router, and have the residents register, before anything is measured."""
        network.namespace(NS)
        network.veth(End(ROUTER_END, "router", GATEWAY_MAC.hex(":")), End("mobile0", NS, MAC.hex(":")))
        lab.run(f"ip -6 neigh add fe80::f0 lladdr {MAC.hex(':')} dev {ROUTER_END} nud permanent", "router")
        lab.run(f"ip -6 route add {VISITED} via fe80::f0 dev {ROUTER_END}", "router")
        with lab.inside(NS):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_IPV6))
        self._socket.bind(("mobile0", ETHERTYPE_IPV6))
        for index, node in enumerate(self._residents):
            node.network = self.networks[index % KNOWN_NETWORKS]
        attempts = self.roam(0.5, 0, [(node, "register") for node in self._residents])
        if any(attempt.latency is None for attempt in attempts):
            raise lab.LabError("the mobile nodes could not register")

    def homes(self) -> list[bytes]:
        """The home addresses that are bound."""
        return [node.home_address for node in self._residents]

    def roam(self, seconds: float, per_second: float, begin: list[tuple[Roamer, str]] | None = None) -> list[Attempt]:
        """Attempts for so long, each kind as often, and what became of them."""
        start = time.monotonic()
        numbers = itertools.count()
        due: list[tuple[float, int, Attempt]] = []
        attempts: list[Attempt] = []
        waiting: dict[bytes, Attempt] = {}
        for node, what in begin or ():
            heapq.heappush(due, (start, next(numbers), self._attempt(node, what)))
        kinds = itertools.cycle(KINDS)
        next_at = start if per_second else start + seconds
        while True:
            now = time.monotonic()
            if now >= next_at and now < start + seconds:
                next_at += 1 / per_second
                attempt = self._next(next(kinds), waiting)
                if attempt is not None:
                    heapq.heappush(due, (now, next(numbers), attempt))
            while due and due[0][0] <= now:
                _, _, attempt = heapq.heappop(due)
                if attempt.latency is not None:
                    continue
                if not attempt.tries:
                    attempts.append(attempt)
                    waiting[attempt.node.home_address] = attempt
                    attempt.began = now
                elif now - attempt.began >= PATIENCE:
                    waiting.pop(attempt.node.home_address, None)
                    continue
                self._send(attempt)
                again = min(now + attempt.gap, attempt.began + PATIENCE)
                attempt.gap *= 2
                heapq.heappush(due, (again, next(numbers), attempt))
            if now >= start + seconds and not waiting and not due:
                return attempts
            self._receive(waiting)
            if now >= start + seconds and not waiting:
                return attempts

    @staticmethod
    def _attempt(node: Roamer, what: str) -> Attempt:
        return Attempt(node, what, 0.0, FIRST_TIMEOUT if what.startswith("register") else TIMEOUT)

    def _next(self, what: str, waiting: dict[bytes, Attempt]) -> Attempt | None:
        rng = self._random
        if what.startswith("register"):
            node = self._newcomers.pop() if self._newcomers else None
        else:
            node = rng.choice(self._residents)
        if node is None or node.home_address in waiting:
            return None
        if what.endswith("new network"):
            node.network = VISITED_SITES | rng.getrandbits(28)
        elif what != "refresh" or node.network not in self.networks:
            node.network = rng.choice([network for network in self.networks if network != node.network])
        return self._attempt(node, what)

    def _send(self, attempt: Attempt) -> None:
        node = attempt.node
        node.sequence = node.sequence + 1 & 0xFFFF
        attempt.tries += 1
        attempt.sequences.add(node.sequence)
        frame = binding_update(node, LIFETIME_UNITS, self._authentication.sign)
        self._socket.send(GATEWAY_MAC + MAC + frame[12:])

    def _receive(self, waiting: dict[bytes, Attempt]) -> None:
        for frame in self._frames():
            if len(frame) <= SEQUENCE_AT + 1 or frame[ROUTING_AT] != ROUTING:
                continue
            attempt = waiting.get(frame[HOME_ADDRESS_AT : HOME_ADDRESS_AT + 16])
            sequence = int.from_bytes(frame[SEQUENCE_AT : SEQUENCE_AT + 2], "big")
            if attempt is None or sequence not in attempt.sequences or frame[STATUS_AT] != 0:
                continue
            attempt.latency = time.monotonic() - attempt.began
            del waiting[attempt.node.home_address]

    def _frames(self) -> Iterator[bytes]:
        """What has arrived, after a short wait for the first frame."""
        self._socket.settimeout(0.001)
        while True:
            try:
                yield self._socket.recv(2048)
            except (TimeoutError, BlockingIOError):
                return
            self._socket.settimeout(0)


def fared(attempts: list[Attempt]) -> dict[str, Any]:
    """How many succeeded, in the end and at once, and how soon (milliseconds); by what they wanted, and all."""
    kinds = {attempt.what for attempt in attempts}
    groups = {kind: [attempt for attempt in attempts if attempt.what == kind] for kind in kinds}
    return {kind: _fared(some) for kind, some in groups.items()}


def _fared(attempts: list[Attempt]) -> dict[str, Any]:
    latencies = sorted(attempt.latency * 1e3 for attempt in attempts if attempt.latency is not None)
    at_once = sum(attempt.latency is not None and attempt.tries == 1 for attempt in attempts)
    return {
        "attempts": len(attempts),
        "success": round(len(latencies) / len(attempts), 4),
        "success_at_once": round(at_once / len(attempts), 4),
        "median_ms": round(median(latencies), 1) if latencies else None,
        "p99_ms": round(latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))], 1) if latencies else None,
    }
