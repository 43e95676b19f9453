"""Route optimisation between a host that knows nothing of it and a mobile node, by a real Open vSwitch and the adapter.

    host --- br-office (tunnel end point) --- uplink0 === adapter === router --- mobile node

The host's kernel and the mobile node's check all upper-layer checksums.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.utils import rdpcap

from deploy.shim.userspace import UserspaceAdapter
from mip6core import addresses
from tests.shim.mobile_node_by_hand import MobileNodeByHand
from tests.shim.uplink import DEVICE, OFFICE_END_POINT, OFFICE_MAC, ROUTER_MAC, correspondents, endpoint
from topo import lab
from topo.lab import End, run

pytestmark = pytest.mark.lab

ROUTER = "2001:db8:c::1"
HOST = "2001:db8:c::99"
HOST_MAC = "02:00:00:00:00:99"
HOME = "2001:db8:1::100"
CARE_OF = "2001:db8:f::100"
OTHER_CARE_OF = "2001:db8:f::200"
VISITED_ROUTER = "2001:db8:f::1"
VISITED_ROUTER_MAC = "02:00:00:00:00:f1"
MOBILE_MAC = "02:00:00:00:01:00"
OVERHEAD = 24  # octets by which packets are longer on the wire than for the host

TUNNEL_PORT = 11
ACCEPTED = f"in_port={TUNNEL_PORT},tun_id=1,tun_ipv6_src={CARE_OF},ipv6_src={HOME}"
ROUTE = f"set_field:1->tun_id,set_field:{CARE_OF}->tun_ipv6_dst,output:{TUNNEL_PORT}"
FLOWS = f"""
priority=0 actions=NORMAL
priority=100,in_port=1,dl_dst={OFFICE_MAC} actions=LOCAL
priority=100,in_port=LOCAL,dl_dst={ROUTER_MAC} actions=output:1
priority=110,ipv6,in_port=2,ipv6_src={HOST},ipv6_dst={HOME} actions={ROUTE}
priority=110,ipv6,in_port=LOCAL,ipv6_src={OFFICE_END_POINT},ipv6_dst={HOME} actions={ROUTE}
priority=110,ipv6,{ACCEPTED},ipv6_dst={HOST} \
    actions=set_field:{OFFICE_MAC}->eth_src,set_field:{HOST_MAC}->eth_dst,output:2
priority=110,ipv6,{ACCEPTED},ipv6_dst={OFFICE_END_POINT} \
    actions=set_field:{ROUTER_MAC}->eth_src,set_field:{OFFICE_MAC}->eth_dst,LOCAL
priority=50,in_port={TUNNEL_PORT} actions=drop
"""


@pytest.fixture(scope="module")
def office() -> Iterator[lab.Network]:
    """The network of this module's picture, without adapter and mobile node."""
    with lab.Network() as network:
        for name in ("host", "router", "mobile"):
            network.namespace(name, forwarding=name == "router")
        network.veth(End(DEVICE, switch_port=True), End("router0", "router", mac=ROUTER_MAC), mtu=1524)
        network.veth(End("host-port", switch_port=True), End("host0", "host", mac=HOST_MAC))
        network.veth(
            End("router1", "router", mac=VISITED_ROUTER_MAC), End("mobile0", "mobile", mac=MOBILE_MAC, switch_port=True)
        )
        network.bridge("br-office", DEVICE, "host-port")
        run(f'ovs-vsctl set bridge br-office other_config:hwaddr="\\"{OFFICE_MAC}\\""')
        run(
            f"ovs-vsctl add-port br-office tunnel -- set interface tunnel type=gre ofport_request={TUNNEL_PORT} "
            f"options:remote_ip=flow options:local_ip={OFFICE_END_POINT} options:packet_type=legacy_l3 options:key=flow"
        )
        run("ovs-ofctl -O OpenFlow15 add-flows br-office -", stdin=FLOWS)
        run("ip link set br-office up")
        run("ip link set router0 mtu 1500", "router")
        run(f"ip addr add {OFFICE_END_POINT}/64 dev br-office nodad")
        run(f"ip addr add {ROUTER}/64 dev router0", "router")
        run(f"ip addr add {VISITED_ROUTER}/64 dev router1", "router")
        run(f"ip addr add {HOST}/64 dev host0", "host")
        run(f"ip neigh replace {CARE_OF} lladdr {MOBILE_MAC} dev router1", "router")
        run(f"ip -6 route add default via {ROUTER}", "host")
        run(f"ip -6 route add default via {ROUTER} dev br-office")
        # In place of Packet Too Big messages of the first hop
        run(f"ip -6 route add {HOME}/128 via {ROUTER} mtu {1500 - OVERHEAD} dev host0", "host")
        lab.wait_for_addresses()
        lab.wait_until(lambda: run(f"ping -c1 -W1 -I br-office {ROUTER}"), "the router")
        lab.wait_until(lambda: ROUTER in run("ovs-appctl tnl/neigh/show").stdout, "OVS to know the router")
        lab.wait_until(lambda: run(f"ping -c1 -W1 {ROUTER}", "host"), "the host to know the router")
        yield network


