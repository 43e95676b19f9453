"""Route optimisation for hosts that know nothing of it: by flows alone, on an edge switch and on the home link."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    MIP6MH_BE,
    MIP6MH_BRR,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    Raw,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Punt, Table
from tests.flows.campus import (
    BRIDGE,
    EDGE,
    EDGE_ADDRESS,
    HOME_ADDRESS,
    HOME_PREFIX,
    LOCAL,
    REMOTE,
    REMOTE_GATEWAY_MAC,
    Campus,
    Settings,
)
from tests.flows.return_routability import Peer
from tests.flows.stations import Station, recording, routed
from tests.flows.switch import Flow, Switch
from topo import lab
from topo.lab import inside, run

AT_HOME = Settings("home link", correspondents={"name": "hosts", "bridge": BRIDGE, "prefixes": [HOME_PREFIX]})
TWO_BRIDGES = replace(AT_HOME, name="two bridges", link={"uplink_bridge": "br-uplink"})
AT_EDGE = Settings(
    "edge",
    correspondents={
        "name": "office",
        "bridge": EDGE,
        "address": EDGE_ADDRESS,
        "prefixes": ["2001:db8:9::/64"],
        "router": "2001:db8:9::1",
        "uplinks": ["edge0"],
    },
)
HOSTS = {"home link": LOCAL, "two bridges": LOCAL, "edge": REMOTE}
COUNT = 10
ROUTE_MTU = 1476
UDP_PROTOCOL, FRAGMENT_HEADER = 17, 44

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize(
        "campus", [AT_EDGE, AT_HOME, TWO_BRIDGES], ids=lambda s: s.name, indirect=True, scope="module"
    ),
]


@pytest.fixture
def host(campus: Campus) -> Station:
    return HOSTS[campus.settings.name]


@pytest.fixture
def switch(campus: Campus) -> Switch:
    assert campus.settings.correspondents is not None
    return Switch(campus.settings.correspondents["bridge"])


@pytest.fixture
def peer(registered: Campus, host: Station) -> Peer:
    """The first mobile node, and its optimised route to the host."""
    peer = Peer(registered.mobile, host.address)
    peer.optimise()
    assert registered.mobile.ping_optimized(host.address) == 3  # neighbours are resolved
    return peer


def data_punts(campus: Campus) -> dict[str, int]:
    """What data packets could be punted as; the mobile node's kernel complains of routing headers."""
    others = {Punt.NEIGHBOR_DISCOVERY, Punt.ROUTER_DISCOVERY, Punt.ICMPV6_ERROR, Punt.CORRESPONDENT_SIGNALLING}
    names = {kind.name.lower() for kind in set(Punt) - others}
    return {kind: count for kind, count in campus.manager.punted().items() if kind in names}


def routes(switch: Switch, home_address: str = HOME_ADDRESS) -> list[Flow]:
    """The flows of optimised routes to a home address."""
    kinds = (Category.ROUTE_OUT, Category.ROUTE_IN)
    return [flow for flow in switch.flows() if flow.category in kinds and home_address in flow.match]


def generations(switch: Switch) -> set[int]:
    return {cookies.generation(flow.cookie) for flow in switch.flows()}


def test_both_directions_take_the_flows(registered: Campus, peer: Peer, switch: Switch) -> None:
    """9.3.1, 9.3.2: straight both ways, no hop counted on the bridge, and no packet at the controller."""
    campus, mobile = registered, registered.mobile
    punted, counted = data_punts(campus), switch.counted()
    assert mobile.ping_optimized(peer.correspondent, count=COUNT) == COUNT
    care_of = mobile.at.care_of_address
    way_in = f"tun_ipv6_src={care_of},ipv6_src={HOME_ADDRESS},ipv6_dst={peer.correspondent}"
    counted.wait_for(
        {
            (Table.HOME_ADDRESS_OPTION, way_in): COUNT,
            (Table.DELIVER, f"ipv6_dst={peer.correspondent}"): COUNT,
            (Table.ROUTE_OPTIMIZATION, f"ipv6_src={peer.correspondent},ipv6_dst={HOME_ADDRESS}"): COUNT,
            (Table.TUNNEL_OUTPUT, "priority=20,ipv6,reg5=0x1"): COUNT,
        }
    )
    assert data_punts(campus) == punted


