"""What Open vSwitch sends, and what of it is on the wire: GRE goes in, RFC 2473 comes out, by scapy's opinion."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.shim.uplink import (
    BRIDGE_MAC,
    HOME_AGENT,
    ROUTER_MAC,
    Uplink,
    as_bytes,
    send_for_the_device_to_cut,
)

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"
HOME = "2001:db8:1::100"
CORRESPONDENT = "2001:db8:c::1"

ETHERNET = Ether(src=BRIDGE_MAC, dst=ROUTER_MAC)
INNER = IPv6(src=CORRESPONDENT, dst=HOME, hlim=17, tc=0x5A, fl=0x54321) / UDP(sport=1, dport=2) / Raw(b"payload")
IPV4 = IP(src="10.0.0.2", dst="10.0.0.1") / UDP() / Raw(bytes(20))
KEY_0 = GRE(proto=0x86DD, key_present=1, key=0)
NO_KEY = GRE(proto=0x86DD)


def outer(**fields: object) -> Packet:
    """The tunnel's header; every field that must survive has a value of its own."""
    return ETHERNET / IPv6(**{"src": HOME_AGENT, "dst": CARE_OF, "hlim": 61, "tc": 0xB8, "fl": 0xABCDE, **fields})


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(INNER, id="udp"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME, nh=59), id="smallest"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME) / TCP() / Raw(bytes(1460 - 60)), id="1500 on the wire"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME) / UDP() / Raw(bytes(8992 - 40 - 48)), id="jumbo frame"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME) / INNER, id="tunnel in tunnel"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME) / KEY_0 / INNER, id="gre in tunnel"),
        pytest.param(IPv6(src=CORRESPONDENT, dst=HOME) / IPv6ExtHdrFragment(m=1) / Raw(bytes(8)), id="fragment"),
    ],
)
@pytest.mark.parametrize("gre", [pytest.param(KEY_0, id="key 0"), pytest.param(NO_KEY, id="no key")])
def test_gre_becomes_tunnel_packet(uplink: Uplink, gre: Packet, inner: Packet) -> None:
    """RFC 2473 section 3.1."""
    frames, moved = uplink.counted(lambda: uplink.going_out(as_bytes(outer(nh=47) / gre / inner)))
    assert frames == [as_bytes(outer() / inner)]
    assert moved == {"egress_tunnel": 1}


@pytest.mark.parametrize("source", ["fe80::1", "febf:ffff::1", "fe80::ff:fe00:1", "::"])
def test_source_becomes_the_home_agent(uplink: Uplink, source: str) -> None:
    """OVS 3.1 ignores the port's local_ip: towards a link-local next hop it sends from a link-local address."""
    assert uplink.going_out(outer(nh=47, src=source) / KEY_0 / INNER) == [as_bytes(outer() / INNER)]


def test_what_lies_behind_the_packet_stays_behind_it(uplink: Uplink) -> None:
    frame = as_bytes(outer(nh=47) / KEY_0 / INNER) + b"padding"
    assert uplink.going_out(frame) == [as_bytes(outer() / INNER) + b"padding"]


