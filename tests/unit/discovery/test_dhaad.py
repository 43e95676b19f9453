"""Home Agents List and dynamic home agent address discovery (RFC 6275 sections 6.5, 6.6, 10.1, 10.5)."""

from __future__ import annotations

import json
import struct
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6HAADReply, IPv6

from mip6core import home_agents_list
from mip6core.actions import SendDatagram
from mip6core.addresses import Prefix, text
from mip6core.home_agent import HomePrefix
from tests.unit.discovery import messages
from tests.unit.discovery.link import ANYCAST, OTHER_MAC, Link, link
from tests.unit.discovery.messages import INFINITY, A, L, R, home_agent_information, prefix_information
from tests.unit.engine.shell import COA1, COA2, HA, HA_MAC, HOA, HOST, HOST_MAC, ROUTER_MAC, of_kind
from tests.unit.engine.wire import address, icmpv6, neighbor_solicitation

HA0, HA1 = address("2001:db8:1::f0"), address("2001:db8:1::f1")
HA0_OPTION, HA1_OPTION = prefix_information("2001:db8:1::f0"), prefix_information("2001:db8:1::f1")


def test_answered_from_the_unicast_address_whether_asked_there_or_at_the_anycast_address() -> None:
    """HA_7_1_1, HA_7_1_2: never from the anycast address."""
    shell = Link()
    assert shell.asked(ANYCAST, identifier=0xBEEF) == [HA]
    assert shell.asked(HA, source=COA2) == [HA]
    assert (shell.statistics["dhaad_received"], shell.statistics["dhaad_sent"]) == (2, 2)


@pytest.mark.parametrize("destination", [ANYCAST, HA])
def test_asked_through_the_reverse_tunnel(destination: bytes) -> None:
    """The answer takes the tunnel as well: nobody on the link has the home address."""
    shell = Link()
    shell.bind()
    shell.receive(messages.address_request(HOA, destination, 9), mac=b"")
    (action,) = shell.actions
    assert isinstance(action, SendDatagram)
    assert (action.link_layer_destination, action.through_bindings) == (None, True)
    found = IPv6(action.packet)
    assert found.dst == text(HOA) and found[ICMPv6HAADReply].addresses == [text(HA)]


def test_reserved_bits_are_ignored() -> None:
    """HA_7_1_3, HA_7_1_4; section 6.5."""
    shell = Link()
    shell.receive(messages.address_request(COA1, ANYCAST, 9, reserved=0xFFFF))
    (reply,) = shell.of_kind("DHAAD")
    assert (reply.identifier, reply.addresses) == (9, [HA])


def test_on_a_virtual_link_too() -> None:
    """HA_7_1_2: the home agent's address need not be in the prefix there."""
    own = address("2001:db8:77::2")
    shell = Link(link(virtual=True, address=own))
    assert shell.asked(ANYCAST) == [own]
    shell.heard("fe80::f0", HA0_OPTION)
    assert shell.asked(ANYCAST) == [own]
    assert shell.statistics["dropped_no_such_link"] == 1


@pytest.mark.parametrize(
    ("prefix", "anycast"),
    [
        ("2001:db8:5::/64", "2001:db8:5:0:fdff:ffff:ffff:fffe"),
        ("2001:db8:5::/48", "2001:db8:5:ffff:ffff:ffff:ffff:fffe"),
        ("2001:db8:5::/112", "2001:db8:5::fffe"),
        ("2001:db8:5::/120", "2001:db8:5::fe"),
    ],
)
def test_the_anycast_address_of_each_prefix(prefix: str, anycast: str) -> None:
    """RFC 2526 section 2: with the universal/local bit zero where the identifier is of EUI-64, else all ones."""
    prefixes = (HomePrefix(Prefix.parse("2001:db8:1::/64")), HomePrefix(Prefix.parse(prefix)))
    shell = Link(link(prefixes=prefixes))
    assert shell.asked(address(anycast)) == [HA]
    assert shell.asked(ANYCAST) == [HA]
    assert shell.asked(address("2001:db8:6:0:fdff:ffff:ffff:fffe")) is None
    assert shell.statistics["dropped_not_for_home_agent"] == 1


