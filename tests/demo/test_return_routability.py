"""Return routability and correspondent registration of the mobile node (RFC 6275 sections 5.2, 11.6, 11.7.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BE,
    MIP6MH_BRR,
    MIP6MH_BU,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
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
    away,
)
from tests.demo.correspondent import CORRESPONDENT, LATENCY, Correspondent, World, acknowledgement, option
from topo.mobile_node_effects import EndRouteOptimization, Event, OptimizeRoute

OTHER = "2001:db8:d::4"
HOME_TOKEN, CARE_OF_TOKEN = b"home tok", b"care-of "


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


@pytest.fixture
def correspondent() -> Correspondent:
    return Correspondent()


@pytest.fixture
def world(correspondent: Correspondent) -> World:
    return World.of(correspondent)


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


def changed(packet: Packet, **fields: object) -> Packet:
    copy = packet.copy()
    for name, value in fields.items():
        where = copy if name in ("src", "dst") else copy.lastlayer()
        setattr(where, name, value)
    return copy


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
    world.run(200)
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
    world.run(300)
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


# --- acknowledgements (11.7.3) ---


def registering(world: World) -> tuple[Packet, bytes]:
    """A Binding Update that the correspondent does not answer, and its key."""
    waiting(world)
    for packet in answers(world):
        world.bench.receive(packet)
    kbm = hashlib.sha1(HOME_TOKEN + CARE_OF_TOKEN).digest()
    return messages(world, MIP6MH_BU)[-1], kbm


def test_only_with_the_right_authenticator_an_acknowledgement_counts(world: World) -> None:
    update, kbm = registering(world)
    sequence = update[MIP6MH_BU].seq
    right = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, kbm)
    forged = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, bytes(20))
    bare = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, None)
    of_another = acknowledgement(CORRESPONDENT, update, 0, sequence + 1, 100, kbm)
    stranger = acknowledgement(OTHER, update, 0, sequence, 100, kbm)
    for packet in (forged, bare, of_another, stranger):
        assert world.bench.receive(packet) == []
    assert OptimizeRoute(addresses.parse(CORRESPONDENT)) in world.bench.receive(right)


def test_padding_behind_the_authenticator_spoils_it(world: World) -> None:
    update, kbm = registering(world)
    packet = acknowledgement(CORRESPONDENT, update, 0, update[MIP6MH_BU].seq, 100, kbm)
    whole = IPv6(bytes(packet))
    message = whole.lastlayer()
    padded = bytes(message)[:1] + bytes((message.len + 1,)) + bytes(message)[2:] + b"\x01\x06" + bytes(6)
    headers = IPv6(src=CORRESPONDENT, dst=FIRST) / IPv6ExtHdrRouting(
        nh=135, type=2, segleft=1, addresses=[HOME_ADDRESS]
    )
    again = IPv6(bytes(headers / padded))
    again.lastlayer().cksum = None
    assert world.bench.receive(IPv6(bytes(again))) == []


@pytest.mark.parametrize("status", [128, 130, 132, 200])
def test_a_refusal_leaves_the_way_through_the_home_agent(world: World, status: int) -> None:
    update, kbm = registering(world)
    start = world.now
    world.bench.receive(acknowledgement(CORRESPONDENT, update, status, update[MIP6MH_BU].seq, 0, kbm))
    assert happened(world, start)[-2:] == ["correspondent_acknowledgement", "route_optimization_failed"]
    world.run(60)
    assert len(messages(world, MIP6MH_BU)) == 1


def test_status_135_takes_the_sequence_number_over(world: World, correspondent: Correspondent) -> None:
    world.visit()
    bound = correspondent.binding(world.now)
    assert bound is not None
    bound.sequence = (bound.sequence + 1000) & 0xFFFF
    world.visit(SECOND_NET, SECOND)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}
    assert correspondent.updates[-1][MIP6MH_BU].seq == (bound.sequence + 1) & 0xFFFF


def test_status_135_of_a_stranger_changes_nothing(world: World) -> None:
    update, _ = registering(world)
    assert world.bench.receive(acknowledgement(CORRESPONDENT, update, 135, 9, 0, bytes(20))) == []


def test_nonces_that_the_correspondent_has_lost_are_tested_anew(world: World, correspondent: Correspondent) -> None:
    world.visit()
    since = world.now
    correspondent._index = lambda now: int(now // 30) + 500 & 0xFFFF  # type: ignore[method-assign]
    correspondent.bindings.clear()
    world.visit(SECOND_NET, SECOND)
    assert len(messages(world, MIP6MH_HoTI, since)) == 1  # after status 136: the token was used again first
    assert world.optimized == {addresses.parse(CORRESPONDENT)}


# --- keeping the binding (11.7.4, 11.7.3) ---


def test_the_binding_is_renewed_before_it_ends(world: World, correspondent: Correspondent) -> None:
    world.visit()
    for _ in range(60):
        world.run(60)
        bound = correspondent.binding(world.now)
        assert bound is not None and world.optimized
    assert "route_by_home_agent" not in happened(world)
    assert len(correspondent.updates) <= 20
    assert EndRouteOptimization not in [type(effect) for _, effect in world.bench.done]


def test_old_tokens_are_not_used_again(world: World) -> None:
    world.visit()
    start = world.now
    world.run(215)  # MAX_TOKEN_LIFETIME is 210 s
    world.visit(SECOND_NET, SECOND)
    assert len(messages(world, MIP6MH_HoTI, start + 215)) == 1


def test_a_refresh_request_is_answered_with_a_binding_update(world: World, correspondent: Correspondent) -> None:
    world.visit()
    world.bench.receive(away(FIRST, source=CORRESPONDENT) / MIP6MH_BRR())
    world.run(1.0)
    assert len(correspondent.updates) == 2
    world.bench.receive(IPv6(src=HOME_AGENT, dst=FIRST) / IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / MIP6MH_BRR())
    world.run(1.0)
    assert len(correspondent.updates) == 3


def test_a_refresh_request_of_a_node_without_a_binding_is_not(world: World) -> None:
    world.loss = drop(MIP6MH_CoT)
    world.visit(seconds=30)
    world.bench.receive(away(FIRST, source=CORRESPONDENT) / MIP6MH_BRR())
    world.bench.receive(away(FIRST, source=OTHER) / MIP6MH_BRR())
    assert messages(world, MIP6MH_BU) == []


# --- the correspondent has no binding, or does not know the protocol (11.3.5, 11.3.6) ---


def binding_error(status: int = 1, source: str = CORRESPONDENT, home_address: str = HOME_ADDRESS) -> Packet:
    return IPv6(src=source, dst=FIRST) / MIP6MH_BE(status=status, ha=home_address)


def test_a_binding_error_sends_data_through_the_home_agent_until_there_is_a_binding_again(
    world: World, correspondent: Correspondent
) -> None:
    world.visit()
    correspondent.bindings.clear()
    effects = world.bench.receive(binding_error())
    assert EndRouteOptimization(addresses.parse(CORRESPONDENT)) in effects
    world.run(0.5)
    assert world.optimized == set()
    world.run(1.0)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}
    assert correspondent.binding(world.now) is not None


@pytest.mark.parametrize(
    "packet",
    [
        binding_error(source=OTHER),
        binding_error(home_address="2001:db8:1::101"),
        changed(binding_error(), dst=SECOND),
        binding_error(status=2),  # nothing is expected
    ],
    ids=["stranger", "other home address", "other care-of address", "unknown message"],
)
def test_errors_that_are_not_about_us_are_ignored(world: World, packet: Packet) -> None:
    world.visit()
    assert world.bench.receive(packet) == []


def test_a_correspondent_that_knows_no_such_message_is_left_alone(world: World) -> None:
    waiting(world)
    world.bench.receive(binding_error(status=2, home_address="::"))
    assert happened(world)[-1] == "route_optimization_failed"
    world.visit(SECOND_NET, SECOND, 30)
    assert len(messages(world, MIP6MH_CoTI)) == 1


@pytest.mark.parametrize("tunnelled", [True, False])
def test_a_host_without_mobile_ipv6_is_left_alone_for_a_while(world: World, tunnelled: bool) -> None:
    waiting(world)
    offending = messages(world, MIP6MH_HoTI)[0].payload if tunnelled else messages(world, MIP6MH_CoTI)[0]
    problem = ICMPv6ParamProblem(code=1, ptr=6) / bytes(offending)
    packet = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS if tunnelled else FIRST) / problem
    world.bench.receive(IPv6(src=HOME_AGENT, dst=FIRST) / packet if tunnelled else packet)
    assert happened(world)[-1] == "route_optimization_failed"
    world.visit(SECOND_NET, SECOND, 30)
    assert len(messages(world, MIP6MH_CoTI)) == 1
    world.loss = lambda packet: False
    world.run(300)
    assert world.optimized  # it may have learnt


@pytest.mark.parametrize(
    "problem",
    [
        lambda packet: ICMPv6ParamProblem(code=1, ptr=7) / packet,
        lambda packet: ICMPv6ParamProblem(code=0, ptr=6) / packet,
        lambda packet: ICMPv6TimeExceeded() / packet,
        lambda packet: ICMPv6ParamProblem(code=1, ptr=6) / packet[:6],
        lambda packet: ICMPv6ParamProblem(code=1, ptr=6) / bytes(IPv6(src=FIRST, dst=OTHER, nh=135)),
    ],
)
def test_other_icmpv6_errors_change_nothing(world: World, problem: Callable[[bytes], Packet]) -> None:
    waiting(world)
    packet = bytes(messages(world, MIP6MH_CoTI)[0])
    assert world.bench.receive(IPv6(src=CORRESPONDENT, dst=FIRST) / problem(packet)) == []


# --- movement and home ---


def test_a_move_needs_the_care_of_test_only(world: World, correspondent: Correspondent) -> None:
    world.visit()
    since = world.now
    world.visit(SECOND_NET, SECOND)
    assert messages(world, MIP6MH_HoTI, since) == []  # the home keygen token is used again
    assert [packet.src for packet in messages(world, MIP6MH_CoTI, since)] == [SECOND]
    bound = correspondent.binding(world.now)
    assert bound is not None and bound.care_of_address == SECOND
    # Care-of test and home registration run side by side, then the Binding Update
    at = [moment for moment, effect in world.bench.done if isinstance(effect, OptimizeRoute)]
    assert at[-1] - since < 4.5 * LATENCY


def test_no_binding_update_before_the_home_agent_has_accepted(world: World) -> None:
    world.visit()
    since = world.now
    world.loss = lambda packet: packet.src == HOME_AGENT
    world.visit(SECOND_NET, SECOND)
    assert messages(world, MIP6MH_CoTI, since) != []
    assert messages(world, MIP6MH_BU, since) == []


def test_at_home_the_binding_is_taken_back(world: World, correspondent: Correspondent) -> None:
    world.visit()
    world.come_home()
    packet = correspondent.updates[-1]  # which has checked its authenticator, made with the home keygen token alone
    assert packet.src == HOME_ADDRESS
    assert IPv6ExtHdrDestOpt not in packet
    indices = option(packet[MIP6MH_BU], MIP6OptNonceIndices)
    assert packet[MIP6MH_BU].mhtime == 0 and indices is not None and indices.coni == 0
    assert correspondent.binding(world.now) is None
    assert happened(world)[-1] == "correspondent_deregistered"
    assert len(correspondent.updates) == 2
    world.run(1000)
    assert len(correspondent.updates) == 2


def test_at_home_an_old_token_is_replaced_by_a_plain_home_test(world: World, correspondent: Correspondent) -> None:
    world.visit()
    world.run(215)
    since = world.now
    world.come_home()
    (packet,) = messages(world, MIP6MH_HoTI, since)
    assert (packet.src, packet.dst, packet.nh) == (HOME_ADDRESS, CORRESPONDENT, 135)
    assert messages(world, MIP6MH_CoTI, since) == []
    assert correspondent.binding(world.now) is None


def test_taking_back_is_repeated_until_it_is_acknowledged(world: World, correspondent: Correspondent) -> None:
    world.visit()
    world.loss = lambda packet: packet.src == CORRESPONDENT
    since = world.now
    world.come_home(seconds=100)
    assert len(messages(world, MIP6MH_BU, since)) > 5  # one to the home agent's address is not among them
    world.loss = lambda packet: False
    world.run(40)
    assert happened(world)[-1] == "correspondent_deregistered"


def test_taking_back_ends_with_the_binding(world: World) -> None:
    world.visit()
    world.loss = lambda packet: packet.dst == CORRESPONDENT
    world.come_home(seconds=600)
    since = world.now
    world.run(600)
    assert messages(world, MIP6MH_BU, since) == messages(world, MIP6MH_HoTI, since) == []


def test_a_node_that_was_never_bound_takes_nothing_back(world: World) -> None:
    world.loss = drop(MIP6MH_CoT)
    world.visit(seconds=30)
    world.come_home()
    assert messages(world, MIP6MH_BU) == []


def test_away_again_the_route_is_optimised_again(world: World) -> None:
    world.visit()
    world.come_home()
    world.visit(SECOND_NET, SECOND)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}


def test_what_a_lost_link_leaves(world: World) -> None:
    world.visit()
    world.bench.do(world.bench.node.link_down(world.now))
    since = world.now
    world.run(1000)
    assert messages(world, MIP6MH_BU, since) == []
    assert happened(world, since) == []