@pytest.fixture(params=["correspondents", "home agent"])
def adapter(request: pytest.FixtureRequest, office: lab.Network) -> Iterator[UserspaceAdapter]:
    """The adapter, attached for correspondents behind an end point of their own, and behind a home agent."""
    adapter = UserspaceAdapter()
    home_agents = [endpoint(OFFICE_END_POINT, OFFICE_MAC)] if request.param == "home agent" else []
    adapter.attach(DEVICE, home_agents, [correspondents()])
    yield adapter
    adapter.detach(DEVICE)


@pytest.fixture
def mobile_node(adapter: UserspaceAdapter) -> Iterator[MobileNodeByHand]:
    """The mobile node at its care-of address; the host has forgotten what it knew of the path."""
    run("ip -6 route flush cache", "host")
    with MobileNodeByHand("mobile", "mobile0", VISITED_ROUTER_MAC, HOME, CARE_OF) as node:
        yield node


def ping(*options: str, ns: str | None = "host", count: int = 3) -> int:
    """How many echo replies come back from the mobile node."""
    result = run(["ping", "-q", "-c", str(count), "-i", "0.05", "-W", "1", *options, HOME], ns, check=False)
    return int(result.stdout.split(" received")[0].split()[-1])


@contextlib.contextmanager
def on_the_wire(network: lab.Network, expression: str) -> Iterator[list[IPv6]]:
    """What the router sees on the office's link, filled in at the end of the block."""
    pcap, seen = network.directory / "wire.pcap", []
    pcap.unlink(missing_ok=True)
    tcpdump = network.capture(pcap, "router0", "router", expression)
    yield seen
    tcpdump.stop()
    seen += [frame[IPv6] for frame in rdpcap(str(pcap))]


def moved(adapter: UserspaceAdapter, before: dict[str, int]) -> dict[str, int]:
    after = adapter.status(DEVICE).counters
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def test_ping(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand, office: lab.Network) -> None:
    before = adapter.status(DEVICE).counters
    with on_the_wire(office, f"ip6 host {CARE_OF}") as packets:
        assert ping() == 3
    assert [(packet.src, packet.dst, packet.nh) for packet in packets] == [
        (HOST, CARE_OF, 43),
        (CARE_OF, HOST, 60),
    ] * 3
    assert moved(adapter, before) == {"egress_route_optimization": 3, "ingress_home_address": 3}
    assert mobile_node.received == 3


def test_bridge_itself_is_a_correspondent(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand) -> None:
    """A home agent is a correspondent like any other node: its kernel's packets, to and from LOCAL."""
    assert ping("-I", OFFICE_END_POINT, ns=None) == 3
    assert mobile_node.received == 3


def test_fragments_both_ways(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand, office: lab.Network) -> None:
    """Of the host and of the mobile node: put together by the other's kernel."""
    with on_the_wire(office, f"ip6 host {CARE_OF}") as packets:
        assert ping("-s", "4000") == 3
    assert len(packets) == 3 * (3 + 3)
    assert all(IPv6ExtHdrFragment in packet for packet in packets)