def test_a_prefix_too_long_for_anycast_addresses_has_none() -> None:
    shell = Link(link(prefixes=(HomePrefix(Prefix.parse("2001:db8:1::/121")),)))
    assert shell.asked(address("2001:db8:1::7e")) is None


@pytest.mark.parametrize(
    ("preferences", "order"),
    [
        ({"f0": 0}, "HA f0"),  # HA_7_2_1
        ({"f0": 0xFFFF}, "f0 HA"),  # HA_7_2_2
        ({"f0": 1, "f1": 0}, "HA f0 f1"),  # HA_7_2_3
        ({"f0": 0, "f1": 1}, "HA f1 f0"),  # HA_7_2_4
        ({"f0": 0, "f1": 0xFFFF}, "f1 HA f0"),  # HA_7_2_6
        ({"f0": 0xFFFF, "f1": 0xFFFE}, "f0 f1 HA"),  # HA_7_2_7
        ({"f0": 0xFFFE, "f1": 0xFFFF}, "f1 f0 HA"),  # HA_7_2_8
        ({"f0": None}, "HA f0"),  # HA_7_2_9: no Home Agent Information option is preference 0
    ],
)
def test_ordered_by_preference(preferences: dict[str, int | None], order: str) -> None:
    shell = Link()
    for name, preference in preferences.items():
        options = [] if preference is None else [home_agent_information(preference, 1800)]
        shell.heard(f"fe80::{name}", prefix_information(f"2001:db8:1::{name}"), *options)
    names = {HA: "HA", HA0: "f0", HA1: "f1"}
    found = shell.asked()
    assert found is not None and " ".join(names[one] for one in found) == order


def test_a_new_order_among_equals_each_time() -> None:
    """10.5.1: also among the addresses of one home agent."""
    shell = Link(link(advertise={"preference": 0}))
    shell.heard("fe80::f0", HA0_OPTION, HA1_OPTION)
    seen = set()
    for _ in range(100):
        shell.advance(1.0)
        found = shell.asked()
        assert found is not None
        seen.add(tuple(found))
    assert seen == set(permutations((HA, HA0, HA1)))


class TestTheEndOfAnEntry:
    """10.1, 10.5.1."""

    def start(self, lifetime: int = 1800, valid: int = 3600) -> Link:
        shell = Link()
        options = (prefix_information("2001:db8:1::f0", valid=valid), home_agent_information(0xFFFF, lifetime))
        shell.heard("fe80::f0", *options)
        assert shell.asked() == [HA0, HA]
        return shell

    def test_router_lifetime_zero(self) -> None:
        """HA_7_3_2."""
        shell = self.start()
        shell.heard("fe80::f0", HA0_OPTION, router_lifetime=0)
        assert shell.asked() == [HA]

    def test_home_agent_lifetime_zero(self) -> None:
        shell = self.start()
        shell.heard("fe80::f0", HA0_OPTION, home_agent_information(5, 0))
        assert shell.asked() == [HA]

    def test_no_router_but_a_home_agent(self) -> None:
        shell = self.start()
        shell.heard("fe80::f0", HA0_OPTION, home_agent_information(5, 100), router_lifetime=0)
        assert shell.asked() == [HA, HA0]

    def test_no_home_agent_bit(self) -> None:
        """HA_7_4_1: whatever the option says."""
        shell = self.start()
        shell.heard("fe80::f0", HA0_OPTION, home_agent_information(0xFFFF, 1800), flags=0)
        assert shell.asked() == [HA]

    def test_lifetime_of_the_option(self) -> None:
        """HA_7_2_10."""
        shell = self.start(lifetime=32)
        shell.advance(31.9)
        assert shell.asked() == [HA0, HA]
        shell.advance(0.1)
        assert shell.asked() == [HA]
        assert len(shell.ha.discovery.home_agents(shell.link)) == 0

    def test_lifetime_of_the_router(self) -> None:
        """HA_7_2_11."""
        shell = Link()
        shell.heard("fe80::f0", HA0_OPTION, router_lifetime=32)
        shell.advance(31.9)
        assert shell.asked() == [HA, HA0]
        shell.advance(0.1)
        assert shell.asked() == [HA]

    def test_each_advertisement_counts_anew(self) -> None:
        shell = self.start(lifetime=32)
        shell.advance(30.0)
        shell.heard("fe80::f0", HA0_OPTION, home_agent_information(1, 32))
        shell.advance(30.0)
        assert shell.asked() == [HA, HA0]

    def test_an_address_goes_with_its_prefix(self) -> None:
        shell = self.start(valid=50)
        shell.heard("fe80::f0", HA1_OPTION, home_agent_information(0xFFFF, 1800))
        found = shell.asked()
        assert found is not None and {*found[:2]} == {HA0, HA1}
        shell.advance(50.0)
        assert shell.asked() == [HA1, HA]

    @pytest.mark.parametrize("flags", [L | A | R, L | A], ids=["with the R bit", "without"])
    def test_an_address_goes_when_its_prefix_is_withdrawn(self, flags: int) -> None:
        shell = self.start()
        gone = prefix_information("2001:db8:1::f0" if flags & R else "2001:db8:1::", flags=flags, valid=0, preferred=0)
        shell.heard("fe80::f0", gone, home_agent_information(0xFFFF, 1800))
        assert shell.asked() == [HA]

    def test_a_prefix_without_an_end(self) -> None:
        shell = self.start(lifetime=0xFFFF, valid=INFINITY)
        shell.advance(0xFFFE)
        assert shell.asked() == [HA0, HA]


