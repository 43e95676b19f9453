"""mip6ctl keys: both ends get the same keys, and nobody else sees them."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from deploy import config
from deploy.config import associations
from mip6core import addresses
from rest.cli import main as command_line
from rest.cli.main import main

HOME_ADDRESS, HOME_AGENT = "2001:db8:1::100", "2001:db8:1::2"
FILES = {"ip-xfrm": ["xfrm.sh"], "setkey": ["setkey.conf"], "umip": ["mip6d.conf", "sa.sh"]}


def generate(directory: Path, *words: str) -> int:
    address = ["--home-address", HOME_ADDRESS, "--home-agent", HOME_AGENT]
    return main(["keys", "generate", *address, "--directory", str(directory), *words])


def loaded(key_file: str) -> config.Config:
    """The key file as the configuration takes it."""
    link = {"name": "homenet", "bridge": "br-home", "address": HOME_AGENT, "prefixes": ["2001:db8:1::/64"]}
    node = {"home_address": HOME_ADDRESS, "key_file": key_file}
    rest = {"router": "2001:db8:1::1", "uplinks": ["uplink0"]}
    return config.parse({"home_links": [{**link, **rest}], "security": {"mobile_nodes": [node]}})


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("encryption", ["aes-cbc", "3des-cbc"])
@pytest.mark.parametrize("integrity", ["hmac-sha1-96", "hmac-sha512-256"])
def test_both_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, encryption: str, integrity: str
) -> None:
    """Each key of ours is the mobile node's for the same SPI and the same direction."""
    words = ("--format", form, "--encryption", encryption, "--integrity", integrity, "--spi", "273", "-o", "json")
    assert generate(tmp_path, *words) == 0
    printed = capsys.readouterr().out
    written = json.loads(printed)
    assert [path.split(".", 1)[1] for path in written["mobile_node"]] == FILES[form]
    for path in (written["home_agent"], *written["mobile_node"]):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    text = "".join(Path(path).read_text() for path in written["mobile_node"])
    spi = 273
    (node,) = loaded(written["home_agent"]).security.mobile_nodes
    assert [association.kind for association in node.all_associations] == list(associations.KINDS)
    for association in node.all_associations:
        assert (association.encryption, association.integrity) == (encryption, integrity)
        for direction, towards in ((association.inbound, HOME_AGENT), (association.outbound, None)):
            assert direction.spi == spi
            (line,) = re.findall(rf".*\badd .*{spi:#x} .*", text)
            assert f"0x{direction.encryption_key.hex()}" in line
            assert f"0x{direction.integrity_key.hex()}" in line
            assert direction.encryption_key.hex() not in printed
            source, destination = re.findall(r'2001:[0-9a-f:]+|"\$care_of"|CARE_OF_ADDRESS', line)[:2]
            assert (destination if towards else source) == HOME_AGENT
            spi += 1
    assert addresses.text(node.home_address) == HOME_ADDRESS


def test_names_are_those_of_the_configuration() -> None:
    assert command_line.KINDS == associations.KINDS
    assert tuple(associations.ENCRYPTION_KEYS) == command_line.ENCRYPTIONS
    assert tuple(associations.INTEGRITY_KEYS) == command_line.INTEGRITIES


def test_aes_gcm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(tmp_path, "--encryption", "aes-gcm", "--kind", "binding", "-o", "json") == 0
    written = json.loads(capsys.readouterr().out)
    (association,) = loaded(written["home_agent"]).security.mobile_nodes[0].all_associations
    key = association.outbound.encryption_key.hex()
    assert f"aead 'rfc4106(gcm(aes))' 0x{key} 128" in Path(written["mobile_node"][0]).read_text()
    assert generate(tmp_path / "setkey", "--encryption", "aes-gcm", "--format", "setkey") == 2


def test_integrity_where_linux_cuts_it_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By setkey Linux takes 96 bits of SHA-256, which we would not accept."""
    assert generate(tmp_path / "none", "--format", "setkey", "--integrity", "hmac-sha256-128") == 2
    assert "96 bits" in capsys.readouterr().err
    found = {}
    for form in FILES:
        assert generate(tmp_path / form, "--format", form, "-o", "json") == 0
        (node,) = loaded(json.loads(capsys.readouterr().out)["home_agent"]).security.mobile_nodes
        found[form] = {association.integrity for association in node.all_associations}
    assert found == {"ip-xfrm": {"hmac-sha256-128"}, "setkey": {"hmac-sha512-256"}, "umip": {"hmac-sha256-128"}}


def test_umip_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Policies and keys meet by their numbers."""
    assert generate(tmp_path, "--format", "umip", "-o", "json") == 0
    policies, keys = (Path(path).read_text() for path in json.loads(capsys.readouterr().out)["mobile_node"])
    assert re.findall(r"IPsecPolicy (\w+) UseESP (\d) (\d);", policies) == [
        ("HomeRegBinding", "1", "2"),
        ("MobPfxDisc", "3", "4"),
        ("TunnelHomeTesting", "5", "6"),
    ]
    assert re.findall(r"state add .* reqid (\d) mode (\w+)", keys) == [
        *(("1", "transport"), ("2", "transport"), ("3", "transport"), ("4", "transport")),
        *(("5", "tunnel"), ("6", "tunnel")),
    ]


@pytest.mark.parametrize("form", ["ip-xfrm", "umip"])
def test_home_tests_get_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Linux does not see the type of a Home Test that arrives: a policy without a type, behind all others, takes it."""
    assert generate(tmp_path, "--format", form, "-o", "json") == 0
    script = Path(json.loads(capsys.readouterr().out)["mobile_node"][-1]).read_text()
    (policy,) = re.findall(r"ip xfrm policy update (.* proto 135 dir in .*)", script)
    assert policy.startswith(f"src ::/0 dst {HOME_ADDRESS}/128") and policy.endswith("reqid 6 mode tunnel level use")
    assert " type " not in policy and "priority 10000" in policy
    # With no association for Home Tests, there is none
    assert generate(tmp_path, "--format", form, "--kind", "binding", "--directory", str(tmp_path / "other")) == 0
    assert "proto 135 dir in" not in "".join(path.read_text() for path in (tmp_path / "other").iterdir())


def test_what_is_printed_is_for_the_configuration_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(tmp_path) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "2001-db8-1--100.keys.yaml"
    assert f"key_file: {path}" in printed and f"home_address: {HOME_ADDRESS}" in printed
    for association in loaded(str(path)).security.mobile_nodes[0].all_associations:
        assert association.inbound.encryption_key.hex() not in printed


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "2001-db8-1--100.xfrm.sh").write_text("mine")
    assert generate(tmp_path) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["2001-db8-1--100.xfrm.sh"]


def test_return_routability_is_encrypted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(tmp_path, "--encryption", "null") == 2
    assert "return routability" in capsys.readouterr().err
    assert generate(tmp_path, "--encryption", "null", "--kind", "binding") == 0
    assert not list(tmp_path.glob("*.conf"))


def test_a_directory_that_is_missing_is_made_for_its_owner_only(tmp_path: Path) -> None:
    assert generate(tmp_path / "keys") == 0
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert generate(tmp_path / "not" / "there") == 1
