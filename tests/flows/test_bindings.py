"""What becomes of flows while a binding lives: made, moved, refreshed, ended; and when the mobile node is told."""

from __future__ import annotations

import struct
import time

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import MIP6MH_BA, MIP6MH_BU, IPv6
from scapy.layers.l2 import Ether

from mip6core import addresses
from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Table
from tests.flows.campus import BRIDGE, HOME_ADDRESS, HOME_AGENT, LOCAL, NEIGHBOUR, REMOTE, SECOND_HOME_ADDRESS, Campus
from tests.flows.neighbor_discovery import (
    ALL_NODES,
    ALL_NODES_MAC,
    advertisement,
    assert_proxied,
    is_answer,
    solicitation,
)
from tests.flows.stations import MobileNode, Recorder, acknowledged, recording
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

# Mobile nodes without a kernel: what matters is their flows.
BARE = [f"2001:db8:1::b{number}" for number in range(10)]


@pytest.fixture
def mobile(campus: Campus) -> MobileNode:
    return campus.mobile


def assert_no_trace(campus: Campus, home_address: str) -> None:
    """Nothing is left of a binding: no flow, no answer in Neighbor Discovery, no entry."""
    assert campus.switch.flows_of(home_address) == []
    assert campus.manager.binding(home_address) is None
    with NEIGHBOUR.recording() as recorder:
        # The last question is about an address that is always answered for, by the kernel behind the same switch.
        for target in (home_address, HOME_AGENT):
            recorder.send(solicitation(NEIGHBOUR, target))
        advertisement(recorder, HOME_AGENT)
        assert not [packet for packet in recorder.packets() if is_answer(packet, home_address)]


# --- registration ---


def test_announced_on_the_home_link(campus: Campus, mobile: MobileNode) -> None:
    """10.4.1: the home link learns by advertisements, unasked for, that packets go to the home agent now."""
    with LOCAL.recording() as local:
        assert mobile.register(home_address=BARE[0]) == 0
        frame = advertisement(local, BARE[0])
        flows = campus.switch.flows_of(BARE[0])
        assert_proxied(frame, campus.bridge_mac, ALL_NODES, ALL_NODES_MAC, solicited=False, override=True)
    assert sorted(flow.table for flow in flows) == [Table.REVERSE_TUNNEL, Table.BINDINGS, Table.NEIGHBOR_DISCOVERY]
    assert {cookies.binding_of_item(cookies.item(flow.cookie)) for flow in flows} == {(mobile.sequence, 0xC000)}


@pytest.mark.parametrize("how", ["answers the probe", "probes too"])
def test_address_in_use_at_home(campus: Campus, mobile: MobileNode, how: str) -> None:
    """10.3.1: another node has the home address, or is about to take it: status 134, and no flow at any time."""
    home_address = BARE[1] if how == "probes too" else "2001:db8:1::e7"
    if how == "answers the probe":
        run(f"ip addr add {home_address}/64 dev {NEIGHBOUR.device} nodad", NEIGHBOUR.ns)
    update = mobile.binding_update(home_address=home_address)
    began = time.monotonic()
    with mobile.recording() as visited, NEIGHBOUR.recording() as neighbour:
        visited.send(update)
        if how == "probes too":
            neighbour.wait_for(lambda frame: frame[IPv6].src == "::", "the home agent's probe")
            neighbour.send(solicitation(NEIGHBOUR, home_address, source="::", with_option=False))
        assert mobile.status(visited, update) == 134
    assert time.monotonic() - began < 1  # at once, before the test's time is over
    assert campus.switch.flows_of(home_address) == []
    assert campus.manager.binding(home_address) is None
    assert not [flow for flow in campus.switch.flows() if flow.category == Category.WATCH]


def test_acknowledged_when_the_switch_has_the_flows(campus: Campus, mobile: MobileNode) -> None:
    """10.3.1: as the mobile node sees it: a packet sent the moment the acknowledgement comes is let through."""
    campus.register(mobile)
    home_addresses = BARE[2:8]
    updates = [mobile.binding_update(home_address=home_address) for home_address in home_addresses]
    counted = campus.switch.counted()
    with REMOTE.recording() as remote, mobile.recording() as visited:
        for update in updates:
            visited.send(update)
        frames = {
            home_address: bytes(
                mobile.reverse_tunnelled(IPv6(src=home_address, dst=REMOTE.address) / UDP(sport=5, dport=7) / b"first")
            )
            for home_address in home_addresses
        }
        for home_address in home_addresses:
            visited.wait_for(lambda frame, home=home_address: acknowledged(frame) == home, "an acknowledgement")
            visited.send(frames[home_address])
        for home_address in home_addresses:
            remote.wait_for(lambda frame, home=home_address: frame[IPv6].src == home, f"the packet of {home_address}")
    counted.wait_for({(Table.REVERSE_TUNNEL, "priority=0"): 0})


