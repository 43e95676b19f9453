"""A path of the minimum MTU, which packets of the minimum MTU have to pass in the tunnel (RFC 2473 section 7.1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment, Raw, defragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ryu_apps.pipeline import Table
from tests.flows.campus import HOME_ADDRESS, HOME_AGENT, LOCAL, ROUTER, Campus
from tests.flows.stations import Recorder
from tests.flows.switch import Flow
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

MINIMUM_MTU = 1280


@pytest.fixture
def narrow(registered: Campus) -> Iterator[Campus]:
    """The last link to the mobile node carries 1280 octets, and the home agent does not know yet."""
    device = f"to-{registered.mobile.at.device}"
    run(f"ip link set {device} mtu {MINIMUM_MTU}", ROUTER.ns)
    yield registered
    run(f"ip link set {device} mtu 1500", ROUTER.ns)
    registered.mobile.visit(registered.mobile.links[1])
    assert registered.mobile.register() == 0  # a new path: what was learnt of the old one is forgotten


def udp(size: int, text: str) -> Packet:
    data = text.encode().ljust(size - 48, b".")
    return IPv6(src=LOCAL.address, dst=HOME_ADDRESS) / UDP(sport=5, dport=7) / Raw(data)


def send(campus: Campus, local: Recorder, packet: Packet) -> None:
    local.send(Ether(src=LOCAL.mac, dst=campus.bridge_mac) / packet)


def arrived(visited: Recorder, text: str) -> bytes | None:
    """The packet in the tunnel that begins with `text`, in one piece or put together by scapy."""
    packets = visited.packets()
    found = [bytes(packet)[40:] for packet in packets if packet.nh == 41]
    fragments: dict[int, list[Packet]] = {}
    for packet in packets:
        assert len(bytes(packet)) <= MINIMUM_MTU
        if IPv6ExtHdrFragment in packet and packet.src == HOME_AGENT:
            fragments.setdefault(packet[IPv6ExtHdrFragment].id, []).append(packet)
    found += [bytes(defragment6(parts))[40:] for parts in fragments.values() if len(parts) == 2]
    return next((octets for octets in found if octets[48:].startswith(text.encode())), None)


def learn(campus: Campus, local: Recorder) -> None:
    """The first packet is lost, and a router's error tells why."""
    before = campus.manager.statistics().get("narrow_paths", 0)
    send(campus, local, udp(MINIMUM_MTU, "lost"))
    lab.wait_until(lambda: campus.manager.statistics().get("narrow_paths", 0) == before + 1, "the error")
    lab.wait_until(lambda: narrow_flows(campus), "the flow")


def narrow_flows(campus: Campus) -> list[Flow]:
    return [flow for flow in campus.switch.flows() if flow.table == Table.BINDINGS and "priority=105" in flow.match]


def test_packets_of_the_minimum_mtu_get_through(narrow: Campus) -> None:
    campus, mobile = narrow, narrow.mobile
    before = campus.manager.statistics().get("tunnel_packets_fragmented", 0)
    with LOCAL.recording() as local, mobile.recording() as visited:
        learn(campus, local)
        for size in (MINIMUM_MTU, 1241, 1240, 600):
            packet = udp(size, f"size {size} ")
            send(campus, local, packet)
            lab.wait_until(lambda text=f"size {size} ": arrived(visited, text), f"a packet of {size} octets")
            octets = arrived(visited, f"size {size} ")
            assert octets is not None
            assert octets[:7] + octets[8:] == bytes(packet)[:7] + bytes(packet)[8:]
            assert octets[7] == 63
    # The others went by the flows.
    assert campus.manager.statistics()["tunnel_packets_fragmented"] == before + 2


def test_larger_ones_draw_packet_too_big(narrow: Campus) -> None:
    """Of the minimum MTU, which is what fits when it is fragmented."""
    campus = narrow
    with LOCAL.recording() as local:
        learn(campus, local)
        send(campus, local, udp(1281, "too big"))
        error = local.wait_for(lambda frame: ICMPv6PacketTooBig in frame, "Packet Too Big")
    assert (error[IPv6].src, error[ICMPv6PacketTooBig].mtu) == (HOME_AGENT, MINIMUM_MTU)


def test_a_new_path_is_wide_again(narrow: Campus) -> None:
    campus, mobile = narrow, narrow.mobile
    with LOCAL.recording() as local:
        learn(campus, local)
        mobile.visit(mobile.links[1])
        assert mobile.register() == 0
        assert narrow_flows(campus) == []
        with mobile.recording() as visited:
            send(campus, local, udp(1400, "wide"))
            visited.wait_for(lambda frame: frame[IPv6].nh == 41 and len(bytes(frame[IPv6])) == 1440, "the packet")
