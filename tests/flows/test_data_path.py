"""Tunnel, reverse tunnel and proxy Neighbor Discovery in both layouts: by flows alone, and in the right form."""

from __future__ import annotations

import re

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, Raw
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet

from deploy.shim import adapter_for
from ryu_apps.pipeline import Table
from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    REMOTE_GATEWAY_MAC,
    ROUTER,
    SECOND_HOME_ADDRESS,
    STRANGER,
    TUNNEL_MTU,
    TWO_BRIDGES,
    UPLINK,
    Campus,
    Settings,
    known_sources,
)
from tests.flows.stations import Station, recording
from topo.lab import run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [Settings(), TWO_BRIDGES], ids=lambda s: s.name, indirect=True, scope="module"),
]

COUNT = 20
IPV6_IN_IPV6 = 41
GRE_PROTOCOL = 47


def tunnel_path(count: int) -> dict[tuple[Table, str], int]:
    return {
        (Table.BINDINGS, f"ipv6_dst={HOME_ADDRESS}"): count,
        (Table.ENCAPSULATE, "priority=0,ipv6"): count,
        (Table.TUNNEL_OUTPUT, "priority=0,ipv6"): count,
    }


def reverse_path(count: int, forward: str, care_of_address: str) -> dict[tuple[Table, str], int]:
    return {
        (Table.REVERSE_TUNNEL, f"tun_ipv6_src={care_of_address},ipv6_src={HOME_ADDRESS}"): count,
        (Table.BINDINGS, "reg1=0x1"): count,
        (Table.FORWARD, "priority=0,ipv6"): count,
        (Table.DELIVER, forward): count,
    }


def data_punts(campus: Campus) -> dict[str, int]:
    """What data packets could have been punted as. Neighbor Discovery goes on by itself, now and then."""
    return {kind: count for kind, count in campus.manager.punted().items() if kind != "neighbor_discovery"}


@pytest.mark.parametrize(
    ("correspondent", "forward"),
    [(LOCAL, f"ipv6_dst={LOCAL.address}"), (REMOTE, "priority=0,ipv6")],
    ids=["local", "remote"],
)
def test_both_directions_take_the_flows(registered: Campus, correspondent: Station, forward: str) -> None:
    """10.4.2, 10.4.5: interception, tunnel and reverse tunnel, without one packet at the controller."""
    campus = registered
    assert correspondent.ping(HOME_ADDRESS) == 3  # neighbours are resolved
    punted, counted = data_punts(campus), campus.switch.counted()
    assert correspondent.ping(HOME_ADDRESS, count=COUNT) == COUNT
    there = tunnel_path(COUNT)
    back = reverse_path(COUNT, forward, campus.mobile.at.care_of_address)
    counted.wait_for({**there, **back, (Table.REVERSE_TUNNEL, "priority=0"): 0})
    assert data_punts(campus) == punted


def test_two_mobile_nodes_that_are_away(registered: Campus) -> None:
    """Out of one tunnel and into the other, without leaving the switch in between."""
    campus = registered
    one, two = campus.mobile.at.care_of_address, campus.second.at.care_of_address
    punted, counted = data_punts(campus), campus.switch.counted()
    with ROUTER.recording() as wire:
        assert campus.mobile.ping(SECOND_HOME_ADDRESS, count=COUNT) == COUNT
        packets = [packet for packet in wire.packets(outgoing=None) if ICMPv6EchoRequest in packet]
    counted.wait_for(
        {
            (Table.REVERSE_TUNNEL, f"tun_ipv6_src={one},ipv6_src={HOME_ADDRESS}"): COUNT,
            (Table.REVERSE_TUNNEL, f"tun_ipv6_src={two},ipv6_src={SECOND_HOME_ADDRESS}"): COUNT,
            (Table.BINDINGS, f"ipv6_dst={HOME_ADDRESS}"): COUNT,
            (Table.BINDINGS, f"ipv6_dst={SECOND_HOME_ADDRESS}"): COUNT,
            (Table.BINDINGS, "reg1=0x1"): 0,
        }
    )
    assert data_punts(campus) == punted
    # On the wire each request is seen twice, tunnelled both times, and one hop has been counted in between.
    assert [(packet.src, packet.dst) for packet in packets] == [(one, HOME_AGENT), (HOME_AGENT, two)] * COUNT
    assert {packet[IPv6:2].hlim for packet in packets} == {64, 63}


