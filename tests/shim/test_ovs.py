"""The adapter between a real Open vSwitch and a real RFC 2473 implementation: the kernel's, at the mobile node.

One-armed home link: the home agent's address, the tunnel port and the home link are on one bridge.

    cn --- br-home (home agent) --- uplink0 === adapter === router --- mobile node

The mobile node's kernel encapsulates with seg6 in mode encap.red, which with one segment is plain IPv6-in-IPv6, and
decapsulates with seg6local End.DT6. Nothing of ours takes part in it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from scapy.layers.inet6 import UDP, IPv6, Raw
from scapy.layers.l2 import GRE, Ether
from scapy.sendrecv import sendp
from scapy.utils import rdpcap

from deploy.shim.userspace import UserspaceAdapter
from tests.shim.uplink import BRIDGE_MAC, DEVICE, HOME_AGENT, ROUTER_MAC, attach, endpoint
from topo import lab
from topo.lab import End, run

pytestmark = pytest.mark.lab

ROUTER = "2001:db8:1::1"
ROUTER_LINK_LOCAL = "fe80::1"
CORRESPONDENT = "2001:db8:1::c"
CORRESPONDENT_MAC = "02:00:00:00:00:0c"
HOME = "2001:db8:1::100"
CARE_OF = "2001:db8:f::100"
OTHER_CARE_OF = "2001:db8:f::200"
VISITED_ROUTER = "2001:db8:f::1"
TUNNEL_MTU = 1460  # 1500 on the wire, less an IPv6 header

TUNNEL_PORT = 11
FLOWS = f"""
priority=0 actions=NORMAL
priority=100,in_port=1,dl_dst={BRIDGE_MAC} actions=LOCAL
priority=100,in_port=LOCAL,dl_dst={ROUTER_MAC} actions=output:1
priority=110,ipv6,in_port=2,ipv6_dst={HOME} \
    actions=dec_ttl,set_field:0->tun_id,set_field:{CARE_OF}->tun_ipv6_dst,output:{TUNNEL_PORT}
priority=110,ipv6,in_port={TUNNEL_PORT},tun_id=0,tun_ipv6_src={CARE_OF},ipv6_src={HOME} \
    actions=dec_ttl,set_field:{BRIDGE_MAC}->eth_src,set_field:{CORRESPONDENT_MAC}->eth_dst,output:2
priority=50,in_port={TUNNEL_PORT} actions=drop
"""


@pytest.fixture(scope="module", params=["router's global address", "router's link-local address"])
def home_link(request: pytest.FixtureRequest) -> Iterator[lab.Network]:
    """The network of this module's picture, without the adapter. With a link-local next hop OVS sends from fe80::."""
    next_hop = ROUTER if request.param == "router's global address" else ROUTER_LINK_LOCAL
    with lab.Network() as network:
        build(network, next_hop)
        mobile_node()
        yield network


def build(network: lab.Network, next_hop: str) -> None:
    """Everything but the mobile node's tunnel."""
    for name in ("cn", "router", "mobile"):
        network.namespace(name, forwarding=name == "router")
    adapter = UserspaceAdapter()
    network.veth(End(DEVICE, switch_port=True), End("router0", "router", mac=ROUTER_MAC))
    network.veth(End("cn-port", switch_port=True), End("cn0", "cn", mac=CORRESPONDENT_MAC))
    network.veth(End("router1", "router"), End("mobile0", "mobile"))
    set_mtu(1500 + adapter.mtu_overhead)
    network.bridge("br-home", DEVICE, "cn-port")
    run(f'ovs-vsctl set bridge br-home other_config:hwaddr="\\"{BRIDGE_MAC}\\""')
    run(
        f"ovs-vsctl add-port br-home tunnel -- set interface tunnel type=gre ofport_request={TUNNEL_PORT} "
        f"options:remote_ip=flow options:local_ip={HOME_AGENT} options:packet_type=legacy_l3 options:key=flow"
    )
    run("ovs-ofctl -O OpenFlow15 add-flows br-home -", stdin=FLOWS)

    run("ip link set br-home up")
    run(f"ip addr add {HOME_AGENT}/64 dev br-home nodad")
    run(f"ip addr add {ROUTER}/64 dev router0", "router")
    run(f"ip addr add {ROUTER_LINK_LOCAL}/64 dev router0", "router")
    run(f"ip addr add {VISITED_ROUTER}/64 dev router1", "router")
    run(f"ip addr add {CORRESPONDENT}/64 dev cn0", "cn")
    run(f"ip neigh replace {HOME} lladdr {BRIDGE_MAC} dev cn0", "cn")
    run(f"ip -6 route add {HOME}/128 dev cn0 mtu lock {TUNNEL_MTU}", "cn")  # in place of Packet Too Big messages
    run(f"ip -6 route add default via {next_hop} dev br-home")
    lab.wait_for_addresses()
    # OVS finds the next hop's MAC address in Neighbor Discovery that it sees.
    lab.wait_until(lambda: run(f"ping -c1 -W1 -I br-home {next_hop}"), "the router")
    lab.wait_until(lambda: next_hop in run("ovs-appctl tnl/neigh/show").stdout, "OVS to know the router's MAC address")


