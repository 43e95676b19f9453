"""The configuration under test, and real messages for it, made by scapy."""

from __future__ import annotations

import json
from functools import cache
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BRR,
    MIP6MH_BU,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6HAADRequest,
    ICMPv6MPSol,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    MIP6MH_CoTI,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    MIP6OptAltCoA,
    MIP6OptNonceIndices,
    Raw,
    in6_chksum,
)
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ryu_apps.pipeline import Punt
from tests.fuzz.steps import DELAYS, KINDS, Op, Step

HOME_AGENT, ROUTER = "2001:db8:1::2", "2001:db8:1::1"
ANYCAST = "2001:db8:1:0:fdff:ffff:ffff:fffe"
VIRTUAL_AGENT, VIRTUAL_ROUTER = "2001:db8:77::2", "2001:db8:77::1"
HOME_ADDRESS, PROTECTED, SIGNED = "2001:db8:1::100", "2001:db8:1::200", "2001:db8:1::300"
VIRTUAL_HOME = "2001:db8:2::100"
CARE_OF, OTHER_CARE_OF, CORRESPONDENT = "2001:db8:f1::100", "2001:db8:f2::100", "2001:db8:9::9"
MACS: Final = ("02:00:00:00:00:02", "02:00:00:00:00:03")
ROUTER_MAC, NODE_MAC = "02:00:00:00:00:01", "02:00:00:00:00:99"
BRIDGES: Final = (("br-home", "uplink0"), ("br-virtual", "uplink1"))
ENCRYPTION_KEY: Final = bytes(range(16))
INTEGRITY_KEY: Final = bytes(range(20))
SPIS: Final = {"binding": 0x111, "return_routability": 0x113, "prefix_discovery": 0x115}
ICV: Final = 12  # octets of HMAC-SHA1-96
VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors"


def _association(kind: str) -> dict[str, Any]:
    ends: dict[str, Any] = {
        way: {"spi": SPIS[kind] + i, "integrity_key": INTEGRITY_KEY.hex()} for i, way in enumerate(WAYS)
    }
    found = {"kind": kind, "encryption": "null", "integrity": "hmac-sha1-96", **ends}
    if kind == "return_routability":  # which has to be encrypted
        found["encryption"] = "aes-cbc"
        for end in ends.values():
            end["encryption_key"] = ENCRYPTION_KEY.hex()
    return found


WAYS: Final = ("inbound", "outbound")
CONFIGURATION: Final[dict[str, Any]] = {
    "home_links": [
        {
            "name": "homenet",
            "bridge": "br-home",
            "address": HOME_AGENT,
            "prefixes": ["2001:db8:1::/64"],
            "router": ROUTER,
            "uplinks": ["uplink0"],
            "router_advertisement": {"enabled": True, "max_interval": 1800, "preference": 10},
            "mobile_prefix": {"min_interval": 2, "max_interval": 60},
        },
        {
            "name": "virtual",
            "bridge": "br-virtual",
            "address": VIRTUAL_AGENT,
            "prefixes": ["2001:db8:2::/64"],
            "router": VIRTUAL_ROUTER,
            "uplinks": ["uplink1"],
            "virtual": True,
        },
    ],
    "limits": {"max_bindings": 50, "max_lifetime": 600},
    "security": {
        "unprotected_signalling": "accept",
        "mobile_nodes": [
            {
                "home_address": PROTECTED,
                "associations": [_association(kind) for kind in SPIS],
                "unprotected_signalling": "refuse",
            },
            {
                "home_address": SIGNED,
                "authentication": {"spi": 256, "key": "00112233445566778899aabbccddeeff", "mn_id": "mn@example.org"},
            },
        ],
    },
}


TUNNEL_SOURCES: Final = tuple(IPv6Address(text).packed for text in (CARE_OF, OTHER_CARE_OF, ROUTER))


def frame(packet: Packet | bytes, mac: str = ROUTER_MAC, to: str = MACS[0]) -> bytes:
    return bytes(Ether(src=mac, dst=to, type=0x86DD)) + bytes(packet)