def test_form_of_the_tunnel_on_the_wire(registered: Campus) -> None:
    """RFC 2473 sections 3.1 and 6: the outer header, and what is done to the packet inside."""
    campus = registered
    care_of_address = campus.mobile.at.care_of_address
    sent = IPv6(src=REMOTE.address, dst=HOME_ADDRESS, tc=0xB9, fl=0x12345, hlim=40) / UDP(sport=5, dport=7) / b"to you"
    with ROUTER.recording() as wire, REMOTE.recording() as remote:
        remote.send(Ether(src=REMOTE.mac, dst=REMOTE_GATEWAY_MAC) / sent)
        frame = wire.wait_for(lambda frame: UDP in frame, "the tunnelled packet")
        frames = wire.frames()
    outer, inner = frame[IPv6], frame[IPv6:2]
    assert (frame.src, frame.dst) == (campus.bridge_mac, ROUTER.mac)
    assert (outer.version, outer.src, outer.dst, outer.nh) == (6, HOME_AGENT, care_of_address, IPV6_IN_IPV6)
    assert outer.tc == 0xB9  # 6.4: as inside
    assert outer.hlim == 64  # 6.3
    assert outer.plen == len(inner) == 40 + inner.plen
    # One hop for the router on the way, one for the tunnel's entry point (3.1); nothing else has changed.
    expected = IPv6(bytes(sent))
    expected.hlim = 38
    assert bytes(inner) == bytes(expected)
    assert not gre(frames)


def test_form_of_the_reverse_tunnel(registered: Campus) -> None:
    """What comes out for a correspondent is what the mobile node put in, one hop on."""
    campus, mobile = registered, registered.mobile
    for station, hops in ((REMOTE, 2), (LOCAL, 1)):
        inner = IPv6(src=HOME_ADDRESS, dst=station.address, tc=0x28, fl=0x54321, hlim=33)
        inner = IPv6(bytes(inner / UDP(sport=5, dport=7) / b"from me"))
        assert station.ping(HOME_ADDRESS) == 3  # neighbours are resolved
        with station.recording() as correspondent, mobile.recording() as visited:
            visited.send(mobile.reverse_tunnelled(inner))
            frame = correspondent.wait_for(lambda frame: UDP in frame, "the packet")
        inner.hlim = 33 - hops
        assert bytes(frame[IPv6]) == bytes(inner)
        if station is LOCAL:
            assert (frame.src, frame.dst) == (campus.bridge_mac, LOCAL.mac)


def gre(frames: list[bytes]) -> list[Packet]:
    """The frames that have GRE somewhere."""
    parsed = [Ether(frame) for frame in frames if frame[12:14] == b"\x86\xdd"]
    return [frame for frame in parsed if GRE in frame or frame[IPv6].nh == GRE_PROTOCOL]


def test_no_gre_on_any_wire(registered: Campus) -> None:
    """GRE is between the tunnel port and the adapter only."""
    with ROUTER.recording() as uplink, LOCAL.recording() as local, NEIGHBOUR.recording() as neighbour:
        assert REMOTE.ping(HOME_ADDRESS) == LOCAL.ping(HOME_ADDRESS) == 3
        frames = [wire.frames() for wire in (uplink, local, neighbour)]
    assert len([frame for frame in frames[0] if IPv6 in Ether(frame) and Ether(frame).nh == IPV6_IN_IPV6]) == 12
    assert not [gre(of_wire) for of_wire in frames if gre(of_wire)]


