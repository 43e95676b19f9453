"""A mobile node that speaks ESP (scapy's) with the running home agent, through the real switch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BU,
    ICMPv6MPSol,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    MIP6OptAltCoA,
)
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    REMOTE,
    ROUTER,
    SECOND_HOME_ADDRESS,
    Campus,
    Settings,
    known_sources,
)
from tests.flows.stations import MobileNode, Recorder, VisitedLink
from tests.unit.ipsec.esp_peer import CLASSIC, Suite, association, peer
from topo import lab

GCM = Suite("aes-gcm", 36, None)
ASSOCIATIONS = {
    "binding": (CLASSIC, association("binding", 0x111, CLASSIC)),
    "return_routability": (GCM, association("return_routability", 0x113, GCM)),
    "prefix_discovery": (CLASSIC, association("prefix_discovery", 0x115, CLASSIC)),
}
NODE = {"home_address": HOME_ADDRESS, "associations": [one for _suite, one in ASSOCIATIONS.values()]}
SECURITY = {"mobile_nodes": [NODE]}
MODULE = [Settings("ipsec", security=SECURITY), Settings("virtual", link={"virtual": True}, security=SECURITY)]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", MODULE, ids=lambda s: s.name, indirect=True, scope="module"),
]

SILENCE = 1.5  # seconds in which an answer would have come


def end(kind: str, way: str, tunnel: tuple[str, str] | None = None) -> SecurityAssociation:
    """The mobile node's view of one direction."""
    suite, one = ASSOCIATIONS[kind]
    return peer(suite, one[way], tunnel)


def in_frame(link: VisitedLink, packet: Packet) -> Packet:
    return Ether(src=link.mac, dst=link.router_mac) / packet


def protected(node: MobileNode, update: Packet, kind: str = "binding") -> Packet:
    """The frame with its message under ESP, the Home Address option in front of it."""
    return in_frame(node.at, end(kind, "inbound").encrypt(IPv6(bytes(update[IPv6]))))


def opened(kind: str, frame: Packet) -> Packet | None:
    """What an answer says under ESP; None: it is not under this association."""
    if ESP not in frame or frame[ESP].spi != ASSOCIATIONS[kind][1]["outbound"]["spi"]:
        return None
    return IPv6(bytes(end(kind, "outbound").decrypt(IPv6(bytes(frame[IPv6])))))


def register(campus: Campus, node: MobileNode, **fields: object) -> int:
    """A home registration under ESP; the status of its acknowledgement, which comes under ESP, too."""
    update = node.binding_update(**fields)
    with node.recording() as recorder:
        recorder.send(protected(node, update))
        answer = opened("binding", recorder.wait_for(lambda f: opened("binding", f), "a protected acknowledgement", 4))
    assert answer is not None
    assert bytes(answer)[48:64] == bytes.fromhex("20010db8000100000000000000000100")  # the Type 2 Routing header's
    assert answer[MIP6MH_BA].seq == update[MIP6MH_BU].seq
    return int(answer[MIP6MH_BA].status)


@pytest.fixture(autouse=True)
def route_to_virtual_link(campus: Campus) -> None:
    """Nobody answers Neighbor Solicitations there: the router has a route to the home agent instead."""
    if campus.settings.link.get("virtual"):
        lab.run(f"ip -6 route replace {HOME_ADDRESS} via {HOME_AGENT} dev {ROUTER.device}", ROUTER.ns)


@pytest.fixture
def away(campus: Campus) -> Campus:
    """The first mobile node registered from its first link."""
    node = campus.mobile
    if node.at != node.links[0]:
        node.visit(node.links[0])
    binding = campus.manager.binding(HOME_ADDRESS)
    if binding is None or binding["care_of_address"] != node.at.care_of_address:
        assert register(campus, node) == 0
    return campus


def dropped(campus: Campus, reason: str) -> Callable[[], int]:
    """How often more than now something has been dropped for this reason."""
    before = campus.manager.statistics().get(f"dropped_{reason}", 0)
    return lambda: campus.manager.statistics().get(f"dropped_{reason}", 0) - before


def sequence(campus: Campus) -> int:
    binding = campus.manager.binding(HOME_ADDRESS)
    assert binding is not None
    return int(binding["sequence"])


def silent(recorder: Recorder) -> bool:
    """No Mobility Header, no ESP comes."""
    with pytest.raises(lab.LabError):
        recorder.wait_for(lambda f: any(p in f for p in (ESP, MIP6MH_BA, MIP6MH_BE)), "an answer", SILENCE)
    return True


def test_binding_update_in_clear_is_dropped(campus: Campus) -> None:
    """HA_2_2_3, HA_2_2_6: no answer of any kind, and no binding."""
    for node in (campus.mobile, campus.second):
        counter = dropped(campus, "unprotected_binding")
        with node.recording() as recorder:
            recorder.send(node.binding_update())
            assert silent(recorder)
        assert counter() == 1
        assert campus.manager.binding(node.home_address) is None