def test_bytes_behind_the_inner_packet_stay(uplink: Uplink) -> None:
    """OVS takes the Ethernet padding of a short frame into the tunnel."""
    assert uplink.going_out(outer(nh=47) / KEY_0 / INNER / Raw(bytes(6))) == [bytes(outer() / INNER / Raw(bytes(6)))]


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, key_present=1, key=2) / INNER, "gre", id="key 2"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, key_present=1, key=1 << 31) / INNER, "gre", id="other key"),
        pytest.param(outer(nh=47) / GRE(proto=0x0800, key_present=1, key=0) / IPV4, "gre", id="ipv4"),
        pytest.param(outer(nh=47) / GRE(proto=0x6558) / ETHERNET / INNER, "gre", id="ethernet"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, chksum_present=1) / INNER, "gre", id="checksum"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, seqnum_present=1) / INNER, "gre", id="sequence number"),
        pytest.param(outer(nh=47) / GRE(proto=0x86DD, version=1) / INNER, "gre", id="version 1"),
        pytest.param(ETHERNET / Dot1Q(vlan=5) / (outer(nh=47) / KEY_0 / INNER).payload, "gre", id="VLAN tag"),
        pytest.param(
            ETHERNET / Dot1AD(vlan=7) / Dot1Q(vlan=5) / (outer(nh=47) / KEY_0 / INNER).payload, "gre", id="two tags"
        ),
        pytest.param(
            ETHERNET / Dot1Q(vlan=5) / (outer(nh=47, src="fe80::1") / KEY_0 / INNER).payload,
            "gre",
            id="VLAN tag and link-local source",
        ),
        pytest.param(outer(nh=47, plen=47) / KEY_0 / INNER, "truncated", id="payload length one byte short"),
        pytest.param(outer(nh=47, plen=43) / NO_KEY / INNER, "truncated", id="payload length one byte short, no key"),
        pytest.param(
            outer(nh=47, plen=len(INNER) + 9) / KEY_0 / INNER, "truncated", id="payload length beyond the frame"
        ),
        pytest.param(outer(nh=47, src=HOME) / KEY_0 / INNER, "source", id="unknown source"),
        pytest.param(outer(nh=47, src=HOME) / NO_KEY / INNER, "source", id="unknown source, no key"),
    ],
)
def test_raw_gre_never_leaves(uplink: Uplink, frame: Packet, counter: str) -> None:
    frames, moved = uplink.counted(lambda: uplink.going_out(frame))
    assert frames == []
    assert moved == {f"egress_{counter}_dropped": 1}


OTHER_MAC = Ether(src="02:00:00:00:00:33", dst=ROUTER_MAC)


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(OTHER_MAC / (outer(nh=47) / KEY_0 / INNER).payload, None, id="gre of another MAC"),
        pytest.param(
            OTHER_MAC / Dot1Q(vlan=5) / (outer(nh=47) / KEY_0 / INNER).payload, None, id="tagged gre of another MAC"
        ),
        pytest.param(ETHERNET / Dot1Q(vlan=5) / (outer() / INNER).payload, None, id="VLAN tag"),
        pytest.param(outer() / TCP(), None, id="tcp"),
        pytest.param(outer() / INNER, None, id="tunnel packet"),
        pytest.param(outer(nh=60) / IPv6ExtHdrDestOpt(nh=47) / KEY_0 / INNER, None, id="gre behind options"),
        pytest.param(ETHERNET / IPV4, None, id="ipv4"),
        pytest.param(ETHERNET / IP(src="10.0.0.2", dst="10.0.0.1") / NO_KEY / INNER, None, id="gre over ipv4"),
        pytest.param(Ether(src=BRIDGE_MAC, dst=ROUTER_MAC, type=0x88B6) / Raw(bytes(46)), None, id="not ip"),
        pytest.param(outer(plen=0, nh=59), None, id="no next header"),
        # A mobile node's own GRE, forwarded by the bridge
        pytest.param(
            outer(nh=47, src=HOME) / GRE(proto=0x0800) / IPV4, "egress_gre_passed", id="forwarded ipv4 in gre"
        ),
        pytest.param(
            outer(nh=47, src=HOME) / GRE(proto=0x86DD, key_present=1, key=77) / INNER,
            "egress_gre_passed",
            id="forwarded ipv6 in gre with a key",
        ),
    ],
)
def test_left_alone(uplink: Uplink, frame: Packet, counter: str | None) -> None:
    frames, moved = uplink.counted(lambda: uplink.going_out(frame))
    assert frames == [bytes(frame)]
    assert moved == ({counter: 1} if counter else {})


def test_large_packet_for_the_device_to_cut(uplink: Uplink) -> None:
    """Segmentation offload: one buffer of several packets, whose lengths nothing here can mend."""
    segment = IPv6(src=CORRESPONDENT, dst=HOME) / TCP() / Raw(bytes(4000))
    frame = bytes(outer(nh=47) / KEY_0 / segment)

    def send() -> list[bytes]:
        send_for_the_device_to_cut(frame, headers=len(frame) - 4000)
        return uplink.going_out()

    frames, moved = uplink.counted(send)
    assert frames == []
    assert moved == {"egress_offload_dropped": 1}
