"""Claiming and defending addresses on the home link (RFC 6275 section 10.4.1, RFC 4861 sections 7.2.4 to 7.2.8)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6

from tests.unit.engine import wire
from tests.unit.engine.shell import (
    COA1,
    COA2,
    HA,
    HA_MAC,
    HOA,
    HOA_LINK_LOCAL,
    HOST,
    HOST_MAC,
    Shell,
    home_link,
    of_kind,
    only,
)
from tests.unit.engine.wire import ALL_NODES, ALL_NODES_MAC, A, H, L, address

HOST_LINK_LOCAL = address("fe80::aa")
OVERRIDE, SOLICITED = 0x20, 0x40


def test_service_begins_with_an_unsolicited_advertisement() -> None:
    """Case HA_4_1_1: all-nodes, R=0 S=0 O=1, target home address, our link-layer address, from our address."""
    shell = Shell()
    shell.update()
    ba, na = shell.advance(1.0)
    assert (ba.packet.kind, na.packet.kind) == ("BA", "NA")
    assert (na.packet.source, na.packet.destination, na.packet.target) == (HA, ALL_NODES, HOA)
    assert (na.packet.flags, na.packet.link_layer_address) == (OVERRIDE, HA_MAC)
    assert na.mac == ALL_NODES_MAC and na.after_flows
    packet = IPv6(na.raw)
    assert (packet[ICMPv6ND_NA].R, packet[ICMPv6ND_NA].S, packet[ICMPv6ND_NA].O) == (0, 0, 1)
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == "02:00:00:00:00:02"


def test_it_is_repeated_up_to_the_limit_of_rfc_4861() -> None:
    """MAX_NEIGHBOR_ADVERTISEMENT 3, RetransTimer apart."""
    shell = Shell()
    shell.update(flags=A | H | L)
    advertisements = of_kind(shell.advance(60.0), "NA")
    assert [(one.at, one.packet.target) for one in advertisements] == [
        (at, target) for at in (1001.0, 1002.0, 1003.0) for target in (HOA, HOA_LINK_LOCAL)
    ]


def test_a_refresh_or_move_does_not_claim_again() -> None:
    shell = Shell()
    shell.bind()
    shell.advance(10.0)
    assert of_kind(shell.update(COA1, 16) + shell.update(COA2, 17) + shell.advance(10.0), "NA") == []


@pytest.mark.parametrize("how", ["deregister", "clear", "fail", "expire"])
def test_claims_stop_when_service_does(how: str) -> None:
    shell = Shell()
    shell.bind(flags=A | H | L, lifetime=1)
    if how == "deregister":
        shell.update(sequence=16, lifetime=0)
    elif how == "clear":
        shell.clear()
    elif how == "fail":
        shell.fail_installation()
    else:
        shell.advance(3.0)
    shell.sent.clear()
    assert of_kind(shell.advance(10.0), "NA") == []


def test_clearing_l_stops_the_claim_of_the_link_local_address_only() -> None:
    shell = Shell()
    shell.bind(flags=A | H | L)
    shell.update(sequence=16)
    assert [one.packet.target for one in of_kind(shell.advance(10.0), "NA")] == [HOA, HOA]


def test_a_probe_of_another_node_is_answered_to_all_nodes() -> None:
    """Case HA_4_2_6; 11.5.5: so the returning mobile node learns our link-layer address."""
    shell = Shell()
    shell.bind()
    shell.advance(10.0)
    sent = only(shell.receive(wire.neighbor_solicitation(wire.UNSPECIFIED, HOA), HOST_MAC))
    assert (sent.packet.kind, sent.packet.source, sent.packet.destination) == ("NA", HA, ALL_NODES)
    assert (sent.packet.target, sent.packet.flags) == (HOA, 0)
    assert sent.packet.link_layer_address == HA_MAC and sent.mac == ALL_NODES_MAC
    assert shell.flows == {HOA: (COA1, False)}


@pytest.mark.parametrize("source", [HOST, HOST_LINK_LOCAL])
@pytest.mark.parametrize("option", [None, bytes.fromhex("0200000000bb")])
@pytest.mark.parametrize("unicast", [False, True])
def test_a_solicitation_is_answered_to_its_sender(source: bytes, option: bytes | None, unicast: bool) -> None:
    """Cases HA_4_2_1 to _14: S=1, and O=0 as for every proxy (RFC 4861 7.2.8)."""
    shell = Shell()
    shell.bind()
    destination = HOA if unicast else None
    packet = wire.neighbor_solicitation(source, HOA, destination=destination, link_layer_address=option)
    sent = only(shell.receive(packet, HOST_MAC))
    assert (sent.packet.source, sent.packet.destination, sent.packet.target) == (HA, source, HOA)
    assert (sent.packet.flags, sent.packet.link_layer_address) == (SOLICITED, HA_MAC)
    assert sent.mac == (option or HOST_MAC)
    assert shell.statistics["nd_answered"] == 1


@pytest.mark.parametrize(("flags", "answers"), [(A | H, 0), (A | H | L, 1)])
def test_the_link_local_address_is_defended_with_l_only(flags: int, answers: int) -> None:
    """10.3.1."""
    shell = Shell()
    shell.bind(flags=flags)
    for source in (HOST, wire.UNSPECIFIED):
        assert len(shell.receive(wire.neighbor_solicitation(source, HOA_LINK_LOCAL), HOST_MAC)) == answers


def test_clearing_l_ends_the_defence_of_the_link_local_address() -> None:
    shell = Shell()
    shell.bind(flags=A | H | L)
    shell.update(sequence=16)
    assert shell.flows == {HOA: (COA1, False)}
    assert shell.receive(wire.neighbor_solicitation(HOST, HOA_LINK_LOCAL), HOST_MAC) == []
    assert len(shell.receive(wire.neighbor_solicitation(HOST, HOA), HOST_MAC)) == 1


@pytest.mark.parametrize("target", [HOST, HOST_LINK_LOCAL])
@pytest.mark.parametrize("source", [HOST, wire.UNSPECIFIED])
def test_another_target_is_not_ours_to_answer(target: bytes, source: bytes) -> None:
    """Cases HA_4_3_*: sent to the mobile node's group, about another address."""
    shell = Shell()
    shell.bind(flags=A | H | L)
    group = wire.solicited_node(HOA)
    assert shell.receive(wire.neighbor_solicitation(source, target, destination=group), HOST_MAC) == []