def test_registration_and_move_under_esp(campus: Campus) -> None:
    """RFC 3776 section 3.1; the tunnel is there when the acknowledgement is."""
    node = campus.mobile
    assert register(campus, node) == 0
    assert node.at.care_of_address in known_sources()  # no flood of strangers keeps it out
    assert REMOTE.ping(HOME_ADDRESS) == 3
    node.visit(node.links[1])
    assert register(campus, node) == 0
    assert REMOTE.ping(HOME_ADDRESS) == 3
    binding = campus.manager.binding(HOME_ADDRESS)
    assert binding is not None and binding["care_of_address"] == node.links[1].care_of_address
    node.visit(node.links[0])


def test_the_alternate_care_of_address_is_the_care_of_address(away: Campus) -> None:
    """RFC 4877 section 4.3: it must be there, since the source is not protected."""
    node = away.mobile
    counter = away.manager.statistics("engine").get("dropped_no_alternate_care_of_address", 0)
    update = node.binding_update()
    update[MIP6MH_BU].options = []
    update = Ether(bytes(update))
    with node.recording() as recorder:
        recorder.send(protected(node, update))
        assert silent(recorder)
    assert away.manager.statistics("engine")["dropped_no_alternate_care_of_address"] == counter + 1
    # Somebody on the way has changed the source: the binding is what the mobile node has said.
    changed = node.binding_update()
    sealed = protected(node, changed)
    sealed[IPv6].src = "2001:db8:f1::bad"
    with node.recording() as recorder:
        recorder.send(Ether(bytes(sealed)))
        lab.wait_until(lambda: sequence(away) == node.sequence, "the binding", timeout=3)
    assert away.manager.binding(HOME_ADDRESS)["care_of_address"] == node.at.care_of_address


def test_nobody_registers_for_another(away: Campus) -> None:
    """RFC 6275 section 5.1, RFC 4877 section 4.2."""
    node, counter = away.mobile, dropped(away, "esp_home_address")
    with node.recording() as recorder:
        recorder.send(protected(node, node.binding_update(home_address=SECOND_HOME_ADDRESS)))
        assert silent(recorder)
    assert counter() == 1
    assert away.manager.binding(SECOND_HOME_ADDRESS) is None


@pytest.mark.parametrize("reason", ["esp_bad_integrity", "esp_unknown_spi", "esp_truncated"])
def test_hostile_esp(away: Campus, reason: str) -> None:
    node, counter = away.mobile, dropped(away, reason)
    octets = bytearray(bytes(protected(node, node.binding_update())))
    if reason == "esp_bad_integrity":
        octets[-1] ^= 1
    elif reason == "esp_unknown_spi":
        octets[14 + 64] ^= 1
    else:
        del octets[14 + 64 + 6 :]
        octets[18:20] = (len(octets) - 54).to_bytes(2, "big")
    before = sequence(away)
    with node.recording() as recorder:
        recorder.send(bytes(octets))
        assert silent(recorder)
    assert counter() == 1
    assert sequence(away) == before


def test_prefix_discovery(away: Campus) -> None:
    """RFC 3776 section 3.3: solicited under ESP, answered under ESP; nothing in clear."""
    node = away.mobile
    options = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    plain = IPv6(bytes(IPv6(src=node.at.care_of_address, dst=HOME_AGENT) / options / ICMPv6MPSol(id=0x77)))
    counter = dropped(away, "unprotected_prefix_discovery")
    with node.recording() as recorder:
        recorder.send(in_frame(node.at, plain))
        lab.wait_until(lambda: counter() == 1, "the drop", timeout=3)
        recorder.send(protected(node, in_frame(node.at, plain), "prefix_discovery"))
        answer = recorder.wait_for(lambda f: opened("prefix_discovery", f), "an advertisement", 4)
    inside = bytes(opened("prefix_discovery", answer))
    assert (inside[64], inside[68:70]) == (147, b"\x00\x77")


def home_test_init(node: MobileNode, source: str | None = None) -> Packet:
    """Home Test Init to the remote correspondent in the protected tunnel, in its frame."""
    inner = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=REMOTE.address) / MIP6MH_HoTI(cookie=b"\x01" * 8)))
    tunnel = (source or node.at.care_of_address, HOME_AGENT)
    return in_frame(node.at, end("return_routability", "inbound", tunnel).encrypt(inner))


def is_home_test_init(frame: Packet) -> bool:
    return MIP6MH_HoTI in frame and frame[IPv6].src == HOME_ADDRESS


def test_home_test_init_under_esp(away: Campus) -> None:
    """HA_6_3_1, HA_6_3_5, and after a move HA_6_3_2, HA_6_3_6: the correspondent has it in clear."""
    node = away.mobile
    with REMOTE.recording() as correspondent, node.recording() as recorder:
        recorder.send(home_test_init(node))
        assert correspondent.wait_for(is_home_test_init, "a Home Test Init")[IPv6].hlim == 62  # home agent, router
    old = node.at
    node.visit(node.links[1])
    assert register(away, node) == 0
    with REMOTE.recording() as correspondent, node.recording() as recorder:
        recorder.send(home_test_init(node))
        correspondent.wait_for(is_home_test_init, "a Home Test Init")
    # The old end of the tunnel is none any more (RFC 3776 section 4.3).
    counter = dropped(away, "esp_tunnel_source")
    with REMOTE.recording() as correspondent, node.recording(old) as recorder:
        recorder.send(in_frame(old, home_test_init(node, old.care_of_address)[IPv6]))
        lab.wait_until(lambda: counter() == 1, "the drop", timeout=3)
        assert not [frame for frame in correspondent.packets() if MIP6MH_HoTI in frame]


