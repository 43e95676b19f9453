"""A bridge that setup has made carries RFC 2473 tunnels: real packets, seen and made by scapy on the router's side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.sendrecv import sendp
from scapy.utils import rdpcap

from tests.ovs_setup.site import HOME, LAB, Site, device
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"  # behind the router
CORRESPONDENT = "2001:db8:c::1"
OPENFLOW = ("ovs-ofctl", "-O", "OpenFlow13")


def flow(bridge: str, text: str) -> None:
    run([*OPENFLOW, "add-flow", bridge, text])


def send_into_tunnel(site: Site, link: dict[str, Any], namespace: str) -> Packet:
    """Let the bridge put a packet into the tunnel until one is on the wire; the first ones find no neighbour yet."""
    bridge = link["bridge"]
    inner = IPv6(src=CORRESPONDENT, dst="2001:db8:1::100", tc=0xB9, hlim=9) / ICMPv6EchoRequest()
    frame = bytes(Ether(src="02:00:00:00:00:0c", dst="02:00:00:00:00:0d") / inner).hex()
    actions = f"set_field:{CARE_OF}->tun_ipv6_dst,output:mip6-{bridge}"
    pcap = site.network.directory / f"{namespace}.pcap"
    capture = site.network.capture(pcap, "wire", namespace, f"ip6 and dst host {CARE_OF}")

    def on_the_wire() -> list[Packet]:
        run([*OPENFLOW, "packet-out", bridge, f"in_port=controller packet={frame} actions={actions}"])
        return list(rdpcap(str(pcap)))

    packet = lab.wait_until(on_the_wire, "a tunnel packet on the wire", interval=0.3)[0]
    capture.stop()
    return packet


def check_tunnel(site: Site, link: dict[str, Any], namespace: str) -> None:
    bridge, home_agent = link["bridge"], link["address"]
    flow(bridge, "priority=0 actions=NORMAL")

    out = send_into_tunnel(site, link, namespace)
    assert out.src == device(bridge)["address"]
    outer = out[IPv6]
    assert (outer.nh, outer.src, outer.dst, outer.hlim) == (41, home_agent, CARE_OF, 64)
    assert outer.tc & 0xFC == 0xB8  # RFC 2473 section 6.4: the inner packet's
    inner = outer.payload
    assert (inner.src, inner.dst, inner.tc, inner.hlim) == (CORRESPONDENT, "2001:db8:1::100", 0xB9, 9)

    flow(bridge, f"priority=9,ipv6,in_port=mip6-{bridge},tun_ipv6_src={CARE_OF},ipv6_src=2001:db8:1::100 actions=drop")
    back = IPv6(src="2001:db8:1::100", dst=CORRESPONDENT) / ICMPv6EchoRequest()
    with lab.inside(namespace):
        wire = Ether(dst=learnt_mac(namespace, home_agent)) / IPv6(src=CARE_OF, dst=home_agent) / back
        sendp(wire, iface="wire", verbose=False)
    lab.wait_until(lambda: "n_packets=1," in flows(bridge), "the packet out of the tunnel")


def flows(bridge: str) -> str:
    return "\n".join(line for line in run([*OPENFLOW, "dump-flows", bridge]).stdout.splitlines() if "tun_" in line)


def learnt_mac(namespace: str, address: str) -> str:
    """The MAC address that the router has learnt for the home agent."""
    neighbours = {entry["dst"]: entry for entry in json.loads(run("ip -j -6 neigh show", namespace).stdout)}
    return str(neighbours[address]["lladdr"])


@pytest.mark.parametrize("layout", [{}, {"uplink_bridge": "br-up"}], ids=["one-armed", "two-bridge"])
def test_packets_go_through_the_tunnel(site: Site, layout: dict[str, str]) -> None:
    site.configure({**HOME, **layout})
    site.setup()
    check_tunnel(site, HOME, "router0")


def test_two_home_links_each_use_their_own_router_and_address(site: Site) -> None:
    site.uplink(1, "2001:db8:2::1")
    site.configure(HOME, LAB)
    site.setup()
    check_tunnel(site, HOME, "router0")
    check_tunnel(site, LAB, "router1")


def test_another_default_route_of_the_machine_is_not_in_the_way(site: Site) -> None:
    site.network.namespace("management")
    site.network.veth(lab.End("eth0"), lab.End("eth0", "management"))
    run("ip addr add 2001:db8:9::2/64 dev eth0 nodad")
    run("ip -6 route add default via 2001:db8:9::1 dev eth0")
    site.configure(HOME)
    site.setup()
    assert site.setup() == ["nothing to do"]
    assert run("ip -6 route show default").stdout.count("default") == 1
    check_tunnel(site, HOME, "router0")


def test_a_router_known_by_its_link_local_address(site: Site) -> None:
    run("ip addr add fe80::1/64 dev wire nodad", "router0")
    link = {**HOME, "router": "fe80::1"}
    site.configure(link)
    site.setup()
    check_tunnel(site, link, "router0")


def test_a_virtual_home_link_whose_home_agent_is_elsewhere(site: Site) -> None:
    run("ip addr add 2001:db8:9::1/64 dev wire nodad", "router0")
    link = {**HOME, "virtual": True, "address": "2001:db8:9::2", "router": "2001:db8:9::1"}
    site.configure(link)
    site.setup()
    check_tunnel(site, link, "router0")
