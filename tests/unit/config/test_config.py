"""The configuration file: what is accepted, what it becomes, and how mistakes are told."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy import config
from deploy.config import links
from mip6core.errors import ConfigError

EXAMPLE = """\
home_links:
  - name: homenet
    bridge: br-home                      # OVS bridge; its datapath id is looked up or given as datapath_id
    address: 2001:db8:1::2               # the home agent's address on this link
    prefixes: [2001:db8:1::/64]
    router: 2001:db8:1::1                # next hop towards everything off the link
    uplinks: [uplink0]                   # devices where tunnelled packets leave and arrive
correspondent_links:
  - name: office
    bridge: br-office
    address: 2001:db8:c::fffe            # tunnel end point of the bridge
    prefixes: [2001:db8:c::/64]
    router: 2001:db8:c::1
    uplinks: [uplink1]
"""


def packed(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


def link(**changes: Any) -> dict[str, Any]:
    """A home link; a change to None takes the key away."""
    entry: dict[str, Any] = {
        "name": "homenet",
        "bridge": "br-home",
        "address": "2001:db8:1::2",
        "prefixes": ["2001:db8:1::/64"],
        "router": "2001:db8:1::1",
        "uplinks": ["uplink0"],
        **changes,
    }
    return {key: value for key, value in entry.items() if value is not None}


def second(**changes: Any) -> dict[str, Any]:
    """Another home link that goes well with the first one."""
    return link(
        **{
            "name": "labnet",
            "bridge": "br-lab",
            "address": "2001:db8:2::2",
            "prefixes": ["2001:db8:2::/64"],
            "router": "fe80::1",
            "uplinks": ["uplink1"],
            **changes,
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "mip6.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


# --- what is accepted ---


def test_the_example_of_the_documentation_loads_as_it_is(write: Any) -> None:
    loaded = config.load(write(EXAMPLE))
    (home,) = loaded.home_links
    assert (home.name, home.bridge, home.uplinks) == ("homenet", "br-home", ("uplink0",))
    assert (home.address, home.router) == (packed("2001:db8:1::2"), packed("2001:db8:1::1"))
    (prefix,) = home.prefixes
    assert (str(prefix.prefix), prefix.valid_lifetime) == ("2001:db8:1::/64", math.inf)
    assert loaded.correspondent_links[0].address == packed("2001:db8:c::fffe")


def test_defaults(write: Any) -> None:
    loaded = config.load(write(EXAMPLE))
    assert (loaded.openflow.listen, loaded.openflow.port) == ("127.0.0.1", 6653)
    assert (loaded.rest.listen, loaded.rest.port) == ("127.0.0.1", 8080)
    assert loaded.security.unprotected_signalling == "refuse"  # RFC 6275 section 5.1
    assert loaded.limits.max_bindings == 100_000
    home = loaded.home_links[0]
    assert (home.datapath_id, home.uplink_bridge, home.next_table, home.virtual) == (None, None, None, False)
    assert (home.tunnel_port, home.tunnel_mtu) == ("mip6-br-home", 1460)
    # A binding must not outlive its flows' hard timeout, a number of 16 bits, nor have a part of 4 seconds.
    assert home.max_lifetime < 65_536 and home.max_lifetime % 4 == 0


def test_everything_given() -> None:
    loaded = config.parse(
        {
            "openflow": {"listen": "::", "port": 6633},
            "rest": {"listen": "127.0.0.1", "port": 8000},
            "store": {},
            "security": {"unprotected_signalling": "accept"},
            "limits": {
                "max_bindings": 5,
                "max_bindings_per_link": 4,
                "max_lifetime": 420,
                "punt_rates": {"signalling": 1, "neighbor_discovery": 2, "tunnel_errors": 3},
            },
            "home_links": [
                link(
                    datapath_id="00000000000000a1",
                    uplink_bridge="br-up",
                    virtual=True,
                    max_lifetime=60,
                    next_table=100,
                    tunnel_port="tun",
                    tunnel_mtu=1400,
                    prefixes=[{"prefix": "2001:db8:1::/64", "valid_lifetime": 100, "preferred_lifetime": 50}],
                ),
                second(),
            ],
        }
    )
    assert (loaded.openflow.listen, loaded.openflow.port) == ("::", 6633)
    assert loaded.limits.punt_rates == config.PuntRates(1, 2, 3)
    first, other = loaded.home_links
    assert (first.datapath_id, first.uplink_bridge, first.virtual) == (0xA1, "br-up", True)
    assert (first.next_table, first.tunnel_port, first.tunnel_mtu) == (100, "tun", 1400)
    assert (first.max_lifetime, other.max_lifetime) == (60, 420)
    assert (first.prefixes[0].valid_lifetime, first.prefixes[0].preferred_lifetime) == (100, 50)
    assert other.router == packed("fe80::1")


def test_a_loaded_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        config.parse({"home_links": [link()]}).openflow.port = 1  # type: ignore[misc]


def test_ports_of_the_one_bridge_and_the_two_bridge_layout() -> None:
    one, two = config.parse({"home_links": [link(), second(uplink_bridge="br-up")]}).home_links
    assert (one.patch_ports, one.underlay_ports) == (None, ("uplink0",))
    assert two.patch_ports is not None
    assert two.underlay_ports == (two.patch_ports[0],)
    assert len({*two.patch_ports, two.tunnel_port}) == 3


def test_names_made_of_long_bridge_names_fit_and_differ() -> None:
    bridges = ["br-very-long-na", "br-very-long-nb"]
    names = [links.derived_name(prefix, bridge) for bridge in bridges for prefix in ("mip6-", "mip6u-", "mip6d-")]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 15


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0000000000000010", 0x10),  # plain YAML 1.1 takes this for the octal number 8
        ("'00000000000000a1'", 0xA1),
        ("0x1f", 0x1F),
        ("7", 7),
    ],
)
def test_datapath_id_is_what_it_looks_like(write: Any, text: str, value: int) -> None:
    path = write(EXAMPLE.replace("bridge: br-home", f"bridge: br-home\n    datapath_id: {text}"))
    assert config.load(path).home_links[0].datapath_id == value


def test_an_address_of_decimal_digits_is_not_a_number_of_base_60(write: Any) -> None:
    address = "2001:10:20:30:40:50:1:2"
    assert isinstance(yaml.safe_load(address), int)  # what is avoided here
    text = EXAMPLE.replace("2001:db8:1::2 ", address + " ").replace("2001:db8:1::/64", "2001:10:20:30::/64")
    text = text.replace("2001:db8:1::1", "2001:10:20:30::1")
    assert config.load(write(text)).home_links[0].address == packed(address)


# --- what is refused, and how ---


def refused(mapping: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.parse(mapping)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"address": None}, "home_links[0].address", "required"),
        ({"address": "2001:db8:1::x"}, "home_links[0].address", "IPv6 address"),
        ({"address": 7}, "home_links[0].address", "IPv6 address"),
        ({"address": "192.0.2.1"}, "home_links[0].address", "IPv6 address"),
        ({"address": "ff02::1"}, "home_links[0].address", "unicast"),
        ({"address": "fe80::1"}, "home_links[0].address", "unicast"),
        ({"address": "2001:db8:2::2"}, "home_links[0].address", "inside"),
        ({"router": "2001:db8:2::1"}, "home_links[0].router", "2001:db8:1::/64"),
        ({"router": "ff02::2"}, "home_links[0].router", "unicast"),
        ({"router": "2001:db8:1::2"}, "home_links[0].router", "another address"),
        ({"prefixes": []}, "home_links[0].prefixes", "at least one"),
        ({"prefixes": "2001:db8:1::/64"}, "home_links[0].prefixes", "list"),
        ({"prefixes": ["2001:db8:1::/64", "2001:db8:1::1/64"]}, "home_links[0].prefixes[1]", "no bits"),
        ({"prefixes": ["2001:db8:1::"]}, "home_links[0].prefixes[0]", "prefix"),
        ({"prefixes": ["2001:db8:1::/129"]}, "home_links[0].prefixes[0]", "prefix"),
        ({"prefixes": ["2001:db8:1::2/128"]}, "home_links[0].prefixes[0]", "length"),
        ({"prefixes": ["ff00::/8"]}, "home_links[0].prefixes[0]", "unicast"),
        ({"prefixes": ["2001:db8:1::/64", "2001:db8:1::/64"]}, "home_links[0].prefixes[1]", "another"),
        ({"prefixes": ["2001:db8:1::/64", "2001:db8::/32"]}, "home_links[0].prefixes[1]", "overlap"),
        (
            {"prefixes": [{"prefix": "2001:db8:1::/64", "valid_lifetime": 1, "preferred_lifetime": 2}]},
            "home_links[0].prefixes[0].preferred_lifetime",
            "at most valid_lifetime",
        ),
        ({"uplinks": []}, "home_links[0].uplinks", "at least one"),
        ({"uplinks": ["uplink0", "uplink0"]}, "home_links[0].uplinks[1]", "another"),
        ({"uplinks": ["sixteen-letters-"]}, "home_links[0].uplinks[0]", "15"),
        ({"uplinks": ["a b"]}, "home_links[0].uplinks[0]", "device name"),
        ({"uplinks": ["-x"]}, "home_links[0].uplinks[0]", "device name"),
        ({"uplinks": ["br-home"]}, "home_links[0].uplinks[0]", "made here"),
        ({"uplinks": ["mip6-br-home"]}, "home_links[0].uplinks[0]", "made here"),
        ({"bridge": "a/b"}, "home_links[0].bridge", "device name"),
        ({"uplink_bridge": "br-home"}, "home_links[0].uplink_bridge", "another bridge"),
        ({"name": "two words"}, "home_links[0].name", "name"),
        ({"datapath_id": "xyz"}, "home_links[0].datapath_id", "16 hexadecimal digits"),
        ({"datapath_id": 1234567890123456}, "home_links[0].datapath_id", "quotes"),
        ({"datapath_id": "0" * 16}, "home_links[0].datapath_id", "16 hexadecimal digits"),
        ({"virtual": "yes"}, "home_links[0].virtual", "true or false"),
        ({"max_lifetime": 3}, "home_links[0].max_lifetime", "from 4 to 262140"),
        ({"max_lifetime": 262_141}, "home_links[0].max_lifetime", "from 4 to 262140"),
        ({"next_table": 254}, "home_links[0].next_table", "253"),
        ({"next_table": 20}, "home_links[0].next_table", "from 64"),  # the application's own
        ({"tunnel_mtu": 1279}, "home_links[0].tunnel_mtu", "from 1280"),
        ({"tunnel_mtu": True}, "home_links[0].tunnel_mtu", "from 1280"),
        ({"ruoter": "fe80::1"}, "home_links[0].ruoter", "did you mean router?"),
        ({"colour": "red"}, "home_links[0].colour", "there are: name, bridge"),
    ],
)
def test_a_wrong_home_link_is_told_by_its_place_and_what_was_expected(
    changes: dict[str, Any], path: str, expected: str
) -> None:
    error = refused({"home_links": [link(**changes)]})
    assert error.path == path
    assert expected in error.expected
    assert str(error) == f"{path}: expected {error.expected}"


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"name": "homenet"}, "name", "home_links[0]"),
        ({"bridge": "br-home"}, "bridge", "home_links[0]"),
        ({"prefixes": ["2001:db8:1:0:8000::/65"], "address": "2001:db8:1:0:8000::2"}, "prefixes[0]", "overlap"),
        ({"uplinks": ["uplink1", "uplink0"]}, "uplinks[1]", "home_links[0]"),
        ({"tunnel_port": "mip6-br-home"}, "tunnel_port", "home_links[0]"),
    ],
)
def test_two_home_links_do_not_claim_the_same(changes: dict[str, Any], path: str, expected: str) -> None:
    error = refused({"home_links": [link(), second(**changes)]})
    assert error.path == f"home_links[1].{path}"
    assert expected in error.expected


def test_two_home_links_have_their_own_address_and_datapath() -> None:
    same = {"virtual": True, "router": "fe80::1"}
    error = refused({"home_links": [link(**same), second(**same, address="2001:db8:1::2")]})
    assert error.path == "home_links[1].address"
    error = refused({"home_links": [link(datapath_id=5), second(datapath_id=5)]})
    assert error.path == "home_links[1].datapath_id"


def test_home_links_may_share_the_uplinks_of_one_uplink_bridge() -> None:
    shared = {"uplink_bridge": "br-up", "uplinks": ["uplink0"]}
    assert len(config.parse({"home_links": [link(**shared), second(**shared)]}).home_links) == 2


def test_a_virtual_link_needs_no_place_on_it() -> None:
    virtual = link(virtual=True, address="2001:db8:9::2", router="2001:db8:9::1")
    (parsed,) = config.parse({"home_links": [virtual]}).home_links
    assert str(parsed.own_prefix) == "2001:db8:9::/64"
    error = refused({"home_links": [{**virtual, "router": "2001:db8:8::1"}]})
    assert error.path == "home_links[0].router"


@pytest.mark.parametrize(
    ("mapping", "path"),
    [
        ({}, "home_links"),
        ([], ""),
        ("text", ""),
        ({"home_links": [1]}, "home_links[0]"),
        ({"home_links": {}}, "home_links"),
        ({"home_links": None}, "home_links"),
        ({1: 2}, "1"),
        ({"home_link": []}, "home_link"),
        ({"openflow": {"port": 0}}, "openflow.port"),
        ({"openflow": {"port": 65_536}}, "openflow.port"),
        ({"openflow": {"listen": "localhost"}}, "openflow.listen"),
        ({"openflow": None}, "openflow"),
        ({"store": {"path": "/x"}}, "store.path"),
        ({"security": {"unprotected_signalling": "maybe"}}, "security.unprotected_signalling"),
        ({"limits": {"max_bindings": 0}}, "limits.max_bindings"),
        ({"limits": {"max_lifetime": "1h"}}, "limits.max_lifetime"),
        ({"limits": {"punt_rates": {"signalling": -1}}}, "limits.punt_rates.signalling"),
        ({"rest": {"port": 6653}, "home_links": [link()]}, "rest.port"),
    ],
)
def test_wrong_sections(mapping: Any, path: str) -> None:
    assert refused(mapping).path == path


# --- the file ---


@pytest.mark.parametrize(
    ("before", "after", "line", "path"),
    [
        ("router: 2001:db8:1::1", "router: nowhere", 6, "home_links[0].router"),
        (
            "prefixes: [2001:db8:1::/64]",
            "prefixes:\n      - 2001:db8:1::/64\n      - 1",
            7,
            "home_links[0].prefixes[1]",
        ),
        ("    router: 2001:db8:1::1 ", "    ", 2, "home_links[0].router"),  # where the section starts
        ("name: office", "name: office\n    nmae: office", 10, "correspondent_links[0].nmae"),
        ("name: office", "name: office\n    name: lab", 10, "correspondent_links[0].name"),
        ("correspondent_links:", "home_links:", 8, "home_links"),
    ],
)
def test_errors_name_file_line_and_path(write: Any, before: str, after: str, line: int, path: str) -> None:
    assert before in EXAMPLE
    file = write(EXAMPLE.replace(before, after, 1))
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{file}:{line}: {path}: expected ")
    assert "\n" not in str(caught.value)


def test_a_key_given_twice_is_refused_where_it_is_given_again(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"mip6\.yaml:2: rest: expected each key once"):
        config.load(write("rest: {port: 1}\nrest: {port: 2}\n" + EXAMPLE))


@pytest.mark.parametrize(
    "content",
    [
        "home_links: [",
        "home_links: &a [*a]",
        "a: *nowhere",
        "? [a]\n: b",
        "!!python/object/apply:os.system [echo]",
        "a: 1\n---\nb: 2",
        "\x01",
        "port: " + "1" * 5000,
        "a: " + "[" * 3000,
        b"\xff\xfe\xfa",
        "",
        "# nothing but a comment",
    ],
)
def test_whatever_is_no_configuration_is_a_config_error_in_one_line(write: Any, content: str | bytes) -> None:
    file = write(content)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert str(caught.value).startswith(str(file))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="directory"):
        config.load(tmp_path)


TLS = {key: f"/nowhere/{key}" for key in ("certificate", "key", "switch_ca")}


def test_files_of_tls_must_be_readable(write: Any) -> None:
    with pytest.raises(ConfigError, match="readable file") as caught:
        config.load(write(yaml.safe_dump({"home_links": [link()], "openflow": {"tls": {**TLS, "key": "/dev/null"}}})))
    assert caught.value.path == "openflow.tls.certificate"
    tls = {"certificate": "/dev/null", "key": "/dev/null", "client_ca": "/nowhere"}
    assert refused({"home_links": [link()], "rest": {"tls": tls}}).path == "rest.tls.client_ca"
    assert refused({"home_links": [link()], "rest": {"tls": {**tls, "client_ca": "a\0b"}}}).path == "rest.tls.client_ca"


def test_a_machine_with_switches_only_needs_no_files_of_the_controller(write: Any) -> None:
    """Its Open vSwitch has certificates of its own; keys of mobile nodes are none of its business."""
    node = {"home_address": "2001:db8:1::100", "key_file": "/nowhere/keys.yaml"}
    text = yaml.safe_dump(
        {
            "home_links": [link()],
            "openflow": {"listen": "192.0.2.1", "tls": TLS},
            "rest": {"tls": {"certificate": "/nowhere", "key": "/nowhere"}},
            "security": {"mobile_nodes": [node]},
        }
    )
    found = config.load(write(text), controller=False)
    assert found.openflow.tls is not None
    assert found.home_links[0].bridge == "br-home"
    assert not found.security.mobile_nodes
    with pytest.raises(ConfigError) as caught:
        config.load(write(text.replace("br-home", "br/home")), controller=False)
    assert caught.value.path == "home_links[0].bridge"


def test_merge_keys_still_work(write: Any) -> None:
    text = EXAMPLE + "  - <<: {name: lab, bridge: br-lab}\n    address: 2001:db8:d::1\n"
    text += "    prefixes: [2001:db8:d::/64]\n    router: fe80::1\n    uplinks: [u2]\n"
    assert config.load(write(text)).correspondent_links[1].bridge == "br-lab"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["fe80::1", "::/0", "eth0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(link())), JUNK)
def test_any_value_in_a_home_link_is_read_or_refused(key: str, value: Any) -> None:
    try:
        config.parse({"home_links": [{**link(), key: value}]})
    except ConfigError as error:
        assert error.path.startswith("home_links")


@given(st.dictionaries(st.sampled_from(["openflow", "rest", "limits", "home_links", "store", "x"]), JUNK, max_size=3))
def test_any_file_is_read_or_refused(mapping: dict[str, Any]) -> None:
    try:
        config.parse(mapping)
    except ConfigError:
        return


@pytest.mark.parametrize("sections", [{}, {"security": {}}])
def test_what_is_not_protected_is_refused_unless_the_file_accepts_it(sections: dict[str, Any]) -> None:
    parsed = config.parse({"home_links": [link()], **sections})
    assert parsed.security.unprotected_signalling == "refuse"
