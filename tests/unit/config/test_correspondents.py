"""Correspondent links: on a bridge of their own, on a home link's, and what contradicts what."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from mip6core.errors import ConfigError

HOME: dict[str, Any] = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["uplink0"],
}
OFFICE: dict[str, Any] = {
    "name": "office",
    "bridge": "br-office",
    "address": "2001:db8:c::2",
    "prefixes": ["2001:db8:c::/64"],
    "router": "2001:db8:c::1",
    "uplinks": ["uplink1"],
}
LAB: dict[str, Any] = {
    "name": "lab",
    "bridge": "br-lab",
    "address": "2001:db8:d::2",
    "prefixes": ["2001:db8:d::/64"],
    "router": "fe80::1",
    "uplinks": ["uplink2"],
}
LOCAL: dict[str, Any] = {"name": "locals", "bridge": "br-home", "prefixes": ["2001:db8:1::/64"]}


def packed(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


def parse(*correspondent_links: dict[str, Any], home: dict[str, Any] | None = HOME, **sections: Any) -> config.Config:
    homes = [] if home is None else [home]
    return config.parse({"home_links": homes, "correspondent_links": list(correspondent_links), **sections})


def refused(*correspondent_links: dict[str, Any], home: dict[str, Any] = HOME) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(*correspondent_links, home=home)
    return caught.value


def test_a_bridge_of_its_own() -> None:
    (link,) = parse(OFFICE, home=None).correspondent_links
    assert (link.name, link.bridge, link.uplinks) == ("office", "br-office", ("uplink1",))
    assert (link.address, link.router) == (packed("2001:db8:c::2"), packed("2001:db8:c::1"))
    assert [str(prefix) for prefix in link.prefixes] == ["2001:db8:c::/64"]
    assert (link.mtu, link.link_mtu) == (1500, 1500)
    assert link.max_lifetime == 420  # MAX_RR_BINDING_LIFETIME, RFC 6275 section 12
    assert (link.tunnel_port, link.underlay_ports, link.next_table) == ("mip6-br-office", ("uplink1",), None)


def test_everything_given() -> None:
    given = {"uplink_bridge": "br-up", "datapath_id": "00000000000000c1", "tunnel_port": "tun", "next_table": 100}
    loaded = parse({**OFFICE, **given, "mtu": 9000, "max_lifetime": 60})
    (link,) = loaded.correspondent_links
    assert (link.uplink_bridge, link.datapath_id, link.tunnel_port, link.next_table) == ("br-up", 0xC1, "tun", 100)
    assert (link.mtu, link.max_lifetime) == (9000, 60)
    assert link.underlay_ports == ("mip6u-br-office",)
    assert loaded.bridge_links == (*loaded.home_links, link)
    assert loaded.home_link_of(link) is None
    assert loaded.correspondent_link_of(loaded.home_links[0]) is None


def test_on_a_home_links_bridge_it_is_where_the_home_link_is() -> None:
    home = {**HOME, "uplink_bridge": "br-up", "datapath_id": 7, "tunnel_port": "tun", "next_table": 99}
    loaded = parse({**LOCAL, "prefixes": ["2001:db8:1::/65", "2001:db8:e::/64"]}, OFFICE, home=home)
    (link, office), (at,) = loaded.correspondent_links, loaded.home_links
    for key in ("bridge", "address", "router", "uplinks", "uplink_bridge", "datapath_id", "next_table", "tunnel_port"):
        assert getattr(link, key) == getattr(at, key)
    assert loaded.home_link_of(link) is at
    assert loaded.correspondent_link_of(at) is link
    assert loaded.bridge_links == (at, office)


@pytest.mark.parametrize(("tunnel_mtu", "said", "mtu"), [(None, None, 1500), (1400, None, 1440), (1400, 1450, 1450)])
def test_mtu_on_a_home_links_bridge(tunnel_mtu: int | None, said: int | None, mtu: int) -> None:
    home = HOME if tunnel_mtu is None else {**HOME, "tunnel_mtu": tunnel_mtu}
    (link,) = parse(LOCAL if said is None else {**LOCAL, "mtu": said}, home=home).correspondent_links
    assert link.mtu == mtu


def test_limits() -> None:
    limits = parse(OFFICE).limits
    assert limits.max_correspondent_bindings == 100_000
    assert (limits.punt_rates.return_routability, limits.punt_rates.unbound) == (10_000, 1_000)
    given = {"max_correspondent_bindings": 5, "punt_rates": {"return_routability": 6, "unbound": 7}}
    limits = parse(OFFICE, limits=given).limits
    assert limits.max_correspondent_bindings == 5
    assert (limits.punt_rates.return_routability, limits.punt_rates.unbound) == (6, 7)


def test_the_longest_lifetime_of_home_registrations_is_another_thing() -> None:
    (link,) = parse(OFFICE, limits={"max_lifetime": 60_000}).correspondent_links
    assert link.max_lifetime == 420


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"address": None}, "address", "required"),
        ({"router": None}, "router", "required"),
        ({"uplinks": None}, "uplinks", "required"),
        ({"prefixes": None}, "prefixes", "required"),
        ({"prefixes": []}, "prefixes", "at least one"),
        ({"prefixes": [{"prefix": "2001:db8:c::/64"}]}, "prefixes[0]", "IPv6 prefix"),
        ({"prefixes": ["2001:db8:c::/64", "2001:db8::/32"]}, "prefixes[1]", "no overlap with prefixes[0]"),
        ({"prefixes": ["2001:db8:c::/64", "2001:db8:1::/65"]}, "prefixes[1]", "2001:db8:1::/64 of home_links[0]"),
        ({"address": "2001:db8:1::9"}, "address", "inside one of the link's prefixes"),
        ({"router": "2001:db8:1::1"}, "router", "2001:db8:c::/64"),
        ({"router": "2001:db8:c::2"}, "router", "another address"),
        ({"max_lifetime": 3}, "max_lifetime", "seconds from 4 to 420"),
        ({"max_lifetime": 421}, "max_lifetime", "seconds from 4 to 420"),
        ({"mtu": 1303}, "mtu", "octets from 1304"),  # 24 less must still be 1280
        ({"tunnel_mtu": 1460}, "tunnel_mtu", "known key"),
        ({"virtual": True}, "virtual", "known key"),
        ({"uplinks": ["uplink0"]}, "uplinks[0]", "home_links[0]"),
        ({"uplinks": ["br-office"]}, "uplinks[0]", "made here"),
        ({"uplink_bridge": "br-office"}, "uplink_bridge", "another bridge"),
        ({"name": "homenet"}, "name", "home_links[0]"),
        ({"tunnel_port": "mip6-br-home"}, "tunnel_port", "home_links[0]"),
    ],
)
def test_a_wrong_correspondent_link(changes: dict[str, Any], key: str, expected: str) -> None:
    error = refused({name: value for name, value in {**OFFICE, **changes}.items() if value is not None})
    assert error.path == f"correspondent_links[0].{key}"
    assert expected in error.expected


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"name": "office"}, "name", "correspondent_links[0]"),
        ({"bridge": "br-office"}, "bridge", "correspondent_links[0]"),
        ({"prefixes": ["2001:db8:d::/64", "2001:db8:c:0:8000::/65"]}, "prefixes[1]", "2001:db8:c::/64"),
        ({"uplinks": ["uplink1"]}, "uplinks[0]", "correspondent_links[0]"),
    ],
)
def test_two_correspondent_links_do_not_claim_the_same(changes: dict[str, Any], key: str, expected: str) -> None:
    error = refused(OFFICE, {**LAB, **changes})
    assert error.path == f"correspondent_links[1].{key}"
    assert expected in error.expected


def test_two_links_on_one_home_links_bridge() -> None:
    assert refused(LOCAL, {**LOCAL, "name": "more"}).path == "correspondent_links[1].bridge"


@pytest.mark.parametrize("key", ["address", "router", "uplinks", "uplink_bridge", "datapath_id", "tunnel_port"])
def test_what_the_home_link_says_is_not_said_again(key: str) -> None:
    error = refused({**LOCAL, key: {**OFFICE, "datapath_id": 1}.get(key, "x")})
    assert error.path == f"correspondent_links[0].{key}"
    assert f"whose {key} counts" in error.expected and "homenet" in error.expected


def test_a_wrong_home_link_is_told_where_it_is_wrong() -> None:
    assert refused(LOCAL, home={**HOME, "address": "x"}).path == "home_links[0].address"
    assert refused(LOCAL, home={**HOME, "tunnel_mtu": "x"}).path == "home_links[0].tunnel_mtu"


def test_another_home_links_prefix_is_not_for_a_link_on_a_home_links_bridge() -> None:
    other = {**LAB, "bridge": "br-lab"}
    with pytest.raises(ConfigError) as caught:
        config.parse({"home_links": [HOME, other], "correspondent_links": [{**LOCAL, "prefixes": LAB["prefixes"]}]})
    assert caught.value.path == "correspondent_links[0].prefixes[0]"


def test_a_virtual_home_link_has_no_hosts_but_its_bridge_may_have() -> None:
    virtual = {**HOME, "virtual": True, "address": "2001:db8:9::2", "router": "2001:db8:9::1"}
    (link,) = parse({**LOCAL, "prefixes": ["2001:db8:9::/64"]}, home=virtual).correspondent_links
    assert link.address == packed("2001:db8:9::2")
    error = refused(LOCAL, home=virtual)
    assert (error.path, "virtual" in error.expected) == ("correspondent_links[0].prefixes[0]", True)


def test_the_line_of_an_inherited_contradiction(tmp_path: Path) -> None:
    file = tmp_path / "mip6.yaml"
    text = yaml.safe_dump({"home_links": [HOME]}, sort_keys=False) + "correspondent_links:\n  - name: locals\n"
    file.write_text(text + "    bridge: br-home\n    prefixes: [2001:db8:1::/64]\n    router: fe80::1\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    line = text.count("\n") + 3
    assert str(caught.value).startswith(f"{file}:{line}: correspondent_links[0].router: expected no such key: br-home")
