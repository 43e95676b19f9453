"""What the home agent does and does not forward: the check of the reverse tunnel, a router's duties, other traffic."""

from __future__ import annotations

import random
import re
import socket

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    Raw,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ryu_apps import pipeline
from ryu_apps.pipeline import METER_BASE, Punt, Table
from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    ROUTER,
    SECOND_HOME_ADDRESS,
    TUNNEL_MTU,
    Campus,
)
from tests.flows.stations import Station, ping
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

UNUSED = "2001:db8:1::dead"
UNBOUND = "2001:db8:1::77"
DROPPED = (Table.REVERSE_TUNNEL, "priority=0")


def udp(source: str, destination: str, text: str = "", **fields: int) -> Packet:
    return IPv6(src=source, dst=destination, **fields) / UDP(sport=5, dport=7) / Raw(text.encode())


# --- the reverse tunnel ---


@pytest.mark.parametrize("destination", [REMOTE, LOCAL], ids=["remote", "local"])
def test_only_the_home_address_of_the_care_of_address(registered: Campus, destination: Station) -> None:
    """10.4.5: outer and inner source must be those of one binding."""
    campus, mobile = registered, registered.mobile
    others = (SECOND_HOME_ADDRESS, UNBOUND, HOME_AGENT, REMOTE.address, mobile.at.care_of_address, "fe80::100", "::")
    assert destination.ping(HOME_ADDRESS) == 3
    counted = campus.switch.counted()
    with destination.recording() as recorder, mobile.recording() as visited:
        for source in (*others, HOME_ADDRESS):
            visited.send(mobile.reverse_tunnelled(udp(source, destination.address, source)))
        # From a care-of address that is registered, if not for this home address
        inner = udp(HOME_ADDRESS, destination.address, "second")
        visited.send(mobile.reverse_tunnelled(inner, source=campus.second.at.care_of_address))
        visited.send(mobile.reverse_tunnelled(udp(HOME_ADDRESS, destination.address, "last")))
        recorder.wait_for(lambda frame: Raw in frame and frame[Raw].load == b"last", "the last packet")
        arrived = [packet[Raw].load.decode() for packet in recorder.packets() if UDP in packet]
    assert arrived == [HOME_ADDRESS, "last"]
    counted.wait_for({DROPPED: len(others) + 1})


def test_tunnel_packets_of_a_neighbour_are_not_taken_apart(registered: Campus) -> None:
    """What does not come through the uplink's adapter has a source that nobody has checked."""
    campus, mobile = registered, registered.mobile
    tunnel_port = campus.switch.number(campus.tunnel_port)
    counted = campus.switch.counted()
    forged = IPv6(src=mobile.at.care_of_address, dst=HOME_AGENT, nh=41) / udp(HOME_ADDRESS, LOCAL.address)
    with LOCAL.recording() as local, NEIGHBOUR.recording() as neighbour:
        neighbour.send(Ether(src=NEIGHBOUR.mac, dst=campus.bridge_mac) / forged)
        assert NEIGHBOUR.ping(LOCAL.address) == 3
        counted.wait_for({(Table.CLASSIFY, f"in_port={tunnel_port}"): 0})
        assert not [packet for packet in local.packets() if UDP in packet]


SCOPES = {"fe80::1": "fe80::/10", "ff02::1": "ff00::/8", "ff0e::1": "ff00::/8", "::1": "::1", "::": "::"}


@pytest.mark.parametrize("destination", SCOPES)
def test_nothing_of_link_scope_leaves_the_tunnel(registered: Campus, destination: str) -> None:
    """RFC 4291 sections 2.5.2, 2.5.3, 2.5.6: a router forwards to none of these; groups are not joined (10.4.3)."""
    campus, mobile = registered, registered.mobile
    network = SCOPES[destination]
    counted = campus.switch.counted()
    with LOCAL.recording() as local, ROUTER.recording() as wire, mobile.recording() as visited:
        visited.send(mobile.reverse_tunnelled(udp(HOME_ADDRESS, destination)))
        counted.wait_for({(Table.FORWARD, f"ipv6_dst={network}"): 1})
        assert not [packet for packet in local.packets() if UDP in packet]
        assert not [packet for packet in wire.packets() if UDP in packet]


def test_first_packet_to_a_neighbour_waits_for_its_address(registered: Campus) -> None:
    """RFC 4861 section 7.2.2: while the home agent asks for a neighbour's link-layer address, packets wait."""
    campus, mobile = registered, registered.mobile
    before = campus.manager.punted().get("unresolved", 0)
    with NEIGHBOUR.recording() as recorder:
        assert mobile.ping(NEIGHBOUR.address, count=10) == 10
        question = recorder.wait_for(lambda f: ICMPv6ND_NS in f and f[IPv6].src == HOME_AGENT, "a solicitation")
        requests = [packet for packet in recorder.packets() if ICMPv6EchoRequest in packet]
    assert question[ICMPv6ND_NS].tgt == NEIGHBOUR.address
    assert [packet.hlim for packet in requests] == [63] * 10  # also of those that went through the controller
    assert 1 <= campus.manager.punted()["unresolved"] - before <= 3


