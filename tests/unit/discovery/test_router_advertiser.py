"""The home agent's own Router Advertisements (RFC 4861 section 6.2, RFC 6275 sections 7 and 13)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6NDOptAdvInterval,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)

from mip6core.addresses import Prefix
from mip6core.home_agent import HomePrefix
from tests.unit.discovery import messages
from tests.unit.discovery.link import Link, link
from tests.unit.discovery.messages import HOME_AGENT, INFINITY, MANAGED, OTHER, A, L, R
from tests.unit.engine.shell import HA, HA_MAC, HOST_MAC
from tests.unit.engine.wire import ALL_NODES, ALL_NODES_MAC, address

PREFIX = Prefix.parse("2001:db8:1::/64")
SECOND = Prefix.parse("2001:db8:5::/64")
LINK_LOCAL = address("fe80::ff:fe00:2")  # RFC 2464 section 5, of 02:00:00:00:00:02


def up(advertise: dict[str, Any] | None = None, seed: int = 1, **changes: Any) -> Link:
    shell = Link(link(advertise={"enabled": True, **(advertise or {})}, **changes), seed=seed)
    shell.ha.link_up(shell.link, shell.now)
    return shell


def solicit(shell: Link, **more: Any) -> None:
    assert shell.receive(messages.router_solicitation(**more), HOST_MAC) == []


def test_what_is_advertised() -> None:
    """Sections 7.1 to 7.5: H, R with the whole address, preference, interval, source link-layer address."""
    shell = up(prefixes=(HomePrefix(PREFIX), HomePrefix(SECOND, 5000.0, 3000.0)))
    shell.advance(0.5)
    ((_, found, mac),) = shell.discoveries
    assert (found.kind, found.source, found.destination, mac) == ("RA", LINK_LOCAL, ALL_NODES, ALL_NODES_MAC)
    assert (found.flags, found.router_lifetime, found.link_layer_address) == (HOME_AGENT, 0, HA_MAC)
    assert (found.preference, found.lifetime, found.interval) == (10, 1800, 600_000)
    first, second = found.prefixes
    assert (first.address, first.length, first.flags, first.valid) == (HA, 64, L | A | R, INFINITY)
    assert (second.address, second.flags, second.valid, second.preferred) == (SECOND.network, L | A, 5000, 3000)


def test_flags_and_lifetimes_as_configured() -> None:
    shell = up({"managed": True, "other": True, "router_lifetime": 1200, "lifetime": 3600, "preference": 0xFFFF})
    shell.advance(0.5)
    (found,) = shell.of_kind("RA")
    assert (found.flags, found.router_lifetime) == (HOME_AGENT | MANAGED | OTHER, 1200)
    assert (found.preference, found.lifetime) == (0xFFFF, 3600)


@pytest.mark.parametrize(("preference", "lifetime", "there"), [(0, 1800, False), (1, 1800, True), (0, 1799, True)])
def test_no_home_agent_information_where_it_says_nothing_new(preference: int, lifetime: int, there: bool) -> None:
    """7.4 SHOULD: preference 0 and the router's lifetime are the defaults."""
    shell = up({"preference": preference, "lifetime": lifetime, "router_lifetime": 1800})
    shell.advance(0.5)
    (found,) = shell.of_kind("RA")
    assert (found.lifetime is not None) is there


@pytest.mark.parametrize(("seconds", "told"), [(0.07, 90), (0.19, 210), (0.2, 200), (4.0, 4000)])
def test_advertisement_interval(seconds: float, told: int) -> None:
    """7.3: in milliseconds; 7.5 SHOULD: 20 ms more below 200 ms."""
    shell = up({"min_interval": 0.03, "max_interval": seconds, "min_delay": 0.03})
    shell.advance(0.6)
    assert {found.interval for found in shell.of_kind("RA")} == {told}


