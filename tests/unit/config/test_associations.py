"""IPsec associations in the configuration: what is accepted, what is refused, and that no key is ever shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from deploy.config.associations import KINDS
from mip6core.errors import ConfigError
from tests.unit.ipsec.esp_peer import SUITES, Suite, association

HOME_ADDRESS = "2001:db8:1::100"
LINK = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["uplink0"],
}
SECRET = "5ec2e7" * 8  # a key that must not show, 24 octets


def parse(*nodes: Any) -> config.Config:
    return config.parse({"home_links": [LINK], "security": {"mobile_nodes": list(nodes)}})


def node(*associations: Any, home_address: str = HOME_ADDRESS, **more: Any) -> dict[str, Any]:
    return {"home_address": home_address, "associations": list(associations), **more}


def refused(*nodes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(*nodes)
    return caught.value


def changed(kind: str = "binding", **changes: Any) -> dict[str, Any]:
    """An association with other values; a name such as inbound__spi is one of a direction."""
    found = association(kind, 300)
    for name, value in changes.items():
        place, _, inner = name.partition("__")
        if inner:
            found[place] = {**found[place], inner: value}
        else:
            found[place] = value
    return {name: value for name, value in found.items() if value is not ...}


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_every_suite_is_accepted(suite: Suite) -> None:
    given = association("binding", 300, suite, anti_replay=True, selector="protocol")
    (found,) = parse(node(given)).security.mobile_nodes[0].all_associations
    assert (found.encryption, found.integrity) == (suite.encryption, suite.integrity)
    assert (found.inbound.spi, found.outbound.spi) == (300, 301)
    assert found.inbound.encryption_key.hex() == given["inbound"].get("encryption_key", "")
    assert found.outbound.integrity_key.hex() == given["outbound"].get("integrity_key", "")
    assert (found.anti_replay, found.selector) == (True, "protocol")


def test_defaults() -> None:
    loaded = parse(node(association("binding", 300)))
    assert loaded.security.unprotected_signalling == "refuse"
    (found,) = loaded.security.mobile_nodes
    assert (found.unprotected_signalling, found.key_file) == (None, None)
    assert (found.associations[0].anti_replay, found.associations[0].selector) == (False, "message")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (changed(kind="everything"), "kind"),
        (changed(encryption="des-cbc"), "encryption"),
        (changed(encryption=SECRET), "encryption"),
        (changed(integrity=None), "integrity"),
        (changed(integrity="hmac-md5-96"), "integrity"),
        (changed(selector=SECRET), "selector"),
        (changed(inbound=...), "inbound"),
        (changed(inbound=SECRET), "inbound"),
        (changed(inbound={SECRET: 1}), "inbound"),
        (changed(inbound__spi=255), "inbound.spi"),
        (changed(inbound__spi=SECRET), "inbound.spi"),
        (changed(outbound__encryption_key=SECRET[2:]), "outbound.encryption_key"),
        (changed(outbound__encryption_key="5ec2e75ec2e75ec2" * 3), "outbound.encryption_key"),
        (changed(inbound__integrity_key=SECRET), "inbound.integrity_key"),
        (changed(inbound__integrity_key=SECRET + "x"), "inbound.integrity_key"),
        (changed(inbound__integrity_key=int(SECRET[2:4] * 10, 16)), "inbound.integrity_key"),
        (changed(inbound__integrity_key=...), "inbound.integrity_key"),
        (changed(inbound__key=SECRET), "inbound.key"),
        ({**association("binding", 300, Suite("aes-gcm", 20, None)), "integrity": "hmac-sha1-96"}, "integrity"),
        (association("return_routability", 300, Suite("null", 0, "hmac-sha1-96")), "encryption"),
        ([SECRET], ""),
    ],
)
def test_refused(given: Any, path: str) -> None:
    error = refused(node(given))
    place = "security.mobile_nodes[0].associations[0]"
    assert error.path == (f"{place}.{path}" if path else place)
    shown = str(error)
    assert "5ec2" not in shown
    assert len(shown) < 300


def test_one_key_for_both_directions() -> None:
    """Fatal with AES-GCM only: both ends choose initialization vectors."""
    gcm = association("binding", 300, Suite("aes-gcm", 20, None))
    gcm["outbound"] = {**gcm["inbound"], "spi": 301}
    assert refused(node(gcm)).path == "security.mobile_nodes[0].associations[0].outbound.encryption_key"
    classic = association("binding", 300)
    classic["outbound"] = {**classic["inbound"], "spi": 301}
    parse(node(classic))


def test_associations_of_several_nodes() -> None:
    first, second = association("binding", 300), association("binding", 302)
    other = "2001:db8:1::200"
    parse(node(first), node(second, home_address=other))
    assert refused(node(first), node(second)).path == "security.mobile_nodes[1].home_address"
    assert (
        refused(node(first), node(association("binding", 300), home_address=other)).path == "security.mobile_nodes[1]"
    )
    shared = {**second, "inbound": {**first["inbound"], "spi": 302}}
    error = refused(node(first), node(shared, home_address=other))
    assert error.path == "security.mobile_nodes[1]" and "other keys" in error.expected
    assert refused(node(first, second)).path == "security.mobile_nodes[0].associations[1].kind"
    assert refused(node(first, home_address="2001:db8:9::1")).path == "security.mobile_nodes[0].home_address"


def key_file(directory: Path, content: Any, mode: int = 0o600) -> str:
    path = directory / "keys.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    os.chmod(path, mode)
    return str(path)


def test_key_file(tmp_path: Path) -> None:
    given = [association(kind, 300 + 2 * index) for index, kind in enumerate(KINDS)]
    path = key_file(tmp_path, {"associations": given[1:]})
    (found,) = parse(node(given[0], key_file=path)).security.mobile_nodes
    assert [association.kind for association in found.all_associations] == list(KINDS)
    assert found.key_file is not None and found.key_file.path == path
    again = key_file(tmp_path, {"associations": given[:1]})
    assert refused(node(given[0], key_file=again)).path == "security.mobile_nodes[0].key_file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_key_file_that_others_can_read(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, {"associations": [association("binding", 300)]}, mode)
    error = refused(node(key_file=path))
    assert error.path == "security.mobile_nodes[0].key_file" and "0600" in error.expected


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        ({"associations": [changed(inbound__encryption_key=SECRET[2:])]}, ":associations[0].inbound.encryption_key"),
        (f"associations: [{SECRET}", ""),
        (f"{SECRET}: 1", ""),
        (SECRET, ""),
        ({"associations": {SECRET: SECRET}}, ":associations"),
    ],
)
def test_key_file_with_mistakes(tmp_path: Path, content: Any, inside: str) -> None:
    path = key_file(tmp_path, content)
    error = refused(node(key_file=path))
    assert error.path == f"security.mobile_nodes[0].key_file({path}{inside})"
    assert "5ec2" not in str(error) and "5ec2" not in repr(error.__cause__)


def test_key_file_that_is_not_there(tmp_path: Path) -> None:
    for path in ("keys.yaml", str(tmp_path / "none.yaml"), str(tmp_path)):
        assert refused(node(key_file=path)).path == "security.mobile_nodes[0].key_file"


def test_no_key_in_what_is_printed() -> None:
    given = association("binding", 300)
    loaded = parse(node(given))
    for key in (given["inbound"]["encryption_key"], given["outbound"]["integrity_key"]):
        assert key not in repr(loaded) and repr(bytes.fromhex(key))[2:-1] not in repr(loaded)