def test_unreachable_neighbour(registered: Campus) -> None:
    """RFC 4861 section 7.2.2: after three solicitations in vain the sender is told, in its tunnel."""
    campus, mobile = registered, registered.mobile
    with mobile.recording() as visited, LOCAL.recording() as local:
        sent = udp(HOME_ADDRESS, UNUSED, "anybody there?")
        visited.send(mobile.reverse_tunnelled(sent))
        error = visited.wait_for(lambda frame: ICMPv6DestUnreach in frame, "Destination Unreachable", timeout=6)
        targets = [packet[ICMPv6ND_NS].tgt for packet in local.packets() if ICMPv6ND_NS in packet]
    assert targets.count(UNUSED) == 3
    assert_error_in_tunnel(campus, error, sent)
    assert error[ICMPv6DestUnreach].code == 3  # address unreachable


# --- a router's duties ---


def assert_error_in_tunnel(campus: Campus, error: Packet, invoking: Packet) -> None:
    """An ICMPv6 error from the home agent to the mobile node, tunnelled like anything to it."""
    outer, inner = error[IPv6], error[IPv6:2]
    assert (outer.src, outer.dst, outer.nh) == (HOME_AGENT, campus.mobile.at.care_of_address, 41)
    assert (inner.src, inner.dst) == (HOME_AGENT, HOME_ADDRESS)
    assert_quotes(inner, invoking)


def assert_quotes(error: Packet, invoking: Packet) -> None:
    """The packet in error is in the message, all of it where it is small, but for the hop limit."""
    quoted, original = bytearray(bytes(error[3] if error.nh == 41 else error)[48:]), bytearray(bytes(invoking))
    quoted[7] = original[7] = 0
    assert quoted == original
    again = error.copy()
    del again[1].cksum
    assert bytes(again) == bytes(error)  # scapy makes the same checksum


@pytest.mark.parametrize(("station", "hops"), [(LOCAL, 1), (REMOTE, 2)], ids=["local", "remote"])
def test_hop_limit_used_up_before_the_tunnel(registered: Campus, station: Station, hops: int) -> None:
    """RFC 2473 section 3.1, RFC 4443 section 3.3."""
    campus = registered
    assert station.ping(HOME_ADDRESS) == 3
    before = campus.manager.punted().get("tunnel_error", 0)
    with station.recording() as recorder:
        station.ping(HOME_ADDRESS, "-t", str(hops), count=1)
        error = recorder.wait_for(lambda frame: ICMPv6TimeExceeded in frame, "Time Exceeded")[IPv6]
        (sent,) = [packet for packet in recorder.packets(outgoing=True) if ICMPv6EchoRequest in packet]
    assert (error.src, error.dst, error[ICMPv6TimeExceeded].code) == (HOME_AGENT, station.address, 0)
    assert_quotes(error, sent)
    assert campus.manager.punted()["tunnel_error"] == before + 1


@pytest.mark.parametrize("destination", [REMOTE.address, LOCAL.address, SECOND_HOME_ADDRESS])
def test_hop_limit_used_up_behind_the_tunnel(registered: Campus, destination: str) -> None:
    """The mobile node is told in its tunnel."""
    campus, mobile = registered, registered.mobile
    sent = udp(HOME_ADDRESS, destination, "tired", hlim=1)
    with mobile.recording() as visited:
        visited.send(mobile.reverse_tunnelled(sent))
        error = visited.wait_for(lambda frame: ICMPv6TimeExceeded in frame, "Time Exceeded")
    assert_error_in_tunnel(campus, error, sent)


def test_last_hop_to_the_home_agent(registered: Campus) -> None:
    """A packet for the home agent itself is not forwarded, so its hop limit may be used up."""
    mobile = registered.mobile
    request = IPv6(src=HOME_ADDRESS, dst=HOME_AGENT, hlim=1) / ICMPv6EchoRequest(id=1, seq=2)
    with mobile.recording() as visited:
        visited.send(mobile.reverse_tunnelled(request))
        visited.wait_for(lambda frame: ICMPv6EchoReply in frame, "the answer")


