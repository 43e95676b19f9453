"""The mobile node comes home (RFC 6275 sections 11.5.2 and 11.5.5)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BU,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
)

from mip6core import addresses
from tests.demo.bench import (
    AGENT_MAC,
    FIRST,
    FIRST_NET,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_PREFIX,
    LINK_LOCAL,
    OWN_MAC,
    SEQUENCE,
    Bench,
    acknowledge_at_home,
    come_home,
    home_agent_defends,
    kinds,
)
from topo.mobile_node_effects import (
    GoHome,
    Send,
    SetNeighbor,
)
from topo.mobile_node_engine import State


def test_at_home_without_a_binding_the_address_is_checked_like_any_other(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    effects = bench.advertise(HOME_PREFIX)
    assert kinds(effects) == [GoHome]
    assert GoHome((addresses.parse(HOME_ADDRESS),), True) in effects
    bench.wait(100)
    assert [effect for _, effect in bench.done if isinstance(effect, Send)] == []


def test_coming_home_starts_with_a_probe_that_does_not_use_the_home_address(bench: Bench) -> None:
    bench.bound()
    assert kinds(come_home(bench)) == [Send]
    ((_, packet, effect),) = bench.sent(ICMPv6ND_NS)
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::1:ff00:100", 255)
    assert packet[ICMPv6ND_NS].tgt == HOME_ADDRESS
    assert ICMPv6NDOptSrcLLAddr not in packet
    assert effect.link_layer_destination == bytes.fromhex("3333ff000100")


def test_de_registration(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    effects = home_agent_defends(bench)
    assert kinds(effects) == [SetNeighbor, Send, GoHome]  # the address only after the Binding Update, and without DAD
    assert SetNeighbor(addresses.parse(HOME_AGENT), bytes.fromhex(AGENT_MAC.replace(":", ""))) in effects
    assert effects[-1] == GoHome((addresses.parse(HOME_ADDRESS),), False)
    _, packet, effect = bench.sent(MIP6MH_BU)[-1]
    assert effect.link_layer_destination == bytes.fromhex(AGENT_MAC.replace(":", ""))
    assert (packet.src, packet.dst) == (HOME_ADDRESS, HOME_AGENT)
    assert IPv6ExtHdrDestOpt not in packet
    update = packet[MIP6MH_BU]
    assert (update.seq, str(update.flags), update.mhtime) == (SEQUENCE + 2, "HA", 0)
    (alternate,) = [option for option in update.options if isinstance(option, MIP6OptAltCoA)]
    assert alternate.acoa == HOME_ADDRESS


@pytest.mark.parametrize("status", [0, 133], ids=["accepted", "no such binding"])
def test_neighbors_are_told_three_times_once_the_home_agent_has_let_go(bench: Bench, status: int) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.wait(0.01)
    acknowledge_at_home(bench, status)
    assert bench.node.state is State.HOME
    start = bench.now
    bench.wait(100)
    sent = bench.sent(ICMPv6ND_NA)
    assert [round(at - start, 3) for at, _, _ in sent] == [0, 1, 2]
    for _, packet, effect in sent:
        message = packet[ICMPv6ND_NA]
        assert (packet.src, packet.dst, packet.hlim) == (HOME_ADDRESS, "ff02::1", 255)
        assert (message.tgt, message.R, message.S, message.O) == (HOME_ADDRESS, 0, 0, 1)
        assert packet[ICMPv6NDOptDstLLAddr].lladdr == OWN_MAC
        assert effect.link_layer_destination == bytes.fromhex("333300000001")
    assert len(bench.updates()) == 2


def test_de_registration_is_retransmitted_until_the_home_agent_answers(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.done.clear()
    bench.wait(8)
    assert [round(at - bench.sent(MIP6MH_BU)[0][0], 3) for at, _, _ in bench.sent(MIP6MH_BU)] == [0, 2, 6]
    assert bench.sent(ICMPv6ND_NA) == []
    assert acknowledge_at_home(bench) != []


def test_a_home_agent_that_never_answers_has_let_go_when_the_binding_has_run_out(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.wait(100)
    assert bench.node.state is State.HOME
    assert len(bench.sent(ICMPv6ND_NA)) == 3
    updates = len(bench.updates())
    bench.wait(100)
    assert len(bench.updates()) == updates


def test_a_binding_that_was_never_acknowledged_is_taken_back_too(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)  # the home agent may have accepted it: the answer can be lost
    come_home(bench)
    assert bench.node.state is State.LOCATING_HOME_AGENT


def test_a_home_agent_that_does_not_defend_is_asked_for_by_its_own_address(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    bench.do(bench.node.address_usable(addresses.parse(LINK_LOCAL), bench.now))
    bench.wait(1.5)
    targets = [(packet.src, packet[ICMPv6ND_NS].tgt) for _, packet, _ in bench.sent(ICMPv6ND_NS)]
    assert targets == [("::", HOME_ADDRESS), ("::", HOME_ADDRESS), (LINK_LOCAL, HOME_AGENT)]
    assert kinds(home_agent_defends(bench, HOME_AGENT)) == [SetNeighbor, Send, GoHome]


def test_without_a_home_agent_the_address_is_taken_when_the_binding_has_run_out(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    bench.wait(59)
    assert GoHome not in kinds([effect for _, effect in bench.done])
    bench.wait(2)
    assert [effect for _, effect in bench.done if isinstance(effect, GoHome)] == [
        GoHome((addresses.parse(HOME_ADDRESS),), True)
    ]


def test_after_a_return_the_next_move_is_a_first_registration(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    acknowledge_at_home(bench)
    bench.wait(10)
    bench.done.clear()
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 2)
    assert bench.update_times() == [0, 1.5]


def test_leaving_home_stops_the_announcements(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    acknowledge_at_home(bench)
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 5)
    assert len(bench.sent(ICMPv6ND_NA)) == 1


def test_link_local_compatibility() -> None:
    bench = Bench(link_local_compatibility=True).bound()
    assert str(bench.updates()[0].flags) == "LHA"
    come_home(bench)
    effects = home_agent_defends(bench)
    both = (addresses.parse(HOME_ADDRESS), addresses.parse("fe80::100"))
    assert effects[-1] == GoHome(both, False)
    acknowledge_at_home(bench)
    assert [packet[ICMPv6ND_NA].tgt for _, packet, _ in bench.sent(ICMPv6ND_NA)] == [HOME_ADDRESS, "fe80::100"]
