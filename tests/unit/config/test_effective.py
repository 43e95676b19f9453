"""The effective configuration: it is a good file that means the same, and tells no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from deploy.config.effective import effective
from tests.unit.config.complete import SECRET, complete

EXAMPLES = sorted((Path(config.__file__).parent / "examples").glob("*.yaml"))


def without_secrets() -> dict[str, Any]:
    file = complete()
    file["security"]["mobile_nodes"] = [{"home_address": "2001:db8:1::100", "unprotected_signalling": "accept"}]
    file["rest"]["tokens"] = []
    return file


@pytest.mark.parametrize(
    "file",
    [
        without_secrets(),
        {
            "home_links": [
                {**without_secrets()["home_links"][1], "address": "2001:10:20:30:40:50:1:2", "router": "fe80::1"}
            ]
        },
        {"correspondent_links": complete()["correspondent_links"][:1], "access": {"default": "allow"}},
    ],
    ids=["everything", "home link", "correspondent link"],
)
def test_it_is_a_file_that_means_the_same(file: dict[str, Any], tmp_path: Path) -> None:
    parsed = config.parse(file)
    shown = effective(parsed)
    assert config.parse(shown) == parsed
    written = tmp_path / "mip6.yaml"
    written.write_text(yaml.safe_dump(shown))
    assert config.load(written) == parsed


def test_it_says_what_the_file_left_out() -> None:
    shown = effective(config.parse({"home_links": [complete()["home_links"][1]], "limits": {"max_lifetime": 60}}))
    (link,) = shown["home_links"]
    assert (link["max_lifetime"], link["tunnel_port"], link["tunnel_mtu"]) == (60, "mip6-br-roaming", 1460)
    assert (shown["openflow"]["port"], shown["security"]["unprotected_signalling"]) == (6653, "refuse")
    assert shown["limits"]["punt_rates"]["unbound"] == 1000
    assert link["router_advertisement"]["min_interval"] == 198


def test_what_a_link_has_from_its_home_link_is_not_repeated() -> None:
    office, on_home_link = effective(config.parse(complete()))["correspondent_links"]
    assert {"address", "router", "uplinks"} <= office.keys()
    assert on_home_link == {
        "name": "locals",
        "bridge": "br-home",
        "prefixes": ["2001:db8:1::/64"],
        "mtu": 1440,
        "max_lifetime": 420,
    }


def test_no_secret_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(yaml.safe_dump({"associations": complete()["security"]["mobile_nodes"][0].pop("associations")}))
    keys.chmod(0o600)
    file = complete()
    file["security"]["mobile_nodes"][0]["associations"] = []
    file["security"]["mobile_nodes"][0]["key_file"] = str(keys)
    for given in (complete(), file):
        assert SECRET in yaml.safe_dump(given)
        shown = effective(config.parse(given))
        assert SECRET not in yaml.safe_dump(shown)
        assert shown["security"]["mobile_nodes"][1]["authentication"]["key"] == "(hidden)"
        assert shown["rest"]["tokens"][0]["sha256"] == "(hidden)"
    assert shown["security"]["mobile_nodes"][0]["key_file"] == str(keys)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_mean_what_is_shown_of_them(example: Path) -> None:
    loaded = config.load(example)
    assert config.parse(effective(loaded)) == loaded