@pytest.mark.parametrize("source", ["fe80::1234", "::", "::1", "ff02::1"])
def test_sources_of_link_scope_stay_on_their_link(registered: Campus, source: str) -> None:
    """RFC 4291 sections 2.5.2, 2.5.3, 2.5.6, 2.7: such a packet for a home address is not tunnelled."""
    campus = registered
    counted = campus.switch.counted()
    with ROUTER.recording() as wire, LOCAL.recording() as local:
        local.send(Ether(src=LOCAL.mac, dst=campus.bridge_mac) / udp(source, HOME_ADDRESS))
        network = {**SCOPES, "fe80::1234": "fe80::/10"}[source]
        counted.wait_for({(Table.ENCAPSULATE, f"ipv6_src={network}"): 1, (Table.TUNNEL_OUTPUT, "priority=0,ipv6"): 0})
        assert not [packet for packet in wire.packets() if UDP in packet]


def test_path_mtu_is_learnt(registered: Campus) -> None:
    """After one Packet Too Big a correspondent's kernel cuts its datagrams to fit, and the fragments are tunnelled."""
    campus = registered
    data = random.Random(1).randbytes(3000)
    with lab.inside(campus.mobile.ns):
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind((HOME_ADDRESS, 7000))
        receiver.settimeout(3)
        for station in (LOCAL, REMOTE):
            assert station.ping(HOME_ADDRESS) == 3
            run("ip -6 route flush cache", station.ns)
            with lab.inside(station.ns):
                sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            with sender, station.recording() as recorder:
                sender.sendto(data, (HOME_ADDRESS, 7000))
                recorder.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")
                lab.wait_until(
                    lambda at=station: f"mtu {TUNNEL_MTU}" in run(f"ip -6 route get {HOME_ADDRESS}", at.ns).stdout,
                    "the correspondent to know",
                )
                sender.sendto(data, (HOME_ADDRESS, 7000))
                assert receiver.recvfrom(4000)[0] == data


# --- everything else ---


def test_traffic_that_is_not_ours(registered: Campus) -> None:
    """Hosts of the home link talk as on any switch, to each other, to the router and beyond, in IPv4 too."""
    campus = registered
    before = campus.manager.punted()
    for station, address in ((LOCAL, "192.0.2.12/24"), (NEIGHBOUR, "192.0.2.14/24")):
        run(f"ip addr add {address} dev {station.device}", station.ns)
    assert LOCAL.ping("192.0.2.14") == 3
    for destination in (NEIGHBOUR, ROUTER, REMOTE):
        assert LOCAL.ping(destination.address) == destination.ping(LOCAL.address) == 3
    assert LOCAL.ping(HOME_AGENT) == REMOTE.ping(HOME_AGENT) == ping(None, REMOTE.address) == 3
    assert LOCAL.ping(NEIGHBOUR.address, "-s", "1452", "-M", "do") == 3
    data = {kind: count for kind, count in campus.manager.punted().items() if kind != "neighbor_discovery"}
    assert data == {kind: before.get(kind, 0) for kind in data}


def test_a_mobile_node_at_home(registered: Campus) -> None:
    """A home address without a binding is a host like any other."""
    campus = registered
    counted = campus.switch.counted()
    run(f"ip addr add {UNBOUND}/64 dev {NEIGHBOUR.device} nodad", NEIGHBOUR.ns)
    assert LOCAL.ping(UNBOUND) == REMOTE.ping(UNBOUND) == 3
    counted.wait_for({(Table.ENCAPSULATE, "priority=0,ipv6"): 0, (Table.TUNNEL_OUTPUT, "priority=0,ipv6"): 0})


def test_frames_cross_the_bridge_as_they_are(registered: Campus) -> None:
    """Other protocols and groups of IPv6."""
    sent = [
        bytes(Ether(src=LOCAL.mac, dst=destination, type=0x88B5) / Raw(bytes(60)))  # for local experiments
        for destination in (NEIGHBOUR.mac, "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05")
    ]
    sent.append(bytes(Ether(src=LOCAL.mac, dst=NEIGHBOUR.mac, type=0x88B5) / Raw(bytes(1486))))
    sent.append(bytes(Ether(src=LOCAL.mac, dst="33:33:00:00:00:05") / udp("fe80::1", "ff02::5", hlim=1)))
    with NEIGHBOUR.recording() as recorder, LOCAL.recording() as local:
        for frame in sent:
            local.send(frame)
        # OVS keeps the order within a flow only.
        lab.wait_until(lambda: set(sent) <= set(recorder.frames(outgoing=False)), "all frames")
        assert all(recorder.frames(outgoing=False).count(frame) == 1 for frame in sent)


# --- single packets, table by table ---

HOST_TO_HOST = f"in_port=3,dl_src={LOCAL.mac},dl_dst={NEIGHBOUR.mac},ipv6_src={LOCAL.address},nw_ttl=64"
TO_HOME_AGENT = f"in_port=3,dl_src={LOCAL.mac},ipv6_src={LOCAL.address},ipv6_dst={HOME_AGENT},nw_ttl=64"
TO_HOME_ADDRESS = f"in_port=3,dl_src={LOCAL.mac},ipv6_src={LOCAL.address},ipv6_dst={HOME_ADDRESS}"


