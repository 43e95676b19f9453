"""What is there: the state of Open vSwitch and of the kernel's devices that provisioning looks at."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.ovs import guard, marks
from deploy.ovs.commands import OVSDB_TIMEOUT, ProvisionError, run
from mip6core import addresses
from mip6core.addresses import Address

CLASS_NET = Path("/sys/class/net")


@dataclass
class Interface:
    """A row of OVSDB's Interface table."""

    name: str
    type: str = ""
    options: dict[str, str] = field(default_factory=dict)
    external_ids: dict[str, str] = field(default_factory=dict)
    mac: str | None = None  # in use
    mtu_request: int | None = None


@dataclass
class Port:
    """A row of OVSDB's Port table (bonds have several interfaces; the first one is taken)."""

    name: str
    interface: Interface
    external_ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Controller:
    """A row of OVSDB's Controller table."""

    uuid: str
    target: str
    connection_mode: str | None = None
    inactivity_probe: int | None = None  # milliseconds
    max_backoff: int | None = None  # milliseconds
    is_connected: bool = False
    external_ids: dict[str, str] = field(default_factory=dict)


@dataclass
class FlowTable:
    """A row of OVSDB's Flow_Table table; several tables may share it."""

    uuid: str
    prefixes: frozenset[str] = frozenset()
    external_ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Bridge:
    """A row of OVSDB's Bridge table with what belongs to it."""

    name: str
    datapath_type: str = ""
    datapath_id: str | None = None  # 16 hexadecimal digits
    fail_mode: str | None = None
    protocols: frozenset[str] = frozenset()
    other_config: dict[str, str] = field(default_factory=dict)
    external_ids: dict[str, str] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    controllers: list[Controller] = field(default_factory=list)
    flow_tables: dict[int, FlowTable] = field(default_factory=dict)  # by the table's number


@dataclass(frozen=True)
class DeviceAddress:
    """An address of a device; only IPv6 ones have `address`."""

    text: str  # with prefix length
    address: Address | None
    kept: bool  # global and configured by somebody, not learnt from Router Advertisements


@dataclass
class Device:
    """A network device of the kernel."""

    name: str
    mtu: int
    up: bool
    addresses: list[DeviceAddress] = field(default_factory=list)
    disable_ipv6: bool = False
    accept_ra: bool = True
    merging: tuple[str, ...] = ()  # of `marks.MERGING`, what is on and can be switched off; of real devices only


@dataclass
class State:
    """Everything that a plan depends on. Planning changes it, as the commands will."""

    bridges: dict[str, Bridge] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    new_device: Device = field(default_factory=lambda: Device("default", 1500, up=False))  # what new ones start from
    default_routes: list[tuple[str, str]] = field(default_factory=list)  # the kernel's (gateway or "", device)
    marked_routes: dict[int, tuple[str, str]] = field(default_factory=dict)  # OVS's: mark -> (gateway, device)
    has_certificate: bool = False  # Open vSwitch, for TLS
    guards: dict[int, set[str]] = field(default_factory=dict)  # flows of `guard` by cookie, of all bridges

    def bridge_of(self, port: str) -> Bridge | None:
        """The bridge that has a port of this name."""
        return next((bridge for bridge in self.bridges.values() if port in bridge.ports), None)


Inspector = Callable[[], State]


def inspect() -> State:
    """The state of this machine. ProvisionError if it cannot be seen, or could not be changed."""
    if os.geteuid() != 0:
        raise ProvisionError("must run as root")
    _check_running()
    state = State(bridges=_bridges(), devices=_devices())
    state.new_device = _ipv6_settings(Device("default", 1500, up=False))
    routes = _ip("-6", "route", "show", "default")
    state.default_routes = [(route.get("gateway", ""), route.get("dev", "")) for route in routes]
    state.has_certificate = bool(_table("SSL", "certificate"))
    state.marked_routes = _marked_routes(run(["ovs-appctl", "ovs/route/show"]))
    for name in state.bridges:
        with contextlib.suppress(ProvisionError):  # ovs-vswitchd has not made it, so it has no flows
            state.guards |= guard.parse_dump(run(guard.dump_command(name)))
    return state


def _check_running() -> None:
    for service, argv in (
        ("ovsdb-server", ["ovs-vsctl", f"--timeout={OVSDB_TIMEOUT}", "--no-wait", "show"]),
        ("ovs-vswitchd", ["ovs-appctl", "-T", str(OVSDB_TIMEOUT), "version"]),
    ):
        try:
            run(argv)
        except ProvisionError as error:
            if "not installed" in str(error):
                raise
            raise ProvisionError(f"{service} does not run: systemctl start openvswitch-switch ({error})") from None


