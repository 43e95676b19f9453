"""A machine to provision, in the lab."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from deploy.shim import adapter_for
from tests.ovs_setup.site import ROOT, Site
from topo import lab
from topo.lab import run


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The adapter's object is made from the source that is there."""
    subprocess.run([ROOT / "deploy" / "shim" / "build"], check=True)


@pytest.fixture
def site(network: lab.Network, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """One uplink, Open vSwitch without a bridge. What a failing test leaves behind does not disturb the next one."""
    site = Site(network, capsys)
    site.uplink(0, "2001:db8:1::1")
    yield site
    adapter = adapter_for("netdev")
    for device in adapter.devices():
        adapter.detach(device)
    for bridge in run("ovs-vsctl list-br").stdout.split():
        run(["ovs-vsctl", "del-br", bridge])
    for line in run("ovs-appctl ovs/route/show").stdout.splitlines():
        if line.startswith("User: ::/0 MARK "):
            run(["ovs-appctl", "ovs/route/del", "::/0", f"pkt_mark={line.split()[3]}"])
    run("ip -6 route flush default")
