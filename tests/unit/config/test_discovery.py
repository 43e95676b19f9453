"""The sections `router_advertisement` and `mobile_prefix` of a home link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from mip6core.errors import ConfigError
from mip6core.home_link import MobilePrefixSettings, RouterAdvertisementSettings
from tests.unit.config.test_config import link, refused


def advertisement(**keys: Any) -> RouterAdvertisementSettings:
    return config.parse({"home_links": [link(router_advertisement=keys)]}).home_links[0].router_advertisement


def prefix_discovery(**keys: Any) -> MobilePrefixSettings:
    return config.parse({"home_links": [link(mobile_prefix=keys)]}).home_links[0].mobile_prefix


def test_defaults() -> None:
    """RFC 4861 section 6.2.1: off; RFC 6275 sections 7.5, 8.4 and 13."""
    home = config.parse({"home_links": [link()]}).home_links[0]
    given = home.router_advertisement
    assert given == advertisement()
    assert (given.enabled, given.max_interval, given.min_interval, given.min_delay) == (False, 600, 198, 3)
    assert (given.preference, given.lifetime, given.router_lifetime) == (0, 1800, 0)
    assert (given.managed, given.other) == (False, False)
    told = home.mobile_prefix
    assert told == prefix_discovery()
    assert (told.enabled, told.unsolicited, told.dhcpv6) == (True, True, False)
    assert (told.max_interval, told.min_interval) == (86_400, 600)


def test_everything_given() -> None:
    keys = {
        "enabled": True,
        "max_interval": 4,
        "min_interval": 2.5,
        "min_delay": 1,
        "preference": 10,
        "lifetime": 20,
        "router_lifetime": 4,
        "managed": True,
        "other": True,
    }
    assert advertisement(**keys) == RouterAdvertisementSettings(True, 4, 2.5, 1, 10, 20, 4, True, True)
    keys = {"enabled": False, "unsolicited": False, "max_interval": 20, "min_interval": 10, "dhcpv6": True}
    assert prefix_discovery(**keys) == MobilePrefixSettings(False, False, 20, 10, True)


@pytest.mark.parametrize(
    ("most", "least", "delay", "lifetime"),
    [(1800, 594, 3, 5400), (9, 2.97, 2.97, 27), (4, 3, 3, 12), (0.07, 0.0525, 0.0525, 1)],
)
def test_what_follows_from_the_longest_interval(most: float, least: float, delay: float, lifetime: int) -> None:
    """RFC 4861 section 6.2.1; RFC 6275 section 13: MinDelayBetweenRAs is MinRtrAdvInterval below 3 s."""
    given = advertisement(max_interval=most)
    assert given.min_interval == pytest.approx(least)
    assert (given.min_delay, given.lifetime) == (pytest.approx(delay), lifetime)


def test_parts_of_seconds_in_a_file(tmp_path: Path) -> None:
    """The shortest intervals of RFC 6275 section 7.5."""
    shortest = {"max_interval": 0.07, "min_interval": 0.03, "min_delay": 0.03}
    path = tmp_path / "mip6.yaml"
    path.write_text(yaml.safe_dump({"home_links": [link(router_advertisement=shortest)]}))
    given = config.load(path).home_links[0].router_advertisement
    assert (given.max_interval, given.min_interval, given.min_delay) == (0.07, 0.03, 0.03)


@pytest.mark.parametrize(
    ("section", "keys", "key", "expected"),
    [
        ("router_advertisement", {"max_interval": 0.06}, "max_interval", "0.07"),
        ("router_advertisement", {"max_interval": 1801}, "max_interval", "1800"),
        ("router_advertisement", {"max_interval": float("nan")}, "max_interval", "a number"),
        ("router_advertisement", {"max_interval": "1.2.3"}, "max_interval", "a number"),
        ("router_advertisement", {"max_interval": True}, "max_interval", "a number"),
        ("router_advertisement", {"min_interval": 0.02}, "min_interval", "0.03"),
        ("router_advertisement", {"max_interval": 10, "min_interval": 8}, "min_interval", "three quarters"),
        ("router_advertisement", {"min_delay": 0.02}, "min_delay", "0.03"),
        ("router_advertisement", {"preference": 65_536}, "preference", "65535"),
        ("router_advertisement", {"lifetime": 0}, "lifetime", "from 1"),
        ("router_advertisement", {"lifetime": 600}, "lifetime", "more than max_interval"),
        ("router_advertisement", {"router_lifetime": 599}, "router_lifetime", "at least max_interval"),
        ("router_advertisement", {"interval": 5}, "interval", "min_interval"),
        ("router_advertisement", {"enabled": "yes"}, "enabled", "true or false"),
        ("mobile_prefix", {"min_interval": 100, "max_interval": 99}, "min_interval", "at most max_interval"),
        ("mobile_prefix", {"max_interval": 0}, "max_interval", "from 1"),
        ("mobile_prefix", {"dhcp": True}, "dhcp", "did you mean dhcpv6?"),
    ],
)
def test_mistakes(section: str, keys: dict[str, Any], key: str, expected: str) -> None:
    error = refused({"home_links": [link(**{section: keys})]})
    assert isinstance(error, ConfigError)
    assert error.path == f"home_links[0].{section}.{key}" and expected in error.expected


def test_a_virtual_link_has_nobody_to_advertise_to() -> None:
    error = refused({"home_links": [link(virtual=True, router_advertisement={"enabled": True})]})
    assert error.path == "home_links[0].router_advertisement.enabled"
