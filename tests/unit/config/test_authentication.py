"""`security.mobile_nodes[].authentication`: what it becomes, and that no error shows the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from mip6core.addresses import parse
from mip6core.authentication import MobilitySecurityAssociation
from mip6core.errors import ConfigError
from tests.unit.config.test_config import link

KEY = "00112233445566778899aabbccddeeff"
PATH = "security.mobile_nodes[0].authentication"


def section(**changes: Any) -> dict[str, Any]:
    """The section; a change to None takes the key away."""
    entry = {"spi": 256, "key": KEY, "mn_id": "mn@example.org", **changes}
    return {name: value for name, value in entry.items() if value is not None}


def file(authentication: Any, **more: Any) -> dict[str, Any]:
    node = {"home_address": "2001:db8:1::99", "authentication": authentication, **more}
    return {"home_links": [link()], "security": {"mobile_nodes": [node]}}


def load(authentication: Any, **more: Any) -> config.Config:
    return config.parse(file(authentication, **more))


def association(loaded: config.Config) -> MobilitySecurityAssociation:
    (node,) = loaded.security.mobile_nodes
    assert node.authentication is not None
    return node.authentication.association(node.home_address)


def test_defaults_are_those_of_the_rfc() -> None:
    assert association(load(section())) == MobilitySecurityAssociation(
        parse("2001:db8:1::99"), 256, bytes.fromhex(KEY), b"mn@example.org", True, 7.0
    )


def test_everything_given() -> None:
    found = association(load(section(spi=2**32 - 1, key=KEY.upper(), replay="none", window=30)))
    assert (found.spi, found.key, found.timestamps, found.window) == (2**32 - 1, bytes.fromhex(KEY), False, 30.0)


@pytest.mark.parametrize("value", [None, ...])
def test_a_mobile_node_needs_none(value: Any) -> None:
    mapping = file(value)
    if value is ...:
        del mapping["security"]["mobile_nodes"][0]["authentication"]
    (node,) = config.parse(mapping).security.mobile_nodes
    assert node.authentication is None


@pytest.mark.parametrize(
    ("authentication", "path", "expected"),
    [
        (KEY, PATH, "a section"),
        ([KEY], PATH, "a section"),
        (section(key=None), PATH + ".key", "required"),
        (section(spi=None), PATH + ".spi", "required"),
        (section(mn_id=None), PATH + ".mn_id", "required"),
        (section(key=KEY[:-2]), PATH + ".key", "32 hexadecimal digits"),
        (section(key=KEY + "00"), PATH + ".key", "32 hexadecimal digits"),
        (section(key=int(KEY, 16)), PATH + ".key", "in quotes"),
        (section(key=[KEY]), PATH + ".key", "32 hexadecimal digits"),
        (section(spi=255), PATH + ".spi", "from 256 to 4294967295"),  # RFC 4285 section 5.1: 0 to 255 are reserved
        (section(spi=KEY), PATH + ".spi", "a whole number"),
        (section(spi=2**32), PATH + ".spi", "a whole number"),
        (section(mn_id="mn"), PATH + ".mn_id", "user@example.org"),
        (section(mn_id=KEY), PATH + ".mn_id", "user@example.org"),
        (section(mn_id="m" * 250 + "@x.yz"), PATH + ".mn_id", "254 octets"),
        (section(replay="sequence"), PATH + ".replay", "timestamp or none"),
        (section(replay=KEY), PATH + ".replay", "timestamp or none"),
        (section(window=3), PATH + ".window", "from 4"),  # RFC 4285 section 6: more than 3 seconds
        (section(keys=KEY), PATH + ".keys", "did you mean key?"),
    ],
)
def test_mistakes_are_told_by_their_place_and_without_the_key(authentication: Any, path: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(authentication)
    assert caught.value.path == path and expected in caught.value.expected
    assert KEY[:8] not in str(caught.value) and str(int(KEY, 16))[:8] not in str(caught.value)


def test_sections_around_a_key_do_not_show_it() -> None:
    one = {"home_address": "2001:db8:1::99", "authentication": section()}
    for nodes in (one, [one, one], [[one]], [{"home_address": one}]):
        with pytest.raises(ConfigError) as caught:
            config.parse({"home_links": [link()], "security": {"mobile_nodes": nodes}})
        assert KEY[:8] not in str(caught.value)
    loaded = load(section())
    for shown in (repr(loaded), repr(loaded.security), repr(association(loaded))):
        assert KEY[:8] not in shown and repr(bytes.fromhex(KEY))[2:-1] not in shown


def test_a_mobile_node_is_named_once_and_has_a_home(tmp_path: Path) -> None:
    nodes = [
        {"home_address": "2001:db8:1::99", "authentication": section()},
        {"home_address": "2001:db8:1::99", "authentication": section(spi=300)},
    ]
    path = tmp_path / "mip6.yaml"
    path.write_text(yaml.safe_dump({"home_links": [link()], "security": {"mobile_nodes": nodes}}))
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.path == "security.mobile_nodes[1].home_address"
    with pytest.raises(ConfigError) as caught:
        load(section(), home_address="2001:db8:7::1")
    assert caught.value.path == "security.mobile_nodes[0].home_address"
