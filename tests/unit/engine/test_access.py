"""Access control: which rule decides, and what the mobile node is told."""

from __future__ import annotations

import pytest

from mip6core.access import AccessList, AccessRule
from mip6core.addresses import Prefix
from tests.unit.engine.shell import COA1, COA2, HOA, Shell, home_link, of_kind, only
from tests.unit.engine.wire import Packet, address

OTHER_HOA = address("2001:db8:1::77")
F1, F2 = Prefix.parse("2001:db8:f1::/48"), Prefix.parse("2001:db8:f2::/48")
STAFF = Prefix.parse("2001:db8:1::/121")  # holds OTHER_HOA, not HOA
ALL = AccessRule()


def shell(*rules: AccessRule, default: AccessRule | None = None) -> Shell:
    """A virtual link, where answers come at once."""
    access = AccessList(rules) if default is None else AccessList(rules, default)
    return Shell(home_link(virtual=True), access=access)


def answer(one: Shell, care_of_address: bytes = COA1, sequence: int = 15, **more: object) -> Packet:
    return only(of_kind(one.update(care_of_address, sequence, **more), "BA")).packet  # type: ignore[arg-type]


def test_without_rules_every_home_address_may_register_from_everywhere() -> None:
    one = Shell(home_link(virtual=True))
    assert answer(one).status == answer(one, COA2, home_address=OTHER_HOA).status == 0


@pytest.mark.parametrize(
    ("rule", "fits_hoa", "fits_other"),
    [
        (AccessRule(), True, True),
        (AccessRule(home_addresses=frozenset({HOA})), True, False),
        (AccessRule(home_prefixes=(STAFF,)), False, True),
        (AccessRule(home_addresses=frozenset({HOA}), home_prefixes=(STAFF,)), True, True),
        (AccessRule(care_of_prefixes=(F1,)), True, True),
        (AccessRule(care_of_prefixes=(F2,)), False, False),
        (AccessRule(care_of_prefixes=(F2, F1)), True, True),
        (AccessRule(home_addresses=frozenset({HOA}), care_of_prefixes=(F2,)), False, False),
    ],
)
def test_a_rule_fits_where_both_addresses_do(rule: AccessRule, fits_hoa: bool, fits_other: bool) -> None:
    one = shell(rule)
    assert answer(one).status == (0 if fits_hoa else 129)
    assert answer(one, home_address=OTHER_HOA).status == (0 if fits_other else 129)
    assert (HOA in one.flows, OTHER_HOA in one.flows) == (fits_hoa, fits_other)


@pytest.mark.parametrize("status", [128, 129, 130])
def test_a_rule_that_denies_says_how(status: int) -> None:
    one = shell(AccessRule(home_addresses=frozenset({HOA}), status=status), ALL)
    packet = answer(one)
    assert (packet.status, packet.lifetime) == (status, 0)
    assert len(one.ha.bindings) == 0 and one.statistics[f"ba_sent_{status}"] == 1
    assert answer(one, home_address=OTHER_HOA).status == 0


def test_the_first_rule_that_fits_decides() -> None:
    deny, allow = AccessRule(care_of_prefixes=(F1,), status=130), AccessRule(home_addresses=frozenset({HOA}))
    assert answer(shell(deny, allow)).status == 130
    assert answer(shell(allow, deny)).status == 0


def test_where_no_rule_fits_the_default_decides() -> None:
    nobody = AccessRule(home_addresses=frozenset({OTHER_HOA}))
    assert answer(shell(nobody)).status == 129
    assert answer(shell(nobody, default=ALL)).status == 0
    assert answer(shell()).status == 129


def test_the_lifetime_is_cut_by_the_rule_alone_that_fits() -> None:
    one = shell(AccessRule(home_prefixes=(STAFF,), max_lifetime=63), AccessRule(max_lifetime=100_000))
    packet = answer(one, home_address=OTHER_HOA)
    assert (packet.status, packet.lifetime) == (0, 15)  # units of 4 seconds
    assert answer(one).lifetime == 105, "less was asked for than the rule and the link would grant"
    assert answer(one, sequence=16, lifetime=0xFFFF).lifetime == 86_400 // 4
    one.advance(60.0)
    assert set(one.flows) == {HOA}


def test_a_move_to_a_place_that_is_denied_leaves_the_binding_where_it_is() -> None:
    one = shell(AccessRule(care_of_prefixes=(F1,)))
    assert answer(one).status == 0
    assert answer(one, COA2, 16).status == 129
    assert one.flows == {HOA: (COA1, False)}
    assert answer(one, COA1, 17).status == 0


def test_everybody_may_deregister() -> None:
    one = shell(AccessRule(care_of_prefixes=(F1,)))
    answer(one)
    assert answer(one, COA2, 16, lifetime=0).status == 0
    assert one.flows == {}


def test_what_is_not_served_is_told_before_what_is_not_allowed() -> None:
    one = shell(AccessRule(status=130))
    assert answer(one, home_address=address("2001:db8:9::1")).status == 132


def test_a_denied_first_registration_starts_no_duplicate_address_detection() -> None:
    one = Shell(access=AccessList(()))
    assert [sent.packet.kind for sent in one.update()] == ["BA"]
    assert not one.watched and one.ha.next_timer() is None


def test_a_binding_that_is_no_longer_allowed_is_not_adopted() -> None:
    one = shell(AccessRule(care_of_prefixes=(F1,)))
    assert not one.ha.adopt(one.link, HOA, COA2, 1, 0xC000, 100.0, one.now)
    assert one.ha.adopt(one.link, OTHER_HOA, COA1, 1, 0xC000, 100.0, one.now)
    one.flows[OTHER_HOA] = (COA1, False)
    one.check()