def test_intervals() -> None:
    """RFC 4861 section 6.2.4: random between the two, and at most 16 s for the first three."""
    shell = up()
    start = shell.now
    shell.advance(200_000.0)
    times = shell.times("RA")
    assert 0 <= times[0] - start <= 0.5
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[:3] == [16, 16, 16]
    assert 198 <= min(gaps[3:]) < 220 and 580 < max(gaps[3:]) <= 600


def test_the_shortest_intervals() -> None:
    """7.5: 30 to 70 ms, 50 ms on average."""
    shell = up({"min_interval": 0.03, "max_interval": 0.07, "min_delay": 0.03})
    shell.advance(60.0)
    gaps = [b - a for a, b in pairwise(shell.times("RA"))]
    assert min(gaps) >= 0.03 and max(gaps) <= 0.07
    assert sum(gaps) / len(gaps) == pytest.approx(0.05, rel=0.05)


class TestSolicited:
    """RFC 4861 section 6.2.6."""

    def quiet(self) -> Link:
        """An hour after the start, a moment after an advertisement."""
        shell = up()
        shell.advance(3600.0)
        before = len(shell.discoveries)
        while len(shell.discoveries) == before:
            shell.advance(1.0)
        shell.advance(10.0)
        shell.discoveries.clear()
        return shell

    def test_answered_within_half_a_second_to_all_nodes(self) -> None:
        delays = []
        for _ in range(20):
            shell = self.quiet()
            shell.advance(len(delays) * 0.01)
            asked = shell.now
            solicit(shell)
            shell.advance(0.5)
            ((at, found, mac),) = shell.discoveries
            assert (found.destination, mac, found.prefixes[0].address) == (ALL_NODES, ALL_NODES_MAC, HA)
            delays.append(at - asked)
        assert min(delays) >= 0 and max(delays) <= 0.5

    def test_delays_are_random(self) -> None:
        delays = set()
        shell = self.quiet()
        for _ in range(30):
            asked = shell.now
            shell.discoveries.clear()
            solicit(shell)
            shell.advance(10.0)
            delays.add(shell.times("RA")[0] - asked)
        assert len(delays) == 30 and max(delays) - min(delays) > 0.35 and max(delays) <= 0.5

    def test_one_answer_for_several(self) -> None:
        shell = self.quiet()
        for _ in range(50):
            solicit(shell)
            shell.advance(0.001)
        shell.advance(2.0)
        assert len(shell.of_kind("RA")) == 1
        assert shell.statistics["rs_received"] == 50

    def test_no_more_than_one_in_three_seconds(self) -> None:
        """MIN_DELAY_BETWEEN_RAS."""
        shell = self.quiet()
        for _ in range(1000):
            solicit(shell)
            shell.advance(0.05)
        gaps = [b - a for a, b in pairwise(shell.times("RA"))]
        assert len(gaps) > 10 and min(gaps) >= 3.0 and max(gaps) <= 3.6

    def test_the_interval_begins_anew(self) -> None:
        shell = self.quiet()
        solicit(shell)
        shell.advance(150.0)
        solicit(shell)
        shell.advance(1.0)
        shell.discoveries.clear()
        shell.advance(196.0)
        assert shell.discoveries == []

    def test_at_the_scheduled_time_if_that_is_sooner(self) -> None:
        shell = self.quiet()
        due = shell.ha.next_timer()
        assert due is not None
        shell.advance(due - shell.now - 0.0001)
        solicit(shell)
        shell.advance(1.0)
        assert shell.times("RA") == [due]

    @pytest.mark.parametrize("invalid", [{"hop_limit": 64}], ids=["hop limit"])
    def test_invalid_ones_are_ignored(self, invalid: dict[str, Any]) -> None:
        shell = self.quiet()
        solicit(shell, **invalid)
        shell.advance(2.0)
        assert shell.discoveries == [] and shell.statistics["dropped_bad_hop_limit"] == 1


