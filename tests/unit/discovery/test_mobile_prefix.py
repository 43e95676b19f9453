"""Prefix discovery of mobile nodes that are away (RFC 6275 sections 6.7, 6.8, 10.6)."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from scapy.layers.inet6 import ICMPv6MPAdv, ICMPv6NDOptPrefixInfo, IPv6

from mip6core.addresses import Prefix
from mip6core.home_agent import HomePrefix
from tests.unit.discovery import messages
from tests.unit.discovery.link import Link, link
from tests.unit.discovery.messages import HOME_AGENT, INFINITY, MANAGED, OTHER, A, L, R, prefix_information
from tests.unit.engine.shell import COA1, COA2, HA, HOA, of_kind
from tests.unit.engine.wire import address

PREFIX = Prefix.parse("2001:db8:1::/64")
SECOND = Prefix.parse("2001:db8:5::/64")
DAY = 86_400.0
# A preferred lifetime bounds the delay of an advertisement: these are sent 10 to 20 seconds, or 10 seconds after.
QUICK = {"min_interval": 10}
CHANGED = HomePrefix(PREFIX, math.inf, 20.0)
CHANGED_10 = HomePrefix(PREFIX, math.inf, 10.0)


def bound(**told: object) -> Link:
    """A link with one mobile node that is bound at COA1 for longer than the tests last."""
    shell = Link(link(prefixes_told=told, max_lifetime=0xFFFF * 4))
    assert shell.bind(COA1, lifetime=0xFFFF).status == 0
    return shell


class TestSolicited:
    def test_answered_with_all_prefixes(self) -> None:
        """HA_8_1_1; 6.8: source, destination, Type 2 Routing header, identifier, R bit with the whole address."""
        prefixes = (HomePrefix(PREFIX), HomePrefix(SECOND, 5000.0, 3000.0))
        shell = Link(link(prefixes=prefixes))
        shell.bind(COA1)
        assert shell.solicit(0xABCD) == []
        ((at, found, mac),) = shell.discoveries
        assert (found.kind, found.source, found.destination, found.routing) == ("MPA", HA, COA1, HOA)
        assert (found.identifier, found.flags, mac, at) == (0xABCD, 0, None, shell.now)
        first, second = found.prefixes
        assert (first.address, first.length, first.flags) == (HA, 64, L | A | R)
        assert (first.valid, first.preferred) == (INFINITY, INFINITY)
        assert (second.address, second.flags, second.valid, second.preferred) == (SECOND.network, L | A, 5000, 3000)
        assert (shell.statistics["mps_received"], shell.statistics["mpa_sent"]) == (1, 1)

    def test_reserved_bits_and_options_are_ignored(self) -> None:
        """HA_8_1_15, HA_8_1_16; 6.7."""
        shell = bound()
        shell.solicit(5, reserved=0xFFFF, options=bytes([200, 1]) + bytes(6))
        assert [found.identifier for found in shell.of_kind("MPA")] == [5]

    def test_on_a_virtual_link(self) -> None:
        """HA_8_1_2: a home agent's address outside the prefix is not told as one in it."""
        own = address("2001:db8:77::2")
        shell = Link(link(virtual=True, address=own))
        shell.update(COA1)
        shell.solicit(destination=own)
        (found,) = shell.of_kind("MPA")
        (prefix,) = found.prefixes
        assert (found.source, prefix.address, prefix.flags) == (own, PREFIX.network, L | A)

    def test_lifetimes_are_what_is_left(self) -> None:
        shell = Link(link(prefixes=(HomePrefix(PREFIX, 500.0, 100.0, since=1000.0),)))
        shell.bind(COA1)
        shell.advance(9.5)
        shell.solicit()
        shell.advance(100.0)
        shell.solicit()
        lifetimes = [(found.prefixes[0].valid, found.prefixes[0].preferred) for found in shell.of_kind("MPA")]
        assert lifetimes == [(489, 89), (389, 0)]

    def test_only_for_mobile_nodes_with_a_binding(self) -> None:
        """9.3.1: a Home Address option without one draws a Binding Error."""
        shell = Link()
        (error,) = of_kind(shell.solicit(), "BE")
        assert (error.packet.status, error.packet.destination) == (1, COA1)
        shell.bind(COA1)
        (error,) = of_kind(shell.solicit(care_of_address=COA2), "BE")
        assert (error.packet.status, error.packet.destination) == (1, COA2)
        shell.update(COA1, 16, lifetime=0)
        (error,) = of_kind(shell.solicit(), "BE")
        assert error.packet.status == 1
        assert shell.discoveries == []

    def test_without_a_home_address_option(self) -> None:
        """11.4.2: it must be there."""
        shell = bound()
        assert shell.solicit(home_address=None) == [] and shell.discoveries == []
        assert shell.statistics["dropped_not_registered"] == 1

    def test_to_the_home_agent_itself_only(self) -> None:
        shell = bound()
        assert shell.solicit(destination=address("2001:db8:1:0:fdff:ffff:ffff:fffe")) == []
        assert shell.discoveries == []

    def test_one_a_second(self) -> None:
        """6.8 MUST: what comes sooner is answered when the second is over, and once."""
        shell = bound()
        for identifier in (1, 2, 3):
            shell.solicit(identifier)
            shell.advance(0.25)
        assert [found.identifier for found in shell.of_kind("MPA")] == [1]
        shell.advance(3.0)
        assert [found.identifier for found in shell.of_kind("MPA")] == [1, 3]
        first, second = shell.times("MPA")
        assert second - first == 1.0
        assert shell.statistics["mpa_delayed"] == 2

    def test_another_mobile_node_need_not_wait(self) -> None:
        shell = bound()
        other = address("2001:db8:1::98")
        shell.bind(COA2, home_address=other)
        shell.solicit(1)
        shell.solicit(2, COA2, other)
        assert [(found.identifier, found.routing) for found in shell.of_kind("MPA")] == [(1, HOA), (2, other)]

    def test_a_new_binding_does_not_shorten_the_second(self) -> None:
        shell = Link(link(virtual=True))
        shell.update(COA1, 15)
        shell.solicit(1)
        shell.update(COA1, 16, lifetime=0)
        shell.update(COA1, 17)
        shell.solicit(2)
        assert len(shell.of_kind("MPA")) == 1
        shell.advance(1.0)
        assert [found.identifier for found in shell.of_kind("MPA")] == [1, 2]

    def test_what_waits_ends_with_the_binding(self) -> None:
        shell = bound()
        shell.solicit(1)
        shell.solicit(2)
        shell.update(COA1, 16, lifetime=0)
        shell.advance(20.0)
        assert len(shell.of_kind("MPA")) == 1 and shell.ha.next_timer() is None

    def test_turned_off(self) -> None:
        """8.4 MUST."""
        shell = bound(enabled=False)
        assert shell.solicit() == []
        shell.set_prefixes(HomePrefix(PREFIX), HomePrefix(SECOND))
        shell.advance(2 * DAY)
        assert shell.discoveries == []
        assert shell.statistics["dropped_prefix_discovery_off"] == 1


