"""Mobile nodes against the home agent over a network that loses, delays, reorders and doubles packets.

The shell checks its invariants after every call: one entry for a home address, flows made and taken away in balance
and always those of the binding, no expiry in the past, tests and watches in step. After the storm all must be well.
"""

from __future__ import annotations

import heapq
import random
from itertools import count

import pytest

from mip6core.addresses import Prefix
from mip6core.fsm import State
from mip6core.home_agent import HomePrefix, Limits
from tests.unit.engine import wire
from tests.unit.engine.mobile_node import MobileNode
from tests.unit.engine.shell import HA, HOST_MAC, ROUTER_MAC, Sent, Shell, home_link
from tests.unit.engine.wire import address

SEEDS = range(12)
STORM = 300.0  # seconds
CALM = 150.0


class Network:
    """Carries packets both ways; `quality` is the share that arrives once and at once."""

    def __init__(self, seed: int, nodes: int, virtual: bool) -> None:
        self.chance = random.Random(seed)
        texts = ("2001:db8:1::/64", "2001:db8:1:1::/64")
        prefixes = tuple(HomePrefix(Prefix.parse(text)) for text in texts)
        link = home_link(virtual=virtual, max_lifetime=40, prefixes=prefixes)
        self.shell = Shell(link, limits=Limits(max_bindings=nodes))
        self.quality = 0.4
        self.queue: list[tuple[float, int, str, object]] = []
        self.order = count()
        self.nodes = []
        for number in range(nodes):  # two and two are the home addresses of one node: one interface identifier
            home = address(texts[number % 2].replace("/64", f"{number // 2 + 0x10:x}"))
            mac = bytes([2, 0, 0, 0, 1, number])
            self.nodes.append(MobileNode(home, HA, mac, random.Random(f"{seed} {number}")))

    @property
    def now(self) -> float:
        return self.shell.now

    def places(self, node: MobileNode) -> list[bytes | None]:
        index = self.nodes.index(node) // 2
        return [None, *(address(f"2001:db8:f{link}::{index + 1:x}") for link in range(1, 4))]

    def later(self, seconds: float, what: str, argument: object) -> None:
        heapq.heappush(self.queue, (self.now + seconds, next(self.order), what, argument))

    def carry(self, what: str, argument: object) -> None:
        """Put a packet on the way: at once, late, twice, or not at all."""
        if self.chance.random() < self.quality:
            self.later(0.01, what, argument)
            return
        for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
            self.later(self.chance.uniform(0.0, 4.0), what, argument)

    def run(self, seconds: float) -> None:
        """Let everything happen in the order of time."""
        end = self.now + seconds
        while True:
            self.pump()
            engine = self.shell.ha.next_timer()
            times = [engine, *(node.next_at for node in self.nodes), *(entry[0] for entry in self.queue[:1])]
            due = min((time for time in times if time is not None), default=end + 1.0)
            if due > end:
                self.shell.now = end
                return
            self.shell.now = max(self.now, due)
            if self.queue and self.queue[0][0] <= self.now:
                _, _, what, argument = heapq.heappop(self.queue)
                getattr(self, what)(argument)
            elif engine is not None and engine <= self.now:
                self.dispatch(self.shell.carry_out(self.shell.ha.tick(self.now)))
            for node in self.nodes:
                node.tick(self.now)

    def pump(self) -> None:
        for node in self.nodes:
            for packet in node.output:
                mac = node.mac if node.care_of_address is None else ROUTER_MAC
                self.carry("to_home_agent", (packet, mac))
            node.output.clear()

    def dispatch(self, sent: list[Sent]) -> None:
        for one in sent:
            if one.packet.kind == "BA":
                self.carry("to_mobile_node", one)

    def to_home_agent(self, argument: tuple[bytes, bytes]) -> None:
        self.dispatch(self.shell.receive(*argument))

    def to_mobile_node(self, sent: Sent) -> None:
        """Only a node that is where the packet goes gets it."""
        ba = sent.packet
        for node in self.nodes:
            if node.care_of_address is None:
                at_home = ba.destination == node.home_address and ba.routing is None
                if at_home and (self.shell.link.virtual or sent.mac == node.mac):
                    node.receive(ba, self.now)
            elif (ba.destination, ba.routing) == (node.care_of_address, node.home_address):
                node.receive(ba, self.now)

    def move(self, node: MobileNode) -> None:
        """The node moves with both its home addresses."""
        place = self.chance.choice(self.places(node))
        first = self.nodes.index(node) // 2 * 2
        for one in self.nodes[first : first + 2]:
            one.link_local = self.chance.random() < 0.4
            one.attach(place, self.now)

    def trouble(self, _: object) -> None:
        """Somebody else on the home link, an operator, or a switch that refuses."""
        node = self.chance.choice(self.nodes)
        shell, home = self.shell, node.home_address
        what = self.chance.randrange(4)
        if what == 0:
            self.dispatch(shell.receive(wire.neighbor_advertisement(HA, home), HOST_MAC))
        elif what == 1:
            link_local = address("fe80::")[:8] + home[8:]
            self.dispatch(shell.receive(wire.neighbor_solicitation(wire.UNSPECIFIED, link_local), HOST_MAC))
        elif what == 2:
            self.dispatch(shell.clear(home))
        else:
            self.dispatch(shell.fail_installation(home))

    def storm(self) -> None:
        for node in self.nodes:
            time = 0.0
            while time < STORM - 20.0:
                time += self.chance.expovariate(1 / 24.0)
                self.later(time, "move", node)
        for _ in range(25):
            self.later(self.chance.uniform(0.0, STORM - 20.0), "trouble", None)
        for _ in range(4):  # the program is stopped for a while; the others go on
            self.run(STORM / 4)
            self.dispatch(self.shell.jump(self.chance.uniform(0.0, 15.0)))

    def calm(self) -> None:
        self.quality = 1.0
        self.queue = [entry for entry in self.queue if entry[2] not in ("move", "trouble")]
        heapq.heapify(self.queue)
        for node in self.nodes[::2]:
            self.move(node)
        self.run(CALM)


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_after_the_storm_every_binding_is_right(seed: int, virtual: bool) -> None:
    network = Network(seed, nodes=6, virtual=virtual)
    shell = network.shell
    network.storm()
    # It was one: all kinds of answers were seen, and what counts most was seen often.
    assert shell.statistics["ba_sent_0"] > 50 and shell.statistics["ba_sent_135"] > 5
    network.calm()
    for node in network.nodes:
        entry = shell.ha.bindings.get(node.home_address)
        assert node.settled, node.statuses[-5:]
        if node.care_of_address is None:
            assert entry is None or entry.state is State.DELETED
        else:
            assert entry is not None and entry.bound
            assert entry.care_of_address == node.care_of_address
            assert bool(entry.flags & wire.L) == node.link_local
            assert node.bound_until <= entry.expires_at  # the mobile node never believes longer than it holds
    bound = {node.home_address for node in network.nodes if node.care_of_address is not None}
    assert set(shell.flows) == bound
    for node in network.nodes:
        network.shell.update(
            address("2001:db8:f1::77"), (node.sequence + 1) % 65536, home_address=node.home_address, lifetime=0
        )
    shell.advance(20.0)
    assert len(shell.ha.bindings) == 0 and shell.flows == {} and shell.ha.next_timer() is None


def test_all_storms_together_saw_every_answer() -> None:
    """Otherwise they would not prove much."""
    seen: set[str] = set()
    for seed in SEEDS:
        network = Network(seed, nodes=6, virtual=False)
        network.storm()
        seen |= {name for name, value in network.shell.statistics.items() if value}
    wanted = {"ba_sent_0", "ba_sent_130", "ba_sent_133", "ba_sent_134", "ba_sent_135", "bu_duplicate", "dad_failed"}
    assert wanted <= seen
