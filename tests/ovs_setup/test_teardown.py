"""mip6ctl ovs teardown: what setup made goes, what it changed is put back, the rest stays."""

from __future__ import annotations

import pytest

from tests.ovs_setup.site import HOME, LAB, Site, device, vsctl
from tests.ovs_setup.test_setup import operators_bridge
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab


def restored(site: Site) -> dict[str, object]:
    """A snapshot without what stays: a link that is up, and the address that the kernel gives it."""
    snapshot = site.snapshot()
    snapshot.pop("ovs-netdev", None)  # Open vSwitch's own, from the first bridge on
    for entry in snapshot.values():
        if isinstance(entry, dict) and "flags" in entry:
            entry["flags"] = [flag for flag in entry["flags"] if flag in ("PROMISC", "NOARP")]
    return snapshot


@pytest.mark.parametrize("layout", [{}, {"uplink_bridge": "br-up"}], ids=["one-armed", "two-bridge"])
def test_nothing_is_left_of_a_setup_from_nothing(site: Site, layout: dict[str, str]) -> None:
    site.configure({**HOME, **layout})
    before = restored(site)
    site.setup()
    site.ctl("teardown")
    assert restored(site) == before
    assert site.ctl("teardown") == ["nothing to do"]


def test_an_operators_bridge_is_as_before(site: Site) -> None:
    operators_bridge(site)
    vsctl("add-port", "br-home", "uplink0")
    run("ip link set br-home up")
    run("ip addr add 2001:db8:1::77/64 dev br-home nodad")
    site.configure(HOME)
    before = restored(site)
    site.setup()
    assert restored(site) != before
    site.ctl("teardown")
    assert restored(site) == before
    assert site.ctl("teardown") == ["nothing to do"]


def test_repairs_in_between_do_not_change_what_is_put_back(site: Site) -> None:
    operators_bridge(site)
    vsctl("add-port", "br-home", "uplink0")
    site.configure(HOME)
    before = restored(site)
    site.setup()
    vsctl("set-fail-mode", "br-home", "standalone")
    run("ip link set uplink0 mtu 1400")
    site.setup()
    site.ctl("teardown")
    assert restored(site) == before


def test_what_was_there_and_right_already_stays(site: Site) -> None:
    site.network.bridge("br-home", "uplink0")
    run("ip link set br-home up")
    run("ip addr add 2001:db8:1::2/64 dev br-home nodad")
    run("ip -6 route add default via 2001:db8:1::1 dev br-home")
    site.configure(HOME)
    before = restored(site)
    site.setup()
    site.ctl("teardown")
    assert restored(site) == before


def test_two_home_links(site: Site) -> None:
    site.uplink(1, "2001:db8:2::1")
    site.configure(HOME, LAB)
    before = restored(site)
    site.setup()
    site.ctl("teardown")
    assert restored(site) == before


def test_a_shared_uplink_gets_its_own_mtu_back(site: Site) -> None:
    shared = {"uplink_bridge": "br-up", "uplinks": ["uplink0"]}
    site.configure({**HOME, **shared}, {**LAB, **shared, "tunnel_mtu": 1500})
    before = restored(site)
    site.setup()
    assert device("uplink0")["mtu"] == 1564
    site.ctl("teardown")
    assert restored(site) == before


def test_an_uplink_that_the_file_no_longer_has_is_taken_care_of(site: Site) -> None:
    site.uplink(1, "2001:db8:1::3")
    before = restored(site)
    site.configure({**HOME, "uplinks": ["uplink0", "uplink1"]})
    site.setup()
    site.configure(HOME)
    site.setup()
    site.ctl("teardown")
    assert restored(site) == before


def test_dry_run_changes_nothing(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    before = site.snapshot()
    assert len(site.ctl("teardown", "--dry-run")) > 2
    assert site.snapshot() == before


def test_ports_that_would_go_with_the_bridge_are_named(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    site.network.veth(lab.End("host0", switch_port=True), lab.End("host0-peer"))
    vsctl("add-port", "br-home", "host0")
    (line,) = [line for line in site.ctl("teardown", "--dry-run") if "del-br" in line]
    assert "host0" in line


def test_a_bridge_of_somebody_else_is_not_touched(site: Site) -> None:
    operators_bridge(site)
    site.configure(HOME)
    before = site.snapshot()
    assert site.ctl("teardown") == ["nothing to do"]
    assert site.snapshot() == before
