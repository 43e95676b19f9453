"""The session of another implementation's mobile node (UMIP), replayed: our acknowledgements are, octet for octet,
what its own home agent answered. Both are in tests/vectors/umip.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mip6core.addresses import Prefix
from mip6core.home_agent import HomePrefix
from tests.unit.engine.shell import MN_MAC, ROUTER_MAC, Sent, Shell, home_link, of_kind, only
from tests.unit.engine.wire import address

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "umip.json").read_text())
PACKETS = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in VECTORS}
HOME_AGENT = address("2001:db8:100::1")
HOA = address("2001:db8:100::10")
VISITED1 = address("2001:db8:f1:0:58f7:a9ff:fe69:e2db")
VISITED2 = address("2001:db8:f2:0:58f7:a9ff:fe69:e2db")


def acknowledgement(sent: list[Sent]) -> tuple[bytes, bytes, bytes]:
    """Addresses and all that follows the IPv6 header (flow label and hop limit are each node's own affair)."""
    raw = only(of_kind(sent, "BA")).raw
    return raw[6:7], raw[8:40], raw[40:]


def theirs(name: str) -> tuple[bytes, bytes, bytes]:
    raw = PACKETS[f"BindingAcknowledgement {name}"]
    return raw[6:7], raw[8:40], raw[40:]


def test_registration_movement_and_return_home() -> None:
    prefix = (HomePrefix(Prefix.parse("2001:db8:100::/64")),)
    shell = Shell(home_link(address=HOME_AGENT, prefixes=prefix))
    assert of_kind(shell.receive(PACKETS["BindingUpdate MN frame 27"], ROUTER_MAC), "BA") == []
    assert acknowledgement(shell.advance(1.0)) == theirs("MN frame 28")
    assert shell.flows == {HOA: (VISITED1, False)}
    (claim,) = of_kind(shell.sent, "NA")
    # Their unsolicited advertisement lacks the Override flag that 10.4.1 asks for; nothing else differs in kind.
    assert claim.packet.flags == 0x20 and claim.packet.target == HOA
    shell.advance(20.0)
    sent = shell.receive(PACKETS["BindingUpdate MN frame 146"], ROUTER_MAC)
    assert acknowledgement(sent) == theirs("MN frame 153")
    assert shell.flows == {HOA: (VISITED2, False)}
    shell.advance(20.0)
    sent = shell.receive(PACKETS["BindingUpdate MN frame 230"], MN_MAC)
    assert acknowledgement(sent) == theirs("MN frame 234")
    assert only(sent).mac == MN_MAC and shell.flows == {}
    # Back home it announces itself (11.5.5): nobody of ours objects.
    for name in ("NeighborAdvertisement MN frame 233", "NeighborAdvertisement MN frame 235"):
        assert shell.receive(PACKETS[name], MN_MAC) == []


def test_its_messages_to_correspondents_are_not_ours() -> None:
    shell = Shell(home_link(address=HOME_AGENT))
    shared = ("Neighbor", "Router")  # what every node on a link listens to
    names = [
        name
        for name, packet in PACKETS.items()
        if packet[24:40] != HOME_AGENT and not any(kind in name for kind in shared)
    ]
    assert len(names) > 20
    for name in names:
        assert shell.receive(PACKETS[name], ROUTER_MAC) == []
    dropped = {name: count for name, count in shell.statistics.items() if name.startswith("dropped_")}
    assert dropped == {"dropped_not_for_home_agent": len(names)}


# Another session of it, with our home agent, on a home link whose router is another: so it has to ask for the
# home agent's link-layer address before it deregisters (11.5.5).
CAMPUS_HOME_AGENT = address("2001:db8:106:2700::2")
CAMPUS_HOA = address("2001:db8:106:2700::100")
CAMPUS_UPDATE = bytes.fromhex(
    "600543b100383c4020010db801061100000000fffe00010020010db8010627000000000000000002870201020000c91020010db8010627000000"
    "0000000001003b0305003349dbacc000000f0100031020010db801061100000000fffe000100"
)
CAMPUS_PROBE = bytes.fromhex(
    "6000000000183aff00000000000000000000000000000000ff0200000000000000000001ff000100870022e90000000020010db8010627000000"
    "000000000100"
)
CAMPUS_DEREGISTRATION = bytes.fromhex(
    "600543b10020874020010db801062700000000000000010020010db80106270000000000000000023b0305001c54dbb0c0000000010003102001"
    "0db8010627000000000000000100"
)
# Compiled with strict aliasing, it sends the probe with a wrong checksum.
CAMPUS_SPOILT_PROBE = CAMPUS_PROBE[:42] + bytes.fromhex("233b") + CAMPUS_PROBE[44:]


@pytest.mark.parametrize("probe", [CAMPUS_PROBE, CAMPUS_SPOILT_PROBE], ids=["probe", "spoilt"])
def test_return_to_a_home_link_with_another_router(probe: bytes) -> None:
    prefix = (HomePrefix(Prefix.parse("2001:db8:106:2700::/64")),)
    shell = Shell(home_link(address=CAMPUS_HOME_AGENT, prefixes=prefix))
    shell.receive(CAMPUS_UPDATE, ROUTER_MAC)
    shell.advance(1.0)
    assert shell.flows == {CAMPUS_HOA: (address("2001:db8:106:1100:0:ff:fe00:100"), False)}
    answer = only(shell.receive(probe, MN_MAC))
    # RFC 4861 7.2.4: to all nodes, not solicited; with our link-layer address, which it sends the Binding Update to.
    assert answer.packet.destination == address("ff02::1")
    assert (answer.packet.target, answer.packet.link_layer_address) == (CAMPUS_HOA, shell.link.link_layer_address)
    assert answer.packet.flags & 0x40 == 0
    sent = only(shell.receive(CAMPUS_DEREGISTRATION, MN_MAC))
    assert (sent.mac, sent.packet.status, sent.packet.lifetime) == (MN_MAC, 0, 0)
    assert shell.flows == {}


def test_a_spoilt_probe_claims_nothing() -> None:
    """While an address is tested, or is nobody's, a wrong checksum is what it is everywhere (RFC 4861 7.1.1)."""
    prefix = (HomePrefix(Prefix.parse("2001:db8:106:2700::/64")),)
    shell = Shell(home_link(address=CAMPUS_HOME_AGENT, prefixes=prefix))
    assert shell.receive(CAMPUS_SPOILT_PROBE, MN_MAC) == []
    shell.receive(CAMPUS_UPDATE, ROUTER_MAC)
    assert shell.receive(CAMPUS_SPOILT_PROBE, MN_MAC) == []
    assert shell.statistics["dropped_bad_checksum"] == 2
    cut = CAMPUS_SPOILT_PROBE[:4] + bytes((0, 20)) + CAMPUS_SPOILT_PROBE[6:60]
    assert shell.receive(cut, MN_MAC) == []
    shell.advance(1.0)
    assert CAMPUS_HOA in shell.flows