class TestTheSizeOfAReply:
    """10.5.1: it fits in the minimum MTU with the most preferred ones."""

    def test_78_others(self) -> None:
        """HA_7_5_1: exactly 77, as 40 + 8 + 77 * 16 = 1280."""
        shell = Link()
        for number in range(0xB2, 0x100):
            option = prefix_information(f"2001:db8:1::{number:x}")
            shell.heard(f"fe80::{number:x}", option, home_agent_information(0xFF00 | number, 1800))
        wanted = [address(f"2001:db8:1::{number:x}") for number in range(0xFF, 0xB2, -1)]
        assert shell.asked() == wanted and len(wanted) == 77
        (reply,) = shell.of_kind("DHAAD")
        assert reply.size == 1280

    def test_the_list_is_bounded(self) -> None:
        """A flood of advertisements keeps what is preferred."""
        shell = Link()
        shell.heard("fe80::ffff:1", HA0_OPTION, home_agent_information(500, 1800))
        for number in range(1, 1001):
            source = address("fe80::1:0")[:14] + struct.pack("!H", number)
            shell.receive(messages.router_advertisement(source, HA1_OPTION, home_agent_information(5, 1800)), OTHER_MAC)
        stored = shell.ha.discovery.home_agents(shell.link)
        assert len(stored) == home_agents_list.MAX_HOME_AGENTS
        assert shell.statistics["home_agents_refused"] == 1001 - len(stored)
        shell.heard("fe80::ffff:2", prefix_information("2001:db8:1::f2"), home_agent_information(400, 1800))
        assert len(stored) == home_agents_list.MAX_HOME_AGENTS
        assert shell.asked() == [HA0, address("2001:db8:1::f2"), HA, HA1]
        shell.advance(1800.0)
        shell.heard("fe80::f3", HA0_OPTION)
        assert len(stored) == 1

    def test_the_addresses_of_one_are_bounded(self) -> None:
        shell = Link()
        for number in range(40):
            shell.heard("fe80::f0", prefix_information(f"2001:db8:1::f:{number:x}"), home_agent_information(99, 1800))
        found = shell.asked()
        assert found is not None and len(found) == 1 + home_agents_list.MAX_ADDRESSES
        assert shell.statistics["home_agent_addresses_refused"] == 40 - home_agents_list.MAX_ADDRESSES

    def test_addresses_that_are_no_longer_valid_make_room(self) -> None:
        shell = Link()
        for number in range(home_agents_list.MAX_ADDRESSES):
            option = prefix_information(f"2001:db8:1::f:{number:x}", valid=5)
            shell.heard("fe80::f0", option, home_agent_information(99, 1800))
        shell.advance(5.0)
        shell.heard("fe80::f0", HA0_OPTION, home_agent_information(99, 1800))
        assert shell.asked() == [HA0, HA]


