"""What is in the way is told in one line, and nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ovs_setup.site import HOME, Site, vsctl
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab


def missing_uplink(site: Site) -> str:
    site.configure({**HOME, "uplinks": ["uplink0", "eth9"]})
    return "eth9: there is no such device"


def foreign_uplink(site: Site) -> str:
    site.network.bridge("br-other", "uplink0")
    return "uplink0 is a port of br-other"


def uplink_in_use(site: Site) -> str:
    run("ip addr add 192.0.2.1/24 dev uplink0")
    return "uplink0 has the address 192.0.2.1/24"


def uplink_in_use_by_ipv6(site: Site) -> str:
    run("ip addr add 2001:db8:9::1/64 dev uplink0 nodad")
    return "uplink0 has the address 2001:db8:9::1/64"


def address_elsewhere(site: Site) -> str:
    site.network.veth(lab.End("eth8"), lab.End("eth8-peer"))
    run("ip addr add 2001:db8:1::2/64 dev eth8 nodad")
    return "eth8 has the address 2001:db8:1::2"


def foreign_tunnel_port(site: Site) -> str:
    site.network.bridge("br-home")
    vsctl("add-port", "br-home", "mip6-br-home", "--", "set", "Interface", "mip6-br-home", "type=internal")
    return "br-home has a port mip6-br-home"


def linux_bridge(site: Site) -> str:
    site.network.veth(lab.End("br-home"), lab.End("br-peer"))
    return "br-home is a device already"


def kernel_datapath(site: Site) -> str:
    # Not waiting: this kernel may have no datapath for it.
    vsctl("--no-wait", "add-br", "br-home", "--", "set", "Bridge", "br-home", "datapath_type=system")
    return "datapath_type=system"


@pytest.mark.parametrize(
    "arrange",
    [
        missing_uplink,
        foreign_uplink,
        uplink_in_use,
        uplink_in_use_by_ipv6,
        address_elsewhere,
        foreign_tunnel_port,
        linux_bridge,
        kernel_datapath,
    ],
)
@pytest.mark.parametrize("command", ["setup", "status"])
def test_something_in_the_way(site: Site, arrange: Callable[[Site], str], command: str) -> None:
    site.configure(HOME)
    expected = arrange(site)
    before = site.snapshot()
    (line,) = site.ctl(command, status=1)
    assert line.startswith("mip6ctl: ") and expected in line
    assert site.snapshot() == before


def test_addresses_learnt_from_routers_are_not_in_the_way(site: Site) -> None:
    run("ip link set uplink0 up")
    run("ip addr add 2001:db8:1::77/64 dev uplink0 nodad valid_lft 600 preferred_lft 600")  # as the kernel keeps them
    site.configure(HOME)
    site.setup()
    assert site.setup() == ["nothing to do"]


def test_a_wrong_file_is_told_and_nothing_is_touched(site: Site) -> None:
    site.configure({**HOME, "router": "2001:db8:2::1"})
    before = site.snapshot()
    for command in ("setup", "teardown", "status"):
        (line,) = site.ctl(command, status=2)
        assert "home_links[0].router" in line
    assert site.snapshot() == before


def test_not_root(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.configure(HOME)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert site.ctl("setup", status=1) == ["mip6ctl: must run as root"]


def test_open_vswitch_does_not_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.configure(HOME)
    monkeypatch.setenv("OVS_RUNDIR", str(site.network.directory))
    (line,) = site.ctl("setup", status=1)
    assert "ovsdb-server does not run" in line and "systemctl start" in line


def test_only_ovs_vswitchd_does_not_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.configure(HOME)
    run_directory = site.network.directory / "openvswitch"
    run_directory.mkdir()
    (run_directory / "db.sock").symlink_to("/run/openvswitch/db.sock")
    monkeypatch.setenv("OVS_RUNDIR", str(run_directory))
    (line,) = site.ctl("setup", status=1)
    assert "ovs-vswitchd does not run" in line


def test_open_vswitch_is_not_installed(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site.configure(HOME)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert site.ctl("setup", status=1) == ["mip6ctl: ovs-vsctl is not installed (Debian, Ubuntu: openvswitch-switch)"]


def test_a_failure_on_the_way_is_told_and_setup_goes_on_from_there(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.configure(HOME)
    broken = tmp_path / "sysctl"
    broken.write_text("#!/bin/sh\necho 'sysctl: no' >&2; exit 1\n")
    broken.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        *_, last = site.ctl("setup", status=1)
        assert last.endswith("disable_ipv6=1: sysctl: no")
    site.setup()
    assert site.setup() == ["nothing to do"]
