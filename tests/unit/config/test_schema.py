"""The published schema: it is what the readers say, takes every good file, and finds mistakes in others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from deploy import config
from deploy.config.effective import effective
from deploy.config.schema import file_schema
from mip6core.errors import ConfigError
from tests.unit.config.complete import complete
from tests.unit.config.test_config import JUNK

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "mip6.schema.json"
VALIDATOR = Draft202012Validator(file_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_what_is_published_is_what_the_readers_say() -> None:
    """Otherwise: mip6ctl config schema > docs/mip6.schema.json"""
    assert json.loads(PUBLISHED.read_text()) == file_schema()


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(file_schema())


def test_a_complete_file_is_good_for_both() -> None:
    config.parse(complete())
    VALIDATOR.validate(complete())


def test_what_is_shown_of_a_file_is_good_but_for_its_secrets() -> None:
    shown = effective(config.parse(complete()))
    hidden = [error for error in VALIDATOR.iter_errors(shown) if error.instance != "(hidden)"]
    assert hidden == []


def test_keys_are_explained_where_the_code_explains_them() -> None:
    link = file_schema()["properties"]["home_links"]["items"]["properties"]
    assert link["router"]["description"] == "next hop towards everything off the link"
    assert link["max_lifetime"]["description"].endswith("seconds")
    assert (link["tunnel_mtu"]["default"], link["tunnel_mtu"]["minimum"]) == (1460, 1280)


def home(file: dict[str, Any]) -> dict[str, Any]:
    link: dict[str, Any] = file["home_links"][0]
    return link


MISTAKES: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown section": lambda file: file.update(home_link=[]),
    "unknown key": lambda file: home(file).update(ruoter="fe80::1"),
    "missing key": lambda file: home(file).pop("router"),
    "no links": lambda file: file.update(home_links=[], correspondent_links=[]),
    "wrong type": lambda file: home(file).update(virtual="yes"),
    "no address": lambda file: home(file).update(address="2001:db8::x"),
    "IPv4 address": lambda file: home(file).update(address="192.0.2.1"),
    "no prefix": lambda file: home(file).update(prefixes=["2001:db8:1::"]),
    "no prefixes": lambda file: home(file).update(prefixes=[]),
    "the same twice": lambda file: home(file).update(uplinks=["a", "a"]),
    "device name": lambda file: home(file).update(bridge="sixteen-letters-"),
    "number too large": lambda file: home(file).update(max_lifetime=262_141),
    "number too small": lambda file: file["limits"].update(max_bindings=0),
    "a number in quotes": lambda file: file["openflow"].update(port="6633"),
    "choice": lambda file: file["security"].update(unprotected_signalling="maybe"),
    "key of a mobile node": lambda file: file["security"]["mobile_nodes"][1]["authentication"].update(key="00"),
    "status": lambda file: file["access"]["rules"][1].update(status=127),
    "half a correspondent link": lambda file: file["correspondent_links"][0].pop("uplinks"),
    "too long for correspondents": lambda file: file["correspondent_links"][0].update(max_lifetime=421),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_that_both_find(mistake: Callable[[dict[str, Any]], object]) -> None:
    file = complete()
    mistake(file)
    assert not VALIDATOR.is_valid(file)
    with pytest.raises(ConfigError):
        config.parse(file)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of a file that has a value: container and key."""
    items: list[tuple[Any, Any]] = []
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(pairs):
        items += [(node, key), *places(value)]
    return items


@given(st.integers(min_value=0), JUNK)
def test_whatever_the_readers_take_the_schema_takes(number: int, value: Any) -> None:
    file = complete()
    found = places(file)
    container, key = found[number % len(found)]
    container[key] = value
    try:
        config.parse(file)
    except ConfigError:
        return
    VALIDATOR.validate(file)


@pytest.mark.parametrize(
    "value", [None, True, 0, 1, -1, 600, 2**40, "", "x", "none", "infinity", "2001:db8:1::2", [], {}]
)
def test_every_place_with_another_value(value: Any) -> None:
    for number in range(len(places(complete()))):
        file = complete()
        container, key = places(file)[number]
        container[key] = value
        try:
            config.parse(file)
        except ConfigError:
            continue
        VALIDATOR.validate(file)
