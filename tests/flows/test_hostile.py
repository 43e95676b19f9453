"""Strangers: malformed packets, and too many of them."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BRR,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    MIP6MH_CoT,
    MIP6MH_CoTI,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    Raw,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from deploy.shim import adapter_for
from ryu_apps import pipeline
from ryu_apps.pipeline import Punt
from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    REMOTE_GATEWAY_MAC,
    SECOND_HOME_ADDRESS,
    UPLINK,
    Campus,
    Settings,
)
from tests.flows.neighbor_discovery import is_answer, solicitation
from tests.flows.stations import MobileNode, Recorder
from topo import lab

SIGNALLING_RATE = 5000  # packets a second

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize(
        "campus",
        [Settings(limits={"punt_rates": {"signalling": SIGNALLING_RATE}})],
        ids=["few punts"],
        indirect=True,
        scope="module",
    ),
]

MOBILITY_HEADER = 135


def bindings(campus: Campus) -> list[dict[str, Any]]:
    found = campus.manager.get("/v1/bindings")["bindings"]
    return [{name: value for name, value in entry.items() if name != "remaining_lifetime"} for entry in found]


def packet(mobility_header: bytes, home_address: str | None = None, fix: bool = True) -> bytes:
    """A Mobility Header in a packet from the remote link; `fix` makes its checksum right."""
    home = IPv6ExtHdrDestOpt(options=[HAO(hoa=home_address)]) if home_address else None
    source = f"2001:db8:9::{random.getrandbits(16):x}"  # one address may not send that much
    outer = IPv6(src=source, dst=HOME_AGENT)
    if fix and len(mobility_header) >= 6:
        zeroed = mobility_header[:4] + bytes(2) + mobility_header[6:]
        pseudo = IPv6(src=home_address or source, dst=HOME_AGENT)
        mobility_header = zeroed[:4] + in6_chksum(MOBILITY_HEADER, pseudo, zeroed).to_bytes(2, "big") + zeroed[6:]
    if home is None:
        outer.nh = MOBILITY_HEADER
        return bytes(outer / Raw(mobility_header))
    home.nh = MOBILITY_HEADER
    return bytes(outer / home / Raw(mobility_header))


def malformed(campus: Campus, rng: random.Random) -> Iterator[bytes]:
    """Packets that nobody should send, each different."""
    mobile = campus.mobile
    update = mobile.binding_update(sequence=mobile.sequence + 1000)[IPv6]
    whole, body = bytes(update), bytes(update[MIP6MH_BU])
    # Cut off, with and without a payload length that fits.
    for length in range(40, len(whole), 2):
        yield whole[:length]
        yield whole[:4] + (length - 40).to_bytes(2, "big") + whole[6:length]
    # Each octet of the Mobility Header turned around; those of the fixed fields with a right checksum, too.
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 0xFF
        yield packet(bytes(changed), HOME_ADDRESS, fix=False)
        if position < 3:
            yield packet(bytes(changed), HOME_ADDRESS)
    # Every type, with nothing or with too much in it.
    for mh_type in range(256):
        yield packet(bytes([59, 0, mh_type, 0, 0, 0, 0, 0]))
    for message in (MIP6MH_BRR, MIP6MH_HoTI, MIP6MH_CoTI, MIP6MH_HoT, MIP6MH_CoT, MIP6MH_BA, MIP6MH_BE):
        octets = bytes(IPv6(src=REMOTE.address, dst=HOME_AGENT) / message())[40:]
        yield packet(octets[:8])
        yield packet(octets + rng.randbytes(8 * rng.randrange(1, 20)))
    # Noise, with the length that the header says, or not.
    for _ in range(150):
        size = 8 * rng.randrange(1, 40)
        noise = bytearray(rng.randbytes(size))
        if rng.random() < 0.7:
            noise[0], noise[1], noise[2] = 59, size // 8 - 1, rng.randrange(8)
        if noise[2] == 5 and rng.random() < 0.9:
            noise[8] &= 0x3F  # neither A nor H: what would be a correct Binding Update changes nothing either
        yield packet(bytes(noise), rng.choice((None, HOME_ADDRESS, "::", "ff02::1", "fe80::1", HOME_AGENT)))
    # Fragments.
    for offset, more in ((0, 1), (2, 0)):
        fragment = IPv6ExtHdrFragment(nh=MOBILITY_HEADER, offset=offset, m=more)
        yield bytes(IPv6(src=REMOTE.address, dst=HOME_AGENT) / fragment / Raw(body[:16]))


def test_malformed_signalling(registered: Campus) -> None:
    """Whatever comes, no binding changes, nothing is thrown, and who is registered is still served."""
    campus = registered
    rng = random.Random(6275)
    before, punted = bindings(campus), campus.manager.punted()["signalling"]
    with REMOTE.recording() as remote:
        for index, octets in enumerate(malformed(campus, rng)):
            remote.send(bytes(Ether(src=REMOTE.mac, dst=REMOTE_GATEWAY_MAC, type=0x86DD)) + octets)
            if index % 100 == 99:  # at most as fast as the meter lets through
                assert LOCAL.ping(HOME_ADDRESS) == 3
    lab.wait_until(lambda: campus.manager.punted()["signalling"] - punted > 400, "the punts")
    assert campus.mobile.register() == 0
    assert campus.manager.get("/healthz")["status"] == "ok"
    assert campus.manager.statistics().get("internal_errors", 0) == 0
    after = bindings(campus)
    for entry in (*before, *after):
        if entry["home_address"] == HOME_ADDRESS:
            del entry["sequence"], entry["updated_at"]  # this one has just registered
    assert after == before
    assert campus.manager.complaints() == []


def test_malformed_neighbor_discovery(registered: Campus) -> None:
    """Solicitations for a defended address with every length and option, to the flows and to the controller."""
    campus = registered
    rng = random.Random(4861)
    frame = bytes(solicitation(NEIGHBOUR, HOME_ADDRESS))
    frames = []
    for length in range(54, len(frame)):
        frames.append(frame[:18] + (length - 54).to_bytes(2, "big") + frame[20:length])
        frames.append(frame[:length])
    for _ in range(200):
        changed = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(54, len(frame))] = rng.randrange(256)
        frames.append(bytes(changed))
    for start in range(0, len(frames), 50):
        with NEIGHBOUR.recording() as recorder:
            for octets in frames[start : start + 50]:
                recorder.send(octets)
            for with_option in (True, False):
                recorder.send(solicitation(NEIGHBOUR, SECOND_HOME_ADDRESS, with_option=with_option))
            recorder.wait_for(lambda _, here=recorder: len(answers(here, SECOND_HOME_ADDRESS)) == 2, "both answers")
    assert campus.manager.get("/healthz")["status"] == "ok"
    assert campus.manager.statistics().get("internal_errors", 0) == 0
    assert LOCAL.ping(HOME_ADDRESS) == 3


def dropped_by_meter(campus: Campus, kind: Punt) -> int:
    """How many packets the meters of a kind have dropped."""
    numbers = {meter.meter_id for meter in pipeline.meters({kind: 1})}
    printed = campus.switch.ofctl("meter-stats")
    counted = re.findall(r"meter:(\d+) .*?\n\s*0: packet_count:(\d+)", printed, re.DOTALL)
    assert numbers <= {int(number) for number, _ in counted}
    return sum(int(count) for number, count in counted if int(number) in numbers)


def dropped_signalling(campus: Campus) -> int:
    """By the meters, and by the adapter before them."""
    counters = adapter_for("netdev").status(UPLINK).counters
    return dropped_by_meter(campus, Punt.SIGNALLING) + counters["ingress_signalling_dropped"]


def flood(recorder: Recorder, mobile: MobileNode, count: int) -> None:
    """Correct Binding Updates for as many home addresses, as fast as this machine can."""
    update = bytes(mobile.binding_update(home_address="2001:db8:9::1", lifetime=400))
    for _ in range(count):
        recorder.send(update)


def test_a_flood_of_one_kind_leaves_the_others_alone(registered: Campus) -> None:
    """Each kind of punt has its own meter: signalling above its rate is dropped, Neighbor Discovery is answered."""
    campus = registered
    rounds, part = 5, 2000
    with campus.mobile.recording() as visited, NEIGHBOUR.recording() as neighbour:
        before, dropped = campus.manager.punted(), dropped_signalling(campus)
        began = time.monotonic()
        for round_number in range(rounds):
            flood(visited, campus.mobile, part)
            for target in (HOME_ADDRESS, SECOND_HOME_ADDRESS):
                neighbour.send(solicitation(NEIGHBOUR, target, with_option=round_number % 2 == 0))
            flood(visited, campus.mobile, part)
        took = time.monotonic() - began
        neighbour.wait_for(
            lambda _: all(len(answers(neighbour, target)) == rounds for target in (HOME_ADDRESS, SECOND_HOME_ADDRESS)),
            "all answers",
        )
        after = campus.manager.punted()
    # A part of the flood does not even get into the switch, the more the slower this machine is.
    assert dropped_signalling(campus) - dropped > 1000
    assert dropped_by_meter(campus, Punt.NEIGHBOR_DISCOVERY) == 0
    rate = SIGNALLING_RATE / pipeline.NETWORK_PART
    assert 0 < after["signalling"] - before["signalling"] <= rate * (took + 2)  # one second's as a burst
    assert LOCAL.ping(HOME_ADDRESS) == REMOTE.ping(HOME_ADDRESS) == 3
    lab.wait_until(lambda: campus.mobile.register() == 0, "a registration after the flood")


def answers(recorder: Recorder, target: str) -> list[Packet]:
    return [packet for packet in recorder.packets() if is_answer(packet, target)]