def punt(kind: Punt, packet: Packet | bytes, mac: str = ROUTER_MAC) -> Step:
    """A frame that the flows of the home link have punted."""
    return Op.HOME_PUNT, KINDS.index(kind), frame(packet, mac)


def from_tunnel(kind: Punt, packet: Packet | bytes) -> Step:
    """The same for a packet that the adapter has taken a Home Address option off."""
    return Op.HOME_PUNT, KINDS.index(kind) + len(TUNNEL_SOURCES) * len(KINDS), frame(packet)


def wait(seconds: float) -> Step:
    return Op.WAIT, DELAYS.index(seconds), b""


def update(
    sequence: int, home: str = HOME_ADDRESS, care_of: str = CARE_OF, agent: str = HOME_AGENT, **fields: Any
) -> Packet:
    """A Binding Update from away."""
    option = IPv6ExtHdrDestOpt(options=[HAO(hoa=home)])
    given = {"flags": "AH", "mhtime": 100, "options": [MIP6OptAltCoA(acoa=care_of)], **fields}
    return IPv6(src=care_of, dst=agent) / option / MIP6MH_BU(seq=sequence, **given)


def sealed(kind: str, packet: Packet, source: str | None = None) -> Packet:
    """Under ESP; with `source` in tunnel mode from there."""
    header = None if source is None else IPv6(src=source, dst=HOME_AGENT)
    association = SecurityAssociation(
        ESP,
        spi=SPIS[kind],
        crypt_algo="NULL" if header is None else "AES-CBC",
        crypt_key=None if header is None else ENCRYPTION_KEY,
        auth_algo="HMAC-SHA1-96",
        auth_key=INTEGRITY_KEY,
        tunnel_header=header,
    )
    return association.encrypt(IPv6(bytes(packet)), iv=None if header is None else bytes(16))


def tunnelled(packet: Packet, care_of: str = CARE_OF) -> Packet:
    return IPv6(src=HOME_AGENT, dst=care_of, nh=41) / packet