def mobile_node() -> None:
    """The mobile node is away: tunnel to and from the home agent in its own kernel, nothing but RFC 2473."""
    for address in (CARE_OF, OTHER_CARE_OF):
        run(f"ip addr add {address}/64 dev mobile0", "mobile")
    run(f"ip addr add {HOME}/128 dev lo", "mobile")
    run(f"ip -6 route add default via {VISITED_ROUTER}", "mobile")
    for device in ("all", "mobile0", "lo"):
        lab.sysctl(f"net/ipv6/conf/{device}/seg6_enabled", 1, "mobile")
    # Tunnel packets are taken apart before the local table takes the care-of address for its own.
    run("ip -6 rule add pref 10 ipproto 41 lookup 100", "mobile")
    run("ip -6 rule add pref 100 table local", "mobile")
    run("ip -6 rule del pref 0", "mobile")
    run(f"ip -6 route add {CARE_OF}/128 table 100 encap seg6local action End.DT6 table 255 dev mobile0", "mobile")
    run(f"ip -6 rule add pref 20 from {HOME} lookup 200", "mobile")
    run(f"ip -6 route add default table 200 encap seg6 mode encap.red segs {HOME_AGENT} dev mobile0", "mobile")
    tunnel_from(CARE_OF)


def tunnel_from(address: str) -> None:
    """The source address of the mobile node's tunnel packets."""
    run(f"ip sr tunsrc set {address}", "mobile")


@pytest.fixture(params=["best way", "old way"])
def adapter(request: pytest.FixtureRequest, home_link: lab.Network) -> Iterator[UserspaceAdapter]:
    """The adapter, attached."""
    adapter = UserspaceAdapter()
    try:
        attach(adapter, request.param)
        yield adapter
    finally:
        adapter.detach(DEVICE)


def ping(*options: str, count: int = 3) -> int:
    """How many echo replies the correspondent gets from the mobile node."""
    result = run(["ping", "-q", "-c", str(count), "-i", "0.05", "-W", "1", *options, HOME], "cn", check=False)
    return int(result.stdout.split(" received")[0].split()[-1])


@contextlib.contextmanager
def on_the_wire(network: lab.Network) -> Iterator[list[IPv6]]:
    """Tunnel packets of either form that the router sees of the home agent, filled in at the end of the block."""
    pcap, seen = network.directory / "wire.pcap", []
    pcap.unlink(missing_ok=True)
    tcpdump = network.capture(pcap, "router0", "router", "ip6 proto 41 or ip6 proto 47")
    yield seen
    tcpdump.stop()
    seen += [frame[IPv6] for frame in rdpcap(str(pcap))]


def test_nothing_works_without_the_adapter(home_link: lab.Network) -> None:
    with on_the_wire(home_link) as packets:
        assert ping() == 0
    assert {packet.nh for packet in packets} == {47}


