"""RFC 6275 sections 9.3 and 10: the home agent is a correspondent of its own mobile nodes, by flows alone."""

from __future__ import annotations

import socket

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BE,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    Raw,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ryu_apps.pipeline import Punt, Table
from tests.flows.campus import (
    BRIDGE,
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    ROUTER,
    SECOND_HOME_ADDRESS,
    TWO_BRIDGES,
    Campus,
    Settings,
)
from tests.flows.stations import recording, routed
from topo import lab
from topo.lab import run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [Settings(), TWO_BRIDGES], ids=lambda s: s.name, indirect=True, scope="module"),
]

COUNT = 10
ROUTE_MTU = 1476  # 1500 on the wire, less a Type 2 Routing Header
UNBOUND = "2001:db8:1::77"


def punts(campus: Campus, *kinds: Punt) -> dict[str, int]:
    """How many packets have come to the controller as one of these kinds, or as any but those of others' making.

    The mobile node's kernel knows no home address, and complains of the routing headers.
    """
    others = {Punt.NEIGHBOR_DISCOVERY, Punt.ROUTER_DISCOVERY, Punt.ICMPV6_ERROR}
    names = {kind.name.lower() for kind in kinds or set(Punt) - others}
    return {kind: count for kind, count in campus.manager.punted().items() if kind in names}


def test_a_bound_mobile_node_is_answered_with_a_routing_header(registered: Campus) -> None:
    """9.3.1, 9.3.2: both directions take the flows, and no hop is counted by a node that does not forward."""
    campus, mobile = registered, registered.mobile
    assert mobile.ping_optimized(HOME_AGENT) == 3
    punted, counted = punts(campus), campus.switch.counted()
    assert mobile.ping_optimized(HOME_AGENT, count=COUNT) == COUNT
    care_of_address = mobile.at.care_of_address
    counted.wait_for(
        {
            (Table.REVERSE_TUNNEL, f"tun_ipv6_src={care_of_address},ipv6_src={HOME_ADDRESS}"): COUNT,
            (Table.BINDINGS, "priority=140,reg1=0x1,reg5=0x1"): COUNT,
            (Table.DELIVER, f"ipv6_dst={HOME_AGENT}"): COUNT,
            (Table.BINDINGS, f"ipv6_dst={HOME_ADDRESS}"): COUNT,
            (Table.ENCAPSULATE, "priority=110,ipv6,reg5=0x1"): COUNT,
            (Table.TUNNEL_OUTPUT, "priority=20,ipv6,reg5=0x1"): COUNT,
        }
    )
    assert punts(campus) == punted


def test_form_on_the_wire(registered: Campus) -> None:
    """6.4, 9.3.2: the reply is what the kernel made, with a routing header; the request reached it as it was sent."""
    mobile = registered.mobile
    request = ICMPv6EchoRequest(id=7, seq=9, data=b"to the home agent")
    with mobile.recording() as visited, recording(BRIDGE) as own:
        visited.send(mobile.optimized(request, HOME_AGENT, hlim=7, tc=0x28, fl=0x12345))
        answer = visited.wait_for(
            lambda frame: routed(frame) and routed(frame)[1].haslayer(ICMPv6EchoReply), "an answer"
        )
        taken = own.wait_for(lambda frame: ICMPv6EchoRequest in frame, "the request")[IPv6]
        reply = own.wait_for(lambda frame: ICMPv6EchoReply in frame, "the reply", outgoing=True)[IPv6]
    assert (taken.src, taken.dst, taken.hlim, taken.tc, taken.fl) == (HOME_ADDRESS, HOME_AGENT, 6, 0x28, 0x12345)
    assert bytes(taken[ICMPv6EchoRequest].data) == b"to the home agent"
    home_address, inner = routed(answer)
    assert home_address == HOME_ADDRESS
    inner.hlim += 1  # the router is between
    assert bytes(inner) == bytes(reply)
    assert answer[IPv6].src == HOME_AGENT


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_the_host_says_first(registered: Campus, protocol: str) -> None:
    """9.3.2 is not for replies only."""
    mobile = registered.mobile
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with mobile.recording() as visited, socket.socket(socket.AF_INET6, kind) as sender:
        sender.bind((HOME_AGENT, 0))
        sender.setblocking(False)
        port = sender.getsockname()[1]
        sender.connect_ex((HOME_ADDRESS, 5000))
        if protocol == "udp":
            sender.send(b"hello")
        frame = visited.wait_for(lambda frame: routed(frame) and routed(frame)[1].sport == port, "the first packet")
        assert not [packet for packet in visited.packets() if packet.nh == 41]
    home_address, inner = routed(frame)
    assert (home_address, inner.dport) == (HOME_ADDRESS, 5000)


