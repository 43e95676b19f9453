"""The mobile node moves: from link to link (RFC 6275 section 11.5.1)."""

from __future__ import annotations

from scapy.layers.inet6 import (
    MIP6MH_BU,
    ICMPv6ND_RS,
    ICMPv6NDOptSrcLLAddr,
)

from mip6core import addresses
from tests.demo.bench import (
    FIRST,
    FIRST_NET,
    SECOND,
    SECOND_NET,
    Bench,
    hear,
    kinds,
)
from topo.mobile_node_effects import (
    CloseTunnel,
    Detach,
    Event,
    OpenTunnel,
    Send,
    UseTunnel,
)
from topo.mobile_node_engine import State


def test_a_lost_link_is_forgotten(bench: Bench) -> None:
    bench.bound()
    assert kinds(bench.do(bench.node.link_down(bench.now))) == [Detach]
    bench.wait(100)
    assert len(bench.updates()) == 1
    assert bench.node.link_down(bench.now) == []


def test_a_move_registers_the_new_care_of_address(bench: Bench) -> None:
    bench.bound()
    effects = bench.arrive(SECOND_NET, SECOND)
    assert kinds(effects) == [Detach, Send, OpenTunnel]
    assert bench.sent(MIP6MH_BU)[-1][1].src == SECOND
    assert bench.acknowledge(care_of_address=SECOND)[-1] == UseTunnel(addresses.parse(SECOND))


def test_a_move_without_a_word_from_the_link_layer_is_detected(bench: Bench) -> None:
    bench.bound()
    hear(bench, 5, first=70)
    assert "router_lost" not in bench.events()
    moved = bench.now
    hear(bench, 1, second=70)
    (lost,) = [at for at, effect in bench.done if isinstance(effect, Event) and effect.name == "router_lost"]
    assert lost - moved < 0.6
    assert kinds(bench.do(bench.node.address_usable(addresses.parse(SECOND), bench.now))) == [Send, OpenTunnel]


def test_so_is_a_move_from_home(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    hear(bench, 2, home=70)
    assert bench.node.state is State.HOME
    hear(bench, 1, first=70)
    assert Detach in kinds([effect for _, effect in bench.done])
    assert kinds(bench.do(bench.node.address_usable(addresses.parse(FIRST), bench.now))) == [Send, OpenTunnel]


def test_a_second_router_on_the_link_is_no_move(bench: Bench) -> None:
    bench.bound()
    hear(bench, 10, first=70, second=70)
    assert "router_lost" not in bench.events()


def test_a_silent_router_is_not_left_for_nothing(bench: Bench) -> None:
    bench.bound()
    hear(bench, 2, first=70)
    bench.wait(20)
    assert "router_lost" not in bench.events()


def test_a_router_that_advertises_seldom_gets_its_time(bench: Bench) -> None:
    bench.bound()
    hear(bench, 1, first=10_000)
    hear(bench, 28, second=70)
    assert "router_lost" not in bench.events()
    hear(bench, 3, second=70)
    assert "router_lost" in bench.events()


def test_routers_are_solicited_only_when_none_is_heard(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.wait(0.05)
    bench.advertise(FIRST_NET)
    bench.wait(1.0)
    assert bench.sent(ICMPv6ND_RS) == []
    bench.do(bench.node.link_down(bench.now))
    bench.do(bench.node.link_up(bench.now))
    bench.wait(1.0)
    ((_, packet, effect),) = bench.sent(ICMPv6ND_RS)
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::2", 255)
    assert ICMPv6NDOptSrcLLAddr not in packet  # RFC 4861 section 4.1
    assert effect.link_layer_destination == bytes.fromhex("333300000002")


def test_a_care_of_address_that_is_a_duplicate_is_given_up(bench: Bench) -> None:
    bench.bound()
    effects = bench.do(bench.node.address_gone(addresses.parse(FIRST), bench.now, duplicate=True))
    assert kinds(effects) == [CloseTunnel]
    bench.keep_router(FIRST_NET, 100)
    assert len(bench.updates()) == 1
    bench.do(bench.node.address_usable(addresses.parse(f"{FIRST_NET}d0"), bench.now))
    assert bench.sent(MIP6MH_BU)[-1][1].src == f"{FIRST_NET}d0"
