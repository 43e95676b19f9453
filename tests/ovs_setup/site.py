"""What the tests of provisioning have in common: a machine with uplinks to routers, and eyes on everything it has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from deploy.shim import adapter_for
from rest.cli.main import main
from topo import lab
from topo.lab import End, run

ROOT = Path(__file__).resolve().parents[2]

HOME: dict[str, Any] = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["uplink0"],
}
LAB: dict[str, Any] = {
    "name": "labnet",
    "bridge": "br-lab",
    "address": "2001:db8:2::2",
    "prefixes": ["2001:db8:2::/64"],
    "router": "2001:db8:2::1",
    "uplinks": ["uplink1"],
}
OFFICE: dict[str, Any] = {
    "name": "office",
    "bridge": "br-office",
    "address": "2001:db8:c::2",
    "prefixes": ["2001:db8:c::/64"],
    "router": "2001:db8:c::1",
    "uplinks": ["uplink1"],
}
# Correspondents on the home link's bridge.
LOCALS: dict[str, Any] = {"name": "locals", "bridge": "br-home", "prefixes": ["2001:db8:1::/64"]}

# Columns that change by themselves, or that the kernel is asked for.
_VOLATILE = {"_uuid", "statistics", "status", "link_resets", "ifindex", "mac_in_use", "ofport", "datapath_version"}
_VOLATILE |= {"admin_state", "link_state", "link_speed", "duplex", "mtu"}


class Site:
    """The machine. `ctl` is mip6ctl; configuration files are written as they are needed."""

    def __init__(self, network: lab.Network, capsys: Any) -> None:
        self.network = network
        self._capsys = capsys
        self.file = network.directory / "mip6.yaml"

    def uplink(self, number: int, router: str, mtu: int = 1500) -> None:
        """Device uplinkN, still the operator's own, to a router in namespace routerN with an address on the link."""
        self.network.namespace(f"router{number}")
        self.network.veth(End(f"uplink{number}"), End("wire", f"router{number}"), mtu)
        run(f"ip link set uplink{number} down")
        run(f"ip addr add {router}/64 dev wire", f"router{number}")

    def configure(self, *home_links: dict[str, Any], **sections: Any) -> None:
        self.file.write_text(yaml.safe_dump({"home_links": list(home_links), **sections}))

    def ctl(self, *words: str, status: int = 0) -> list[str]:
        """Lines that `mip6ctl ovs ...` prints; on standard error if it fails."""
        result = main(["ovs", *words, "--config", str(self.file)])
        out, err = self._capsys.readouterr()
        assert result == status, out + err
        return (err if status and err else out).splitlines()

    def setup(self) -> list[str]:
        return self.ctl("setup")

    def snapshot(self) -> dict[str, Any]:
        """Everything that setup could change, as Open vSwitch and the kernel tell it."""
        found: dict[str, Any] = {}
        for table in ("Bridge", "Port", "Interface", "Controller", "Flow_Table"):
            answer = json.loads(run(["ovs-vsctl", "--format=json", "list", table]).stdout)
            rows = [dict(zip(answer["headings"], row, strict=True)) for row in answer["data"]]
            for row in rows:
                key = str(row["target"] if "target" in row else row["name"])
                kept = json.dumps({column: value for column, value in row.items() if column not in _VOLATILE})
                found[f"{table} {key}"] = json.loads(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", kept))
        for device in json.loads(run("ip -j addr show").stdout):
            keep = ("mtu", "flags", "address")
            addresses = [a["local"] for a in device.get("addr_info", []) if a.get("scope") == "global"]
            found[device["ifname"]] = {**{key: device.get(key) for key in keep}, "addresses": addresses}
            for name in ("disable_ipv6", "accept_ra"):
                setting = Path("/proc/sys/net/ipv6/conf", device["ifname"], name)
                found[device["ifname"]][name] = setting.read_text() if setting.exists() else None
        routes = run("ip -6 route show").stdout.splitlines()
        found["routes"] = sorted(route for route in routes if not route.startswith("fe80::"))
        found["ovs routes"] = [r for r in run("ovs-appctl ovs/route/show").stdout.splitlines() if "User" in r]
        adapter = adapter_for("netdev")
        found["adapters"] = {}
        for name in adapter.devices():
            status = adapter.status(name)
            found["adapters"][name] = (status.endpoints, status.correspondents)
        return found


def vsctl(*words: str) -> str:
    return run(["ovs-vsctl", *words]).stdout.strip()


def get(table: str, record: str, column: str) -> str:
    """A column as ovs-vsctl writes it, without quotes."""
    return vsctl("get", table, record, column).replace('"', "")


def device(name: str) -> dict[str, Any]:
    (found,) = json.loads(run(["ip", "-j", "addr", "show", "dev", name]).stdout)
    return dict(found)


def global_addresses(name: str) -> list[str]:
    infos = device(name)["addr_info"]
    return [f"{info['local']}/{info['prefixlen']}" for info in infos if info["scope"] == "global"]


def ipv6_setting(name: str, key: str) -> str:
    return Path("/proc/sys/net/ipv6/conf", name, key).read_text().strip()