def _bridges() -> dict[str, Bridge]:
    interfaces = {
        row["_uuid"]: Interface(
            name=row["name"],
            type=row["type"],
            options=row["options"],
            external_ids=row["external_ids"],
            mac=_one(row["mac_in_use"]),
            mtu_request=_one(row["mtu_request"]),
        )
        for row in _table("Interface", "name type options external_ids mac_in_use mtu_request")
    }
    ports = {
        row["_uuid"]: Port(row["name"], interfaces[_many(row["interfaces"])[0]], row["external_ids"])
        for row in _table("Port", "name interfaces external_ids")
    }
    controllers = {
        row["_uuid"]: Controller(
            uuid=row["_uuid"],
            target=row["target"],
            connection_mode=_one(row["connection_mode"]),
            inactivity_probe=_one(row["inactivity_probe"]),
            max_backoff=_one(row["max_backoff"]),
            is_connected=row["is_connected"],
            external_ids=row["external_ids"],
        )
        for row in _table("Controller", "target connection_mode inactivity_probe max_backoff is_connected external_ids")
    }
    flow_tables = {
        row["_uuid"]: FlowTable(row["_uuid"], frozenset(_many(row["prefixes"])), row["external_ids"])
        for row in _table("Flow_Table", "prefixes external_ids")
    }
    columns = (
        "name datapath_type datapath_id fail_mode protocols other_config external_ids ports controller flow_tables"
    )
    return {
        row["name"]: Bridge(
            name=row["name"],
            datapath_type=row["datapath_type"],
            datapath_id=_one(row["datapath_id"]),
            fail_mode=_one(row["fail_mode"]),
            protocols=frozenset(_many(row["protocols"])),
            other_config=row["other_config"],
            external_ids=row["external_ids"],
            ports={ports[uuid].name: ports[uuid] for uuid in _many(row["ports"])},
            controllers=[controllers[uuid] for uuid in _many(row["controller"])],
            flow_tables={int(number): flow_tables[uuid] for number, uuid in row["flow_tables"].items()},
        )
        for row in _table("Bridge", f"{columns} ports controller flow_tables")
    }


def _table(name: str, columns: str) -> list[dict[str, Any]]:
    """Rows of an OVSDB table."""
    wanted = ",".join(["_uuid", *columns.split()])
    timeout = f"--timeout={OVSDB_TIMEOUT}"
    answer = json.loads(run(["ovs-vsctl", timeout, "--no-wait", "--format=json", f"--columns={wanted}", "list", name]))
    return [dict(zip(answer["headings"], map(_value, row), strict=True)) for row in answer["data"]]


def _value(value: Any) -> Any:
    """A value in the JSON of RFC 7047 section 5.1: sets become lists, maps dicts, references text."""
    match value:
        case ["set", elements]:
            return [_value(element) for element in elements]
        case ["map", pairs]:
            return {str(key): str(_value(element)) for key, element in pairs}
        case ["uuid" | "named-uuid", text]:
            return text
    return value


def _many(value: Any) -> list[Any]:
    """A column that may hold several values; a single one comes without its set."""
    return value if isinstance(value, list) else [value]


def _one(value: Any) -> Any:
    """A column that may hold one value or none."""
    return None if value == [] else value


def _devices() -> dict[str, Device]:
    found = {}
    for entry in _ip("addr", "show"):
        name = entry["ifname"]
        known = [_device_address(info) for info in entry.get("addr_info", []) if "local" in info]
        device = _ipv6_settings(Device(name, entry["mtu"], "UP" in entry["flags"], known))
        device.merging = _merging(name)
        found[name] = device
    return found


def _device_address(info: dict[str, Any]) -> DeviceAddress:
    return DeviceAddress(
        text=f"{info['local']}/{info['prefixlen']}",
        address=addresses.parse(info["local"]) if info["family"] == "inet6" else None,
        kept=info.get("scope") == "global" and not info.get("dynamic", False),
    )


def _ipv6_settings(device: Device) -> Device:
    """Fill in a device's sysctls. One whose MTU is too small for IPv6 has none: as good as switched off."""
    directory = Path("/proc/sys/net/ipv6/conf", device.name)
    present = directory.exists()
    device.disable_ipv6 = not present or (directory / "disable_ipv6").read_text().strip() != "0"
    device.accept_ra = present and (directory / "accept_ra").read_text().strip() != "0"
    return device


def _merging(device: str) -> tuple[str, ...]:
    """What of `marks.MERGING` is on. Only hardware has it by default; on virtual devices it is somebody's wish."""
    if not (CLASS_NET / device / "device").exists():
        return ()
    names = {"generic-receive-offload": "gro", "large-receive-offload": "lro"}
    found = re.findall(r"^\s*([\w-]+): on$", run(["ethtool", "-k", device]), re.MULTILINE)  # not: "on [fixed]"
    on = {names.get(feature, feature) for feature in found}
    return tuple(name for name in marks.MERGING if name in on)


def _ip(*words: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(run(["ip", "-json", *words]) or "[]")
    return [entry for entry in entries if entry]


def _marked_routes(table: str) -> dict[int, tuple[str, str]]:
    """The default routes that somebody gave OVS for a packet mark (`ovs-appctl ovs/route/show`)."""
    pattern = re.compile(r"^User: ::/0 MARK (\d+) dev (\S+) GW (\S+)", re.MULTILINE)
    return {int(mark): (gateway, device) for mark, device, gateway in pattern.findall(table)}
