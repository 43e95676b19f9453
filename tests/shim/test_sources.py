"""Floods, and who gets through to Open vSwitch meanwhile: whom the home agent has registered, and who tries again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
    MIP6MH_CoTI,
)
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw

from deploy.shim import Limits
from deploy.shim.userspace import UserspaceAdapter
from tests.shim.uplink import (
    BRIDGE_MAC,
    DEVICE,
    HOME_AGENT,
    OFFICE_END_POINT,
    OFFICE_MAC,
    ROUTER_MAC,
    Side,
    Uplink,
    as_bytes,
    correspondents,
    endpoint,
)
from topo import lab

pytestmark = pytest.mark.lab

# Little enough that a slow machine makes no difference: 32 at once for strangers in common and then 32 a second, 4 for
# each group, and as many for those who come again.
LIMITS = Limits(256, 256, 256, new_sources=128, known_sources=1000)
AT_ONCE, PER_SECOND = 32 + 4, 33
MANY = 600
SOME = 20
MOST = 10  # of some: what is made up for meanwhile lets a few through
MOMENT = 0.5  # seconds; a mobile node waits for 1 s at least
KNOWN, SAME_NETWORK = "2001:db8:f0:10::100", "2001:db8:f0:10::200"
ELSEWHERE = "2001:db8:f1:1::100"
NOISY = "2001:db8:bad0:1000::"
HOME, CORRESPONDENT = "2001:db8:1::100", "2001:db8:c::1"
SOURCE_AT = 14 + 8


@pytest.fixture
def wire(link: lab.Network) -> Iterator[Uplink]:
    adapter = UserspaceAdapter()
    adapter.attach(DEVICE, [endpoint()], [correspondents()], LIMITS)
    sides = Side(DEVICE, None), Side("wire0", "wire")
    yield Uplink(adapter, *sides)
    for side in sides:
        side.close()
    adapter.detach(DEVICE)


def update(source: str = NOISY) -> bytes:
    header = IPv6(src=source, dst=HOME_AGENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)]) / MIP6MH_BU()
    return as_bytes(Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / header)


def esp(source: str = NOISY) -> bytes:
    return as_bytes(Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=source, dst=HOME_AGENT, nh=50) / Raw(bytes(32)))


def care_of_test_init(source: str = NOISY, destination: str = CORRESPONDENT) -> bytes:
    return as_bytes(Ether(src=ROUTER_MAC, dst=OFFICE_MAC) / IPv6(src=source, dst=destination) / MIP6MH_CoTI())


def correspondent_update(source: str = NOISY) -> bytes:
    header = IPv6(src=source, dst=CORRESPONDENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)]) / MIP6MH_BU()
    return as_bytes(Ether(src=ROUTER_MAC, dst=OFFICE_MAC) / header)


def tunnelled(source: str = NOISY) -> bytes:
    inner = IPv6(src=HOME, dst=CORRESPONDENT) / UDP(sport=1, dport=2)
    return as_bytes(Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=source, dst=HOME_AGENT) / inner)


def optimized(source: str = NOISY) -> bytes:
    packet: Packet = IPv6(src=source, dst=CORRESPONDENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)])
    return as_bytes(Ether(src=ROUTER_MAC, dst=OFFICE_MAC) / packet / UDP(sport=1, dport=2))


Make = Callable[..., bytes]
SIGNALLING = {"update": update, "esp": esp, "correspondent": correspondent_update, "test": care_of_test_init}
DATA = {"tunnel": tunnelled, "home address": optimized}
every_kind = pytest.mark.parametrize("make", [*SIGNALLING.values(), *DATA.values()], ids=[*SIGNALLING, *DATA])


def from_many(frame: bytes, numbers: Iterable[int], network: str = NOISY) -> list[bytes]:
    """The frame from many addresses of a network; no checksum counts here."""
    half = socket.inet_pton(socket.AF_INET6, network)[:8]
    return [frame[:SOURCE_AT] + half + number.to_bytes(8, "big") + frame[SOURCE_AT + 16 :] for number in numbers]


def from_everywhere(frame: bytes, numbers: Iterable[int]) -> list[bytes]:
    """Each from another network, of all groups."""
    return [
        frame[:SOURCE_AT] + bytes.fromhex("20010db8") + (number * 2654435761 % 2**32).to_bytes(4, "big")
        + frame[SOURCE_AT + 8 :]
        for number in numbers
    ]  # fmt: skip


def dropped(wire: Uplink, frames: Iterable[bytes]) -> int:
    """How many of the frames the limits drop."""

    def counted() -> int:
        counters = wire.adapter.status(DEVICE).counters
        return counters["ingress_signalling_dropped"] + counters["ingress_newcomer_dropped"]

    def at_rest() -> int:
        last = -1
        while (now := counted()) != last:
            last = now
            time.sleep(0.01)
        return now

    before = at_rest()
    for frame in frames:
        wire.outside.send(frame)
    return at_rest() - before


def acknowledge(
    wire: Uplink, care_of: str, message: Packet | None = None, mac: str = BRIDGE_MAC, **fields: int
) -> None:
    """What the home agent tells a mobile node, on its way out."""
    routing = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME])
    header = IPv6(src=HOME_AGENT, dst=care_of) / routing / (message or MIP6MH_BA(**fields))
    frame = as_bytes(Ether(src=mac, dst=ROUTER_MAC) / header)
    assert wire.going_out(frame) == [frame]


def protected(wire: Uplink, care_of: str) -> None:
    """The same in ESP, transport mode."""
    routing = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME], nh=50)
    header = IPv6(src=HOME_AGENT, dst=care_of) / routing / Raw(bytes(40))
    frame = bytes(Ether(src=BRIDGE_MAC, dst=ROUTER_MAC) / header)
    assert wire.going_out(frame) == [frame]


def tunnel_to(wire: Uplink, care_of: str) -> None:
    inner = IPv6(src=CORRESPONDENT, dst=HOME) / UDP()
    outer = IPv6(src=HOME_AGENT, dst=care_of, nh=47) / GRE(proto=0x86DD, key_present=1, key=0)
    assert len(wire.going_out(as_bytes(Ether(src=BRIDGE_MAC, dst=ROUTER_MAC) / outer / inner))) == 1


def route_to(wire: Uplink, care_of: str) -> None:
    inner = IPv6(src=CORRESPONDENT, dst=HOME) / UDP()
    outer = IPv6(src=OFFICE_END_POINT, dst=care_of, nh=47) / GRE(proto=0x86DD, key_present=1, key=1)
    assert len(wire.going_out(as_bytes(Ether(src=OFFICE_MAC, dst=ROUTER_MAC) / outer / inner))) == 1


@every_kind
def test_strangers_come_in_at_a_limited_rate(wire: Uplink, make: Make) -> None:
    began = time.monotonic()
    passed = MANY - dropped(wire, from_many(make(), range(MANY)))
    assert AT_ONCE <= passed <= AT_ONCE + PER_SECOND * (time.monotonic() - began) + SOME
    # Another kind is not concerned.
    assert dropped(wire, [(esp if make is not esp else update)()]) == 0


@every_kind
def test_another_group_of_networks_has_a_share_of_its_own(wire: Uplink, make: Make) -> None:
    half = socket.inet_pton(socket.AF_INET6, ELSEWHERE)[:8]
    for frame in (*from_many(make(), range(MANY)), *from_many(make(), range(4), ELSEWHERE)):
        wire.outside.send(frame)
    assert sum(half in frame for frame in wire.coming_in(make(KNOWN))) == 4


@every_kind
def test_who_tries_again_gets_through(wire: Uplink, make: Make) -> None:
    """Under a flood with invented sources from everywhere."""
    flood = from_everywhere(make(), range(MANY))
    patient = from_many(make(), range(SOME), ELSEWHERE)
    assert dropped(wire, flood) > MANY / 4
    assert dropped(wire, patient) >= MOST
    turned_away = dropped(wire, patient)
    assert turned_away >= MOST  # not at once
    time.sleep(MOMENT)
    assert dropped(wire, from_everywhere(make(), range(MANY, 2 * MANY))) > MANY / 4
    assert dropped(wire, patient) <= SOME - turned_away  # who had come in by chance may be turned away now
    assert dropped(wire, from_many(make(), range(SOME, 2 * SOME), ELSEWHERE)) >= MOST


def flooded(wire: Uplink, make: Make) -> None:
    """Strangers have had all that is for them, of any group."""
    assert dropped(wire, from_everywhere(make(), range(2 * MANY))) > MANY
    assert dropped(wire, from_many(make(), range(SOME), ELSEWHERE)) >= MOST


@pytest.mark.parametrize("make", [update, esp], ids=["update", "esp"])
def test_who_is_registered_is_known_and_so_is_his_network(wire: Uplink, make: Make) -> None:
    acknowledge(wire, KNOWN, status=0)
    flooded(wire, make)
    assert dropped(wire, [make(KNOWN), make(SAME_NETWORK)] * SOME) == 0


@pytest.mark.parametrize(
    "make_known",
    [
        lambda wire: acknowledge(wire, KNOWN, status=1),
        lambda wire: protected(wire, KNOWN),
        lambda wire: tunnel_to(wire, KNOWN),
        lambda wire: route_to(wire, KNOWN),
    ],
    ids=["accepted", "esp", "tunnel", "route"],
)
@every_kind
def test_what_makes_known(wire: Uplink, make: Make, make_known: Callable[[Uplink], None]) -> None:
    make_known(wire)
    flooded(wire, make)
    assert dropped(wire, [make(KNOWN)] * SOME) == 0


def test_what_does_not_make_known(wire: Uplink) -> None:
    acknowledge(wire, KNOWN, status=128)
    acknowledge(wire, KNOWN, MIP6MH_BU())
    acknowledge(wire, KNOWN, mac=OFFICE_MAC, status=0)  # from a host that pretends to be the home agent
    wire.going_out(as_bytes(Ether(src=BRIDGE_MAC, dst=ROUTER_MAC) / IPv6(src=HOME_AGENT, dst=KNOWN) / MIP6MH_BA()))
    dropped(wire, [update(KNOWN), tunnelled(KNOWN)])  # nor what he sends himself
    for make in (update, tunnelled):
        flooded(wire, make)
        fresh = from_many(make(), range(1000, 1000 + SOME), KNOWN)
        assert dropped(wire, fresh) >= MOST


def test_known_sources_data_is_not_limited_and_no_flood_makes_them_forgotten(wire: Uplink) -> None:
    for number in range(500):  # half of what there is room for
        tunnel_to(wire, f"2001:db8:f0:{number:x}::1")
    for make in (update, tunnelled):
        flooded(wire, make)
    known = [tunnelled(f"2001:db8:f0:{number:x}::1") for number in range(500)]
    assert dropped(wire, known * 3) == 0
    assert dropped(wire, known[:1] * MANY) == 0


def test_a_stranger_that_has_been_let_through_may_send_on_but_not_flood(wire: Uplink) -> None:
    """Somebody may be bound of whom this uplink has not learnt yet."""
    wire.adapter.attach(DEVICE, [endpoint()], [correspondents()], replace(LIMITS, new_sources=2000))
    assert dropped(wire, [tunnelled(KNOWN)] * 500) == 0
    assert dropped(wire, [tunnelled(KNOWN)] * 5000) > 1000
    assert dropped(wire, [tunnelled(SAME_NETWORK)] * 500) == 0


def test_a_known_network_cannot_take_it_all(wire: Uplink) -> None:
    """Nor what is for strangers in other networks, or for single sources that are known."""
    acknowledge(wire, KNOWN, status=0)
    acknowledge(wire, ELSEWHERE, status=0)
    frames = from_many(update(), range(2 * MANY), KNOWN)
    assert dropped(wire, frames) > MANY / 3
    others = [
        update(KNOWN),
        update(ELSEWHERE),
        *from_many(update(), range(60), ELSEWHERE),
        update("2001:db8:f3:2::1"),
    ]
    assert dropped(wire, others) == 0


def test_what_is_for_others_is_not_limited(wire: Uplink) -> None:
    elsewhere = care_of_test_init(destination="2001:db8:d::1")
    assert dropped(wire, from_many(elsewhere, range(MANY))) == 0
    to_end_point = IPv6(src=NOISY, dst=HOME_AGENT) / UDP(sport=1, dport=2)
    frame = as_bytes(Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / to_end_point)
    assert dropped(wire, from_many(frame, range(MANY))) == 0


def test_other_limits_apply_at_once_and_who_is_known_stays(wire: Uplink) -> None:
    adapter = wire.adapter
    assert adapter.status(DEVICE).limits == LIMITS
    acknowledge(wire, KNOWN, status=0)
    wider = replace(LIMITS, signalling=1_000_000)
    assert adapter.attach(DEVICE, [endpoint()], [correspondents()], wider).limits == wider
    assert dropped(wire, from_many(update(), range(MANY))) == 0
    adapter.attach(DEVICE, [endpoint()], [correspondents()], LIMITS)
    flooded(wire, update)
    assert dropped(wire, [update(KNOWN)] * SOME) == 0
    larger = replace(LIMITS, known_sources=2000)
    assert adapter.attach(DEVICE, [endpoint()], [correspondents()], larger).limits == larger


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Limits(new_sources=0)
