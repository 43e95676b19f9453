"""A home agent whose configuration changes while it serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mip6core.access import AccessList, AccessRule
from mip6core.addresses import Prefix
from mip6core.home_agent import HomePrefix, Limits
from tests.unit.discovery.link import Link, link
from tests.unit.engine.shell import COA1, HOA, Shell, home_link, of_kind, only
from tests.unit.engine.wire import address

OTHER_HOA = address("2001:db8:1::77")
THIRD_HOA = address("2001:db8:1::78")
LAB_HOA = address("2001:db8:2::99")
ONLY_HOA = AccessList((AccessRule(home_addresses=frozenset({HOA})),))


def lab(**changes: Any) -> Any:
    prefixes = (HomePrefix(Prefix.parse("2001:db8:2::/64")),)
    return home_link(**{"name": "labnet", "address": address("2001:db8:2::2"), "prefixes": prefixes, **changes})


def set_rules(shell: Shell, access: AccessList | None = None, limits: Limits | None = None) -> None:
    shell.carry_out(shell.ha.set_rules(limits or Limits(), access, (), shell.now))


def add_link(shell: Shell, one: Any) -> None:
    shell.links = (*shell.links, one)
    shell.carry_out(shell.ha.add_link(one, shell.now))


def test_rules_end_what_they_forbid() -> None:
    shell = Shell()
    shell.bind()
    shell.bind(home_address=OTHER_HOA)
    set_rules(shell, ONLY_HOA)
    assert set(shell.flows) == {HOA}
    assert shell.events[-1].kind == "cleared"
    assert only(of_kind(shell.update(home_address=OTHER_HOA, sequence=99), "BA")).packet.status == 129
    set_rules(shell, None)
    assert shell.bind(home_address=OTHER_HOA, sequence=100).status == 0


def test_a_test_ends_whose_registration_is_forbidden() -> None:
    shell = Shell()
    shell.update(home_address=OTHER_HOA)
    assert shell.watched
    set_rules(shell, ONLY_HOA)
    assert not shell.watched
    shell.advance(10)
    assert shell.flows == {}


def test_smaller_limits_end_nothing_and_count_from_then_on() -> None:
    shell = Shell()
    shell.bind()
    shell.bind(home_address=OTHER_HOA)
    set_rules(shell, None, Limits(max_bindings=1))
    assert set(shell.flows) == {HOA, OTHER_HOA}
    assert only(of_kind(shell.update(home_address=THIRD_HOA), "BA")).packet.status == 130
    assert only(of_kind(shell.update(sequence=16), "BA")).packet.status == 0


def test_links_come_and_go() -> None:
    shell = Shell()
    shell.bind()
    one = lab()
    add_link(shell, one)
    assert shell.bind(home_address=LAB_HOA, link=one).status == 0
    shell.carry_out(shell.ha.remove_link(one, shell.now))
    assert set(shell.flows) == {HOA}
    assert shell.ha.links == shell.links[:1]
    add_link(shell, lab())  # it may come again
    assert shell.bind(home_address=LAB_HOA, link=shell.links[-1]).status == 0


def test_what_was_deregistered_on_a_removed_link_is_forgotten() -> None:
    shell = Shell()
    one = lab()
    add_link(shell, one)
    shell.bind(home_address=LAB_HOA, link=one)
    shell.update(home_address=LAB_HOA, link=one, sequence=16, lifetime=0)
    shell.carry_out(shell.ha.remove_link(one, shell.now))
    assert len(shell.ha.bindings) == 0


@pytest.mark.parametrize(
    "changes",
    [{"name": "homenet"}, {"prefixes": (HomePrefix(Prefix.parse("2001:db8:1::/80")),)}],
)
def test_a_link_that_is_another_ones_is_refused(changes: dict[str, Any]) -> None:
    shell = Shell()
    with pytest.raises(ValueError):
        shell.ha.add_link(lab(**changes), shell.now)
    assert len(shell.ha.links) == 1


def test_a_care_of_address_on_a_new_virtual_link_leads_nowhere() -> None:
    shell = Shell()
    add_link(shell, lab(virtual=True))
    assert only(of_kind(shell.update(address("2001:db8:2::5")), "BA")).packet.status == 174


def settings(shell: Link, advertise: dict[str, Any] | None = None, told: dict[str, Any] | None = None) -> None:
    one = shell.link
    shell.carry_out(
        shell.ha.set_link(
            one,
            one.max_lifetime,
            replace(one.router_advertisement, **(advertise or {})),
            replace(one.mobile_prefix, **(told or {})),
            shell.now,
        )
    )


def test_the_longest_lifetime_counts_for_what_is_registered_from_then_on() -> None:
    shell = Shell()
    shell.bind(lifetime=100)
    one = shell.link
    shell.carry_out(shell.ha.set_link(one, 40, one.router_advertisement, one.mobile_prefix, shell.now))
    (entry,) = shell.ha.bindings
    assert entry.lifetime == 400  # 100 units of 4 s
    assert only(of_kind(shell.update(sequence=16, lifetime=100), "BA")).packet.lifetime == 10


def test_advertising_begins_and_ends_with_a_last_word() -> None:
    shell = Link(link())
    shell.ha.link_up(shell.link, shell.now)
    shell.advance(60)
    assert shell.of_kind("RA") == []
    settings(shell, {"enabled": True, "max_interval": 10, "min_interval": 5})
    shell.advance(60)
    said = shell.of_kind("RA")
    assert len(said) >= 6
    settings(shell, {"enabled": False})
    (last,) = shell.of_kind("RA")[len(said) :]
    assert (last.router_lifetime, last.prefixes, last.lifetime) == (0, [], None)
    shell.advance(60)
    assert len(shell.of_kind("RA")) == len(said) + 1


def test_nothing_is_advertised_on_a_link_out_of_reach() -> None:
    shell = Link(link())
    settings(shell, {"enabled": True})
    shell.advance(2000)
    assert shell.of_kind("RA") == []
    shell.ha.link_up(shell.link, shell.now)
    shell.advance(20)
    assert shell.of_kind("RA")


def test_mobile_nodes_that_are_away_are_told_without_asking_as_the_settings_say() -> None:
    shell = Link(link(prefixes_told={"unsolicited": False, "max_interval": 30, "min_interval": 10}))
    shell.bind(COA1)
    shell.advance(200)
    assert shell.of_kind("MPA") == []
    settings(shell, told={"unsolicited": True})
    shell.advance(200)
    told = len(shell.of_kind("MPA"))
    assert told
    settings(shell, told={"unsolicited": False})
    shell.advance(200)
    assert len(shell.of_kind("MPA")) == told


def test_a_shorter_silence_counts_at_once() -> None:
    shell = Link(link(prefixes_told={"max_interval": 86_400, "min_interval": 10}))
    shell.bind(COA1)
    settings(shell, told={"max_interval": 60})
    shell.advance(200)
    assert shell.of_kind("MPA")