def test_tunnel_and_reverse_tunnel(adapter: UserspaceAdapter, home_link: lab.Network) -> None:
    """Echo requests go out through the tunnel, replies come back through it: RFC 2473 both ways, nothing else."""
    before = adapter.status(DEVICE).counters
    with on_the_wire(home_link) as packets:
        assert ping(count=5) == 5
    assert [(packet.nh, packet.src, packet.dst) for packet in packets] == [
        (41, HOME_AGENT, CARE_OF),
        (41, CARE_OF, HOME_AGENT),
    ] * 5
    for packet in packets:
        inner = packet.payload
        assert {inner.src, inner.dst} == {CORRESPONDENT, HOME}
        assert packet.plen == len(inner) == 40 + inner.plen
    after = adapter.status(DEVICE).counters
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert moved == {"ingress_tunnel": 5, "egress_tunnel": 5}


def test_largest_packet(adapter: UserspaceAdapter, home_link: lab.Network) -> None:
    """The device's MTU raised by the adapter's overhead lets 1500 bytes onto the wire, in both directions."""
    largest = str(TUNNEL_MTU - 48)
    with on_the_wire(home_link) as packets:
        assert ping("-M", "do", "-s", largest) == 3
    assert {len(packet) for packet in packets} == {1500}
    # And it takes all of it: with one byte less of MTU, OVS can no longer send it.
    set_mtu(1500 + adapter.mtu_overhead - 1)
    try:
        assert ping("-M", "do", "-s", largest) == 0
    finally:
        set_mtu(1500 + adapter.mtu_overhead)


def set_mtu(mtu: int) -> None:
    run(f"ip link set {DEVICE} mtu {mtu}")


def test_tcp_both_ways(adapter: UserspaceAdapter, home_link: lab.Network) -> None:
    """A stream of two megabytes to the mobile node and back arrives as it was."""
    data = bytes(range(251)) * 8000
    with lab.inside("mobile"):
        listener = socket.create_server((HOME, 5001), family=socket.AF_INET6)
    received = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(read_all(connection, len(data)))
            connection.sendall(received[0])

    server = threading.Thread(target=serve)
    server.start()
    with lab.inside("cn"):
        client = socket.create_connection((HOME, 5001), timeout=20)
    with client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        sender.join()
        assert read_all(client, len(data)) == data
    server.join()
    listener.close()
    assert received == [data]


def read_all(stream: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (part := stream.recv(1 << 16)):
        data += part
    return data


def test_tunnel_source_is_what_flows_check(adapter: UserspaceAdapter, home_link: lab.Network) -> None:
    """RFC 6275 section 10.4.5: reverse tunnelled packets from another address than the care-of address are dropped."""
    before = adapter.status(DEVICE).counters["ingress_tunnel"]
    tunnel_from(OTHER_CARE_OF)
    try:
        assert ping() == 0
    finally:
        tunnel_from(CARE_OF)
    assert adapter.status(DEVICE).counters["ingress_tunnel"] >= before + 3  # they came as far as the flows
    assert ping() == 3


def test_real_gre_does_not_get_in(home_link: lab.Network) -> None:
    """Open vSwitch takes real GRE for its tunnel and the flows believe it; the adapter keeps it out."""
    spoofed = IPv6(src=HOME, dst=CORRESPONDENT) / UDP(sport=1, dport=9) / Raw(b"spoofed")
    gre = GRE(proto=0x86DD, key_present=1, key=0) / spoofed
    frame = Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=CARE_OF, dst=HOME_AGENT, nh=47) / gre
    with lab.inside("cn"):
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener.bind((CORRESPONDENT, 9))
    listener.settimeout(1)

    def send() -> None:
        with lab.inside("router"):
            sendp(bytes(frame), iface="router0", verbose=False)

    with listener:
        send()
        assert listener.recv(100) == b"spoofed"
        adapter = UserspaceAdapter()
        adapter.attach(DEVICE, [endpoint()])
        try:
            send()
            lab.wait_until(
                lambda: adapter.status(DEVICE).counters["ingress_gre_dropped"] == 1, "the adapter to drop it"
            )
            with pytest.raises(TimeoutError):
                listener.recv(100)
        finally:
            adapter.detach(DEVICE)
