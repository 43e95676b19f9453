"""What Open vSwitch sends to mobile nodes past the home agent, what is on the wire: RFC 6275 section 9.3.2."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Pad1,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.shim.uplink import (
    BRIDGE_MAC,
    HOME_AGENT,
    OFFICE_END_POINT,
    OFFICE_MAC,
    ROUTER_MAC,
    Uplink,
    as_bytes,
    send_for_the_device_to_cut,
)

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"
HOME = "2001:db8:1::100"
CORRESPONDENT = "2001:db8:c::99"
NEIGHBOUR = "2001:db8:1::99"  # on the home link
STRANGER = "2001:db8:d::99"

OUTER_FIELDS = {"hlim": 64, "tc": 0xB8, "fl": 0x12345}
FIELDS = {"hlim": 61, "tc": 0x5A, "fl": 0xABCDE}  # of the correspondent's packet: on the wire it is that packet
KEY_1 = GRE(proto=0x86DD, key_present=1, key=1)
DATA = UDP(sport=1, dport=2) / Raw(b"payload")
ROUTING = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME])


def joined(packet: Packet, headers: tuple[Packet, ...]) -> Packet:
    for header in headers:
        packet /= header.copy()
    return packet


def sent(
    *headers: Packet,
    src: str = CORRESPONDENT,
    end_point: str = OFFICE_END_POINT,
    mac: str = OFFICE_MAC,
    outer: dict[str, object] | None = None,
    **fields: object,
) -> Packet:
    """What Open vSwitch makes of a correspondent's packet: `outer` and `fields` for the fields of the IPv6 headers."""
    tunnel = IPv6(**{"src": end_point, "dst": CARE_OF, "nh": 47, **OUTER_FIELDS, **(outer or {})})
    inner = IPv6(**{"src": src, "dst": HOME, **FIELDS, **fields})
    return Ether(src=mac, dst=ROUTER_MAC) / tunnel / KEY_1 / joined(inner, headers)


def optimized(*headers: Packet, src: str = CORRESPONDENT, mac: str = OFFICE_MAC, **fields: object) -> Packet:
    """The same as it shall be on the wire, `headers` with the Routing Header where it belongs."""
    return Ether(src=mac, dst=ROUTER_MAC) / joined(IPv6(**{"src": src, "dst": CARE_OF, **FIELDS, **fields}), headers)


FRAGMENT = IPv6ExtHdrFragment(nh=17, m=1, id=9) / Raw(bytes(range(48)))
LAST_FRAGMENT = IPv6ExtHdrFragment(nh=17, offset=6, id=9) / Raw(bytes(13))


@pytest.mark.parametrize(
    "upper",
    [
        pytest.param((DATA,), id="udp"),
        pytest.param((TCP() / Raw(bytes(1500 - 40 - 24 - 20)),), id="1500 on the wire"),
        pytest.param((UDP() / Raw(bytes(8992 - 48 - 48)),), id="jumbo frame"),
        pytest.param((UDP() / Raw(b"x"),), id="odd length"),
        pytest.param((ICMPv6EchoRequest(),), id="echo request"),
        pytest.param((IPv6(src=CORRESPONDENT, dst=HOME) / DATA,), id="ipv6"),
        pytest.param((KEY_1 / IPv6() / DATA,), id="gre"),
        pytest.param((IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]), DATA), id="options for the destination"),
        pytest.param((FRAGMENT,), id="first fragment"),
        pytest.param((LAST_FRAGMENT,), id="last fragment"),
        pytest.param((IPv6ExtHdrFragment(nh=17, id=9) / DATA,), id="atomic fragment"),
        pytest.param(
            (IPv6ExtHdrFragment(nh=60, m=1) / IPv6ExtHdrDestOpt(nh=51) / Raw(bytes(24)),),
            id="fragment that may have AH behind options",
        ),
    ],
)
def test_tunnel_becomes_routing_header(uplink: Uplink, upper: tuple[Packet, ...]) -> None:
    """The checksum, which scapy computes with the home address on both sides, needs no change."""
    frames, moved = uplink.counted(lambda: uplink.going_out(as_bytes(sent(*upper))))
    assert frames == [as_bytes(optimized(ROUTING, *upper))]
    assert moved == {"egress_route_optimization": 1}