def fragments(packet: Packet, protocol: int, size: int, number: int) -> list[bytes]:
    """Of a packet without extension headers."""
    octets = bytes(packet)[40:]
    head = IPv6(src=packet[IPv6].src, dst=packet[IPv6].dst)
    pieces = [(start, octets[start : start + size]) for start in range(0, len(octets), size)]
    headers = [
        IPv6ExtHdrFragment(nh=protocol, offset=start // 8, m=int(start + size < len(octets)), id=number)
        for start, _ in pieces
    ]
    return [bytes(head / header / Raw(piece)) for header, (_, piece) in zip(headers, pieces, strict=True)]


@cache
def router_answer(router: bytes, own: bytes) -> bytes:
    """The Neighbor Advertisement of a router, as the switch punts it."""
    target = str(IPv6Address(router))
    packet = IPv6(src=target, dst=str(IPv6Address(own)), hlim=255) / ICMPv6ND_NA(tgt=target, R=1, S=1, O=1)
    return frame(packet / ICMPv6NDOptDstLLAddr(lladdr=ROUTER_MAC))


def seeds() -> list[list[Step]]:
    """Exchanges as they happen, and one of everything."""
    signalling, nd, discovery = Punt.SIGNALLING, Punt.NEIGHBOR_DISCOVERY, Punt.ROUTER_DISCOVERY
    register = [punt(signalling, update(1)), wait(1.0)]
    inner = IPv6(src=HOME_ADDRESS, dst=CORRESPONDENT) / UDP(sport=5, dport=7) / Raw(bytes(300))
    original = IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / UDP(sport=5, dport=7) / Raw(bytes(1300))
    quoted = bytes(tunnelled(original))[:1232]
    error = IPv6(src=ROUTER, dst=HOME_AGENT)
    own = IPv6(src=ROUTER, dst=HOME_AGENT, hlim=255)
    advertisement = own / ICMPv6ND_NA(tgt=ROUTER, R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=ROUTER_MAC)
    probe = IPv6(src="::", dst="ff02::1:ff00:100", hlim=255) / ICMPv6ND_NS(tgt=HOME_ADDRESS)
    claim = IPv6(src=HOME_ADDRESS, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=HOME_ADDRESS, S=0, O=1)
    claim /= ICMPv6NDOptDstLLAddr(lladdr=NODE_MAC)
    question = IPv6(src="2001:db8:1::aa", dst="ff02::1:ff00:100", hlim=255) / ICMPv6ND_NS(tgt=HOME_ADDRESS)
    question /= ICMPv6NDOptSrcLLAddr(lladdr=NODE_MAC)
    anycast = IPv6(src="2001:db8:1::aa", dst="ff02::1:ffff:fffe", hlim=255) / ICMPv6ND_NS(tgt=ANYCAST)
    router = IPv6(src="fe80::f0", dst="ff02::1", hlim=255) / ICMPv6ND_RA(H=1, routerlifetime=1800)
    router /= ICMPv6NDOptSrcLLAddr(lladdr=NODE_MAC) / ICMPv6NDOptMTU(mtu=1400) / ICMPv6NDOptHAInfo(pref=5, lifetime=900)
    router /= ICMPv6NDOptPrefixInfo(
        prefix="2001:db8:1::f0", prefixlen=64, R=1, validlifetime=900, preferredlifetime=900
    )
    home_test = IPv6(src=CORRESPONDENT, dst=PROTECTED) / MIP6MH_HoT(index=3, cookie=b"12345678", token=b"abcdefgh")
    home_test_init = IPv6(src=PROTECTED, dst=CORRESPONDENT) / MIP6MH_HoTI(cookie=b"12345678")
    protected = [punt(Punt.ESP, sealed("binding", update(1, PROTECTED))), wait(1.0)]
    complaint = IPv6(src=HOME_AGENT, dst=CARE_OF)
    prefix_solicitation = IPv6(src=CARE_OF, dst=HOME_AGENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    return [
        [*register, punt(signalling, update(2)), punt(signalling, update(3, mhtime=0)), wait(3.0)],
        [*register, punt(signalling, update(2, care_of=OTHER_CARE_OF)), punt(nd, question), wait(0.5)],
        [
            punt(signalling, update(1, flags="AHL")),
            wait(1.0),
            punt(signalling, update(2, flags="AH")),
            (Op.CLEAR, 0, b""),
        ],
        [punt(signalling, update(1)), punt(nd, probe), wait(1.0), punt(nd, probe)],
        [punt(signalling, update(1)), punt(nd, claim, NODE_MAC), wait(1.0)],
        [punt(signalling, update(1)), (Op.REFUSE, 0, b""), wait(1.0), wait(3.0)],
        [*register, (Op.RECONNECT, 0, b""), punt(signalling, update(2)), wait(30.0)],
        [*register, punt(Punt.UNRESOLVED, inner), wait(3.0), punt(nd, advertisement)],
        [
            *register,
            punt(signalling, IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / MIP6MH_BU(seq=2, flags="AH", mhtime=0), NODE_MAC),
        ],
        [
            (Op.VIRTUAL_PUNT, KINDS.index(signalling), frame(update(1, VIRTUAL_HOME, agent=VIRTUAL_AGENT), to=MACS[1])),
            wait(61.0),
        ],
        [*register, *(punt(Punt.ICMPV6_ERROR, error / kind / Raw(quoted)) for kind in ERRORS)],
        [
            *register,
            punt(Punt.ICMPV6_ERROR, error / ICMPv6PacketTooBig(mtu=1280) / Raw(quoted)),
            punt(Punt.NARROW_PATH, IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS) / UDP() / Raw(bytes(1232))),
            punt(Punt.NARROW_PATH, original),
        ],
        [*register, punt(Punt.TUNNEL_ERROR, original), punt(Punt.TUNNEL_ERROR, bytes(original)[:60])],
        [
            *register,
            *(punt(Punt.UPLINK_FRAGMENT, p) for p in fragments(IPv6(src=CARE_OF, dst=HOME_AGENT) / inner, 41, 200, 7)),
        ],
        [punt(Punt.UPLINK_FRAGMENT, p) for p in fragments(update(1, CARE_OF), 60, 24, 8)] + [wait(61.0)],
        [punt(Punt.LINK_FRAGMENT, p) for p in fragments(sealed("binding", update(1, PROTECTED)), 60, 40, 9)][:1],
        [
            punt(Punt.HOME_DISCOVERY, IPv6(src=CARE_OF, dst=ANYCAST) / ICMPv6HAADRequest(id=7)),
            punt(discovery, router, NODE_MAC),
            punt(Punt.HOME_DISCOVERY, IPv6(src=CARE_OF, dst=HOME_AGENT) / ICMPv6HAADRequest(id=8)),
            punt(nd, anycast, NODE_MAC),
            punt(discovery, IPv6(src="fe80::aa", dst="ff02::2", hlim=255) / ICMPv6ND_RS(), NODE_MAC),
            wait(3.0),
        ],
        [*register, punt(Punt.TUNNELLED_DISCOVERY, IPv6(src=HOME_ADDRESS, dst=ANYCAST) / ICMPv6HAADRequest(id=9))],
        [*register, punt(Punt.HOME_DISCOVERY, prefix_solicitation / ICMPv6MPSol(id=9)), wait(3.0)],
        [*register, from_tunnel(Punt.HOME_DISCOVERY, IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / ICMPv6MPSol(id=9))],
        [from_tunnel(Punt.UNBOUND, IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / UDP()), wait(1.0)],
        [punt(Punt.ROUTE_TOO_BIG, original), punt(Punt.UNREACHABLE, original)],
        [punt(Punt.HOST_PROBLEM, complaint / ICMPv6ParamProblem(code=2, ptr=at) / update(1)) for at in (46, 70)],
        [*protected, punt(Punt.HOME_TEST, home_test), punt(Punt.HOME_TEST_INIT, home_test_init)],
        [*protected, punt(Punt.ESP, sealed("return_routability", home_test_init, CARE_OF)), wait(300.0)],
        [punt(signalling, IPv6(src=CARE_OF, dst=HOME_AGENT) / message) for message in OTHERS],
        [punt(signalling, odd) for odd in odd_mobility_headers()],
        [(Op.MESSAGE, number, bytes(40)) for number in range(8)],
        *(
            [punt(Punt.SIGNALLING if number % 2 else Punt.HOME_DISCOVERY, packet)]
            for number, packet in enumerate(vectors())
        ),
    ]


ERRORS: Final = (
    ICMPv6DestUnreach(code=0),
    ICMPv6PacketTooBig(mtu=1400),
    ICMPv6TimeExceeded(code=0),
    ICMPv6ParamProblem(code=0, ptr=44),
)
OTHERS: Final = (
    MIP6MH_BRR(),
    MIP6MH_HoTI(cookie=b"12345678"),
    MIP6MH_CoTI(cookie=b"12345678"),
    MIP6MH_BA(),
    MIP6MH_BE(),
    MIP6MH_BU(seq=9, flags="AH", mhtime=9, options=[MIP6OptNonceIndices(hni=1, coni=2)]),
    ICMPv6EchoRequest(),
)


def odd_mobility_headers() -> list[Packet]:
    """An unknown type, a payload, and one that is too short for its type."""
    found = []
    for octets in (b"\x3b\0\x63\0", b"\x11\0\1\0", b"\x3b\0\5\0"):
        octets += bytes(4)
        header = IPv6(src=CARE_OF, dst=HOME_AGENT, nh=135)
        value = in6_chksum(135, IPv6(src=CARE_OF, dst=HOME_AGENT), octets)
        found.append(header / Raw(octets[:4] + value.to_bytes(2, "big") + octets[6:]))
    return found


def vectors() -> list[bytes]:
    """Packets of other implementations, and malformed ones."""
    names = ("scapy", "umip", "malformed")
    return [
        bytes.fromhex(entry["hex"]) for name in names for entry in json.loads((VECTORS / f"{name}.json").read_text())
    ]