def test_order_of_openflow_messages(campus: Campus, mobile: MobileNode) -> None:
    """10.3.1: flows, barrier, the switch's reply to it, and only then the acknowledgement."""
    flow_mod, packet_out, barrier_request, barrier_reply = 14, 13, 20, 21
    home_address = addresses.parse(BARE[8])
    for link in mobile.links:  # a first registration, and a movement
        with recording("lo") as wire:
            assert mobile.register(link, home_address=BARE[8]) == 0
            messages = openflow_messages(wire)
        care_of_address = addresses.parse(link.care_of_address)
        about = [(i, kind) for i, (kind, octets) in enumerate(messages) if home_address in octets]
        (answer,) = [i for i, kind in about if kind == packet_out and care_of_address in messages[i][1]]
        flows = [i for i, kind in about if kind == flow_mod]
        assert len(flows) >= 3
        assert flows[-1] < answer
        barriers = [
            (kind, octets[4:8])
            for kind, octets in messages[flows[-1] : answer]
            if kind in (barrier_request, barrier_reply)
        ]
        assert [kind for kind, _ in barriers] == [barrier_request, barrier_reply]
        assert barriers[0][1] == barriers[1][1]  # the transaction


def openflow_messages(wire: Recorder) -> list[tuple[int, bytes]]:
    """Type and octets of the messages between switch and controller, both directions, in the order they were sent."""
    streams: dict[int, bytes] = {}
    messages = []
    for frame in wire.frames(outgoing=False):
        segment = Ether(frame)
        if TCP not in segment or 6653 not in (segment[TCP].sport, segment[TCP].dport):
            continue
        port = segment[TCP].sport
        octets = streams.get(port, b"") + bytes(segment[TCP].payload)
        while len(octets) >= 8 and len(octets) >= (length := struct.unpack_from("!H", octets, 2)[0]):
            messages.append((octets[1], octets[:length]))
            octets = octets[length:]
        streams[port] = octets
    return messages


def test_flows_that_the_switch_refuses(campus: Campus, mobile: MobileNode) -> None:
    """A mobile node must not believe that it is served: 130 in place of 0, and nothing is left."""
    campus.manager.excused.append("switch refused flows")
    full = len([flow for flow in campus.switch.flows() if flow.table == Table.REVERSE_TUNNEL])
    run(
        f"ovs-vsctl -- --id=@t create Flow_Table flow_limit={full} overflow_policy=refuse "
        f"-- set bridge {BRIDGE} flow_tables:{int(Table.REVERSE_TUNNEL)}=@t"
    )
    try:
        assert mobile.register(home_address=BARE[9]) == 130
    finally:
        run(f"ovs-vsctl clear bridge {BRIDGE} flow_tables")
    assert_no_trace(campus, BARE[9])
    assert mobile.register(home_address=BARE[9]) == 0


# --- life ---


def test_hard_timeouts(campus: Campus, mobile: MobileNode) -> None:
    """State dies by itself if the controller does: after twice the lifetime at most, as it was granted last."""
    for lifetime in (300, 3000, 200):
        assert mobile.register(home_address="2001:db8:1::a1", lifetime=lifetime) == 0
        flows = campus.switch.flows_of("2001:db8:1::a1")
        assert len(flows) == 3
        assert all(lifetime < flow.hard_timeout <= 2 * lifetime for flow in flows), (lifetime, flows)


def test_refresh_leaves_the_flows_alone(campus: Campus, mobile: MobileNode) -> None:
    """Most Binding Updates change nothing but the time: no message to the switch but the acknowledgement."""
    home_address = "2001:db8:1::a2"
    assert mobile.register(home_address=home_address, lifetime=300) == 0
    before = campus.switch.flows_of(home_address)
    assert mobile.register(home_address=home_address, lifetime=300) == 0
    assert campus.switch.flows_of(home_address) == before  # the cookies hold the first sequence number
    binding = campus.manager.binding(home_address)
    assert binding is not None
    assert (binding["sequence"], binding["lifetime"]) == (mobile.sequence, 300)


def test_old_sequence_numbers(registered: Campus) -> None:
    """9.5.1: status 135, and the binding stays as it is."""
    campus, mobile = registered, registered.mobile
    before = campus.manager.binding(HOME_ADDRESS)
    assert before is not None
    update = mobile.binding_update(sequence=before["sequence"] - 1, lifetime=0)
    with mobile.recording() as visited:
        visited.send(update)
        answer = visited.wait_for(lambda frame: MIP6MH_BA in frame, "an acknowledgement")
    assert (answer[MIP6MH_BA].status, answer[MIP6MH_BA].seq) == (135, before["sequence"])
    assert campus.manager.binding(HOME_ADDRESS) == before
    assert LOCAL.ping(HOME_ADDRESS) == 3


