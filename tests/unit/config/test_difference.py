"""What differs between two configurations, and what of it needs a restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deploy import config
from deploy.config import reading as read
from deploy.config.difference import (
    ENTRIES,
    RESTART,
    SECTIONS,
    SETUP,
    WARM,
    Change,
    difference,
    difference_of_shown,
    for_people,
)
from deploy.config.effective import effective
from tests.unit.config.complete import SECRET, complete

Mapping = dict[str, Any]


def changes(change: Callable[[Mapping], object], base: Callable[[], Mapping] = complete) -> list[Change]:
    file = base()
    change(file)
    return difference(config.parse(base()), config.parse(file))


def at(section: str, index: int = 0, **values: Any) -> Callable[[Mapping], object]:
    return lambda file: file[section][index].update(values)


def test_the_same_is_no_difference() -> None:
    assert changes(lambda file: None) == []
    shown = json.loads(json.dumps(effective(config.parse(complete()))))
    assert difference_of_shown(shown, config.parse(complete())) == []


def test_neither_is_another_order_of_links_and_mobile_nodes() -> None:
    def reverse(file: Mapping) -> None:
        for entries in (file["home_links"], file["correspondent_links"], file["security"]["mobile_nodes"]):
            entries.reverse()

    assert changes(reverse) == []


def test_nor_a_default_that_is_spelled_out() -> None:
    assert changes(lambda file: file["limits"].update(max_correspondent_bindings=100_000)) == []


@pytest.mark.parametrize(
    ("change", "path", "warm", "setup"),
    [
        (lambda f: f["openflow"].update(port=6700), "openflow.port", False, True),
        (lambda f: f["rest"].update(listen="127.0.0.1"), "rest.listen", False, False),
        (lambda f: f["rest"]["tokens"][0].update(scope="read"), "rest.tokens[ops].scope", True, False),
        (
            lambda f: f["security"].update(unprotected_signalling="refuse"),
            "security.unprotected_signalling",
            True,
            False,
        ),
        (lambda f: f["limits"].update(max_bindings=6), "limits.max_bindings", True, False),
        (lambda f: f["limits"]["punt_rates"].update(esp=6), "limits.punt_rates.esp", True, True),
        (lambda f: f["limits"]["punt_rates"].update(fragments=6), "limits.punt_rates.fragments", True, False),
        (lambda f: f["limits"].update(uplinks={"new_sources": 6}), "limits.uplinks.new_sources", True, True),
        (lambda f: f["access"]["rules"].pop(), "access", True, False),
        (lambda f: f.pop("access"), "access", True, False),
        (at("home_links", max_lifetime=400), "home_links[homenet].max_lifetime", True, False),
        (at("home_links", router_advertisement={}), "home_links[homenet].router_advertisement", True, False),
        (at("home_links", mobile_prefix={}), "home_links[homenet].mobile_prefix", True, False),
        (
            at("home_links", prefixes=["2001:db8:1::/64", "2001:db8:11::/64"]),
            "home_links[homenet].prefixes",
            True,
            True,
        ),
        (at("home_links", router="2001:db8:1::1"), "home_links[homenet].router", False, True),
        (at("home_links", next_table=101), "home_links[homenet].next_table", False, False),
        (at("correspondent_links", max_lifetime=61), "correspondent_links[office].max_lifetime", True, False),
        (at("correspondent_links", prefixes=["2001:db8:c::/64"]), "correspondent_links[office].prefixes", True, True),
        (at("correspondent_links", mtu=9001), "correspondent_links[office].mtu", False, True),
    ],
)
def test_one_change(change: Callable[[Mapping], object], path: str, warm: bool, setup: bool) -> None:
    (found,) = changes(change)
    assert (found.kind, found.path, found.warm, found.setup) == ("changed", path, warm, setup)
    assert found.before != found.after


def test_values_are_those_of_the_configuration() -> None:
    (found,) = changes(at("home_links", max_lifetime=400))
    assert (found.section, found.entry, found.key) == ("home_links", "homenet", "max_lifetime")
    assert (found.before, found.after) == (600, 400)


def test_links_that_come_and_go() -> None:
    def replace(file: Mapping) -> None:
        file["home_links"][1]["name"] = "nomads"
        del file["correspondent_links"][1]

    removed, gone, added = changes(replace)
    assert [(c.kind, c.path, c.warm, c.setup) for c in (removed, gone, added)] == [
        ("removed", "home_links[roaming]", True, True),
        ("removed", "correspondent_links[locals]", True, True),
        ("added", "home_links[nomads]", True, True),
    ]
    assert (removed.before.name, removed.after, added.before, added.after.name) == ("roaming", None, None, "nomads")


def test_mobile_nodes_that_come_go_and_change() -> None:
    def change(file: Mapping) -> None:
        file["security"]["mobile_nodes"][0]["home_address"] = "2001:db8:1::300"
        file["security"]["mobile_nodes"][1]["authentication"]["key"] = "00" * 16

    found = {(c.kind, c.path): c for c in changes(change)}
    assert list(found) == [
        ("removed", "security.mobile_nodes[2001:db8:1::100]"),
        ("changed", "security.mobile_nodes[2001:db8:1::200].authentication"),
        ("added", "security.mobile_nodes[2001:db8:1::300]"),
    ]
    assert all(change.warm for change in found.values())
    assert SECRET not in repr(found)


def test_the_default_lifetime_shows_at_the_links_that_have_it() -> None:
    found = changes(lambda file: file["limits"].update(max_lifetime=100))
    assert [change.path for change in found] == ["limits.max_lifetime", "home_links[roaming].max_lifetime"]


def test_what_changes_at_a_home_link_is_told_there_only() -> None:
    assert [change.path for change in changes(at("home_links", tunnel_port="tun2"))] == [
        "home_links[homenet].tunnel_port"
    ]
    # The MTU of its correspondents follows, unless it is said.
    found = changes(at("home_links", tunnel_mtu=1300))
    assert [change.path for change in found] == ["home_links[homenet].tunnel_mtu", "correspondent_links[locals].mtu"]


def test_a_correspondent_link_that_moves_to_a_bridge_of_its_own() -> None:
    own = {"bridge": "br-own", "address": "2001:db8:d::2", "prefixes": ["2001:db8:d::/64"], "router": "fe80::1"}
    found = changes(at("correspondent_links", 1, **own, uplinks=["uplink9"]))
    assert not all(change.warm for change in found)
    assert {"correspondent_links[locals].bridge", "correspondent_links[locals].address"} <= {c.path for c in found}


def test_against_what_a_server_tells_secrets_are_not_compared() -> None:
    file = complete()
    file["security"]["mobile_nodes"][1]["authentication"]["key"] = "00" * 16
    file["limits"]["max_bindings"] = 9
    shown = json.loads(json.dumps(effective(config.parse(complete()))))
    (found,) = difference_of_shown(shown, config.parse(file))
    assert (found.path, found.before, found.after) == ("limits.max_bindings", 5, 9)


def test_for_people() -> None:
    before, after = complete(), complete()
    after["security"]["mobile_nodes"][1]["authentication"].update(key="00" * 16, window=30)
    after["home_links"][0]["router"] = "2001:db8:1::1"
    del after["correspondent_links"][0]
    parsed = config.parse(before), config.parse(after)
    rows = for_people(difference(*parsed), *map(effective, parsed))
    assert SECRET not in json.dumps(rows)
    node, link, office = rows
    assert (node["before"]["window"], node["after"]["window"], node["after"]["key"]) == (7, 30, "(hidden)")
    assert link == {
        "setting": "home_links[homenet].router",
        "change": "changed",
        "before": "fe80::1",
        "after": "2001:db8:1::1",
        "warm": False,
        "ovs_setup": True,
    }
    assert (office["change"], office["before"]["name"], office["after"]) == ("removed", "office", None)


def rules(cls: type[Any], path: str = "") -> list[str]:
    """Every path that a change can have, without the entries."""
    found = []
    defaults = {key.name: key.default for key in fields(cls)}
    for name in read.readers_of(cls):
        inner = f"{path}.{name}" if path else name
        if inner in SECTIONS:
            found += rules(type(defaults[name]), inner)
        elif inner in ENTRIES:
            found += [inner, *(f"{inner}.{key}" for key in ENTRY_KEYS[inner] if key != ENTRIES[inner])]
        else:
            found.append(inner)
    return found


PARSED = config.parse(complete())
ENTRY_KEYS = {
    "home_links": read.readers_of(config.HomeLinkConfig),
    "correspondent_links": read.readers_of(config.CorrespondentLinkConfig),
    "security.mobile_nodes": read.readers_of(type(PARSED.security.mobile_nodes[0])),
    "rest.tokens": read.readers_of(type(PARSED.rest.tokens[0])),
}


def test_of_every_key_it_is_known_how_a_change_is_applied() -> None:
    known = set(rules(config.Config))
    assert not WARM & RESTART
    assert known == WARM | RESTART
    assert known >= SETUP


@pytest.mark.parametrize("example", sorted((Path(config.__file__).parent / "examples").glob("*.yaml")), ids=str)
def test_from_nothing_to_an_example_and_back(example: Path) -> None:
    loaded = config.load(example)
    other = config.parse({"home_links": [{**complete()["home_links"][1], "name": "other"}]})
    there, back = difference(other, loaded), difference(loaded, other)
    assert {change.path for change in there} == {change.path for change in back}
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(c.path, opposite[c.kind]) for c in there} == {(c.path, c.kind) for c in back}
