"""Return routability, to the Binding Update that it authorizes (RFC 6275 sections 5.2, 11.6, 11.7.2, 11.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
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
from tests.demo.bench import (
    FIRST,
    FIRST_NET,
    HOME_ADDRESS,
    HOME_AGENT,
    SECOND,
    SECOND_NET,
)
from tests.demo.correspondent import (
    CARE_OF_TOKEN,
    CORRESPONDENT,
    HOME_TOKEN,
    OTHER,
    Correspondent,
    World,
    acknowledgement,
    answers,
    changed,
    drop,
    happened,
    messages,
    option,
    times,
    waiting,
)

# --- the procedure ---


def test_without_correspondents_there_is_no_return_routability() -> None:
    world = World.of()
    world.visit()
    assert messages(world, MIP6MH_HoTI) == messages(world, MIP6MH_CoTI) == []


def test_the_whole_procedure_in_its_order(world: World, correspondent: Correspondent) -> None:
    world.visit()
    assert happened(world) == [
        "care_of_test_init",
        "home_test_init",
        "care_of_test",
        "home_test",
        "correspondent_update",
        "correspondent_acknowledgement",
        "route_optimized",
    ]
    bound = correspondent.binding(world.now)
    assert bound is not None and bound.care_of_address == FIRST
    assert correspondent.refused == []
    assert world.optimized == {addresses.parse(CORRESPONDENT)}


def test_home_test_init_goes_through_the_reverse_tunnel(world: World) -> None:
    world.visit()
    (packet,) = messages(world, MIP6MH_HoTI)
    assert (packet.src, packet.dst, packet.nh) == (FIRST, HOME_AGENT, 41)
    inner = packet.payload
    assert (inner.src, inner.dst, inner.nh) == (HOME_ADDRESS, CORRESPONDENT, 135)
    cookie = inner[MIP6MH_HoTI].cookie
    assert bytes(inner) == bytes(IPv6(src=HOME_ADDRESS, dst=CORRESPONDENT, hlim=64) / MIP6MH_HoTI(cookie=cookie))


def test_care_of_test_init_goes_directly(world: World) -> None:
    world.visit()
    (packet,) = messages(world, MIP6MH_CoTI)
    cookie = packet[MIP6MH_CoTI].cookie
    assert bytes(packet) == bytes(IPv6(src=FIRST, dst=CORRESPONDENT, hlim=64) / MIP6MH_CoTI(cookie=cookie))
    assert cookie != messages(world, MIP6MH_HoTI)[0][MIP6MH_HoTI].cookie


def test_the_home_test_waits_for_the_home_agent_and_the_care_of_test_does_not(world: World) -> None:
    world.loss = lambda packet: packet.src == HOME_AGENT
    world.visit(seconds=1.0)
    assert messages(world, MIP6MH_HoTI) == []
    assert len(messages(world, MIP6MH_CoTI)) == 1


def test_the_binding_update(world: World, correspondent: Correspondent) -> None:
    world.visit()
    (packet,) = messages(world, MIP6MH_BU)
    assert (packet.src, packet.dst) == (FIRST, CORRESPONDENT)
    assert packet[IPv6ExtHdrDestOpt].options[-1].hoa == HOME_ADDRESS
    update = packet[MIP6MH_BU]
    assert (str(update.flags), update.mhtime) == ("A", 420 // 4)
    assert [type(one) for one in update.options if hasattr(one, "otype") and one.otype > 1] == [
        MIP6OptNonceIndices,
        MIP6OptBindingAuthData,
    ]
    assert isinstance(update.options[-1], MIP6OptBindingAuthData)


def test_the_lifetime_is_not_longer_than_that_of_the_home_registration(correspondent: Correspondent) -> None:
    world = World.of(correspondent, lifetime=60)
    world.visit()
    (packet,) = messages(world, MIP6MH_BU)
    assert packet[MIP6MH_BU].mhtime * 4 == 56  # a moment of the 60 s has passed


def test_the_granted_lifetime_counts(world: World, correspondent: Correspondent) -> None:
    correspondent.max_lifetime = 100
    world.visit()
    start = world.now
    world.loss = lambda packet: packet.dst == CORRESPONDENT
    world.run(101)
    assert "route_by_home_agent" in happened(world, start)
    assert world.optimized == set()


def test_each_correspondent_has_its_own_registration() -> None:
    two = Correspondent(), Correspondent(OTHER, b"another Kcn")
    world = World.of(*two)
    world.visit()
    assert world.optimized == {addresses.parse(CORRESPONDENT), addresses.parse(OTHER)}
    assert all(one.binding(world.now) and not one.refused for one in two)


def test_the_first_correspondent_registration_can_wait(correspondent: Correspondent) -> None:
    world = World.of(correspondent, correspondent_patience=3.0)
    world.visit(seconds=2.9)
    assert happened(world) == []
    world.run(1.0)
    assert world.optimized
    since = world.now
    world.visit(SECOND_NET, SECOND, seconds=0.1)
    assert len(messages(world, MIP6MH_CoTI, since)) == 1
    assert world.optimized


def test_waiting_starts_anew_where_the_mobile_node_moves_meanwhile(correspondent: Correspondent) -> None:
    world = World.of(correspondent, correspondent_patience=3.0)
    world.visit(seconds=2)
    world.visit(SECOND_NET, SECOND, seconds=2)
    assert happened(world) == []
    world.run(2)
    assert world.optimized
    world.come_home()
    assert correspondent.binding(world.now) is None


# --- tests that do not count (11.6.2) ---


def test_both_answers_make_a_binding_update(world: World) -> None:
    waiting(world)
    home, care_of = answers(world)
    world.bench.receive(home)
    assert messages(world, MIP6MH_BU) == []
    world.bench.receive(care_of)
    (packet,) = messages(world, MIP6MH_BU)
    indices = option(packet[MIP6MH_BU], MIP6OptNonceIndices)
    assert indices is not None and (indices.hni, indices.coni) == (1, 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda home, care_of: (home.payload, care_of),  # not through the tunnel
        lambda home, care_of: (IPv6(src=OTHER, dst=FIRST) / home.payload, care_of),  # not the home agent's tunnel
        lambda home, care_of: (home, IPv6(src=HOME_AGENT, dst=FIRST) / care_of),  # through the tunnel
        lambda home, care_of: (home, changed(care_of, dst=SECOND)),
        lambda home, care_of: (home, changed(care_of, src=OTHER)),
        lambda home, care_of: (home, changed(care_of, cookie=bytes(8))),
        lambda home, care_of: (changed(home, cookie=bytes(8)), care_of),
        lambda home, care_of: (home, changed(care_of, cksum=1)),
    ],
    ids=[
        "plain",
        "stranger's tunnel",
        "tunnelled",
        "other address",
        "other source",
        "cookie",
        "home cookie",
        "checksum",
    ],
)
def test_answers_that_come_another_way_are_ignored(
    world: World, spoil: Callable[[Packet, Packet], tuple[Packet, Packet]]
) -> None:
    waiting(world)
    for packet in spoil(*answers(world)):
        world.bench.receive(packet)
    assert messages(world, MIP6MH_BU) == []


def test_a_second_answer_changes_nothing(world: World) -> None:
    waiting(world)
    home, care_of = answers(world)
    world.bench.receive(home)
    world.bench.receive(changed(home, token=bytes(8)))
    world.bench.receive(care_of)
    (packet,) = messages(world, MIP6MH_BU)
    kbm = hashlib.sha1(HOME_TOKEN + CARE_OF_TOKEN).digest()
    world.loss = lambda packet: False
    world.bench.receive(acknowledgement(CORRESPONDENT, packet, 0, packet[MIP6MH_BU].seq, 100, kbm))
    assert "route_optimized" in happened(world)


# --- retransmission and giving up (11.8, 5.2.9) ---


@pytest.mark.parametrize(("lost", "sent"), [(MIP6MH_HoT, MIP6MH_HoTI), (MIP6MH_CoT, MIP6MH_CoTI)])
def test_unanswered_tests_are_repeated_with_new_cookies(world: World, lost: type[Packet], sent: type[Packet]) -> None:
    world.loss = drop(lost)
    world.visit(seconds=10)
    assert times(world, sent) == [0, 1, 3, 7]
    assert len({packet[sent].cookie for packet in messages(world, sent)}) == 4
    world.run(50)
    assert len(messages(world, sent)) == 4  # MAX_RO_FAILURE is 3 retries
    assert happened(world)[-1] == "route_optimization_failed"
    assert world.optimized == set()


def test_unanswered_binding_updates_are_repeated_with_new_sequence_numbers(
    world: World, correspondent: Correspondent
) -> None:
    world.loss = lambda packet: packet.src == CORRESPONDENT and IPv6ExtHdrRouting in packet
    world.visit(seconds=20)
    assert times(world, MIP6MH_BU) == [0, 1, 3, 7]
    first, *others = (packet[MIP6MH_BU].seq for packet in messages(world, MIP6MH_BU))
    assert others == [(first + number) & 0xFFFF for number in (1, 2, 3)]
    assert len(correspondent.updates) == 4
    assert world.optimized == set()


def test_after_a_failure_the_next_move_is_another_try(world: World) -> None:
    world.loss = drop(MIP6MH_CoT)
    world.visit(seconds=30)
    world.loss = lambda packet: False
    world.visit(SECOND_NET, SECOND)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}


def test_so_is_a_later_time(world: World) -> None:
    world.loss = drop(MIP6MH_CoT)
    world.visit(seconds=30)
    world.loss = lambda packet: False
    world.run(60)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}


@pytest.mark.parametrize("seed", range(8))
def test_over_a_bad_network_data_goes_directly_only_while_the_correspondent_agrees(
    seed: int, correspondent: Correspondent
) -> None:
    """A mobile node wanders for half an hour; three packets in ten get lost."""
    world = World.lossy(0.3, seed, correspondent, lifetime=120)
    places = [(FIRST_NET, FIRST), (SECOND_NET, SECOND)]
    optimized = steps = 0
    for stay in range(12):
        prefix, address = places[stay % 2]
        world.visit(prefix, address, seconds=0)
        world.optimized.clear()  # by Detach
        for _ in range(300):
            world.run(0.5)
            steps += 1
            if world.optimized:
                optimized += 1
                bound = correspondent.binding(world.now)
                assert bound is not None and bound.care_of_address == address
    assert optimized > steps / 2
    assert correspondent.refused == []


def test_the_rate_limit_holds_whatever_comes(world: World) -> None:
    """A correspondent that always answers 136: no more than three messages of a type in a second (11.8)."""
    correspondent = world.correspondents[CORRESPONDENT]
    correspondent._old = lambda index, now: True  # type: ignore[method-assign]
    world.visit(seconds=30)
    for layer in (MIP6MH_HoTI, MIP6MH_BU):
        at = times(world, layer)
        assert 3 <= len(at) <= 8
        assert all(later - earlier >= 1.0 for earlier, later in zip(at, at[3:], strict=False))
    assert happened(world)[-1] == "route_optimization_failed"