def test_a_list_for_each_link() -> None:
    other = link(
        name="other", address=address("2001:db8:5::2"), prefixes=(HomePrefix(Prefix.parse("2001:db8:5::/64")),)
    )
    shell = Link(link(), other)
    packet = messages.router_advertisement("fe80::f0", prefix_information("2001:db8:5::f0"))
    shell.receive(packet, OTHER_MAC, other)
    assert shell.asked() == [HA]
    request = messages.address_request(COA1, address("2001:db8:5:0:fdff:ffff:ffff:fffe"), 3)
    shell.receive(request, ROUTER_MAC, other)
    assert shell.discoveries[-1][1].addresses == [address("2001:db8:5::2"), address("2001:db8:5::f0")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hop_limit": 254}, "bad_hop_limit"),
        ({"source": "2001:db8:1::f0"}, "bad_source"),
        ({"options": (b"\x08\0" + bytes(6),)}, "bad_option_length"),
        ({"mac": HA_MAC}, "own_frame"),
    ],
)
def test_advertisements_that_do_not_count(changes: dict[str, Any], reason: str) -> None:
    """RFC 4861 section 6.1.2; and what the home agent, or radvd beside it, has sent itself."""
    shell = Link()
    values: dict[str, Any] = {"source": "fe80::f0", "options": (HA0_OPTION,)} | changes
    shell.heard(values.pop("source"), *values.pop("options"), **values)
    assert shell.asked() == [HA]
    assert shell.statistics[f"dropped_{reason}"] == 1


def test_addresses_that_cannot_be_a_home_agents() -> None:
    """Its own, which it lists itself, and what is no global unicast address."""
    shell = Link()
    wrong = (HA, address("ff02::5"), address("fe80::5"), address("::1"))
    options = (struct.pack("!BBBBIII", 3, 4, 64, L | A | R, 3600, 3600, 0) + one for one in wrong)
    shell.heard("fe80::f0", *options, home_agent_information(99, 1800))
    assert shell.asked() == [HA]
    shell.heard("fe80::f1", HA1_OPTION, home_agent_information(50, 1800))
    assert shell.asked() == [HA1, HA]  # by its own preference, not by that of who claims its address


class TestWhoAsks:
    def test_a_node_on_the_home_link_is_answered_at_its_link_layer_address(self) -> None:
        shell = Link()
        shell.receive(messages.address_request(HOST, ANYCAST, 5), HOST_MAC)
        ((_, reply, mac),) = shell.discoveries
        assert (reply.destination, mac) == (HOST, HOST_MAC)

    def test_nobody_to_answer(self) -> None:
        shell = Link()
        assert shell.asked(source=address("::")) is None
        assert shell.statistics["dropped_source_not_unicast"] == 1

    def test_a_flood_is_not_amplified(self) -> None:
        """A reply can be 26 times as long as the request, and sources can be forged."""
        shell = Link()
        answered = [shell.asked() is not None for _ in range(100)]
        assert answered == [True] * 10 + [False] * 90
        assert shell.asked(source=COA2) == [HA]
        shell.advance(1.0)
        assert shell.asked() == [HA]
        assert shell.statistics["dhaad_suppressed"] == 90

    def test_with_a_home_address_option(self) -> None:
        """9.3.1, 9.3.2: only from a registered mobile node, which is answered through a Type 2 Routing header."""
        shell = Link()
        packet = _with_home_address(messages.address_request(HOA, ANYCAST, 5))
        (error,) = of_kind(shell.receive(packet), "BE")
        assert error.packet.status == 1 and shell.discoveries == []
        shell.bind(COA1)
        assert shell.receive(packet) == []
        ((_, reply, _),) = shell.discoveries
        assert (reply.destination, reply.routing, reply.addresses) == (COA1, HOA, [HA])

    def test_wrong_checksum(self) -> None:
        shell = Link()
        packet = messages.address_request(COA1, ANYCAST, 5)
        shell.receive(packet[:-1] + b"\x01")
        assert shell.discoveries == [] and shell.statistics["dropped_bad_checksum"] == 1


