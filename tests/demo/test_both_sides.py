"""The mobile node and our own correspondent node, which share no protocol code but the codec, in virtual time."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from mip6core import addresses
from mip6core.actions import SendDatagram
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from mip6core.correspondent import Correspondent as Engine
from mip6core.correspondent import CorrespondentLimits, CorrespondentLink
from tests.demo.bench import FIRST, FIRST_NET, HOME_ADDRESS, SECOND, SECOND_NET
from tests.demo.correspondent import CORRESPONDENT, Bound, Correspondent, World

NODE, HOME = addresses.parse(CORRESPONDENT), addresses.parse(HOME_ADDRESS)


class Ours(Correspondent):
    """Our engine in the place of the test's correspondent."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        link = CorrespondentLink(
            "office", addresses.parse("2001:db8:c::2"), (Prefix.parse("2001:db8:c::/64"),), bytes(6)
        )
        self.link = link
        self.engine = Engine([link], CorrespondentLimits(), random.Random(seed).randbytes)

    def receive(self, packet: Packet, now: float) -> list[Packet]:
        actions = self.engine.receive(self.link, ipv6.parse(bytes(packet)), now) or []
        return [IPv6(action.packet) for action in actions if isinstance(action, SendDatagram)]

    def binding(self, now: float) -> Bound | None:
        entry = self.engine.bindings.get(NODE, HOME)
        if entry is None or entry.expires_at <= now:
            return None
        return Bound(addresses.text(entry.care_of_address), entry.sequence, entry.expires_at)


@pytest.fixture
def ours() -> Ours:
    return Ours()


@pytest.fixture
def world(ours: Ours) -> World:
    return World.of(ours)


def test_they_agree_on_a_binding_at_each_place(world: World, ours: Ours) -> None:
    for prefix, address in ((FIRST_NET, FIRST), (SECOND_NET, SECOND), (FIRST_NET, FIRST)):
        world.visit(prefix, address)
        bound = ours.binding(world.now)
        assert bound is not None and bound.care_of_address == address
        assert world.optimized == {NODE}
    world.come_home()
    assert ours.binding(world.now) is None
    world.visit(SECOND_NET, SECOND)
    assert ours.binding(world.now) is not None and world.optimized == {NODE}


def test_a_binding_lasts_as_long_as_the_mobile_node_is_away(world: World, ours: Ours) -> None:
    world.visit()
    for _ in range(40):
        world.run(60)
        assert ours.binding(world.now) is not None
    assert "route_by_home_agent" not in [getattr(effect, "name", "") for _, effect in world.bench.done]


def test_a_binding_that_the_operator_clears_comes_back_after_the_binding_error(world: World, ours: Ours) -> None:
    world.visit()
    ours.engine.clear(NODE, HOME, world.now)
    (error,) = ours.engine.unknown_binding(ours.link, addresses.parse(FIRST), HOME, NODE, world.now)
    assert isinstance(error, SendDatagram)
    world.send(IPv6(error.packet))
    world.run(0.1)
    assert world.optimized == set()
    world.run(2.0)
    assert ours.binding(world.now) is not None and world.optimized == {NODE}


def test_a_restarted_correspondent_is_registered_with_again(world: World, ours: Ours) -> None:
    """New Kcn and nonces: the tokens that the mobile node has are worth nothing."""
    world.visit()
    ours.engine = Ours(seed=1).engine
    (error,) = ours.engine.unknown_binding(ours.link, addresses.parse(FIRST), HOME, NODE, world.now)
    assert isinstance(error, SendDatagram)
    world.send(IPv6(error.packet))
    world.run(30.0)
    assert ours.binding(world.now) is not None and world.optimized == {NODE}


@pytest.mark.parametrize("seed", range(4))
def test_over_a_bad_network_they_never_disagree(seed: int) -> None:
    ours = Ours(seed)
    world = World.lossy(0.3, seed, ours, lifetime=120)
    optimized = steps = 0
    for stay in range(10):
        prefix, address = ((FIRST_NET, FIRST), (SECOND_NET, SECOND))[stay % 2]
        world.visit(prefix, address, seconds=0)
        world.optimized.clear()  # by Detach
        for _ in range(240):
            world.run(0.5)
            steps += 1
            if world.optimized:
                optimized += 1
                bound = ours.binding(world.now)
                assert bound is not None and bound.care_of_address == address
    assert optimized > steps / 2