def test_form_on_both_wires(registered: Campus, peer: Peer, host: Station) -> None:
    """The host sees nothing of it; the mobile node gets what the host sent, with a routing header (6.4)."""
    mobile = registered.mobile
    with host.recording() as wire, mobile.recording() as visited:
        visited.send(mobile.optimized(UDP(sport=5, dport=7) / b"from me", host.address, hlim=33, tc=0x28, fl=0x54321))
        arrived = wire.wait_for(lambda frame: UDP in frame, "the packet from the mobile node")[IPv6]
        back = (
            IPv6(src=host.address, dst=HOME_ADDRESS, hlim=40, tc=0xB8, fl=0x12345) / UDP(sport=7, dport=5) / b"to you"
        )
        wire.send(frame_to_router(registered, host, back))
        frame = visited.wait_for(lambda f: routed(f) and routed(f)[1].nh == UDP_PROTOCOL, "the packet from the host")
        assert not [packet for packet in visited.packets() if packet.nh == 41]
    assert (arrived.src, arrived.dst, arrived.nh) == (HOME_ADDRESS, host.address, UDP_PROTOCOL)
    hops = 1  # the router's
    assert (arrived.hlim, arrived.tc, arrived.fl) == (33 - hops, 0x28, 0x54321)
    found = routed(frame)
    assert found is not None and found[0] == HOME_ADDRESS
    back.hlim = 40 - hops
    assert bytes(found[1]) == bytes(IPv6(bytes(back)))
    assert (frame[IPv6].src, frame[IPv6].dst) == (host.address, mobile.at.care_of_address)


def frame_to_router(campus: Campus, host: Station, packet: Packet) -> Packet:
    """As the host's kernel would send it: to the router, or to the home agent, which answers for the home address."""
    return Ether(src=host.mac, dst=REMOTE_GATEWAY_MAC if host is REMOTE else campus.bridge_mac) / packet


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_what_the_host_sends_first(registered: Campus, peer: Peer, host: Station, kind: int) -> None:
    """Its sockets know the home address only."""
    with registered.mobile.recording() as visited:
        with inside(host.ns):
            sender = socket.socket(socket.AF_INET6, kind)
        with sender:
            sender.setblocking(False)
            sender.connect_ex((HOME_ADDRESS, 5000))
            if kind == socket.SOCK_DGRAM:
                sender.send(b"hello")
            port = sender.getsockname()[1]
            frame = visited.wait_for(lambda f: routed(f) and routed(f)[1].sport == port, "the host's first packet")
    assert frame[IPv6].dst == registered.mobile.at.care_of_address


def test_wrong_pairs_draw_binding_errors(registered: Campus, peer: Peer, host: Station) -> None:
    """9.3.1, 9.3.3: from the correspondent's address to the source on the wire."""
    mobile = registered.mobile
    other = mobile.links[1]
    with mobile.recording() as visited, recording(other.device, mobile.ns) as there, host.recording() as wire:
        visited.send(mobile.optimized(UDP(sport=5, dport=7), host.address, source=other.care_of_address))
        error = there.wait_for(lambda frame: MIP6MH_BE in frame, "a Binding Error")[IPv6]
        assert not [packet for packet in wire.packets() if UDP in packet]
    assert (error.src, error.dst) == (host.address, other.care_of_address)
    assert (error[MIP6MH_BE].status, error[MIP6MH_BE].ha) == (1, HOME_ADDRESS)


def test_packet_too_big(registered: Campus, peer: Peer, host: Station) -> None:
    """The host is told what fits with a routing header; what it sends next passes, cut in two."""
    size = ROUTE_MTU - 48
    run("ip -6 route flush cache", host.ns)
    with registered.mobile.recording() as visited, host.recording() as wire:
        host.ping(HOME_ADDRESS, "-M", "do", "-s", str(size), count=1)
        assert len(visited.wait_for(routed, "the largest packet")[IPv6]) == 1500
        host.ping(HOME_ADDRESS, "-M", "do", "-s", str(size + 1), count=1)
        error = wire.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")
        assert error[ICMPv6PacketTooBig].mtu == ROUTE_MTU
    with registered.mobile.recording() as visited:
        host.ping(HOME_ADDRESS, "-s", str(size + 1), count=1)
        lab.wait_until(lambda: len([p for p in visited.packets() if p.nh == 43]) == 2, "two fragments")
    run("ip -6 route flush cache", host.ns)