def test_plain_home_test_init_is_dropped(away: Campus) -> None:
    """10.4.6: what is to be protected is not taken out of the ordinary tunnel. Other packets are."""
    node, counter = away.mobile, dropped(away, "unprotected_return_routability")
    inner = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=REMOTE.address) / MIP6MH_HoTI(cookie=b"\x01" * 8)))
    other = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=REMOTE.address) / MIP6MH_BE(ha=HOME_ADDRESS)))
    with REMOTE.recording() as correspondent, node.recording() as recorder:
        recorder.send(node.reverse_tunnelled(inner))
        recorder.send(node.reverse_tunnelled(other))
        correspondent.wait_for(lambda frame: MIP6MH_BE in frame, "a Binding Error out of the tunnel")
        assert not [frame for frame in correspondent.packets() if MIP6MH_HoTI in frame]
    assert counter() == 1
    assert node.ping(REMOTE.address) == 3


def test_home_test_under_esp(away: Campus) -> None:
    """HA_6_3_3, HA_6_3_7: to the care-of address under ESP, unchanged inside; never in the ordinary tunnel."""
    node = away.mobile
    message = MIP6MH_HoT(cookie=b"\x01" * 8, token=b"\x02" * 8)
    sent = IPv6(bytes(IPv6(src=REMOTE.address, dst=HOME_ADDRESS) / message))
    tunnel = (HOME_AGENT, node.at.care_of_address)
    with REMOTE.recording() as correspondent, node.recording() as recorder:
        correspondent.send(Ether(src=REMOTE.mac, dst="02:00:00:00:09:01") / sent)
        frame = recorder.wait_for(lambda f: ESP in f, "a protected Home Test")
        assert [packet for packet in recorder.packets() if packet.nh == 41] == []
    assert (frame[IPv6].src, frame[IPv6].dst, frame[IPv6].nh) == (*tunnel, 50)
    inside = IPv6(bytes(end("return_routability", "outbound", tunnel).decrypt(IPv6(bytes(frame[IPv6])))))
    assert bytes(inside)[40:] == bytes(sent)[40:]
    assert (inside.src, inside.dst, inside.hlim) == (REMOTE.address, HOME_ADDRESS, 62)


def test_other_mobility_headers_to_the_mobile_node(away: Campus) -> None:
    """Only return routability is protected: a Binding Error goes the way of all packets."""
    node = away.mobile
    sent = IPv6(bytes(IPv6(src=REMOTE.address, dst=HOME_ADDRESS) / MIP6MH_BE(ha=HOME_ADDRESS)))
    with REMOTE.recording() as correspondent, node.recording() as recorder:
        correspondent.send(Ether(src=REMOTE.mac, dst="02:00:00:00:09:01") / sent)
        frame = recorder.wait_for(lambda f: f[IPv6].nh == 41 and MIP6MH_BE in f, "a tunnelled Binding Error")
    assert frame[IPv6].dst == node.at.care_of_address


def test_deregistration_ends_the_punts(away: Campus) -> None:
    """RFC 4877 section 4.2: at home the policy for the tunnel rests."""
    node = away.mobile
    assert away.switch.ofctl("dump-flows", "table=20").count("nw_proto=135") == 2
    update = node.binding_update(lifetime=0)
    update[MIP6MH_BU].options = [MIP6OptAltCoA(acoa=node.at.care_of_address)]
    with node.recording() as recorder:
        recorder.send(protected(node, Ether(bytes(update))))
        answer = opened("binding", recorder.wait_for(lambda f: opened("binding", f), "an acknowledgement", 4))
    assert answer is not None and answer[MIP6MH_BA].status == 0
    lab.wait_until(lambda: away.manager.binding(HOME_ADDRESS) is None, "the end of the binding", timeout=3)
    lab.wait_until(lambda: "135" not in away.switch.ofctl("dump-flows", "table=20"), "the end of the flows", timeout=3)


def test_keys_are_not_shown(away: Campus) -> None:
    told = [away.manager.get(path) for path in ("/v1/statistics", "/v1/config")]
    assert told[1]["security"]["mobile_nodes"][0]["home_address"] == HOME_ADDRESS
    shown = away.manager.log() + repr(told) + away.switch.ofctl("dump-flows")
    for _suite, one in ASSOCIATIONS.values():
        for way in ("inbound", "outbound"):
            for name in ("encryption_key", "integrity_key"):
                key = one[way].get(name)
                assert key is None or key not in shown.lower()