class TestWhenItAdvertises:
    def test_not_unless_it_is_told_to(self) -> None:
        """AdvSendAdvertisements is FALSE by default; radvd may do it instead."""
        shell = Link()
        shell.ha.link_up(shell.link, shell.now)
        solicit(shell)
        shell.advance(10_000.0)
        assert shell.discoveries == []

    def test_not_on_a_virtual_link(self) -> None:
        shell = up(virtual=True)
        solicit(shell)
        shell.advance(10_000.0)
        assert shell.discoveries == []

    def test_not_before_the_link_is_up_nor_after_it_is_down(self) -> None:
        shell = Link(link(advertise={"enabled": True}))
        solicit(shell)
        shell.advance(1000.0)
        assert shell.discoveries == []
        shell.ha.link_up(shell.link, shell.now)
        shell.advance(1.0)
        assert len(shell.discoveries) == 1
        shell.ha.link_down(shell.link)
        solicit(shell)
        shell.advance(10_000.0)
        assert len(shell.discoveries) == 1 and shell.ha.next_timer() is None

    def test_new_prefixes_are_advertised_like_at_the_start(self) -> None:
        shell = up()
        shell.advance(3600.0)
        shell.discoveries.clear()
        changed = shell.now
        shell.set_prefixes(HomePrefix(PREFIX), HomePrefix(SECOND))
        shell.advance(40.0)
        times = shell.times("RA")
        assert times[0] - changed <= 3.5 and [b - a for a, b in pairwise(times)] == [16, 16]
        assert {len(found.prefixes) for found in shell.of_kind("RA")} == {2}

    def test_the_last_one_says_that_it_is_the_last(self) -> None:
        """RFC 4861 section 6.2.5; other home agents drop it from their lists when H is zero (10.5.1)."""
        shell = up({"router_lifetime": 1800})
        shell.advance(10.0)
        shell.discoveries.clear()
        shell.carry_out(shell.ha.close(shell.now))
        (found,) = shell.of_kind("RA")
        assert (found.flags, found.router_lifetime, found.lifetime) == (0, 0, None)
        assert found.link_layer_address == HA_MAC
        other = Link()
        other.heard("fe80::f0", messages.prefix_information("2001:db8:1::f0"))
        shell.advance(1000.0)
        assert len(shell.discoveries) == 1
        assert shell.ha.close(shell.now) == []


def test_another_home_agent_of_ours_learns_it() -> None:
    """What one sends, the other's list is made of."""
    shell, other = up(), Link(link(address=address("2001:db8:1::3"), link_layer_address=HOST_MAC))
    shell.advance(0.5)
    other.receive(shell.raw[0], HA_MAC)
    assert other.asked() in ([HA, address("2001:db8:1::3")], [address("2001:db8:1::3"), HA])
    shell.carry_out(shell.ha.close(shell.now))
    other.receive(shell.raw[1], HA_MAC)
    assert other.asked() == [address("2001:db8:1::3")]


def test_scapy_reads_it() -> None:
    shell = up()
    shell.advance(0.5)
    packet = IPv6(shell.raw[0])
    message = packet[ICMPv6ND_RA]
    assert (packet.src, packet.dst, packet.hlim) == ("fe80::ff:fe00:2", "ff02::1", 255)
    assert (message.H, message.M, message.O, message.routerlifetime, message.res) == (1, 0, 0, 0, 0)
    option = packet[ICMPv6NDOptPrefixInfo]
    assert (option.prefix, option.prefixlen, option.L, option.A, option.R) == ("2001:db8:1::2", 64, 1, 1, 1)
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == "02:00:00:00:00:02"
    assert packet[ICMPv6NDOptAdvInterval].advint == 600_000
    assert (packet[ICMPv6NDOptHAInfo].pref, packet[ICMPv6NDOptHAInfo].lifetime) == (10, 1800)
    again = packet.copy()
    del again[ICMPv6ND_RA].cksum
    assert bytes(again) == shell.raw[0]