class TestManagedAndOther:
    """6.8, 10.6.3: cleared without DHCPv6 through the home agent, else as anybody on the link advertises."""

    @pytest.mark.parametrize(
        ("dhcpv6", "own", "others", "told"),
        [
            (False, {"managed": True, "other": True}, MANAGED | OTHER, 0),
            (True, {}, 0, 0),
            (True, {"managed": True}, 0, MANAGED),
            (True, {"other": True}, 0, OTHER),
            (True, {"managed": True}, OTHER, MANAGED | OTHER),
            (True, {}, MANAGED, MANAGED),
        ],
    )
    def test_flags(self, dhcpv6: bool, own: dict[str, bool], others: int, told: int) -> None:
        shell = Link(link(advertise=own, prefixes_told={"dhcpv6": dhcpv6}))
        shell.heard("fe80::f0", prefix_information("2001:db8:1::f0"), flags=HOME_AGENT | others)
        shell.bind(COA1)
        shell.solicit()
        assert [found.flags for found in shell.of_kind("MPA")] == [told]


class TestUnsolicited:
    """10.6.2."""

    def test_sent_after_a_change_and_repeated_with_doubled_waits(self) -> None:
        shell = bound(**QUICK)
        changed = shell.now
        shell.set_prefixes(CHANGED, HomePrefix(SECOND))
        shell.advance(1000.0)
        first, *again = shell.times("MPA")
        assert 10 <= first - changed < 20
        assert [at - first for at in again] == [3, 9, 21]  # PREFIX_ADV_TIMEOUT, PREFIX_ADV_RETRIES
        for found in shell.of_kind("MPA"):
            assert (found.source, found.destination, found.routing) == (HA, COA1, HOA)
            assert [prefix.address for prefix in found.prefixes] == [HA, SECOND.network]
        assert (shell.statistics["mpa_unsolicited"], shell.statistics["mpa_retransmitted"]) == (1, 3)

    def test_a_solicitation_is_the_acknowledgement(self) -> None:
        shell = bound(**QUICK)
        shell.set_prefixes(CHANGED_10)
        shell.advance(11.0)
        shell.solicit(0x55)
        shell.advance(1000.0)
        assert [found.identifier for found in shell.of_kind("MPA")] == [0, 0x55]

    @pytest.mark.parametrize(
        "prefixes",
        [
            (HomePrefix(PREFIX, 50_000.0, 40_000.0),),
            (HomePrefix(PREFIX, math.inf, 40_000.0),),
            (HomePrefix(PREFIX), HomePrefix(SECOND)),
        ],
        ids=["valid lifetime", "preferred lifetime", "new prefix"],
    )
    def test_what_is_a_change(self, prefixes: tuple[HomePrefix, ...]) -> None:
        shell = bound()
        shell.set_prefixes(*prefixes)
        shell.advance(DAY)
        assert len(shell.of_kind("MPA")) == 4

    def test_what_is_none(self) -> None:
        shell = bound()
        shell.set_prefixes(HomePrefix(PREFIX))
        shell.advance(DAY - 10.0)
        assert shell.discoveries == []

    @pytest.mark.parametrize(
        ("told", "preferred", "earliest", "latest"),
        [
            ({}, math.inf, 600, 86_400),
            ({}, 1200.0, 600, 1200),
            ({}, 0.0, 600, 1200),  # abs(0 - 600)
            ({"min_interval": 30}, 30.0, 30, 30.5),
            ({"min_interval": 30, "max_interval": 3600}, math.inf, 30, 3600),
            ({"unsolicited": False}, math.inf, math.inf, 0),
        ],
    )
    def test_random_delay(self, told: dict[str, object], preferred: float, earliest: float, latest: float) -> None:
        """RAND_ADV_DELAY, between MinMobPfxAdvInterval and the lesser of MaxMobPfxAdvInterval and the lifetime."""
        shell = Link(link(prefixes_told=told, max_lifetime=0xFFFF * 4))
        homes = [address("2001:db8:1::1:0")[:15] + bytes([number]) for number in range(1, 41)]
        for home in homes:
            shell.update(COA1, home_address=home, lifetime=0xFFFF)
        shell.advance(1.0)
        changed = shell.now
        shell.set_prefixes(HomePrefix(PREFIX, 10_000_000.0, preferred))
        shell.advance(DAY - 1.0)
        delays = {}
        for at, found, _ in shell.discoveries:
            assert found.routing is not None
            delays.setdefault(found.routing, at - changed)
        if told == {"unsolicited": False}:
            assert delays == {}
            return
        assert set(delays) <= set(homes) and len(delays) >= 39
        assert earliest <= min(delays.values()) and max(delays.values()) < latest
        assert max(delays.values()) - min(delays.values()) >= 0.7 * int(latest - earliest)

    def test_a_second_change_waits_with_the_first(self) -> None:
        """What is scheduled already is replaced, to be sent at the scheduled time."""
        shell = bound()
        shell.set_prefixes(HomePrefix(PREFIX, 90_000.0, 1000.0))
        (entry,) = shell.ha.bindings
        delivery = shell.ha.discovery.mobile_prefixes.delivery(entry)
        assert delivery is not None
        due = delivery.due
        shell.advance(500.0)
        shell.set_prefixes(HomePrefix(PREFIX, 70_000.0, 60_000.0))
        shell.advance(500.0)
        assert shell.times("MPA")[0] == due
        assert {found.prefixes[0].valid for found in shell.of_kind("MPA")} == {70_000}

    def test_a_change_replaces_what_is_not_acknowledged(self) -> None:
        shell = bound(min_interval=100)
        shell.set_prefixes(HomePrefix(PREFIX, 90_000.0, 100.0))
        shell.advance(104.0)
        assert len(shell.of_kind("MPA")) == 2
        shell.set_prefixes(HomePrefix(PREFIX, 70_000.0, 100.0))
        shell.advance(99.0)
        assert len(shell.of_kind("MPA")) == 2
        shell.advance(100.0)
        assert [found.prefixes[0].valid for found in shell.of_kind("MPA")] == [90_000] * 2 + [70_000] * 4

    @pytest.mark.parametrize(("after", "sent"), [(5.0, 0), (15.0, 2), (35.0, 4)])
    @pytest.mark.parametrize("how", ["deregistered", "cleared", "expired"])
    def test_it_ends_with_the_binding(self, after: float, sent: int, how: str) -> None:
        """Whether it is scheduled, being repeated, or was in vain."""
        shell = Link(link(prefixes_told=QUICK))
        shell.bind(COA1, lifetime=15)
        shell.advance(58.5 - after)
        shell.set_prefixes(CHANGED_10)
        shell.advance(after)
        assert len(shell.of_kind("MPA")) == sent
        if how == "deregistered":
            shell.update(COA1, 16, lifetime=0)
        elif how == "cleared":
            shell.clear()
        else:
            shell.advance(0.5)
        assert shell.flows == {}
        shell.advance(100.0)
        assert len(shell.of_kind("MPA")) == sent and shell.ha.next_timer() is None

    @pytest.mark.parametrize("after", [15.0, 40.0], ids=["being repeated", "given up"])
    def test_a_binding_update_begins_it_again(self, after: float) -> None:
        shell = bound(**QUICK)
        shell.set_prefixes(CHANGED_10)
        shell.advance(after)
        before, now = len(shell.of_kind("MPA")), shell.now
        assert before == {15.0: 2, 40.0: 4}[after]
        shell.update(COA2, 16, lifetime=0xFFFF)
        shell.advance(100.0)
        again = shell.times("MPA")[before:]
        assert [at - again[0] for at in again] == [0, 3, 9, 21]
        assert 0 <= again[0] - now <= 1.0
        assert {found.destination for found in shell.of_kind("MPA")[before:]} == {COA2}

    def test_a_binding_update_does_not_hurry_what_is_scheduled(self) -> None:
        shell = bound(**QUICK)
        shell.set_prefixes(CHANGED_10)
        changed = shell.now
        shell.update(COA2, 16, lifetime=0xFFFF)
        shell.advance(11.0)
        assert shell.times("MPA") == [changed + 10]

    def test_after_a_long_silence(self) -> None:
        """None sent for MaxMobPfxAdvInterval: one is scheduled, whether something has changed or not."""
        shell = Link(link(prefixes_told={"min_interval": 10, "max_interval": 100}, max_lifetime=0xFFFF * 4))
        shell.update(COA1, 15, lifetime=0xFFFF)
        shell.advance(50.0)
        other = address("2001:db8:1::98")
        shell.bind(COA2, home_address=other, lifetime=0xFFFF)
        told = {HOA: shell.now - 50.0, other: shell.now}
        shell.advance(40.0)
        shell.solicit(1)  # by HOA: its silence begins anew
        told[HOA] = shell.now
        shell.advance(90.0)
        first = {found.routing: at for at, found, _ in reversed(shell.discoveries) if found.identifier == 0}
        assert set(first) <= {other}
        shell.advance(200.0)
        first = {found.routing: at for at, found, _ in reversed(shell.discoveries) if found.identifier == 0}
        assert set(first) == {HOA, other}
        for home, at in first.items():
            assert home is not None and 110 <= at - told[home] <= 201

    def test_adopted_bindings_are_told_too(self) -> None:
        shell = Link(link(prefixes_told=QUICK))
        shell.ha.adopt(shell.link, HOA, COA1, 15, 0xC000, 1000.0, shell.now)
        shell.flows[HOA] = (COA1, False)
        shell.set_prefixes(CHANGED)
        shell.advance(20.0)
        assert shell.of_kind("MPA")

    def test_other_links_hear_nothing(self) -> None:
        other = link(name="other", prefixes=(HomePrefix(SECOND),), address=address("2001:db8:5::2"))
        shell = Link(link(), other)
        shell.bind(COA1)
        shell.carry_out(shell.ha.set_prefixes(other, (HomePrefix(SECOND, 7000.0),), shell.now))
        shell.advance(DAY / 2)
        assert shell.discoveries == []