def test_hop_by_hop_options_both_ways(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand) -> None:
    """Router Alert from the host; the mobile node's replies carry one, too."""
    with lab.inside("host"):
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with lab.inside("mobile"):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    hop_by_hop = bytes.fromhex("0000 05020000 0100")  # RFC 2711, PadN
    with client, server:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, hop_by_hop)
            end.settimeout(5)
        server.bind((HOME, 5002))
        client.sendto(b"there", (HOME, 5002))
        data, address = server.recvfrom(100)
        assert (data, address[0]) == (b"there", HOST)
        server.sendto(b"back", address)
        assert client.recv(100) == b"back"


def transfer(data: bytes, back: int) -> None:
    """A stream to the mobile node, and the first `back` octets of it back again."""
    with lab.inside("mobile"):
        listener = socket.create_server((HOME, 5001), family=socket.AF_INET6)
    received = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(read_all(connection, len(data)))
            connection.sendall(received[0][:back])

    server = threading.Thread(target=serve)
    server.start()
    with lab.inside("host"):
        client = socket.create_connection((HOME, 5001), timeout=20)
    with client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        sender.join()
        assert read_all(client, back) == data[:back]
    server.join()
    listener.close()
    assert received == [data]


def read_all(stream: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (part := stream.recv(1 << 16)):
        data += part
    return data


DATA = bytes(range(251)) * 4000


def test_tcp_both_ways(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand, office: lab.Network) -> None:
    """A megabyte each way; packets fill the wire, and no kernel finds a wrong checksum."""
    with on_the_wire(office, f"ip6 host {CARE_OF}") as packets:
        transfer(DATA, back=len(DATA))
    assert max(len(packet) for packet in packets if packet.src == HOST) == 1500
    assert max(len(packet) for packet in packets if packet.src == CARE_OF) == 1500
    for ns in ("host", "mobile"):
        (errors,) = (line.split()[1] for line in run("nstat -asz TcpInCsumErrors", ns).stdout.splitlines()[1:])
        assert errors == "0"


@pytest.fixture
def narrow_path() -> Iterator[int]:
    """The MTU of the link to the mobile node, lower than that of the office's link."""
    mtu = 1400
    run(f"ip link set router1 mtu {mtu}", "router")
    yield mtu
    run("ip link set router1 mtu 1500", "router")


def path_mtu() -> int | None:
    """What the host's kernel has learnt of the path to the mobile node."""
    words = run(f"ip -6 route get {HOME}", "host").stdout.split()
    return int(words[words.index("mtu") + 1]) if "expires" in words else None


def test_path_mtu_discovery(adapter: UserspaceAdapter, narrow_path: int, mobile_node: MobileNodeByHand) -> None:
    """The router's Packet Too Big reaches the host in its own terms; the stream would stop for good otherwise."""
    before = adapter.status(DEVICE).counters
    assert path_mtu() is None
    transfer(DATA, back=1000)
    assert path_mtu() == narrow_path - OVERHEAD
    assert moved(adapter, before)["ingress_icmp_error"] >= 1


def test_care_of_address_is_prohibited(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand) -> None:
    """The host's socket gets the error of a router that knows the care-of address only."""
    run(f"ip -6 route add prohibit {CARE_OF}/128", "router")
    try:
        with lab.inside("host"):
            client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with client:
            client.settimeout(5)
            client.connect((HOME, 5003))
            client.send(b"lost")
            with pytest.raises(PermissionError):  # RFC 4443 section 3.1, code 1
                client.recv(100)
    finally:
        run(f"ip -6 route del prohibit {CARE_OF}/128", "router")


def test_error_of_the_mobile_node(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand) -> None:
    """Nobody listens on that port: so says the mobile node's kernel, from its home address."""
    with lab.inside("host"):
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with client:
        client.settimeout(5)
        client.connect((HOME, 5004))
        client.send(b"lost")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_tunnel_source_is_what_flows_check(adapter: UserspaceAdapter, mobile_node: MobileNodeByHand) -> None:
    """RFC 6275 section 9.3.1: a Home Address option without binding, here from another address, is not believed."""
    before = adapter.status(DEVICE).counters["ingress_home_address"]
    mobile_node.source = addresses.parse(OTHER_CARE_OF)
    assert ping() == 0
    assert adapter.status(DEVICE).counters["ingress_home_address"] >= before + 3  # they came as far as the flows
