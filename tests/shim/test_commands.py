"""The commands, the build script, and the choice of the adapter."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.shim import AdapterError, Endpoint, WireFormatAdapter, adapter_for
from deploy.shim.__main__ import main
from tests.shim.uplink import BEST_WAY, BRIDGE_MAC, DEVICE, HOME_AGENT, SHIM, correspondents, endpoint
from topo import lab

# --- which adapter ---


def test_adapter_of_the_userspace_datapath() -> None:
    adapter: WireFormatAdapter = adapter_for("netdev")
    assert adapter.capabilities == {"tunnel", "route optimization"}
    assert adapter.mtu_overhead == 8  # RFC 2784 section 2, RFC 2890 section 2: GRE header with a key


@pytest.mark.parametrize("datapath_type", ["system", ""])
def test_kernel_datapath_is_refused(datapath_type: str) -> None:
    with pytest.raises(AdapterError, match=r"not supported yet: set the bridge's datapath_type to netdev"):
        adapter_for(datapath_type)


def test_unknown_datapath_is_refused() -> None:
    with pytest.raises(AdapterError, match="'dpdk' is not known"):
        adapter_for("dpdk")


@pytest.mark.parametrize("home_agent", ["::", "ff02::1", "fe80::1", "::1"])
def test_home_agent_must_be_reachable(home_agent: str) -> None:
    with pytest.raises(ValueError, match="routable unicast"):
        endpoint(home_agent)


@pytest.mark.parametrize("mac", [bytes(6), bytes.fromhex("333300000001"), bytes(5), bytes(7)])
def test_bridge_mac_must_be_one(mac: bytes) -> None:
    with pytest.raises(ValueError, match="unicast MAC"):
        Endpoint(endpoint().home_agent, mac)


# --- commands ---

INGRESS, EGRESS = BEST_WAY
ATTACH = ["attach", "--device", DEVICE, "--home-agent", HOME_AGENT, "--bridge-mac", BRIDGE_MAC]


@pytest.fixture
def device(network: lab.Network) -> Iterator[str]:
    network.namespace("wire")
    network.veth(lab.End(DEVICE, switch_port=True), lab.End("wire0", "wire", switch_port=True))
    yield DEVICE
    adapter_for("netdev").detach(DEVICE)


@pytest.mark.lab
def test_counters_for_the_metrics(device: str, tmp_path: Path) -> None:
    """With the rights that mip6-adapters.service has, and no others."""
    assert main(ATTACH) == 0
    unit = (SHIM.parents[1] / "deploy/package/mip6-adapters.service").read_text()
    rights = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert rights is not None
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in rights[1].split())
    file = tmp_path / "counters.json"
    words = ["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs", sys.executable, "-m", "rest.cli.main"]
    subprocess.run([*words, "ovs", "counters", "--write", file], cwd=SHIM.parents[1], check=True)
    (written,) = json.loads(file.read_text())["adapters"]
    status = adapter_for("netdev").status(device)
    assert written == {"device": device, "attached": True, "problems": [], "counters": status.counters}
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.lab
def test_attach_status_detach(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "nothing is attached in this network namespace\n"

    assert main(ATTACH) == 0
    assert capsys.readouterr().out == f"uplink0: attached, ingress {INGRESS}, egress {EGRESS}\n"

    assert main(["status", "-o", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    counters = shown.pop("counters")
    assert shown == {
        "device": DEVICE,
        "ifindex": int(Path(f"/sys/class/net/{DEVICE}/ifindex").read_text()),
        "attached": True,
        "ingress": INGRESS,
        "egress": EGRESS,
        "endpoints": [{"home_agent": HOME_AGENT, "bridge_mac": BRIDGE_MAC}],
        "correspondents": [],
        "limits": dict.fromkeys(("signalling", "return_routability", "esp"), 10_000)
        | {"new_sources": 2000, "known_sources": 131_072},
        "problems": [],
    }
    assert counters["egress_tunnel"] == 0

    assert main(["status", "--device", device]) == 0
    table = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    assert table[:5] == [
        ["device", "uplink0"],
        ["attached", "yes"],
        ["ingress", INGRESS],
        ["egress", EGRESS],
        ["home agent", f"{HOME_AGENT} (bridge {BRIDGE_MAC})"],
    ]
    assert ["egress_tunnel", "0"] in table

    assert main(["detach", "--device", device]) == 0
    assert capsys.readouterr().out == "uplink0: detached\n"
    assert main(["detach", "--device", device]) == 0
    assert capsys.readouterr().out == "uplink0: nothing was attached\n"
    assert main(["status", "--device", device]) == 1
    assert "problem   nothing is attached" in capsys.readouterr().out


@pytest.mark.lab
def test_a_reader_that_is_gone_is_no_error(device: str) -> None:
    read, write = os.pipe()
    os.close(read)
    status = [sys.executable, "-m", "deploy.shim", "status"]
    try:
        done = subprocess.run(
            status, cwd=SHIM.parents[1], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.lab
def test_one_mac_for_several_home_agents(device: str) -> None:
    assert main([*ATTACH, "--home-agent", "2001:db8:2::2"]) == 0
    assert adapter_for("netdev").status(device).endpoints == (endpoint(), endpoint("2001:db8:2::2"))


@pytest.mark.lab
def test_a_mac_for_each_home_agent(device: str) -> None:
    other = "02:00:00:00:00:03"
    assert main([*ATTACH, "--home-agent", "2001:db8:2::2", "--bridge-mac", other]) == 0
    assert adapter_for("netdev").status(device).endpoints == (endpoint(), endpoint("2001:db8:2::2", other))


@pytest.mark.lab
def test_correspondents(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a home agent or without one."""
    hosts = ["-c", "2001:db8:c::/64", "2001:db8:c::2", "02:00:00:00:00:0b"]
    assert main([*ATTACH, *hosts]) == 0
    assert main([*ATTACH[:3], *hosts, "-c", "2001:db8:d::/64", "2001:db8:c::2", "02:00:00:00:00:0b"]) == 0
    status = adapter_for("netdev").status(device)
    assert status.endpoints == ()
    assert status.correspondents == (correspondents(), correspondents("2001:db8:d::/64"))
    assert status.as_dict()["correspondents"][0] == {  # type: ignore[index]
        "prefix": "2001:db8:c::/64",
        "tunnel_end_point": "2001:db8:c::2",
        "bridge_mac": "02:00:00:00:00:0b",
        "esp_is_signalling": False,
    }
    capsys.readouterr()
    assert main(["status"]) == 0
    shown = "2001:db8:c::/64 (tunnel end point 2001:db8:c::2, bridge 02:00:00:00:00:0b)"
    assert ["correspondents", shown] in [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("end_point", ["::", "ff02::1", "fe80::1", "::1"])
def test_tunnel_end_point_must_be_reachable(end_point: str) -> None:
    with pytest.raises(ValueError, match="routable unicast"):
        correspondents(end_point=end_point)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attach", "--device", "uplink9", *ATTACH[3:]], "there is no device uplink9"),
        ([*ATTACH, "--bridge-mac", BRIDGE_MAC], "one --bridge-mac for all"),
        ([*ATTACH[:4], "10.0.0.1", *ATTACH[5:]], "10.0.0.1"),
        ([*ATTACH[:6], "02:00"], "MAC address of 6 octets"),
        ([*ATTACH[:6], "no:mac"], "hexadecimal"),
        ([*ATTACH, "-c", "2001:db8::1/64", "2001:db8::2", BRIDGE_MAC], "behind the prefix"),
        ([*ATTACH, "-c", "2001:db8::", "2001:db8::2", BRIDGE_MAC], "a prefix such as"),
        (ATTACH[:3], "at least one home agent or"),
    ],
)
def test_errors_are_one_line(device: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("shim: ")
    assert said in error
    assert error.count("\n") == 1


# --- build ---


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the build script needs, nothing built."""
    for path in (SHIM / "build", SHIM / "ip6ip6.bpf.c", *SHIM.glob("*.h")):
        shutil.copy(path, tmp_path)
    return tmp_path


def build(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [directory / "build"], env={**os.environ, **environment}, capture_output=True, text=True, cwd="/"
    )


def test_build_makes_the_object_once(sources: Path) -> None:
    made = sources / "ip6ip6.bpf.o"
    before = set(sources.iterdir())
    assert build(sources).returncode == 0
    first = made.stat()
    # Up to date: not even the compiler is looked for.
    assert build(sources, CLANG="no-such-clang").returncode == 0
    assert made.stat().st_mtime_ns == first.st_mtime_ns
    assert [path.name for path in sources.iterdir() if path not in before] == ["ip6ip6.bpf.o"]


@pytest.mark.parametrize("name", ["ip6ip6.bpf.c", "wire.h", "route_optimization.h", "build"])
def test_build_again_after_a_change(sources: Path, name: str) -> None:
    assert build(sources).returncode == 0
    made = sources / "ip6ip6.bpf.o"
    before = made.stat().st_mtime_ns
    os.utime(sources / name, ns=(before + 1, before + 1))
    assert build(sources).returncode == 0
    assert made.stat().st_mtime_ns > before


def test_build_is_the_same_everywhere(sources: Path) -> None:
    """No path of the machine is in the object."""
    build(sources)
    assert os.fsencode(sources) not in (sources / "ip6ip6.bpf.o").read_bytes()


def test_build_says_what_is_missing(sources: Path) -> None:
    result = build(sources, CLANG="no-such-clang")
    assert result.returncode == 1
    assert result.stderr == "deploy/shim/build: clang is missing (Debian, Ubuntu: apt install clang)\n"


def test_build_leaves_nothing_when_the_compiler_fails(sources: Path) -> None:
    (sources / "ip6ip6.bpf.c").write_text("not C\n")
    result = build(sources)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "deploy/shim/build: clang could not compile ip6ip6.bpf.c"
    assert not list(sources.glob("*.o*"))
