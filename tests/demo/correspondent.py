"""A correspondent node (RFC 6275 section 9) and the network around a mobile node on its bench, by the RFC and scapy.

Nothing of ours is in here: no codec, no cryptography. Packets take LATENCY from node to node and can get lost.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
    MIP6MH_CoT,
    MIP6MH_CoTI,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    MIP6OptBindingAuthData,
    MIP6OptNonceIndices,
)
from scapy.packet import Packet

from mip6core import addresses
from tests.demo.bench import FIRST, FIRST_NET, HOME_ADDRESS, HOME_AGENT, HOME_PREFIX, Bench, home_agent_defends
from topo.mobile_node_effects import EndRouteOptimization, Event, OptimizeRoute, Send

CORRESPONDENT = "2001:db8:c::3"
OTHER = "2001:db8:d::4"
HOME_TOKEN, CARE_OF_TOKEN = b"home tok", b"care-of "
LATENCY = 0.01  # seconds
NONCE_LIFETIME = 240  # seconds, MAX_NONCE_LIFETIME
MAX_BINDING = 420  # seconds, MAX_RR_BINDING_LIFETIME


@dataclass
class Bound:
    """A Binding Cache entry."""

    care_of_address: str
    sequence: int
    until: float


def option(packet: Packet, kind: type[Packet]) -> Packet | None:
    """An option of a mobility message."""
    return next((one for one in packet.options if isinstance(one, kind)), None)


def home_address_of(packet: Packet) -> str | None:
    """The contents of the Home Address option."""
    if IPv6ExtHdrDestOpt not in packet:
        return None
    return next((one.hoa for one in packet[IPv6ExtHdrDestOpt].options if isinstance(one, HAO)), None)


def authenticator(key: bytes, care_of_address: str, correspondent: str, message: Packet) -> int:
    """Section 6.2.7: all of the message but the Authenticator, which comes last, with Checksum zero."""
    data = bytes(message)
    data = data[:4] + bytes(2) + data[6:-12]
    whole = addresses.parse(care_of_address) + addresses.parse(correspondent) + data
    return int.from_bytes(hmac.new(key, whole, hashlib.sha1).digest()[:12], "big")


class Correspondent:
    """Answers as section 9 says. Its nonces change every 30 s; each is good for NONCE_LIFETIME."""

    def __init__(self, address: str = CORRESPONDENT, secret: bytes = b"Kcn") -> None:
        self.address = address
        self.secret = secret
        self.bindings: dict[str, Bound] = {}
        self.updates: list[Packet] = []  # authorized ones
        self.refused: list[str] = []
        self.max_lifetime = MAX_BINDING

    def receive(self, packet: Packet, now: float) -> list[Packet]:
        if MIP6MH_HoTI in packet:
            token = self._token(packet.src, self._index(now), 0)
            test = MIP6MH_HoT(index=self._index(now), cookie=packet[MIP6MH_HoTI].cookie, token=token)
            return [IPv6(src=self.address, dst=packet.src) / test]
        if MIP6MH_CoTI in packet:
            token = self._token(packet.src, self._index(now), 1)
            test = MIP6MH_CoT(index=self._index(now), cookie=packet[MIP6MH_CoTI].cookie, token=token)
            return [IPv6(src=self.address, dst=packet.src) / test]
        if MIP6MH_BU in packet:
            return self._update(packet, now)
        return []

    def binding(self, now: float) -> Bound | None:
        bound = self.bindings.get(HOME_ADDRESS)
        return bound if bound is not None and now < bound.until else None

    def _update(self, packet: Packet, now: float) -> list[Packet]:
        update = packet[MIP6MH_BU]
        home_address = home_address_of(packet)
        own, registered = home_address or packet.src, packet.src
        indices, proof = option(update, MIP6OptNonceIndices), update.options[-1]
        assert isinstance(proof, MIP6OptBindingAuthData) and len(bytes(update)) % 8 == 0
        assert indices is not None and "H" not in str(update.flags)

        def answer(status: int, sequence: int, lifetime: int = 0, key: bytes | None = None) -> list[Packet]:
            return [acknowledgement(self.address, packet, status, sequence, lifetime, key)]

        old = [self._old(indices.hni, now), update.mhtime > 0 and self._old(indices.coni, now)]
        if any(old):
            return answer({(True, False): 136, (False, True): 137, (True, True): 138}[old[0], bool(old[1])], update.seq)
        tokens = self._token(own, indices.hni, 0)
        if update.mhtime > 0:
            tokens += self._token(registered, indices.coni, 1)
        key = hashlib.sha1(tokens).digest()
        if proof.authenticator != authenticator(key, registered, self.address, update):
            self.refused.append(packet.summary())
            return []
        bound = self.bindings.get(own)
        if bound is not None and not 0 < (update.seq - bound.sequence) & 0xFFFF < 0x8000:
            return answer(135, bound.sequence, key=key)
        self.updates.append(packet)
        lifetime = min(update.mhtime * 4, self.max_lifetime)
        # The sequence number outlives the binding (5.2.8)
        self.bindings[own] = Bound(registered, update.seq, now + lifetime)
        return answer(0, update.seq, lifetime // 4, key)

    def _index(self, now: float) -> int:
        return int(now // 30) & 0xFFFF

    def _old(self, index: int, now: float) -> bool:
        return not 0 <= self._index(now) - index <= NONCE_LIFETIME // 30

    def _token(self, address: str, index: int, kind: int) -> bytes:
        nonce = hashlib.sha256(f"nonce {index}".encode()).digest()[:8]
        return hmac.new(self.secret, addresses.parse(address) + nonce + bytes((kind,)), hashlib.sha1).digest()[:8]


def acknowledgement(
    source: str, update: Packet, status: int, sequence: int, lifetime: int, key: bytes | None
) -> Packet:
    """Section 9.5.4; `key` None: without Binding Authorization Data; `lifetime` in units of 4 s."""
    headers = IPv6(src=source, dst=update.src)
    if (home_address := home_address_of(update)) is not None:
        headers /= IPv6ExtHdrRouting(type=2, segleft=1, addresses=[home_address])
    message = MIP6MH_BA(status=status, seq=sequence, mhtime=lifetime)
    if key is not None:
        message.options = [MIP6OptBindingAuthData(olen=12, authenticator=0)]
        whole = IPv6(bytes(headers / message))[MIP6MH_BA]  # with padding and lengths
        message.options[0].authenticator = authenticator(key, update.src, source, whole)
    return headers / message


@dataclass
class World:
    """A mobile node with a home agent and correspondents, joined by a network that may lose packets."""

    bench: Bench
    correspondents: dict[str, Correspondent] = field(default_factory=dict)
    loss: Callable[[Packet], bool] = lambda packet: False
    optimized: set[bytes] = field(default_factory=set)
    home_agent_binding: str | None = None
    _flight: list[tuple[float, int, Packet]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _seen: int = 0

    @classmethod
    def of(cls, *others: Correspondent, lifetime: int = 600, **settings: object) -> World:
        """A mobile node that is to optimise the routes to some correspondents."""
        listed = tuple(addresses.parse(one.address) for one in others)
        return cls(Bench(lifetime=lifetime, correspondents=listed, **settings), {one.address: one for one in others})

    @classmethod
    def lossy(cls, share: float, seed: int, *others: Correspondent, **settings: object) -> World:
        """The same where packets get lost by chance."""
        world, chance = cls.of(*others, **settings), random.Random(seed)  # type: ignore[arg-type]
        world.loss = lambda packet: chance.random() < share
        return world

    @property
    def now(self) -> float:
        return self.bench.now

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            self._collect()
            timer = self.bench.node.next_timer()
            arrival = self._flight[0][0] if self._flight else float("inf")
            at = min(arrival, float("inf") if timer is None else timer)
            if at > end:
                break
            self.bench.now = max(self.now, at)
            if arrival <= at:
                self._arrive(heapq.heappop(self._flight)[2])
            else:
                self.bench.do(self.bench.node.tick(self.now))
        self.bench.now = end

    def visit(self, prefix: str = FIRST_NET, address: str = FIRST, seconds: float = 5.0) -> None:
        self.bench.arrive(prefix, address)
        self.run(seconds)

    def come_home(self, seconds: float = 5.0) -> None:
        node = self.bench.node
        self.bench.do(node.link_down(self.now) + node.link_up(self.now))
        self.bench.advertise(HOME_PREFIX)
        home_agent_defends(self.bench)
        self.run(seconds)

    def send(self, packet: Packet) -> None:
        """Put a packet on its way, unless it gets lost."""
        if not self.loss(packet):
            heapq.heappush(self._flight, (self.now + LATENCY, next(self._numbers), packet))

    def _collect(self) -> None:
        """What the node has done since the last time."""
        for _, effect in self.bench.done[self._seen :]:
            match effect:
                case Send(packet):
                    self.send(IPv6(packet))
                case OptimizeRoute(correspondent):
                    self.optimized.add(correspondent)
                case EndRouteOptimization(correspondent):
                    self.optimized.remove(correspondent)
        self._seen = len(self.bench.done)

    def _arrive(self, packet: Packet) -> None:
        if packet.dst == HOME_AGENT:
            if packet.nh == 41:
                if packet.src == self.home_agent_binding and packet.payload.src == HOME_ADDRESS:
                    self.send(packet.payload)
            elif MIP6MH_BU in packet:
                update = packet[MIP6MH_BU]
                self.home_agent_binding = packet.src if update.mhtime else None
                self.send(acknowledgement(HOME_AGENT, packet, 0, update.seq, update.mhtime, None))
        elif packet.dst in self.correspondents:
            for answer in self.correspondents[packet.dst].receive(packet, self.now):
                self.send(answer)
        elif packet.dst == HOME_ADDRESS and self.home_agent_binding is not None:
            self.send(IPv6(src=HOME_AGENT, dst=self.home_agent_binding) / packet)
        else:
            self.bench.receive(packet)


# --- what tests look at, and do ---


def messages(world: World, layer: type[Packet], since: float = 0.0) -> list[Packet]:
    """What the mobile node has sent to correspondents, whole packets."""
    return [packet for _, packet, _ in world.bench.sent(layer, since) if packet.dst != HOME_AGENT or packet.nh == 41]


def times(world: World, layer: type[Packet], since: float = 0.0) -> list[float]:
    sent = [at for at, packet, _ in world.bench.sent(layer, since) if packet.dst != HOME_AGENT or packet.nh == 41]
    return [round(at - sent[0], 3) for at in sent]


def happened(world: World, since: float = 0.0) -> list[str]:
    """Names of the events about correspondents."""
    return [
        effect.name
        for at, effect in world.bench.done
        if isinstance(effect, Event) and "correspondent" in effect.details and at >= since
    ]


def drop(*layers: type[Packet]) -> Callable[[Packet], bool]:
    return lambda packet: any(layer in packet for layer in layers)


def answers(world: World) -> tuple[Packet, Packet]:
    """Home Test and Care-of Test for the last init messages, as they come to the mobile node."""
    cookies = [messages(world, layer)[-1][layer].cookie for layer in (MIP6MH_HoTI, MIP6MH_CoTI)]
    home = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / MIP6MH_HoT(index=1, cookie=cookies[0], token=HOME_TOKEN)
    care_of = IPv6(src=CORRESPONDENT, dst=FIRST) / MIP6MH_CoT(index=2, cookie=cookies[1], token=CARE_OF_TOKEN)
    return IPv6(src=HOME_AGENT, dst=FIRST) / home, care_of


def waiting(world: World) -> World:
    """Both init messages are out and no answer comes."""
    world.loss = drop(MIP6MH_HoT, MIP6MH_CoT)
    world.visit(seconds=0.5)
    assert len(messages(world, MIP6MH_HoTI)) == len(messages(world, MIP6MH_CoTI)) == 1
    return world


def changed(packet: Packet, **fields: object) -> Packet:
    copy = packet.copy()
    for name, value in fields.items():
        where = copy if name in ("src", "dst") else copy.lastlayer()
        setattr(where, name, value)
    return copy


def registering(world: World) -> tuple[Packet, bytes]:
    """A Binding Update that the correspondent does not answer, and its key."""
    waiting(world)
    for packet in answers(world):
        world.bench.receive(packet)
    kbm = hashlib.sha1(HOME_TOKEN + CARE_OF_TOKEN).digest()
    return messages(world, MIP6MH_BU)[-1], kbm
