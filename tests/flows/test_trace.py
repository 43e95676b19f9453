"""mip6ctl trace and bundle on a campus whose remote correspondent's routes are optimised at its edge."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.flows.campus import BRIDGE, EDGE, EDGE_ADDRESS, HOME_ADDRESS, LOCAL, REMOTE, ROOT, Campus, Settings
from tests.flows.return_routability import Peer
from topo.lab import run

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
SOMEBODY = "2001:db8:1::300"
DIRECTION = {"encryption_key": SECRET, "integrity_key": SECRET + "5ec2e75e"}
AT_EDGE = Settings(
    "edge",
    correspondents={
        "name": "office",
        "bridge": EDGE,
        "address": EDGE_ADDRESS,
        "prefixes": ["2001:db8:9::/64"],
        "router": "2001:db8:9::1",
        "uplinks": ["edge0"],
    },
    security={
        "unprotected_signalling": "accept",
        "mobile_nodes": [
            {
                "home_address": SOMEBODY,
                "associations": [
                    {
                        "kind": "binding",
                        "encryption": "aes-cbc",
                        "integrity": "hmac-sha1-96",
                        "inbound": {"spi": 300, **DIRECTION},
                        "outbound": {"spi": 301, **DIRECTION},
                    }
                ],
            }
        ],
    },
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [AT_EDGE], ids=lambda s: s.name, indirect=True, scope="module"),
]


def trace(home_address: str, correspondent: str, status: int = 0) -> Any:
    command = [sys.executable, "-m", "rest.cli.main", "trace", home_address, correspondent]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert text.returncode == status, text.stderr
    data = subprocess.run([*command, "-o", "json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(data.stdout)
    for direction in found["directions"]:
        assert direction["outcome"] in text.stdout
    for finding in found["findings"]:
        assert finding.partition(" for ")[0] in text.stdout  # the seconds that are left go on
    return found


def outcomes(found: Any) -> dict[str, str]:
    return {direction["name"]: direction["outcome"] for direction in found["directions"]}


def test_a_bound_mobile_node_and_a_host_at_home(registered: Campus) -> None:
    campus = registered
    assert LOCAL.ping(HOME_ADDRESS) == 3  # and so neighbours are resolved
    found = trace(HOME_ADDRESS, LOCAL.address)
    care_of = campus.mobile.at.care_of_address
    assert outcomes(found)["to the mobile node, by its home agent"] == f"leaves in an IPv6-in-IPv6 tunnel to {care_of}"
    assert "forwarded" in outcomes(found)["from the mobile node, out of its tunnel"]
    assert f"the home address is bound to {care_of}" in found["findings"][0]
    assert "in no prefix of a correspondent link" in found["findings"][1]
    back = found["directions"][1]
    assert [step["category"] for step in back["steps"]][:3] == ["pipeline", "reverse_tunnel", "pipeline"]
    assert found["adapters"][0]["attached"] is True
    assert any(found["adapters"][0]["counters"].values())


def test_an_optimised_route(registered: Campus) -> None:
    campus = registered
    before = trace(HOME_ADDRESS, REMOTE.address)
    assert len(before["directions"]) == 2
    assert "not registered with this correspondent" in before["findings"][1]
    Peer(campus.mobile, REMOTE.address).optimise()
    found = outcomes(trace(HOME_ADDRESS, REMOTE.address))
    care_of = campus.mobile.at.care_of_address
    assert found["to the mobile node, optimised"] == f"leaves with a Type 2 Routing header to {care_of}"
    assert "from the mobile node, optimised" in found
    assert found["to the mobile node, by its home agent"].endswith(f"tunnel to {care_of}")


def test_why_a_packet_is_dropped(registered: Campus) -> None:
    """The switch has lost a flow that it should have."""
    campus = registered
    run(["ovs-ofctl", "-O", "OpenFlow13", "del-flows", BRIDGE, f"table=10,ipv6,ipv6_src={HOME_ADDRESS}"])
    found = trace(HOME_ADDRESS, LOCAL.address, status=1)
    dropped = [direction for direction in found["directions"] if direction["dropped"]]
    assert [direction["name"] for direction in dropped] == ["from the mobile node, out of its tunnel"]
    assert "no binding has this care-of address and this home address together" in dropped[0]["outcome"]
    campus.ctl("clear", "bindings", HOME_ADDRESS)
    found = trace(HOME_ADDRESS, LOCAL.address)
    assert "there is no binding" in found["findings"][0]
    assert [direction["dropped"] for direction in found["directions"]] == [False]
    campus.register(campus.mobile)


def test_a_stranger(registered: Campus) -> None:
    found = trace("2001:db8:77::1", "2001:db8:78::1")
    assert found["directions"] == [] and "not its home agent" in found["findings"][0]


def test_a_bundle_has_everything_but_secrets(registered: Campus, tmp_path: Path) -> None:
    campus = registered
    file = tmp_path / "report.tar.gz"
    made = json.loads(campus.ctl("bundle", str(file), "--log", str(campus.manager.logs[-1]), "-o", "json"))
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    assert set(contents) == {f"report/{name}" for name in made["files"]}
    assert SECRET.encode() not in b"".join(contents.values())
    assert HOME_ADDRESS in json.loads(contents["report/server/bindings.json"])["bindings"][0]["home_address"]
    config = json.loads(contents["report/server/config.json"])
    assert config["security"]["mobile_nodes"][0]["home_address"] == SOMEBODY
    assert b"0x6d36" in contents[f"report/ovs/{BRIDGE}/dump-flows.txt"]
    assert b"0x6d36" in contents[f"report/ovs/{EDGE}/dump-flows.txt"]
    assert b"switch connected" in contents["report/log.txt"]
    assert b"mip6_bindings" in contents["report/server/metrics.txt"]
    assert b"Open vSwitch" in contents["report/versions.txt"] + contents["report/ovs/version.txt"]
    assert json.loads(contents["report/adapters.json"])[0]["attached"] is True


def test_a_bundle_without_a_server(registered: Campus, tmp_path: Path) -> None:
    file = tmp_path / "alone.tar.gz"
    registered.ctl("bundle", str(file), "--server", "http://127.0.0.1:9", "--log", "/nonexistent")
    with tarfile.open(file) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    assert contents["alone/server/bindings.json"].startswith(b"not collected: http://127.0.0.1:9: no answer")
    assert contents["alone/log.txt"].startswith(b"not collected: ")
    assert b"0x6d36" in contents[f"alone/ovs/{BRIDGE}/dump-flows.txt"]