def _with_home_address(packet: bytes) -> bytes:
    """The packet with its source address in a Home Address option, sent from COA1."""
    option = bytes([58, 2, 1, 2, 0, 0, 0xC9, 16]) + packet[8:24]
    length = struct.pack("!HB", len(packet) - 40 + len(option), 60)
    return packet[:4] + length + packet[7:8] + COA1 + packet[24:40] + option + packet[40:]


class TestTheAnycastAddressInNeighborDiscovery:
    """10.5: without an answer no router could deliver a request."""

    def test_answered_at_once_where_nobody_else_does(self) -> None:
        shell = Link()
        (sent,) = shell.receive(neighbor_solicitation(HOST, ANYCAST, link_layer_address=HOST_MAC), HOST_MAC)
        answer = sent.packet
        assert (answer.kind, answer.source, answer.destination, sent.mac) == ("NA", HA, HOST, HOST_MAC)
        # RFC 4861 section 7.2.4: solicited, and never overriding another home agent's
        assert (answer.flags, answer.target, answer.link_layer_address) == (0x40, ANYCAST, HA_MAC)

    def test_answered_within_a_second_where_others_do_too(self) -> None:
        """RFC 4861 section 7.2.7: MAX_ANYCAST_DELAY_TIME."""
        shell = Link()
        shell.heard("fe80::f0", HA0_OPTION)
        delays = []
        for _ in range(20):
            assert shell.receive(neighbor_solicitation(HOST, ANYCAST, link_layer_address=HOST_MAC), HOST_MAC) == []
            asked = shell.now
            (sent,) = shell.advance(1.0)
            assert sent.packet.target == ANYCAST
            delays.append(sent.at - asked)
        assert 0 <= min(delays) < 0.2 and 0.8 < max(delays) < 1.0

    def test_what_waits_is_bounded(self) -> None:
        shell = Link()
        shell.heard("fe80::f0", HA0_OPTION)
        for _ in range(1000):
            shell.receive(neighbor_solicitation(HOST, ANYCAST, link_layer_address=HOST_MAC), HOST_MAC)
        assert len(shell.advance(1.0)) == 64
        assert shell.statistics["dropped_too_many_anycast_solicitations"] == 936

    def test_no_other_address_is_claimed(self) -> None:
        shell = Link()
        for target in (address("2001:db8:1::"), ANYCAST[:15] + b"\xff", HOST):
            assert shell.receive(neighbor_solicitation(HOST, target, link_layer_address=HOST_MAC), HOST_MAC) == []


def test_scapy_reads_the_reply() -> None:
    shell = Link()
    shell.heard("fe80::f0", HA0_OPTION)
    shell.asked(identifier=0x1234)
    packet = IPv6(shell.raw[-1])
    reply = packet[ICMPv6HAADReply]
    assert (reply.type, reply.code, reply.id, reply.addresses) == (145, 0, 0x1234, ["2001:db8:1::2", "2001:db8:1::f0"])
    again = packet.copy()
    del again[ICMPv6HAADReply].cksum
    assert bytes(again) == shell.raw[-1]


def test_another_implementation_would_have_answered_the_same() -> None:
    """UMIP's mobile node asked; UMIP's home agent's reply is ours, but for flow label and hop limit."""
    path = Path(__file__).resolve().parents[2] / "vectors" / "umip.json"
    packets = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in json.loads(path.read_text())}
    own = address("2001:db8:100::1")
    shell = Link(link(address=own, prefixes=(HomePrefix(Prefix.parse("2001:db8:100::/64")),)))
    shell.receive(packets["HAAddressDiscoveryRequest MN frame 20"])
    theirs = packets["HAAddressDiscoveryReply MN frame 23"]
    (ours,) = shell.raw
    assert (ours[4:7], ours[8:]) == (theirs[4:7], theirs[8:])


def test_other_messages_of_icmpv6_are_left_alone() -> None:
    shell = Link()
    assert shell.receive(icmpv6(145, bytes(4), COA1, HA, hop_limit=64)) == []
    assert shell.statistics == {"ignored_protocol": 1}
