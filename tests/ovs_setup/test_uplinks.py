"""mip6ctl ovs setup: what it does to the devices of the uplinks, and with the adapter that is attached already."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.ovs import state
from deploy.shim import adapter_for, userspace
from tests.ovs_setup.site import HOME, Site
from tests.shim.uplink import another_build
from topo.lab import run

pytestmark = pytest.mark.lab


def merges() -> bool:
    """Whether the kernel merges what uplink0 receives."""
    return "generic-receive-offload: on" in run("ethtool -k uplink0").stdout


def ethtool_commands(lines: list[str]) -> list[str]:
    """What setup does with ethtool, without the reasons that it gives."""
    return [line.split("  #")[0] for line in lines if line.startswith("ethtool")]


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """uplink0 passes for a network card."""
    (tmp_path / "uplink0" / "device").mkdir(parents=True)
    monkeypatch.setattr(state, "CLASS_NET", tmp_path)


def test_received_packets_are_not_merged(site: Site, hardware: None) -> None:
    """Switched off before the adapter is attached, which some drivers insist on. Teardown puts it back."""
    site.configure(HOME)
    run("ethtool -K uplink0 gro on")
    planned = site.ctl("setup", "--dry-run")
    (switched_off,) = (number for number, line in enumerate(planned) if line.startswith("ethtool"))
    (attached,) = (number for number, line in enumerate(planned) if "deploy.shim attach" in line)
    assert switched_off < attached
    site.setup()
    # Kernels since 5.13 switch it on in a veth device, which this is, with an XDP program; not in a network card.
    run("ethtool -K uplink0 gro on")
    assert ethtool_commands(site.setup()) == ["ethtool -K uplink0 gro off"]
    assert not merges()
    assert site.setup() == ["nothing to do"]
    site.ctl("teardown")
    assert merges()


def test_what_does_not_merge_stays_so(site: Site, hardware: None) -> None:
    site.configure(HOME)
    run("ethtool -K uplink0 gro off")
    assert ethtool_commands(site.setup()) == []
    assert not [line for line in site.ctl("teardown") if "ethtool" in line]


def test_virtual_devices_are_left_alone(site: Site) -> None:
    site.configure(HOME)
    run("ethtool -K uplink0 gro on")
    assert ethtool_commands(site.setup()) == []
    assert merges()


def test_all_kinds_of_merging(site: Site, hardware: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ethtool prints them; what is fixed cannot be switched off."""
    answers = {
        "generic-receive-offload": "on",
        "large-receive-offload": "on [fixed]",
        "rx-gro-hw": "on",
        "rx-all": "on",
    }
    printed = "Features for uplink0:\n" + "".join(f"{name}: {value}\n" for name, value in answers.items())
    run_really = state.run
    monkeypatch.setattr(state, "run", lambda argv: printed if argv[0] == "ethtool" else run_really(argv))
    site.configure(HOME)
    assert ethtool_commands(site.ctl("setup", "--dry-run")) == ["ethtool -K uplink0 gro off rx-gro-hw off"]


def test_another_build_of_the_adapter_is_brought_in(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An update of the software: setup attaches what is on the disk now, and is content then."""
    site.configure(HOME)
    site.setup()
    monkeypatch.setattr(userspace, "OBJECT", another_build(tmp_path))
    assert len([line for line in site.setup() if "deploy.shim attach" in line]) == 1
    assert site.setup() == ["nothing to do"]
    assert adapter_for("netdev").status("uplink0").attached


def test_new_address_of_the_bridge_is_made_known(site: Site) -> None:
    """Open vSwitch may send its GRE from there, and the adapter drops GRE from addresses it does not know."""
    site.configure(HOME)
    site.setup()
    run("ip addr add 2001:db8:1::77/64 dev br-home nodad")
    assert len([line for line in site.setup() if "deploy.shim attach" in line]) == 1
    assert site.setup() == ["nothing to do"]
