"""What strangers may put into headers: none of it is taken for a mobile node's, none leaves as the home agent's.

All come in by the uplink, as the Internet's packets do, and have a text in them. On no link may that text be seen in
any other packet than the ones that were sent, which bridges may carry to anybody, and ICMPv6 errors about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    HBHOptUnknown,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    MIP6MH_CoTI,
    MIP6MH_HoTI,
    PadN,
    Raw,
)
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from tests.flows.campus import (
    BRIDGE,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_PREFIX,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    ROUTER,
    SECOND_HOME_ADDRESS,
    STRANGER,
    Campus,
    Settings,
)
from tests.flows.stations import Recorder, Station

HOSTS = {"name": "hosts", "bridge": BRIDGE, "prefixes": [HOME_PREFIX]}
ONE_ARMED = Settings("one-armed", correspondents=HOSTS)
TWO_BRIDGES = replace(ONE_ARMED, name="two-bridges", link={"uplink_bridge": "br-uplink"})

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [ONE_ARMED, TWO_BRIDGES], ids=lambda s: s.name, indirect=True, scope="module"),
]

ATTACKER = "2001:db8:9::666"  # behind the router
UNBOUND = "2001:db8:1::77"
MARK = b"hostile "
NEVER_A_SOURCE = (
    "::",
    "::1",
    "ff02::1",
    "ff0e::1",
    "fe80::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "2002:a00:1::1",
)
ICMPV6, UDP_PROTOCOL, GRE_PROTOCOL = 58, 17, 47
IPV6_HEADER, FIRST_INFORMATIONAL = 40, 128  # octets; ICMPv6 type
TUNNEL, ROUTE = GRE(proto=0x86DD, key_present=1, key=0), GRE(proto=0x86DD, key_present=1, key=1)


def data(source: str, destination: str = LOCAL.address, **fields: int) -> Packet:
    return IPv6(src=source, dst=destination, **fields) / UDP(sport=5, dport=7) / Raw(MARK)


def option(*home_addresses: str, padding: int | None = None) -> Packet:
    options: list[Packet] = [HAO(hoa=address) for address in home_addresses]
    if padding is not None:
        options.insert(0, PadN(optdata=bytes(padding)))
    return IPv6ExtHdrDestOpt(options=options)


def routing(segments_left: int, *addresses: str, kind: int = 2) -> Packet:
    return IPv6ExtHdrRouting(type=kind, segleft=segments_left, addresses=list(addresses))


def upper() -> Packet:
    return UDP(sport=5, dport=7) / Raw(MARK)


def tunnelled(care_of: str) -> Iterator[Packet]:
    """To the home agent, from a stranger's address or (but for the inner source) a mobile node's."""
    outer = IPv6(src=care_of, dst=HOME_AGENT)
    destinations = (LOCAL.address, NEIGHBOUR.address, REMOTE.address, HOME_AGENT, SECOND_HOME_ADDRESS, UNBOUND)
    for source in (SECOND_HOME_ADDRESS, UNBOUND, HOME_AGENT, LOCAL.address, ROUTER.address, care_of, *NEVER_A_SOURCE):
        for destination in destinations:
            yield outer / data(source, destination)
    for headers in (option(SECOND_HOME_ADDRESS), routing(1, HOME_ADDRESS), IPv6ExtHdrHopByHop(), IPv6ExtHdrFragment()):
        yield outer / IPv6(src=UNBOUND, dst=LOCAL.address) / headers / upper()  # inside
        yield outer / headers / data(UNBOUND)  # outside
    for hop_limit in (0, 1):
        yield outer / data(UNBOUND, hlim=hop_limit)
    # Deeper: the inner one is what would have been accepted by itself.
    deeper = outer
    for _ in range(9):
        deeper = deeper / IPv6(src=UNBOUND, dst=HOME_AGENT)
        yield deeper / data(SECOND_HOME_ADDRESS)
    # Signalling that says it came out of somebody's tunnel.
    for message in (MIP6MH_HoTI(), MIP6MH_BU(flags="AH", mhtime=100), MIP6MH_CoTI()):
        yield outer / IPv6(src=SECOND_HOME_ADDRESS, dst=HOME_AGENT) / message
        yield outer / IPv6(src=SECOND_HOME_ADDRESS, dst=HOME_AGENT) / option(SECOND_HOME_ADDRESS) / message
        yield outer / IPv6(src=SECOND_HOME_ADDRESS, dst=REMOTE.address) / message


def from_the_mobile_node(care_of: str) -> Iterator[Packet]:
    """Out of its own tunnel, with its own home address: what it must not pass on, or not as somebody else."""
    outer = IPv6(src=care_of, dst=HOME_AGENT)
    for destination in ("ff02::1", "ff0e::1", "fe80::1", "fe80::c", "::1", "::"):
        yield outer / data(HOME_ADDRESS, destination)
    for gre in (TUNNEL, ROUTE):  # what the tunnel port takes, from whom the flows have checked for another source
        for deeper in (data(SECOND_HOME_ADDRESS), data(UNBOUND), data(HOME_ADDRESS)):
            yield outer / IPv6(src=HOME_ADDRESS, dst=HOME_AGENT, nh=GRE_PROTOCOL) / gre / deeper
    yield outer / IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / data(SECOND_HOME_ADDRESS)
    yield IPv6(src=care_of, dst=HOME_AGENT) / option(HOME_ADDRESS) / TUNNEL / data(SECOND_HOME_ADDRESS)
    for hop_limit in (0, 1):
        yield outer / data(HOME_ADDRESS, hlim=hop_limit)


def optimized(care_of: str) -> Iterator[Packet]:
    """With a Home Address option that no binding accepts, or that is no good."""
    for destination in (LOCAL.address, HOME_AGENT):
        outer = IPv6(src=care_of, dst=destination)
        for address in (SECOND_HOME_ADDRESS, UNBOUND, HOME_AGENT, LOCAL.address, care_of, *NEVER_A_SOURCE):
            yield outer / option(address) / upper()
            yield outer / option(address) / ICMPv6EchoRequest(data=MARK)
        yield outer / option(SECOND_HOME_ADDRESS, SECOND_HOME_ADDRESS) / upper()
        yield outer / option(HOME_ADDRESS, SECOND_HOME_ADDRESS) / upper()
        yield outer / option(SECOND_HOME_ADDRESS) / option(SECOND_HOME_ADDRESS) / upper()
        yield outer / option(SECOND_HOME_ADDRESS, padding=1) / upper()
        for offset, more in ((0, 1), (0, 0), (3, 0), (3, 1)):
            fragment = IPv6ExtHdrFragment(offset=offset, m=more, nh=UDP_PROTOCOL)
            yield outer / option(SECOND_HOME_ADDRESS) / fragment / upper()
        yield outer / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / option(SECOND_HOME_ADDRESS) / upper()
        yield outer / IPv6ExtHdrHopByHop(options=[HAO(hoa=SECOND_HOME_ADDRESS)]) / upper()
        yield outer / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x80)]) / option(SECOND_HOME_ADDRESS) / upper()
        for hop_limit in (0, 1):
            hops = IPv6(src=care_of, dst=destination, hlim=hop_limit)
            yield hops / option(SECOND_HOME_ADDRESS) / upper()


def routed(care_of: str) -> Iterator[Packet]:
    """With routing headers, to the home agent: a router must not be made of it (RFC 5095, RFC 6275 section 6.4.5)."""
    outer = IPv6(src=care_of, dst=HOME_AGENT)
    for segments_left in (0, 1, 2, 255):
        for kind in (0, 2, 3, 4):
            yield outer / routing(segments_left, LOCAL.address, kind=kind) / upper()
            yield outer / routing(segments_left, HOME_ADDRESS, LOCAL.address, kind=kind) / upper()
        yield outer / routing(segments_left, HOME_ADDRESS) / option(SECOND_HOME_ADDRESS) / upper()
        yield outer / routing(segments_left, HOME_ADDRESS) / data(SECOND_HOME_ADDRESS)
        yield outer / routing(segments_left, HOME_ADDRESS) / TUNNEL / data(SECOND_HOME_ADDRESS)


def frames(campus: Campus, packets: Iterator[Packet], source: Station) -> Iterator[bytes]:
    """Each packet by itself, to all of them, behind tags, and cut."""
    for packet in packets:
        octets = bytes(packet)
        for destination in (campus.bridge_mac, LOCAL.mac, "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"):
            yield bytes(Ether(src=source.mac, dst=destination, type=0x86DD)) + octets
        tagged = Ether(src=source.mac, dst=campus.bridge_mac)
        yield bytes(tagged / Dot1Q(vlan=0, type=0x86DD)) + octets
        yield bytes(tagged / Dot1Q(vlan=7, type=0x86DD)) + octets
        yield bytes(tagged / Dot1AD(vlan=7, type=0x8100) / Dot1Q(vlan=8, type=0x86DD)) + octets
        for length in (39, 40, 41, 47, 48, 79, 80, len(octets) - 1):  # whatever the header says
            yield bytes(Ether(src=source.mac, dst=campus.bridge_mac, type=0x86DD)) + octets[:length]


SETS = {
    "tunnel, stranger": lambda campus: tunnelled(ATTACKER),
    "tunnel, care-of address": lambda campus: tunnelled(campus.mobile.at.care_of_address),
    "tunnel, own home address": lambda campus: from_the_mobile_node(campus.mobile.at.care_of_address),
    "home address option, stranger": lambda campus: optimized(ATTACKER),
    "home address option, care-of address": lambda campus: optimized(campus.mobile.at.care_of_address),
    "routing header": lambda campus: routed(ATTACKER),
}


def taken_apart(recorder: Recorder, care_of: str) -> list[str]:
    """What arrived with the mark in it, from or to other addresses than it was sent, and is no error about it."""
    found = []
    for octets in recorder.frames(outgoing=False):
        if MARK not in octets:
            continue
        frame = Ether(octets)
        packet = frame.getlayer(IPv6)
        if packet is None:  # behind tags that scapy does not know, or cut
            continue
        if (packet.src, packet.dst) == (HOME_AGENT, care_of) and IPv6 in packet.payload:  # an error, through the tunnel
            packet = packet.payload[IPv6]
        if packet.nh == ICMPV6 and bytes(packet)[IPV6_HEADER] < FIRST_INFORMATIONAL:
            continue
        if packet.src not in (ATTACKER, care_of) or packet.dst not in (HOME_AGENT, LOCAL.address):
            found.append(frame.summary())
    return found


@pytest.mark.parametrize("name", SETS)
def test_nothing_comes_through(registered: Campus, name: str) -> None:
    campus, care_of = registered, registered.mobile.at.care_of_address
    assert LOCAL.ping(HOME_ADDRESS) == REMOTE.ping(HOME_ADDRESS) == 3
    before = [campus.manager.binding(address) for address in (HOME_ADDRESS, SECOND_HOME_ADDRESS)]
    with ExitStack() as stack:
        witnesses = (LOCAL, NEIGHBOUR, STRANGER, ROUTER, REMOTE, campus.mobile, campus.second)
        recorders = {witness.ns: stack.enter_context(witness.recording()) for witness in witnesses}
        for index, octets in enumerate(frames(campus, SETS[name](campus), ROUTER)):
            recorders[ROUTER.ns].send(octets)
            if index % 100 == 99:  # not more than the queue takes
                assert LOCAL.ping(HOME_AGENT, count=1) == 1
        assert LOCAL.ping(HOME_ADDRESS) == REMOTE.ping(HOME_ADDRESS) == 3
        found = {ns: taken_apart(recorder, care_of) for ns, recorder in recorders.items()}
    assert {ns: summaries for ns, summaries in found.items() if summaries} == {}
    assert [campus.manager.binding(address) for address in (HOME_ADDRESS, SECOND_HOME_ADDRESS)] == before
    assert campus.manager.statistics().get("internal_errors", 0) == 0
    assert campus.manager.complaints() == []
