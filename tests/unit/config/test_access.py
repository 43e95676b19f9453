"""The section `access`: what it becomes, and how mistakes in it are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import config
from mip6core.access import AccessList, AccessRule
from mip6core.addresses import Prefix, parse
from mip6core.errors import ConfigError
from tests.unit.config.test_config import link, second


def load(access: Any) -> AccessList | None:
    return config.parse({"home_links": [link(), second()], "access": access}).access


@pytest.mark.parametrize("access", [{}, {"rules": []}, {"default": "allow"}, {"rules": [], "default": None}])
def test_without_rules_there_is_nothing_to_look_up(access: Any) -> None:
    assert load(access) is None
    assert config.parse({"home_links": [link()]}).access is None


def test_everything_given() -> None:
    found = load(
        {
            "rules": [
                {
                    "home_addresses": ["2001:db8:1::99", "2001:db8:1:0:8000::/65"],
                    "care_of_prefixes": ["2001:db8:f0::/44", "2001:db8:a::1"],
                    "max_lifetime": 600,
                },
                {"home_addresses": ["2001:db8:2::/64"], "action": "deny", "status": 130},
                {"care_of_prefixes": ["2001:db8:bad::/48"], "action": "deny"},
            ],
            "default": "allow",
        }
    )
    assert found == AccessList(
        (
            AccessRule(
                frozenset({parse("2001:db8:1::99")}),
                (Prefix.parse("2001:db8:1:0:8000::/65"),),
                (Prefix.parse("2001:db8:f0::/44"), Prefix(parse("2001:db8:a::1"), 128)),
                0,
                600,
            ),
            AccessRule(home_prefixes=(Prefix.parse("2001:db8:2::/64"),), status=130),
            AccessRule(care_of_prefixes=(Prefix.parse("2001:db8:bad::/48"),), status=129),
        ),
        AccessRule(),
    )
    assert found is not None
    assert found.find(parse("2001:db8:1::99"), parse("2001:db8:a::1")).max_lifetime == 600
    assert found.find(parse("2001:db8:1::99"), parse("2001:db8:a::2")).status == 0
    assert found.find(parse("2001:db8:1::98"), parse("2001:db8:bad::2")).status == 129


def test_rules_deny_what_none_of_them_fits_unless_the_file_says_otherwise() -> None:
    rules = [{"home_addresses": ["2001:db8:1::99"]}]
    elsewhere = parse("2001:db8:f::1")
    for access, status in (
        ({"rules": rules}, 129),
        ({"rules": rules, "default": "deny"}, 129),
        ({"rules": rules, "default": "allow"}, 0),
        ({"default": "deny"}, 129),
    ):
        found = load(access)
        assert found is not None and found.find(parse("2001:db8:1::98"), elsewhere).status == status


@pytest.mark.parametrize(
    ("access", "path", "expected"),
    [
        ([], "access", "a section"),
        ({"rule": []}, "access.rule", "did you mean rules?"),
        ({"default": "drop"}, "access.default", "allow or deny"),
        ({"rules": {}}, "access.rules", "a list"),
        ({"rules": [{"home_addresses": []}]}, "access.rules[0].home_addresses", "a list with at least one entry"),
        ({"rules": [{"home_addresses": ["2001:db8:1::/129"]}]}, "access.rules[0].home_addresses[0]", "an IPv6 prefix"),
        ({"rules": [{"home_addresses": ["fe80::1"]}]}, "access.rules[0].home_addresses[0]", "routable"),
        ({"rules": [{"home_addresses": [4]}]}, "access.rules[0].home_addresses[0]", "an IPv6 address"),
        ({"rules": [{}, {"home_addresses": ["2001:db8:9::/64"]}]}, "access.rules[1].home_addresses", "2001:db8:9::/64"),
        ({"rules": [{"home_addresses": ["2001:db8:9::1"]}]}, "access.rules[0].home_addresses", "2001:db8:9::1"),
        ({"rules": [{"care_of_prefixes": ["any"]}]}, "access.rules[0].care_of_prefixes[0]", "an IPv6 address"),
        ({"rules": [{"max_lifetime": 3}]}, "access.rules[0].max_lifetime", "from 4 to 262140"),
        ({"rules": [{"action": "deny", "max_lifetime": 8}]}, "access.rules[0].max_lifetime", "action: allow"),
        ({"rules": [{"action": "drop"}]}, "access.rules[0].action", "allow or deny"),
        ({"rules": [{"status": 129}]}, "access.rules[0].status", "action: deny"),
        ({"rules": [{"action": "deny", "status": 131}]}, "access.rules[0].status", "from 128 to 130"),
        ({"rules": [{}, {}]}, "access.rules[1]", "another entry than access.rules[0]"),
    ],
)
def test_mistakes_are_told_by_their_place(access: Any, path: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(access)
    assert caught.value.path == path and expected in caught.value.expected


def test_a_rule_may_be_wider_than_a_home_prefix() -> None:
    assert load({"rules": [{"home_addresses": ["2001:db8::/32"]}]}) is not None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("2001:db8:1::/64"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rules", "default", "home_addresses", "care_of_prefixes", "action", "status", "max_lifetime"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_is_read_or_refused(value: Any) -> None:
    try:
        load(value)
    except ConfigError as error:
        assert error.path.startswith("access")
