"""The roaming scenario's arithmetic: what it says must follow from what was seen."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import HAO, MIP6MH_BA, MIP6MH_BU, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting
from scapy.layers.l2 import CookedLinuxV2
from scapy.packet import Packet
from scapy.utils import PcapWriter

from mip6core import addresses
from topo.scenarios import capture
from topo.scenarios.figures import interruption, ping_figures, stream_figures, verdict
from topo.scenarios.journey import binding_right

HOME_ADDRESS = "2001:db8:106:2700::100"
HOME_AGENT = "2001:db8:106:2700::2"
CARE_OF_ADDRESS = "2001:db8:106:1100:0:ff:fe00:100"


def every(seconds: float, start: float, end: float) -> list[float]:
    count = round((end - start) / seconds)
    return [round(start + number * seconds, 4) for number in range(count)]


# --- time without traffic ---


def test_an_interruption_lasts_from_the_last_packet_before_it_to_the_first_after() -> None:
    arrivals = [*every(0.1, 0, 10), *every(0.1, 11.5, 20)]
    assert interruption(arrivals, start=10.0, end=20.0) == 1.6
    assert interruption(arrivals, start=12.0, end=20.0) == 0.1


def test_an_interruption_that_does_not_end_lasts_to_the_end() -> None:
    assert interruption(every(0.1, 0, 10), start=10.0, end=20.0) == 10.1
    assert interruption([], start=10.0, end=20.0) == 10.0


def test_pings_are_counted_between_the_moves() -> None:
    sent = every(0.1, 0, 20)
    replies = [None if 10 <= at < 11.5 else at + 0.01 for at in sent]
    figures = ping_figures(sent, replies, start=10.0, end=18.0)
    assert figures["lost"] == 15
    assert figures["sent"] == 78  # the last two may still be answered, and are not counted
    assert figures["interruption"] == 1.6
    assert figures["resumed"]


@pytest.mark.parametrize("lost_from", [16.8, 0.0])
def test_pings_have_not_resumed_if_one_is_lost_at_the_end(lost_from: float) -> None:
    sent = every(0.1, 0, 20)
    replies = [None if lost_from <= at < 17.0 else at + 0.01 for at in sent]
    assert not ping_figures(sent, replies, start=10.0, end=18.0)["resumed"]


def test_a_stream_that_stands_still_at_the_end_has_not_resumed() -> None:
    arrivals = every(0.1, 0, 16.5)
    assert stream_figures(arrivals, start=10.0, end=17.0) == {"records": 65, "interruption": 0.6, "resumed": True}
    assert not stream_figures(arrivals, start=10.0, end=18.0)["resumed"]


# --- the binding cache ---


def binding(**changes: Any) -> dict[str, Any]:
    return {"home_address": HOME_ADDRESS, "care_of_address": CARE_OF_ADDRESS, "state": "bound", **changes}


@pytest.mark.parametrize(
    ("place", "care_of_address", "bindings", "right"),
    [
        ("home", None, [], True),
        ("home", None, [binding()], False),
        ("visitnet", CARE_OF_ADDRESS, [binding()], True),
        ("visitnet", CARE_OF_ADDRESS, [], False),
        ("visitnet", CARE_OF_ADDRESS, [binding(), binding()], False),
        ("visitnet", CARE_OF_ADDRESS, [binding(care_of_address="2001:db8:106:1100::1")], False),
        ("visitnet", CARE_OF_ADDRESS, [binding(home_address="2001:db8:106:2700::101")], False),
        ("visitnet", CARE_OF_ADDRESS, [binding(state="duplicate_address_detection")], False),
        ("visitnet", None, [binding()], False),
        ("visitnet2", CARE_OF_ADDRESS, [binding()], False),  # of the other network
    ],
)
def test_the_binding_cache_is_judged(
    place: str, care_of_address: str | None, bindings: list[dict[str, Any]], right: bool
) -> None:
    assert binding_right(place, care_of_address, bindings) == right


# --- the verdict ---


def good_run() -> dict[str, Any]:
    def step(place: str, care_of_address: str | None) -> dict[str, Any]:
        return {
            "place": place,
            "care_of_address": care_of_address,
            "binding": None if care_of_address is None else binding(),
            "binding_right": True,
            "flows": [] if care_of_address is None else ["tunnel", "reverse tunnel", "proxy"],
            "data_plane": {
                "into_tunnel": 500,
                "out_of_tunnel": 510,
                "pings": 300,
                "punted": {"signalling": 2, "router_discovery": 99},
            },
            "traffic": {name: {"ping": {"lost": 3, "resumed": True}} for name in ("local", "remote")},
        }

    end = {"sent": 900, "received": 900, "damaged": 0, "ended": True, "error": None}
    return {
        "steps": [
            step("home", None),
            step("visitnet", CARE_OF_ADDRESS),
            step("visitnet2", "2001:db8:106:1000::1"),
            step("home", None),
        ],
        "connections": {name: {"correspondent": dict(end), "mobile": dict(end)} for name in ("local", "remote")},
        "wire": {"tunnelled_out": 900, "tunnelled_in": 900, "gre": 0},
        "care_of_address_direct": True,
        "errors": [],
    }


def test_a_good_run_holds_in_everything() -> None:
    facts = verdict(good_run())
    assert [fact.name for fact in facts if not fact.holds] == []
    assert len(facts) == 10


def change(figures: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(figures)
    where: Any = changed
    *parents, last = (int(word) if word.isdigit() else word for word in path.split("."))
    for word in parents:
        where = where[word]
    where[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "fact"),
    [
        ("connections.local.mobile.received", 899, "tcp_local"),
        ("connections.remote.correspondent.received", 899, "tcp_remote"),
        ("connections.remote.correspondent.damaged", 1, "tcp_remote"),
        ("connections.local.mobile.error", "Connection reset by peer", "tcp_local"),
        ("connections.local.correspondent.ended", False, "tcp_local"),
        ("steps.2.traffic.remote.ping.resumed", False, "pings_resumed"),
        ("steps.1.binding_right", False, "bindings"),
        ("steps.1.data_plane.into_tunnel", 299, "flows_carry_data"),
        ("steps.2.data_plane.out_of_tunnel", 0, "flows_carry_data"),
        ("steps.1.data_plane.pings", 0, "flows_carry_data"),
        ("steps.2.data_plane.punted", {"unresolved": 300}, "controller_carries_none"),
        ("wire.gre", 1, "rfc2473_on_the_wire"),
        ("wire.tunnelled_in", 0, "rfc2473_on_the_wire"),
        ("care_of_address_direct", False, "care_of_address_direct"),
        ("steps.3.binding", {}, "nothing_left"),
        ("steps.3.flows", ["proxy"], "nothing_left"),
        ("errors", ["KernelError"], "no_errors"),
    ],
)
def test_each_fact_falls_by_itself(path: str, value: Any, fact: str) -> None:
    facts = verdict(change(good_run(), path, value))
    assert [one.name for one in facts if not one.holds] == [fact]


# --- the capture at the switch ---


@pytest.fixture
def pcap(tmp_path: Path) -> Path:
    """A home agent that acknowledges after 3 ms and tunnels the first packet after 4; and much that is not meant."""
    update = IPv6(src=CARE_OF_ADDRESS, dst=HOME_AGENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    update /= MIP6MH_BU(seq=7, flags="AH", mhtime=15)
    headers = IPv6(src=HOME_AGENT, dst=CARE_OF_ADDRESS)
    acknowledgement = headers / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME_ADDRESS])
    data = headers / IPv6(src="2001:db8::1", dst=HOME_ADDRESS) / UDP()
    elsewhere = IPv6(src=HOME_AGENT, dst="2001:db8:106:1000::1") / IPv6(src="2001:db8::1", dst=HOME_ADDRESS) / UDP()
    frames: list[tuple[float, int, int, Packet]] = [  # milliseconds, device, packet type (4: outgoing), packet
        (0, 2, 4, data),  # before the update
        (1, 3, 0, update),  # on another port on its way
        (2, 3, 4, acknowledgement / MIP6MH_BA(seq=7)),
        (10, 2, 0, update),
        (11, 2, 4, elsewhere),
        (12, 2, 4, acknowledgement / MIP6MH_BA(seq=6)),
        (12.5, 2, 0, acknowledgement / MIP6MH_BA(seq=7)),  # comes in
        (13, 2, 4, acknowledgement / MIP6MH_BA(seq=7, mhtime=15)),
        (13.5, 3, 4, data),
        (14, 2, 4, data),
        (20, 2, 4, data),
    ]
    file = tmp_path / "switch.pcap"
    with PcapWriter(str(file), linktype=capture.LINUX_SLL2) as writer:
        for at, device, kind, packet in frames:
            frame = CookedLinuxV2(proto=0x86DD, ifindex=device, pkttype=kind, src=b"\0" * 6) / packet
            frame.time = 1_700_000_000 + at / 1000
            writer.write(frame)
    return file


def test_an_exchange_is_timed_at_its_port(pcap: Path) -> None:
    found = capture.exchange(capture.read(pcap), 2, 7, addresses.parse(CARE_OF_ADDRESS))
    assert found is not None and found.acknowledged is not None and found.first_tunnelled is not None
    assert round(found.acknowledged * 1000, 1) == 3.0
    assert round(found.first_tunnelled * 1000, 1) == 4.0


def test_an_exchange_that_is_not_there_is_not_found(pcap: Path) -> None:
    assert capture.exchange(capture.read(pcap), 2, 8, None) is None
    found = capture.exchange(capture.read(pcap), 2, 7, addresses.parse("2001:db8::1"))
    assert found is not None and found.first_tunnelled is None


def test_a_capture_that_is_still_written_can_be_read(pcap: Path) -> None:
    whole = len(list(capture.read(pcap)))
    pcap.write_bytes(pcap.read_bytes()[:-5])
    assert len(list(capture.read(pcap))) == whole - 1