def test_no_upper_layer(uplink: Uplink) -> None:
    frames = uplink.going_out(as_bytes(sent(nh=59)))
    assert frames == [as_bytes(optimized(IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME], nh=59)))]


@pytest.mark.parametrize("length", [8, 16, 24, 56, 64])
def test_hop_by_hop_header_stays_first(uplink: Uplink, length: int) -> None:
    """RFC 8200 section 4.1."""
    padding = [PadN(optdata=bytes(length - 2 - 4 - 2))] if length > 8 else [Pad1(), Pad1()]
    hop_by_hop = IPv6ExtHdrHopByHop(options=[RouterAlert(value=3), *padding], autopad=0)
    assert len(hop_by_hop) == length
    for upper in (DATA, FRAGMENT):
        frames, moved = uplink.counted(lambda upper=upper: uplink.going_out(as_bytes(sent(hop_by_hop, upper))))
        assert frames == [as_bytes(optimized(hop_by_hop, ROUTING, upper))]
        assert moved == {"egress_route_optimization": 1}


@pytest.mark.parametrize("source", [OFFICE_END_POINT, "fe80::1", "::"])
def test_source_of_the_tunnel_does_not_show(uplink: Uplink, source: str) -> None:
    assert uplink.going_out(sent(DATA, end_point=source)) == [as_bytes(optimized(ROUTING, DATA))]


@pytest.mark.parametrize("correspondent", [HOME_AGENT, NEIGHBOUR])
def test_home_link(uplink: Uplink, correspondent: str) -> None:
    """The home agent itself, and hosts on the home link."""
    frames = uplink.going_out(sent(DATA, src=correspondent, end_point=HOME_AGENT, mac=BRIDGE_MAC))
    assert frames == [as_bytes(optimized(ROUTING, DATA, src=correspondent, mac=BRIDGE_MAC))]


def test_what_lies_behind_the_packet_stays_behind_it(uplink: Uplink) -> None:
    frame = as_bytes(sent(DATA)) + b"padding"
    assert uplink.going_out(frame) == [as_bytes(optimized(ROUTING, DATA)) + b"padding"]


def test_padding_in_the_tunnel_stays_behind_the_packet(uplink: Uplink) -> None:
    """OVS takes the Ethernet padding of a short frame into the tunnel."""
    frame = sent(DATA, outer={"plen": 48 + len(DATA) + 6})
    assert uplink.going_out(bytes(frame) + bytes(6)) == [as_bytes(optimized(ROUTING, DATA)) + bytes(6)]


AUTHENTICATION = Raw(bytes([17, 4]) + bytes(22))


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        pytest.param({}, (IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOME]), DATA), id="routing header"),
        pytest.param({"nh": 51}, (AUTHENTICATION, DATA), id="ah"),
        pytest.param({}, (IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting(), DATA), id="hop-by-hop options, routing header"),
        pytest.param({}, (IPv6ExtHdrHopByHop(nh=51), AUTHENTICATION, DATA), id="hop-by-hop options, ah"),
        pytest.param({}, (IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(), DATA), id="options, routing header"),
        pytest.param({}, (IPv6ExtHdrDestOpt(nh=51), AUTHENTICATION, DATA), id="options, ah"),
        pytest.param({}, (IPv6ExtHdrFragment(nh=51, m=1), AUTHENTICATION), id="first fragment of ah"),
        pytest.param({}, (IPv6ExtHdrFragment(nh=51, offset=9), Raw(bytes(16))), id="last fragment of ah"),
        pytest.param({}, (IPv6ExtHdrFragment(), IPv6ExtHdrRouting(), DATA), id="atomic fragment, routing header"),
        pytest.param({}, (IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(68))]), DATA), id="long hop-by-hop options"),
        pytest.param({}, (*[IPv6ExtHdrDestOpt()] * 9, DATA), id="more headers than anybody looks at"),
        pytest.param({"nh": 60}, (), id="cut off before the options"),
    ],
)
def test_unfit_packet_leaves_as_it_was(uplink: Uplink, fields: dict[str, object], headers: tuple[Packet, ...]) -> None:
    frames, moved = uplink.counted(lambda: uplink.going_out(as_bytes(sent(*headers, **fields))))
    inner = joined(IPv6(src=CORRESPONDENT, dst=HOME, **{**FIELDS, **fields}), headers)
    assert frames == [as_bytes(Ether(src=OFFICE_MAC, dst=ROUTER_MAC) / inner)]
    assert moved == {"egress_plain": 1}