def test_largest_packet(registered: Campus) -> None:
    """RFC 2473 section 7.1: 1460 octets fit, one more does not, and its sender is told."""
    campus = registered
    size = TUNNEL_MTU - 48  # of the data behind an IPv6 header and that of the echo request
    for station in (REMOTE, LOCAL):
        assert station.ping(HOME_ADDRESS) == 3
        punted = campus.manager.punted().get("tunnel_error", 0)
        with ROUTER.recording() as wire, station.recording() as recorder:
            assert station.ping(HOME_ADDRESS, "-M", "do", "-s", str(size)) == 3
            assert {len(packet) for packet in wire.packets(outgoing=None) if packet.nh == IPV6_IN_IPV6} == {1500}
            station.ping(HOME_ADDRESS, "-M", "do", "-s", str(size + 1), count=1)
            error = recorder.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")[IPv6]
            invoking = next(packet for packet in recorder.packets(outgoing=True) if len(packet) == TUNNEL_MTU + 1)
        assert (error.src, error.dst, error[ICMPv6PacketTooBig].mtu) == (HOME_AGENT, station.address, TUNNEL_MTU)
        assert len(error) <= 1280
        quoted = bytearray(bytes(error)[48:])
        assert len(quoted) >= 1180
        quoted[7] = invoking.hlim  # fewer hops are left where the packet was too big
        assert bytes(quoted) == bytes(invoking)[: len(quoted)]
        assert right_checksum(error)
        assert campus.manager.punted()["tunnel_error"] == punted + 1
        run("ip -6 route flush cache", station.ns)


def right_checksum(packet: Packet) -> bool:
    """Whether scapy makes the same checksum."""
    again = packet.copy()
    del again[ICMPv6PacketTooBig].cksum
    return bytes(IPv6(bytes(again))) == bytes(packet)


def test_reverse_tunnel_from_elsewhere_is_dropped(registered: Campus) -> None:
    """10.4.5: the outer source must be the care-of address. What is dropped is counted."""
    campus, mobile = registered, registered.mobile
    elsewhere = mobile.links[1].care_of_address
    counted = campus.switch.counted()
    with REMOTE.recording() as remote, mobile.recording() as visited:
        for source in (elsewhere, elsewhere, mobile.at.care_of_address):
            inner = IPv6(src=HOME_ADDRESS, dst=REMOTE.address) / UDP(sport=5, dport=7) / Raw(source.encode())
            visited.send(mobile.reverse_tunnelled(inner, source=source))
        frame = remote.wait_for(lambda frame: UDP in frame, "the packet from the care-of address")
    assert bytes(frame[UDP].payload) == mobile.at.care_of_address.encode()  # the last one sent is the first to arrive
    counted.wait_for({(Table.REVERSE_TUNNEL, "priority=0"): 2})


@pytest.mark.parametrize("sender", [ROUTER, NEIGHBOUR, STRANGER], ids=lambda station: station.ns)
def test_real_gre_does_not_reach_the_tunnel_port(registered: Campus, sender: Station) -> None:
    """What the tunnel port takes for decapsulated packets could claim any care-of address."""
    campus, mobile = registered, registered.mobile
    forged = GRE(proto=0x86DD, key_present=1, key=0)
    forged /= IPv6(src=HOME_ADDRESS, dst=LOCAL.address) / UDP(sport=5, dport=7) / b"forged"
    outer = IPv6(src=mobile.at.care_of_address, dst=HOME_AGENT, nh=GRE_PROTOCOL)
    adapter = adapter_for("netdev")
    dropped = adapter.status(UPLINK).counters["ingress_gre_dropped"]
    assert LOCAL.ping(HOME_ADDRESS) == sender.ping(HOME_AGENT) == 3
    counted = campus.switch.counted()
    with LOCAL.recording() as local, sender.recording() as wire:
        wire.send(Ether(src=sender.mac, dst=campus.bridge_mac) / outer / forged)
        assert sender.ping(LOCAL.address) == 3
        counted.wait_for({(Table.CLASSIFY, f"in_port={campus.switch.number(campus.tunnel_port)}"): 0})
        assert not [packet for packet in local.packets() if UDP in packet]
    if sender is ROUTER:
        assert adapter.status(UPLINK).counters["ingress_gre_dropped"] == dropped + 1
    elif sender is NEIGHBOUR:
        counted.wait_for({(Table.CLASSIFY, f"priority=180,ipv6,ipv6_dst={HOME_AGENT},nw_proto={GRE_PROTOCOL}"): 1})


