"""mip6ctl ovs setup: from nothing, again, from other states, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from deploy.shim import adapter_for
from tests.ovs_setup.site import HOME, LAB, Site, device, get, global_addresses, ipv6_setting, vsctl
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab


def test_everything_from_nothing(site: Site) -> None:
    site.configure(HOME, openflow={"listen": "0.0.0.0", "port": 6633})
    site.setup()

    assert get("Bridge", "br-home", "fail_mode") == "secure"
    assert get("Bridge", "br-home", "datapath_type") == "netdev"
    assert get("Bridge", "br-home", "protocols") == "[OpenFlow13]"
    assert set(vsctl("list-ports", "br-home").split()) == {"uplink0", "mip6-br-home"}
    assert get("Interface", "mip6-br-home", "type") == "gre"
    assert get("Interface", "mip6-br-home", "options") == (
        "{key=flow, local_ip=2001:db8:1::2, packet_type=legacy_l3, remote_ip=flow, tos=inherit}"
    )
    assert get("Interface", "mip6-br-home", "error") == "[]"
    assert vsctl("get-controller", "br-home") == "tcp:127.0.0.1:6633"
    controller = vsctl("--bare", "--columns=_uuid", "list", "Controller")
    assert get("Controller", controller, "connection_mode") == "out-of-band"
    assert int(get("Controller", controller, "inactivity_probe")) >= 10_000
    assert int(get("Controller", controller, "max_backoff")) == 1000

    assert (device("uplink0")["mtu"], ipv6_setting("uplink0", "disable_ipv6")) == (1524, "1")
    assert "UP" in device("uplink0")["flags"]
    assert (device("br-home")["mtu"], ipv6_setting("br-home", "accept_ra")) == (1500, "0")
    assert "UP" in device("br-home")["flags"]
    assert global_addresses("br-home") == ["2001:db8:1::2/64"]
    assert run("ip -6 route show default").stdout.startswith("default via 2001:db8:1::1 dev br-home")

    status = adapter_for("netdev").status("uplink0")
    assert status.attached
    (point,) = status.endpoints
    assert point.bridge_mac.hex(":") == device("br-home")["address"] == get("Interface", "br-home", "mac_in_use")


def test_the_second_time_does_nothing(site: Site) -> None:
    site.configure(HOME)
    assert len(site.setup()) > 5
    before = site.snapshot()
    assert site.setup() == ["nothing to do"]
    assert site.ctl("setup", "--dry-run") == ["nothing to do"]
    assert site.snapshot() == before


def test_dry_run_changes_nothing_and_what_it_prints_can_be_run(site: Site) -> None:
    site.configure(HOME)
    before = site.snapshot()
    commands = site.ctl("setup", "--dry-run")
    assert site.snapshot() == before
    for line in commands:
        subprocess.run(line, shell=True, check=True, cwd="/", stdout=subprocess.DEVNULL)
    assert site.setup() == ["nothing to do"]


def test_json_tells_the_same(site: Site) -> None:
    site.configure(HOME)
    dry = json.loads("\n".join(site.ctl("setup", "--dry-run", "-o", "json")))
    done = json.loads("\n".join(site.ctl("setup", "-o", "json")))
    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    assert dry["commands"] == done["commands"] != []
    assert json.loads("\n".join(site.ctl("setup", "-o", "json")))["commands"] == []


def test_the_datapath_id_of_the_file(site: Site) -> None:
    site.configure({**HOME, "datapath_id": "00000000000000a1"})
    site.setup()
    assert get("Bridge", "br-home", "datapath_id") == "00000000000000a1"
    site.configure({**HOME, "datapath_id": "00000000000000b2"})
    site.setup()
    assert get("Bridge", "br-home", "datapath_id") == "00000000000000b2"


@pytest.mark.parametrize("existing", [False, True])
def test_the_bridge_keeps_its_mac_address_and_mtu_when_ports_change(site: Site, existing: bool) -> None:
    if existing:
        site.network.bridge("br-home", "uplink0")
        before = device("br-home")["address"]
    site.configure(HOME)
    site.setup()
    assert (device("uplink0")["mtu"], device("br-home")["mtu"]) == (1524, 1500)
    if not existing:
        before = device("br-home")["address"]
    site.network.veth(lab.End("early", mac="02:00:00:00:00:01", switch_port=True), lab.End("early-peer"))
    vsctl("add-port", "br-home", "early")
    assert device("br-home")["address"] == before == get("Bridge", "br-home", "other_config:hwaddr")


@pytest.mark.parametrize(
    ("mtu", "tunnel_mtu", "uplink", "bridge"),
    [(1500, 1460, 1524, 1500), (9000, 1460, 9000, 1500), (9000, 8960, 9024, 9000)],
)
def test_mtu(network: lab.Network, site: Site, mtu: int, tunnel_mtu: int, uplink: int, bridge: int) -> None:
    site.uplink(1, "2001:db8:2::1", mtu)
    site.configure({**LAB, "tunnel_mtu": tunnel_mtu})
    site.setup()
    assert (device("uplink1")["mtu"], device("br-lab")["mtu"]) == (uplink, bridge)


# --- two bridges ---


def test_two_bridges_are_joined(site: Site) -> None:
    site.configure({**HOME, "uplink_bridge": "br-up"})
    site.setup()
    inside, outside = "mip6u-br-home", "mip6d-br-home"
    assert set(vsctl("list-ports", "br-home").split()) == {inside, "mip6-br-home"}
    assert set(vsctl("list-ports", "br-up").split()) == {outside, "uplink0"}
    assert get("Interface", inside, "options:peer") == outside
    assert get("Interface", outside, "options:peer") == inside
    assert get("Bridge", "br-up", "fail_mode") == "standalone"
    assert vsctl("get-controller", "br-up") == ""
    assert site.setup() == ["nothing to do"]


def test_an_uplink_bridge_that_is_there_keeps_its_ways(site: Site) -> None:
    site.network.veth(lab.End("other", switch_port=True), lab.End("other-peer"))
    site.network.bridge("br-up", "other", fail_mode="secure")
    vsctl("set-controller", "br-up", "tcp:192.0.2.1:6653")
    site.configure({**HOME, "uplink_bridge": "br-up"})
    site.setup()
    assert get("Bridge", "br-up", "fail_mode") == "secure"
    assert vsctl("get-controller", "br-up") == "tcp:192.0.2.1:6653"
    assert "other" in vsctl("list-ports", "br-up").split()


# --- what was there before ---


def operators_bridge(site: Site) -> None:
    site.network.veth(lab.End("host0", switch_port=True), lab.End("host0-peer"))
    site.network.bridge("br-home", "host0", fail_mode="standalone")
    vsctl("set", "Bridge", "br-home", "protocols=OpenFlow10,OpenFlow15", "external_ids:operator=yes")
    vsctl("set-controller", "br-home", "tcp:192.0.2.1:6653")


def test_an_existing_bridge_keeps_what_is_the_operators(site: Site) -> None:
    operators_bridge(site)
    mac = device("br-home")["address"]
    site.configure(HOME)
    site.setup()
    assert get("Bridge", "br-home", "fail_mode") == "secure"
    assert get("Bridge", "br-home", "protocols") == "[OpenFlow10, OpenFlow13, OpenFlow15]"
    assert set(vsctl("get-controller", "br-home").split()) == {"tcp:192.0.2.1:6653", "tcp:127.0.0.1:6653"}
    assert "host0" in vsctl("list-ports", "br-home").split()
    assert device("br-home")["address"] == mac
    assert device("br-home")["mtu"] == 1500
    assert site.setup() == ["nothing to do"]


def damage_tunnel() -> None:
    vsctl("remove", "Interface", "mip6-br-home", "options", "tos")


def damage_fail_mode() -> None:
    vsctl("set-fail-mode", "br-home", "standalone")


def damage_controller() -> None:
    vsctl("del-controller", "br-home")


def damage_inactivity_probe() -> None:
    vsctl("set", "Controller", vsctl("get", "Bridge", "br-home", "controller").strip("[]"), "inactivity_probe=0")


def damage_mtu() -> None:
    run("ip link set uplink0 mtu 1500")


def damage_address() -> None:
    run("ip -6 addr flush dev br-home scope global")


def damage_route() -> None:
    run("ip -6 route del default")


def damage_link() -> None:
    run("ip link set uplink0 down")


def damage_adapter() -> None:
    adapter_for("netdev").detach("uplink0")


def damage_port() -> None:
    vsctl("del-port", "uplink0")


@pytest.mark.parametrize(
    "damage",
    [
        damage_tunnel,
        damage_fail_mode,
        damage_controller,
        damage_inactivity_probe,
        damage_mtu,
        damage_address,
        damage_route,
        damage_link,
        damage_adapter,
        damage_port,
    ],
)
def test_only_what_differs_is_repaired(site: Site, damage: Callable[[], None]) -> None:
    site.configure(HOME)
    everything = len(site.setup())
    good = site.snapshot()
    damage()
    assert 1 <= len(site.setup()) < everything / 2
    repaired = site.snapshot()
    for snapshot in (good, repaired):  # notes for teardown differ: a port may be new
        for row in snapshot.values():
            if isinstance(row, dict):
                row.pop("external_ids", None)
    assert repaired == good


def test_a_changed_file_changes_the_switch(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    site.configure({**HOME, "address": "2001:db8:1::22"}, openflow={"port": 6700})
    site.setup()
    assert global_addresses("br-home") == ["2001:db8:1::22/64"]
    assert get("Interface", "mip6-br-home", "options:local_ip") == "2001:db8:1::22"
    assert vsctl("get-controller", "br-home") == "tcp:127.0.0.1:6700"
    (point,) = adapter_for("netdev").status("uplink0").endpoints
    assert point.home_agent.hex() == "20010db8000100000000000000000022"
    assert site.setup() == ["nothing to do"]


def test_a_restart_of_ovs_vswitchd_is_repaired(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    good = site.snapshot()
    run("ovs-appctl exit")
    lab.wait_until(lambda: run("ovs-appctl version", check=False).returncode != 0, "ovs-vswitchd to end")
    lab.start_vswitchd()
    lab.wait_until(lambda: run("ip link show br-home", check=False).returncode == 0, "br-home")
    site.setup()
    assert site.snapshot() == good


# --- several home links ---


def test_two_home_links(site: Site) -> None:
    site.uplink(1, "2001:db8:2::1")
    site.configure(HOME, LAB)
    site.setup()
    assert global_addresses("br-lab") == ["2001:db8:2::2/64"]
    # The kernel has one default route; the second link's tunnels have a mark and a route of their own.
    assert len(run("ip -6 route show default").stdout.splitlines()) == 1
    mark = get("Interface", "mip6-br-lab", "options:egress_pkt_mark")
    assert f"MARK {mark} dev br-lab GW 2001:db8:2::1" in run("ovs-appctl ovs/route/show").stdout
    assert "egress_pkt_mark" not in get("Interface", "mip6-br-home", "options")
    # Open vSwitch 3.5 finds no way from a local_ip with a mark; one such port can do without.
    assert "local_ip" not in get("Interface", "mip6-br-lab", "options")
    assert get("Interface", "mip6-br-home", "options:local_ip") == "2001:db8:1::2"
    assert site.setup() == ["nothing to do"]


def test_two_home_links_on_one_uplink_bridge(site: Site) -> None:
    shared = {"uplink_bridge": "br-up", "uplinks": ["uplink0"]}
    site.configure({**HOME, **shared}, {**LAB, **shared})
    site.setup()
    assert len(adapter_for("netdev").status("uplink0").endpoints) == 2
    assert len(vsctl("list-ports", "br-up").split()) == 3
    assert site.setup() == ["nothing to do"]


# --- status ---


def test_status_tells_what_is_missing(site: Site) -> None:
    site.configure(HOME)
    before = site.snapshot()
    (row,) = json.loads("\n".join(site.ctl("status", "-o", "json", status=1)))["home_links"]
    assert (row["provisioned"], row["datapath_id"], row["connected"]) == (False, None, False)
    assert len(row["missing"]) == len(site.ctl("setup", "--dry-run"))
    assert "homenet: there is no bridge br-home" in site.ctl("status", status=1)
    assert site.snapshot() == before

    site.setup()
    (row,) = json.loads("\n".join(site.ctl("status", "-o", "json")))["home_links"]
    assert (row["provisioned"], row["missing"], row["home_link"]) == (True, [], "homenet")
    assert row["datapath_id"] == get("Bridge", "br-home", "datapath_id")
    assert [(adapter["device"], adapter["attached"]) for adapter in row["adapters"]] == [("uplink0", True)]
    assert len(site.ctl("status")) == 2