HOP_BY_HOP = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
GRE_KEY_0 = GRE(proto=0x86DD, key_present=1, key=0)


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(sent(DATA, src=STRANGER), "correspondent", id="source is no correspondent"),
        pytest.param(sent(DATA, src=NEIGHBOUR), "correspondent", id="source is a correspondent of another bridge"),
        pytest.param(sent(DATA, src=HOME_AGENT), "correspondent", id="source is a home agent of another bridge"),
        pytest.param(
            sent(DATA, mac=BRIDGE_MAC, end_point=HOME_AGENT), "correspondent", id="home agent's bridge for another"
        ),
        pytest.param(sent(Raw(bytes(16)), nh=51, src=STRANGER), "correspondent", id="plain, but no correspondent"),
        pytest.param(sent(DATA, end_point=STRANGER), "source", id="unknown end point"),
        pytest.param(sent(DATA, outer={"plen": 47}), "truncated", id="payload length one short of a header"),
        pytest.param(sent(DATA, outer={"plen": 48 + len(DATA) - 1}), "truncated", id="payload length one short"),
        pytest.param(sent(DATA, outer={"plen": 48 + len(DATA) + 1}), "truncated", id="payload length beyond the frame"),
        pytest.param(sent(DATA, plen=len(DATA) + 1), "truncated", id="inner length beyond the tunnel packet"),
        pytest.param(sent(DATA, plen=65535 - 23), "truncated", id="too long with the routing header"),
        pytest.param(sent(DATA, version=4), "truncated", id="not ipv6 inside"),
        pytest.param(sent(HOP_BY_HOP, plen=7, nh=0), "truncated", id="hop-by-hop options beyond the packet"),
        pytest.param(sent(Raw(b"\x11"), nh=0), "truncated", id="cut off in the hop-by-hop options"),
        pytest.param(
            Ether(src=OFFICE_MAC, dst=ROUTER_MAC) / IPv6(src=OFFICE_END_POINT, nh=47) / KEY_1 / Raw(bytes(39)),
            "truncated",
            id="shorter than a header",
        ),
        pytest.param(Ether(src=OFFICE_MAC, dst=ROUTER_MAC) / Dot1Q(vlan=5) / sent(DATA).payload, "gre", id="VLAN tag"),
        pytest.param(
            Ether(src=OFFICE_MAC, dst=ROUTER_MAC)
            / IPv6(src=OFFICE_END_POINT, dst=CARE_OF, nh=47)
            / GRE_KEY_0
            / IPv6(src=CORRESPONDENT, dst=HOME)
            / DATA,
            "gre",
            id="tunnel of a bridge without home agent",
        ),
    ],
)
def test_nothing_else_leaves_in_a_correspondents_name(uplink: Uplink, frame: Packet, counter: str) -> None:
    frames, moved = uplink.counted(lambda: uplink.going_out(frame))
    assert frames == []
    assert moved == {f"egress_{counter}_dropped": 1}


def test_gre_of_another_mac_is_left_alone(uplink: Uplink) -> None:
    frame = bytes(sent(DATA, mac="02:00:00:00:00:33"))
    frames, moved = uplink.counted(lambda: uplink.going_out(frame))
    assert frames == [frame]
    assert moved == {}


def test_large_packet_for_the_device_to_cut(uplink: Uplink) -> None:
    """Segmentation offload: one buffer of several packets, whose lengths nothing here can mend."""
    frame = bytes(sent(TCP() / Raw(bytes(4000))))

    def send() -> list[bytes]:
        send_for_the_device_to_cut(frame, headers=len(frame) - 4000)
        return uplink.going_out()

    frames, moved = uplink.counted(send)
    assert frames == []
    assert moved == {"egress_offload_dropped": 1}
