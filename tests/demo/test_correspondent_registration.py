"""The mobile node's registrations with correspondents: kept up, lost, taken back (RFC 6275 11.7.2 to 11.7.4, 11.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BA,
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
    MIP6MH_HoTI,
    MIP6OptNonceIndices,
)
from scapy.packet import Packet

from mip6core import addresses
from tests.demo.bench import (
    FIRST,
    HOME_ADDRESS,
    HOME_AGENT,
    SECOND,
    SECOND_NET,
    away,
)
from tests.demo.correspondent import (
    CORRESPONDENT,
    LATENCY,
    OTHER,
    Correspondent,
    World,
    acknowledgement,
    changed,
    drop,
    happened,
    messages,
    option,
    registering,
    waiting,
)
from topo.mobile_node_effects import EndRouteOptimization, OptimizeRoute

# --- acknowledgements (11.7.3) ---


def test_only_with_the_right_authenticator_an_acknowledgement_counts(world: World) -> None:
    update, kbm = registering(world)
    sequence = update[MIP6MH_BU].seq
    right = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, kbm)
    forged = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, bytes(20))
    bare = acknowledgement(CORRESPONDENT, update, 0, sequence, 100, None)
    of_another = acknowledgement(CORRESPONDENT, update, 0, sequence + 1, 100, kbm)
    stranger = acknowledgement(OTHER, update, 0, sequence, 100, kbm)
    plain = right.copy()
    plain.remove_payload()
    plain /= right[MIP6MH_BA].copy()  # to the care-of address alone
    for packet in (forged, bare, of_another, stranger, plain):
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


@pytest.mark.parametrize("home", [False, True])
def test_a_correspondent_with_another_secret_is_tested_anew(
    world: World, correspondent: Correspondent, home: bool
) -> None:
    """It has started anew, and takes the nonce index for one of its own: the update is silently dropped."""
    world.visit()
    since = world.now
    correspondent.secret = b"another"
    if home:
        world.come_home()
        assert correspondent.binding(world.now) is None
    else:
        world.visit(SECOND_NET, SECOND)
        assert world.optimized == {addresses.parse(CORRESPONDENT)}
    assert len(correspondent.refused) == 2
    assert len(messages(world, MIP6MH_HoTI, since)) == 1


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


def test_a_host_that_was_silent_when_asked_again_is_asked_after_the_next_move(world: World) -> None:
    waiting(world)
    problem = ICMPv6ParamProblem(code=1, ptr=6) / bytes(messages(world, MIP6MH_CoTI)[0])
    world.bench.receive(IPv6(src=CORRESPONDENT, dst=FIRST) / problem)
    world.run(320)
    assert happened(world)[-1] == "route_optimization_failed"
    world.loss = lambda packet: False
    world.visit(SECOND_NET, SECOND)
    assert world.optimized


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
    world.loss = lambda packet: packet.src == CORRESPONDENT and MIP6MH_BA in packet
    since = world.now
    world.come_home(seconds=100)
    assert len(messages(world, MIP6MH_BU, since)) > 5
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


def test_when_the_home_agent_is_back_so_is_the_direct_way(correspondent: Correspondent) -> None:
    world = World.of(correspondent, lifetime=60)
    world.visit()
    world.loss = lambda packet: HOME_AGENT in (packet.src, packet.dst)
    world.run(70)
    world.optimized.clear()  # by CloseTunnel
    world.loss = lambda packet: False
    world.run(40)
    assert world.optimized == {addresses.parse(CORRESPONDENT)}
    assert correspondent.binding(world.now) is not None


def test_what_a_lost_link_leaves(world: World) -> None:
    world.visit()
    world.bench.do(world.bench.node.link_down(world.now))
    since = world.now
    world.run(1000)
    assert messages(world, MIP6MH_BU, since) == []
    assert happened(world, since) == []
