"""The test bed as a topology for Mininet's own command."""

from __future__ import annotations

from pathlib import Path

import pytest

from topo import lab

pytestmark = pytest.mark.lab

MANAGED = ("br-home", "br-edge")
CAMPUS = Path(__file__).resolve().parents[2] / "topo" / "campus.py"


def mn(topology: str, *commands: str) -> str:
    """Run Mininet's command with the test bed; what the commands at its prompt have printed."""
    words = ["mn", "--custom", str(CAMPUS), "--topo", topology, "--controller", "none", "-v", "output"]
    result = lab.run(words, stdin="\n".join([*commands, "exit", ""]), timeout=60)
    return (result.stdout + result.stderr).replace("mininet> ", "")


@pytest.mark.parametrize(
    ("topology", "bridges"),
    [
        (
            "campus",
            {"br-home": "uplink0 local-port mn-port", "br-visit": "visitnet-port", "br-visit2": "visitnet2-port"},
        ),
        (
            "campus-two-bridges",
            {
                "br-home": "local-port mn-port",
                "br-uplink": "uplink0",
                "br-visit": "visitnet-port",
                "br-visit2": "visitnet2-port",
            },
        ),
        (
            "campus-route-optimization",
            {
                "br-home": "uplink0 local-port mn-port",
                "br-edge": "edge0 remote-port",
                "br-visit": "visitnet-port",
                "br-visit2": "visitnet2-port",
            },
        ),
    ],
)
def test_mn_builds_the_test_bed(topology: str, bridges: dict[str, str]) -> None:
    shell = "; ".join(
        f"echo {name} $(ovs-vsctl list-ports {name}) $(ovs-vsctl get bridge {name} datapath_type fail_mode)"
        for name in bridges
    )
    printed = mn(topology, f"sh {shell}")
    for name, ports in bridges.items():
        line = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        words = line.split()[1:]
        assert set(words[:-2]) == set(ports.split())
        assert words[-2:] == ["netdev", "secure" if name in MANAGED else "standalone"]


def test_switch_ports_are_no_hosts_and_checksums_are_computed() -> None:
    ports = ["uplink0", "local-port", "mn-port", "visitnet-port", "visitnet2-port"]
    shell = "; ".join(
        f"echo {port} $(cat /proc/sys/net/ipv6/conf/{port}/disable_ipv6) $(ethtool -k {port} | grep ^tx-checksumming)"
        for port in ports
    )
    printed = mn("campus", f"sh {shell}", "mn ethtool -k mn-eth0 | grep ^tx-checksumming")
    for port in ports:
        assert f"{port} 1 tx-checksumming: off" in printed
    assert "\ntx-checksumming: off" in printed


@pytest.mark.parametrize(("topology", "host"), [("campus", "remote"), ("campus-route-optimization", "r")])
def test_the_routed_part_works_without_a_home_agent_and_nothing_is_left(topology: str, host: str) -> None:
    printed = mn(
        topology,
        f"{host} ping -6 -c1 -W2 2001:db8:106:1100::1",
        f"{host} ping -6 -c1 -W2 2001:db8:106:1000::1",
        f"{host} ping -6 -c1 -W2 2001:db8:106:2700::1",
    )
    assert printed.count(" 1 received") == 3
    assert lab.run("ovs-vsctl list-br").stdout == ""
    devices = {line.split(":")[1].strip() for line in lab.run("ip -o link").stdout.splitlines()}
    assert not [device for device in devices if device.endswith("-port") or device.startswith(("br-", "uplink"))]
    assert "delay_line" not in lab.run("ps -eo args").stdout
    assert "radvd" not in lab.run("ps -eo comm").stdout.split()