def test_at_most_one_a_second_whatever_happens() -> None:
    shell = bound(min_interval=1, max_interval=3)
    chance = Random(7)
    for step in range(400):
        what = chance.randrange(4)
        if what == 0:
            shell.solicit(step + 1, COA1)
        elif what == 1:
            shell.update(COA1, 16 + step, lifetime=0xFFFF)
        elif what == 2:
            shell.set_prefixes(HomePrefix(PREFIX, 50_000.0 + step))
        shell.advance(chance.random())
    times = shell.times("MPA")
    assert len(times) > 50
    assert min(b - a for a, b in pairwise(times)) >= 1.0 - 1e-9


def test_scapy_reads_the_advertisement() -> None:
    shell = bound()
    shell.solicit(0x4321)
    packet = IPv6(shell.raw[-1])
    assert packet.nh == 43
    message = ICMPv6MPAdv(shell.raw[-1][64:])
    assert (message.type, message.code, message.id, message.flags, message.res) == (147, 0, 0x4321, 0, 0)
    option = message[ICMPv6NDOptPrefixInfo]
    assert (option.prefix, option.prefixlen, option.L, option.A, option.R) == ("2001:db8:1::2", 64, 1, 1, 1)
    assert option.validlifetime == option.preferredlifetime == INFINITY


def test_another_implementation_would_have_answered_the_same() -> None:
    """UMIP's mobile node asked; UMIP's home agent's advertisement, its flow label and hop limit apart."""
    path = Path(__file__).resolve().parents[2] / "vectors" / "umip.json"
    packets = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in json.loads(path.read_text())}
    theirs = packets["MobilePrefixAdvertisement MN frame 886"]
    solicitation = packets["MobilePrefixSolicitation MN frame 885"]
    told = messages.read(theirs)
    assert told is not None and told.routing is not None
    (prefix,) = told.prefixes
    own = HomePrefix(Prefix(prefix.address[:8] + bytes(8), 64), float(prefix.valid), float(prefix.preferred))
    shell = Link(link(address=told.source, prefixes=(own,)))
    shell.bind(told.destination, home_address=told.routing)
    shell.receive(solicitation)
    (ours,) = shell.raw
    assert (ours[4:7], ours[8:]) == (theirs[4:7], theirs[8:])