@pytest.mark.parametrize(
    ("packet", "tables", "actions"),
    [
        (f"udp6,{HOST_TO_HOST},ipv6_dst={NEIGHBOUR.address}", [0, 20], r"\d+"),
        (f"udp6,{HOST_TO_HOST},ipv6_dst={REMOTE.address}", [0], r"\d+"),
        (f"ipv6,nw_proto=135,{HOST_TO_HOST},ipv6_dst={NEIGHBOUR.address}", [0, 20], r"\d+"),
        (f"ipv6,nw_proto=47,{HOST_TO_HOST},ipv6_dst={NEIGHBOUR.address}", [0, 20], r"\d+"),
        (f"ipv6,nw_proto=135,{TO_HOME_AGENT}", [0, 60, 61], r"(meter\(\d+\),){2}userspace\(.*controller\(.*\)\)"),
        (f"ipv6,nw_proto=47,{TO_HOME_AGENT}", [0], "drop"),
        (f"ipv6,nw_proto=47,dl_vlan=5,{TO_HOME_AGENT}", [0], "drop"),
        (f"ipv6,nw_proto=47,nw_frag=first,{TO_HOME_AGENT}", [0], "drop"),
        (f"ipv6,nw_proto=47,nw_frag=later,{TO_HOME_AGENT}", [0], "drop"),
        # Neighbor Discovery is never tunnelled, be it valid or not.
        (f"icmp6,icmpv6_type=133,nw_ttl=255,{TO_HOME_ADDRESS}", [0], r"[\d,]+"),
        (f"icmp6,icmpv6_type=134,nw_ttl=255,{TO_HOME_ADDRESS}", [0], r"[\d,]+(,meter\(.*)?"),
        (f"icmp6,icmpv6_type=136,nw_ttl=255,{TO_HOME_ADDRESS}", [0, 50], r"[\d,]+"),
        (f"icmp6,icmpv6_type=137,nw_ttl=64,{TO_HOME_ADDRESS}", [0], r"[\d,]+"),
        (f"udp6,nw_ttl=0,{TO_HOME_ADDRESS}", [0, 20, 30, 60], r"meter\(\d+\),userspace\(.*controller\(.*\)\)"),
        (f"udp6,nw_ttl=9,{TO_HOME_ADDRESS}", [0, 20, 30, 31], r"check_pkt_len\(size=1474,.*tnl_push.*\)"),
    ],
)
def test_traced(registered: Campus, packet: str, tables: list[int], actions: str) -> None:
    """ofproto/trace: tables passed in their order, and what the datapath does in the end."""
    campus = registered
    printed = campus.switch.trace(packet if "dl_dst" in packet else f"{packet},dl_dst={campus.bridge_mac}")
    passed = [int(number) for number in re.findall(r"^ *(\d+)\. ", printed, re.MULTILINE)]
    assert passed[: len(tables)] == tables, printed
    result = re.findall(r"^Datapath actions: (.*)$", printed, re.MULTILINE)[-1]
    assert re.fullmatch(actions, result), printed


def test_meters(campus: Campus) -> None:
    """Each kind of punt has its own meter, and there is no other way to the controller."""
    meters = re.findall(r"meter=(\d+) .*?\n.*?rate=(\d+)", campus.switch.ofctl("dump-meters"))
    rates = {int(meter): int(rate) for meter, rate in meters}
    assert rates.keys() == {meter.meter_id for meter in pipeline.meters(dict.fromkeys(Punt, 1))}
    # As in the configuration file when it does not say: 10,000 of signalling, 1000, 100
    assert rates[METER_BASE + Punt.SIGNALLING] == 10_000
    assert rates[pipeline.known_meter(Punt.SIGNALLING, 0)] == 5000
    assert rates[pipeline.all_strangers_meter(Punt.SIGNALLING)] == 5000
    assert rates[pipeline.stranger_meter(Punt.SIGNALLING, 0)] == 2500
    assert (rates[METER_BASE + Punt.NEIGHBOR_DISCOVERY], rates[METER_BASE + Punt.TUNNEL_ERROR]) == (1000, 100)
    punts = [flow for flow in campus.switch.flows() if "CONTROLLER" in flow.actions]
    assert {flow.table for flow in punts} == {Table.PUNT, Table.PUNT_BY_NETWORK}
    used = [int(found[1]) for flow in punts if (found := re.match(r"meter:(\d+),CONTROLLER", flow.actions))]
    assert set(used) <= rates.keys()
    assert {flow.cookie & 0xFFFFFFFF for flow in punts} == set(Punt)
    assert len(set(used)) == len(used)
    assert len(used) == len(punts)