def test_who_is_registered_is_known_to_the_adapter(registered: Campus) -> None:
    """So that no flood of strangers keeps it out (tests/shim/test_sources.py). Who is refused is not."""
    campus = registered
    refused = campus.mobile.links[1]
    with campus.mobile.recording(refused) as recorder:
        update = campus.mobile.binding_update(home_address="2001:db8:77::1", link=refused)
        recorder.send(update)
        assert campus.mobile.status(recorder, update) >= 128
    care_of = {campus.mobile.at.care_of_address, campus.second.at.care_of_address}
    assert known_sources() & {*care_of, refused.care_of_address} == care_of


def test_gre_out_of_the_reverse_tunnel_does_not_reach_the_tunnel_port(registered: Campus) -> None:
    """From a mobile node to the home agent: the home address would count as a care-of address."""
    campus, mobile = registered, registered.mobile
    counted = campus.switch.counted()
    for key in (0, 1):
        forged = GRE(proto=0x86DD, key_present=1, key=key)
        forged /= IPv6(src=SECOND_HOME_ADDRESS, dst=LOCAL.address) / UDP(sport=5, dport=7)
        inner = IPv6(src=HOME_ADDRESS, dst=HOME_AGENT, nh=GRE_PROTOCOL) / forged
        with mobile.recording() as visited:
            visited.send(mobile.reverse_tunnelled(inner))
    counted.wait_for(
        {
            (Table.FORWARD, f"ipv6_dst={HOME_AGENT},nw_proto={GRE_PROTOCOL}"): 2,
            (Table.REVERSE_TUNNEL, "priority=0"): 0,
        }
    )


@pytest.mark.parametrize("asker", [LOCAL, ROUTER], ids=["local", "router"])
def test_a_kernel_finds_the_home_address_reachable(registered: Campus, asker: Station) -> None:
    """10.4.1: the switch itself answers its solicitation, so that its entry is REACHABLE at the first packet."""
    campus = registered
    run(f"ip neigh flush dev {asker.device}", asker.ns)
    counted = campus.switch.counted()
    punted = campus.manager.punted().get("neighbor_discovery", 0)
    assert asker.ping(HOME_ADDRESS, "-I", asker.address) == 3
    entry = run(f"ip neigh show {HOME_ADDRESS} dev {asker.device}", asker.ns).stdout
    assert re.fullmatch(rf"\S+ lladdr {campus.bridge_mac} REACHABLE", entry.strip()), entry  # and no "router"
    counted.wait_for({(Table.PROXY_SEND, "icmp_type=136"): 1})
    # Only what the home agent itself may have asked has come to the controller.
    assert campus.manager.punted().get("neighbor_discovery", 0) - punted <= 1


def test_movement(registered: Campus) -> None:
    """The new care-of address works with the first packet, the old one's reverse tunnel no longer does."""
    campus, mobile = registered, registered.mobile
    old, new = mobile.links
    assert LOCAL.ping(HOME_ADDRESS) == 3
    proxies = [flow for flow in campus.switch.flows_of(HOME_ADDRESS) if flow.table == Table.NEIGHBOR_DISCOVERY]
    mobile.visit(new)
    assert mobile.register() == 0
    assert LOCAL.ping(HOME_ADDRESS) == REMOTE.ping(HOME_ADDRESS) == 3
    counted = campus.switch.counted()
    inner = IPv6(src=HOME_ADDRESS, dst=LOCAL.address) / UDP(sport=5, dport=7) / b"from the old place"
    with LOCAL.recording() as local, recording(old.device, mobile.ns) as visited:
        visited.send(Ether(src=old.mac, dst=old.router_mac) / IPv6(src=old.care_of_address, dst=HOME_AGENT) / inner)
        counted.wait_for({(Table.REVERSE_TUNNEL, "priority=0"): 1})
        assert not [packet for packet in local.packets() if UDP in packet]
    assert campus.switch.flows_of(HOME_ADDRESS, old.care_of_address) == []
    assert len(campus.switch.flows_of(HOME_ADDRESS, new.care_of_address)) == 2
    now = [flow for flow in campus.switch.flows_of(HOME_ADDRESS) if flow.table == Table.NEIGHBOR_DISCOVERY]
    assert [flow.match for flow in now] == [flow.match for flow in proxies]
    binding = campus.manager.binding(HOME_ADDRESS)
    assert binding is not None and binding["care_of_address"] == new.care_of_address