@pytest.mark.parametrize("how", ["deregister", "expire", "clear"])
def test_the_defence_ends_with_the_service(how: str) -> None:
    """Cases HA_4_4_*, and proxy Neighbor Discovery after expiry."""
    shell = Shell()
    shell.bind(flags=A | H | L, lifetime=1)
    if how == "deregister":
        shell.update(sequence=16, lifetime=0)
    elif how == "clear":
        shell.clear()
    else:
        shell.advance(3.0)
    for target in (HOA, HOA_LINK_LOCAL):
        for source in (HOST, wire.UNSPECIFIED):
            assert shell.receive(wire.neighbor_solicitation(source, target), HOST_MAC) == []


def test_an_advertisement_about_a_defended_address_changes_nothing() -> None:
    """The mobile node announces itself when it is back (11.5.5), perhaps before its Binding Update arrives."""
    shell = Shell()
    shell.bind()
    assert shell.receive(wire.neighbor_advertisement(HOA, HOA), HOST_MAC) == []
    assert shell.flows == {HOA: (COA1, False)}
    assert shell.statistics["ignored_neighbor_discovery"] == 1


@pytest.mark.parametrize("hop_limit", [64, 254])
def test_what_a_router_forwarded_is_not_answered(hop_limit: int) -> None:
    """RFC 4861 7.1.1."""
    shell = Shell()
    shell.bind()
    packet = wire.neighbor_solicitation(HOST, HOA, hop_limit=hop_limit)
    assert shell.receive(packet, HOST_MAC) == []


def test_a_probe_with_an_option_is_not_valid() -> None:
    """RFC 4861 7.1.1: no source link-layer address option from ::."""
    shell = Shell()
    shell.bind()
    packet = wire.neighbor_solicitation(wire.UNSPECIFIED, HOA, link_layer_address=HOST_MAC)
    assert shell.receive(packet, HOST_MAC) == []


def test_our_own_solicitations_are_not_answered() -> None:
    shell = Shell()
    shell.bind()
    assert shell.receive(wire.neighbor_solicitation(HA, HOA), HA_MAC) == []


def test_a_home_address_is_defended_on_its_own_link_only() -> None:
    other = home_link(name="other", address=address("2001:db8:2::2"), prefixes=())
    shell = Shell(home_link(), other)
    shell.bind(flags=A | H | L)
    for target in (HOA, HOA_LINK_LOCAL):
        packet = wire.neighbor_solicitation(HOST_LINK_LOCAL, target)
        assert shell.receive(packet, HOST_MAC, other) == []


def test_on_a_virtual_link_there_is_no_neighbor_discovery() -> None:
    shell = Shell(home_link(virtual=True))
    shell.update()
    assert shell.receive(wire.neighbor_solicitation(HOST, HOA), HOST_MAC) == []
    assert shell.statistics["dropped_no_such_link"] == 1