def test_fragments_of_the_mobile_node(registered: Campus, peer: Peer, host: Station) -> None:
    """Each has the option, and the host's kernel puts them together."""
    mobile = registered.mobile
    whole = IPv6(src=HOME_ADDRESS, dst=host.address) / ICMPv6EchoRequest(id=3, seq=4, data=b"x" * 1992)
    octets = bytes(whole)[40:]
    with mobile.recording() as visited, host.recording() as wire:
        for offset in (0, 1000):
            part = IPv6ExtHdrFragment(nh=58, offset=offset // 8, m=int(offset == 0), id=77)
            frame = mobile.optimized(part / Raw(octets[offset : offset + 1000]), host.address)
            frame[IPv6ExtHdrDestOpt].nh = FRAGMENT_HEADER
            visited.send(frame)
        wire.wait_for(lambda frame: ICMPv6EchoReply in frame, "the reply of the host's kernel", outgoing=True)


def test_movement(registered: Campus, peer: Peer, switch: Switch) -> None:
    """The new care-of address counts with the acknowledgement, for both directions; the old one no more."""
    mobile = registered.mobile
    old = mobile.at
    mobile.visit(mobile.links[1])
    assert mobile.register() == 0
    peer.optimise()
    time.sleep(0.1)  # Open vSwitch's cache follows its flows
    assert mobile.ping_optimized(peer.correspondent) == 3
    assert not [flow for flow in routes(switch) if old.care_of_address in flow.match + flow.actions]
    assert len(routes(switch)) == 2


def test_refused_without_the_right_tokens(registered: Campus, host: Station, switch: Switch) -> None:
    """9.5.1: nothing changes, and there is no answer."""
    peer = Peer(registered.second, host.address)
    peer.test()
    peer.home = (peer.home[0], bytes(8))
    with registered.second.recording() as visited:
        visited.send(peer.binding_update())
        assert registered.second.ping(host.address) == 3
        assert not [packet for packet in visited.packets() if packet.src == host.address and packet.nh in (43, 135)]
    assert routes(switch, registered.second.home_address) == []


def test_expiry(registered: Campus, peer: Peer, host: Station, switch: Switch) -> None:
    """9.6: with its lifetime the binding goes, and packets take the way by the home agent."""
    peer.optimise(lifetime=4)
    assert {flow.hard_timeout for flow in routes(switch)} <= {4, 5, 6}
    lab.wait_until(lambda: not routes(switch), "the flows to go", timeout=7, interval=0.1)
    time.sleep(0.1)
    assert host.ping(HOME_ADDRESS) == 3


def test_deregistration(registered: Campus, peer: Peer, host: Station, switch: Switch) -> None:
    assert peer.register(lifetime=0) == 0
    assert routes(switch) == []
    time.sleep(0.1)
    assert host.ping(HOME_ADDRESS) == 3


def test_operators_view(registered: Campus, peer: Peer, switch: Switch) -> None:
    """REST: what the binding is, what its flows have counted; cleared by DELETE."""
    manager = registered.manager
    path = f"/v1/correspondents/{peer.correspondent}/{HOME_ADDRESS}"
    before = manager.get(path)
    assert before["care_of_address"] == registered.mobile.at.care_of_address
    assert before["sequence"] == peer.sequence
    assert registered.mobile.ping_optimized(peer.correspondent, count=COUNT) == COUNT

    def counted() -> bool:
        now = manager.get(path)
        return all(now[name] >= before[name] + COUNT for name in ("packets_out", "packets_in"))

    lab.wait_until(counted, "the counters", timeout=12, interval=0.2)
    assert manager.get("/v1/correspondents")["total"] == 1
    assert manager.request(path, "DELETE") == (204, None)
    lab.wait_until(lambda: not routes(switch), "the flows to go")
    assert manager.request(path)[0] == 404


def test_a_controller_that_restarts_adopts_routes(registered: Campus, peer: Peer, switch: Switch) -> None:
    """The flows say what it needs; none is missing meanwhile, and older generations go."""
    manager = registered.manager
    path = f"/v1/correspondents/{peer.correspondent}/{HOME_ADDRESS}"
    before = manager.get(path)
    old = generations(switch)
    assert manager.stop() == 0
    manager.start()
    manager.wait_ready()
    lab.wait_until(lambda: not generations(switch) & old, "the sweep", interval=0.1)
    after = manager.get(path)
    for name in ("care_of_address", "sequence", "correspondent_link"):
        assert after[name] == before[name]
    assert 0 < after["remaining_lifetime"] <= before["remaining_lifetime"] + 2
    assert registered.mobile.ping_optimized(peer.correspondent) == 3
    peer.optimise()  # secrets are new, and so are the tokens


def test_signalling_for_a_mobile_node_on_the_link_goes_on(registered: Campus, host: Station) -> None:
    """A visitor speaks Mobile IPv6 itself: what is for mobile nodes reaches it."""
    mobile = registered.mobile
    packet = IPv6(src=mobile.at.care_of_address, dst=host.address) / MIP6MH_BRR()
    with host.recording() as wire, mobile.recording() as visited:
        visited.send(Ether(src=mobile.at.mac, dst=mobile.at.router_mac) / packet)
        wire.wait_for(lambda frame: MIP6MH_BRR in frame, "the Binding Refresh Request")