def test_a_wrong_pair_draws_a_binding_error(registered: Campus) -> None:
    """9.3.1, 9.3.3: from another care-of address, or for a home address that is not bound, even another's."""
    campus, mobile = registered, registered.mobile
    elsewhere = mobile.links[1].care_of_address
    before = punts(campus, Punt.UNBOUND).get("unbound", 0)
    wrong = [(HOME_ADDRESS, elsewhere), (UNBOUND, mobile.at.care_of_address)]
    wrong.append((SECOND_HOME_ADDRESS, mobile.at.care_of_address))
    for home_address, source in wrong:
        frame = Ether(src=mobile.at.mac, dst=mobile.at.router_mac) / IPv6(src=source, dst=HOME_AGENT)
        frame /= IPv6ExtHdrDestOpt(options=[HAO(hoa=home_address)]) / ICMPv6EchoRequest(id=8, seq=1)
        link = next(link for link in mobile.links if link.care_of_address == source)
        with mobile.recording() as visited, recording(link.device, mobile.ns) as there, recording(BRIDGE) as own:
            visited.send(frame)
            error = there.wait_for(lambda frame: MIP6MH_BE in frame, "a Binding Error")[IPv6]
            assert not [packet for packet in own.packets() if ICMPv6EchoRequest in packet]
        message = error[MIP6MH_BE]
        assert (error.src, error.dst, error.nh) == (HOME_AGENT, source, 135)
        assert (message.status, message.ha) == (1, home_address)
        again = error.copy()
        del again[MIP6MH_BE].cksum
        assert bytes(IPv6(bytes(again))) == bytes(error)
    assert punts(campus, Punt.UNBOUND)["unbound"] == before + 3


def test_packet_too_big(registered: Campus) -> None:
    """A routing header takes 24 octets of the link's 1500: the host is told before, and the next packet passes."""
    campus, mobile = registered, registered.mobile
    size = ROUTE_MTU - 48
    run("ip -6 route flush cache")
    for octets in (size, size + 1):
        with mobile.recording() as visited, recording(BRIDGE) as own:
            run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(octets), HOME_ADDRESS], check=False)
            if octets == size:
                frame = visited.wait_for(routed, "the largest packet")
                assert len(frame[IPv6]) == 1500
            else:
                error = own.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")
                assert error[ICMPv6PacketTooBig].mtu == ROUTE_MTU
                assert not [packet for packet in visited.packets() if packet.nh == 43]
    with mobile.recording() as visited:  # the kernel has learnt, and sends fragments
        run(["ping", "-n", "-c", "1", "-W", "1", "-s", str(size + 1), HOME_ADDRESS], check=False)
        lab.wait_until(lambda: len([p for p in visited.packets() if p.nh == 43]) == 2, "two fragments")
    assert campus.manager.complaints() == []


def test_neighbor_discovery_by_a_home_address_option_is_dropped(registered: Campus) -> None:
    """Its hop limit says that it is from the link, which the mobile node is not on."""
    campus, mobile = registered, registered.mobile
    message = ICMPv6ND_NA(tgt=LOCAL.address, R=0, S=1, O=1)
    with recording(BRIDGE) as own, ROUTER.recording() as router:
        frame = mobile.optimized(message, HOME_AGENT, hlim=255)
        frame[Ether].src, frame[Ether].dst = ROUTER.mac, campus.bridge_mac  # or the router would count a hop
        router.send(frame)
        assert mobile.ping_optimized(HOME_AGENT, count=1) == 1
        seen = [packet for packet in own.packets() if ICMPv6ND_NA in packet and packet.src == HOME_ADDRESS]
    assert not seen


def test_movement(registered: Campus) -> None:
    """The pair is the new one with the acknowledgement, and the old one no longer counts."""
    mobile = registered.mobile
    assert mobile.ping_optimized(HOME_AGENT) == 3
    old = mobile.at
    mobile.visit(mobile.links[1])
    assert mobile.register() == 0
    assert mobile.ping_optimized(HOME_AGENT) == 3
    mobile.visit(old)
    assert mobile.ping_optimized(HOME_AGENT, count=1) == 0
    assert mobile.register() == 0
    assert mobile.ping_optimized(HOME_AGENT) == 3


def unreachable(frame: Packet) -> bool:
    return ICMPv6DestUnreach in frame


def test_the_link_local_address_is_not_tunnelled_to(registered: Campus) -> None:
    """10.4.2: it is defended with L=1, and a packet to it is dropped and answered with code 3, while that holds."""
    campus, mobile = registered, registered.mobile
    home_address, link_local = "2001:db8:1::b7", "fe80::b7"
    assert mobile.register(home_address=home_address, flags="AHL") == 0
    counted = campus.switch.counted()
    sent = IPv6(src=NEIGHBOUR.address, dst=link_local) / UDP(sport=5, dport=7) / Raw(b"anybody?")
    with NEIGHBOUR.recording() as neighbour:
        neighbour.send(Ether(src=NEIGHBOUR.mac, dst=campus.bridge_mac) / sent)
        error = neighbour.wait_for(unreachable, "Destination Unreachable")[IPv6]
    assert (error.src, error.dst, error[ICMPv6DestUnreach].code) == (HOME_AGENT, NEIGHBOUR.address, 3)
    assert bytes(error[ICMPv6DestUnreach].payload) == bytes(sent)
    sent[IPv6].src = "fe80::e"
    with NEIGHBOUR.recording() as neighbour:
        neighbour.send(Ether(src=NEIGHBOUR.mac, dst=campus.bridge_mac) / sent)
        error = neighbour.wait_for(unreachable, "Destination Unreachable to a link-local address")[IPv6]
    assert error.dst == "fe80::e"
    counted.wait_for({(Table.ENCAPSULATE, "ipv6"): 0})
    assert mobile.register(home_address=home_address, flags="AHL", lifetime=0) == 0
    with NEIGHBOUR.recording() as neighbour:
        neighbour.send(Ether(src=NEIGHBOUR.mac, dst=campus.bridge_mac) / sent)
        assert NEIGHBOUR.ping(HOME_AGENT) == 3
        assert not [packet for packet in neighbour.packets() if ICMPv6DestUnreach in packet]