# --- end ---


def test_deregistration_from_away(registered: Campus) -> None:
    """10.3.2: interception, reverse tunnel and proxy Neighbor Discovery end with the acknowledgement."""
    campus, mobile = registered, registered.mobile
    assert mobile.register(lifetime=0) == 0
    assert_no_trace(campus, HOME_ADDRESS)
    counted = campus.switch.counted()
    with REMOTE.recording() as remote, mobile.recording() as visited:
        visited.send(mobile.reverse_tunnelled(IPv6(src=HOME_ADDRESS, dst=REMOTE.address) / UDP(sport=5, dport=7)))
        counted.wait_for({(Table.REVERSE_TUNNEL, "priority=0"): 1})
        assert not [packet for packet in remote.packets() if UDP in packet]
    # 9.5.1: also what comes late is still known to be old.
    assert mobile.register(sequence=mobile.sequence) == 135


def test_deregistration_at_home(registered: Campus) -> None:
    """10.3.2, 11.5.5: back on the home link the mobile node uses its own address, which is still defended then.

    The acknowledgement goes to where the Binding Update came from, and not into the tunnel.
    """
    campus, mobile = registered, registered.second
    mobile.sequence += 1
    update = Ether(src=NEIGHBOUR.mac, dst=campus.bridge_mac) / IPv6(src=SECOND_HOME_ADDRESS, dst=HOME_AGENT)
    update /= MIP6MH_BU(seq=mobile.sequence, flags="AH", mhtime=0)
    with NEIGHBOUR.recording() as home, mobile.recording() as visited:
        home.send(update)
        answer = home.wait_for(lambda frame: acknowledged(frame) == SECOND_HOME_ADDRESS, "an acknowledgement")
        assert not [packet for packet in visited.packets() if MIP6MH_BA in packet]
    assert (answer.src, answer.dst, answer[IPv6].src) == (campus.bridge_mac, NEIGHBOUR.mac, HOME_AGENT)
    assert (answer[MIP6MH_BA].status, answer[MIP6MH_BA].seq) == (0, mobile.sequence)
    assert_no_trace(campus, SECOND_HOME_ADDRESS)
    # Now its neighbours find it by itself.
    run(f"ip addr add {SECOND_HOME_ADDRESS}/64 dev {NEIGHBOUR.device} nodad", NEIGHBOUR.ns)
    run(f"ip neigh flush dev {LOCAL.device}", LOCAL.ns)
    try:
        assert LOCAL.ping(SECOND_HOME_ADDRESS) == 3
    finally:
        run(f"ip addr del {SECOND_HOME_ADDRESS}/64 dev {NEIGHBOUR.device}", NEIGHBOUR.ns)


def test_expiry(campus: Campus, mobile: MobileNode) -> None:
    """9.6, 10.3.1: when the lifetime is over, so is everything; the flows' own timeouts come later."""
    home_address = "2001:db8:1::a5"
    since = time.monotonic()
    assert mobile.register(home_address=home_address, lifetime=4) == 0
    (ends,) = {flow.hard_timeout for flow in campus.switch.flows_of(home_address)}
    assert 4 < ends <= 8
    lab.wait_until(lambda: not campus.switch.flows_of(home_address), "the flows to go", timeout=6, interval=0.1)
    assert 4 <= time.monotonic() - since < 5.5  # from the Binding Update on
    assert_no_trace(campus, home_address)


def test_cleared_by_the_operator(registered: Campus) -> None:
    """Over REST: nothing is left, not even the sequence number."""
    campus, mobile = registered, registered.mobile
    assert campus.manager.request(f"/v1/bindings/{HOME_ADDRESS}", "DELETE") == (204, None)
    lab.wait_until(lambda: not campus.switch.flows_of(HOME_ADDRESS), "the flows to go")
    assert_no_trace(campus, HOME_ADDRESS)
    assert campus.manager.request(f"/v1/bindings/{HOME_ADDRESS}", "DELETE")[0] == 404
    assert mobile.register(sequence=mobile.sequence - 50) == 0
    assert LOCAL.ping(HOME_ADDRESS) == 3


def test_how_long_flows_and_acknowledgements_took_is_in_the_metrics(registered: Campus) -> None:
    text = run(["curl", "-s", "http://127.0.0.1:8080/metrics"]).stdout
    for name in ("mip6_flow_installation_seconds", "mip6_acknowledgement_seconds"):
        count = next(line for line in text.splitlines() if line.startswith(f"{name}_count"))
        assert float(count.split()[1]) >= 1
