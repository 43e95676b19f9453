"""The session of another implementation's mobile node (UMIP), replayed: our acknowledgements are, octet for octet,
what its own home agent answered. Both are in tests/vectors/umip.json."""

from __future__ import annotations

import json
from pathlib import Path

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
