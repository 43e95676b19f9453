"""What has to be done to take away what setup made and to put back what it changed."""

from __future__ import annotations

import sys

from deploy.config import BridgeLinkConfig, Config
from deploy.ovs import guard, marks
from deploy.ovs.adapters import DATAPATH_TYPE
from deploy.ovs.commands import Command, ProvisionError, vsctl
from deploy.ovs.setup import route_mark
from deploy.ovs.state import Bridge, Inspector, State, inspect
from deploy.shim import AdapterError, WireFormatAdapter, adapter_for


def plan_teardown(config: Config, inspector: Inspector = inspect) -> list[Command]:
    """The commands that undo setup for the links of the configuration; none if nothing is left of it."""
    state = inspector()
    adapter = adapter_for(DATAPATH_TYPE)
    try:
        attached = adapter.devices()
    except AdapterError as error:
        raise ProvisionError(str(error)) from error
    commands: list[Command] = []
    bridges: set[str] = set()
    for link in config.bridge_links:
        plan = _LinkTeardown(link, state, commands)
        plan.adapters(adapter, attached)
        plan.kernel()
        for name in filter(None, (link.bridge, link.uplink_bridge)):
            if name in state.bridges and name not in bridges:
                bridges.add(name)
                plan.bridge(state.bridges[name], {link.name for link in config.bridge_links})
    return commands


class _LinkTeardown:
    """Commands for one link."""

    def __init__(self, link: BridgeLinkConfig, state: State, commands: list[Command]) -> None:
        self.link = link
        self.state = state
        self.commands = commands

    def adapters(self, adapter: WireFormatAdapter, attached: list[str]) -> None:
        """The adapter of all uplinks, also of those that the file no longer has."""
        ports = [port for bridge in self.state.bridges.values() for port in bridge.ports.values()]
        made = [port.name for port in ports if port.external_ids.get(marks.MADE_FOR) == self.link.name]
        for device in (*self.link.uplinks, *made):
            if device in attached:
                attached.remove(device)  # another link may use it, too

                def detach(device: str = device) -> None:
                    try:
                        adapter.detach(device)
                    except AdapterError as error:
                        raise ProvisionError(str(error)) from error

                argv = (sys.executable, "-m", "deploy.shim", "detach", "--device", device)
                self.commands.append(Command(argv, f"the wire format adapter of {device}", self.link.name, detach))

    def kernel(self) -> None:
        """Routes and the bridge's own address, as far as they do not go with the bridge."""
        mark = route_mark(self.link)
        if self.state.marked_routes.get(mark, ("", ""))[1] == self.link.bridge:
            self._add(("ovs-appctl", "ovs/route/del", "::/0", f"pkt_mark={mark}"), "the tunnel's default route")
        joined = self.state.bridges.get(self.link.uplink_bridge or "")
        stays = joined is not None and marks.MADE_FOR not in joined.external_ids
        if stays and guard.cookie(self.link) in self.state.guards:
            self._add(guard.delete_command(self.link), "what keeps strangers' GRE from the tunnel port")
        bridge = self.state.bridges.get(self.link.bridge)
        if bridge is None or marks.MADE_FOR in bridge.external_ids:
            return
        gateway, address = bridge.external_ids.get(marks.ROUTE), bridge.external_ids.get(marks.ADDRESS)
        if gateway and (gateway, bridge.name) in self.state.default_routes:
            argv = ("ip", "-6", "route", "del", "default", "via", gateway, "dev", bridge.name)
            self._add(argv, "the default route that setup added")
        device = self.state.devices.get(bridge.name)
        if address and device and any(present.text == address for present in device.addresses):
            self._add(("ip", "-6", "addr", "del", address, "dev", bridge.name), "the address that setup added")

    def bridge(self, bridge: Bridge, names: set[str]) -> None:
        """A bridge, its ports and controllers: away if made here, else as they were before."""
        for port in bridge.ports.values():
            self._restore_device(port.name, port.interface.external_ids)
        if bridge.external_ids.get(marks.MADE_FOR) in names:
            others = [name for name, port in bridge.ports.items() if marks.MADE_FOR not in port.external_ids]
            others.remove(bridge.name)
            why = f"setup made {bridge.name}" + (f" (its ports {', '.join(others)} go with it)" if others else "")
            self._add(vsctl("del-br", bridge.name), why)
            return
        for port in bridge.ports.values():
            if port.external_ids.get(marks.MADE_FOR) in names:
                self._add(vsctl("del-port", bridge.name, port.name), f"setup made {port.name}")
            else:
                self._restore_row("Interface", port.name, port.interface.external_ids)
        for controller in bridge.controllers:
            if controller.external_ids.get(marks.MADE_FOR) in names:
                argv = vsctl("remove", "Bridge", bridge.name, "controller", controller.uuid)
                self._add(argv, f"setup made the controller {controller.target}")
            else:
                self._restore_row("Controller", controller.uuid, controller.external_ids)
        ours = [str(n) for n, row in bridge.flow_tables.items() if row.external_ids.get(marks.MADE_FOR) in names]
        if ours:
            self._add(vsctl("remove", "Bridge", bridge.name, "flow_tables", *ours), "setup made the prefix tries")
        for row in {row.uuid: row for row in bridge.flow_tables.values()}.values():
            if marks.MADE_FOR not in row.external_ids:
                self._restore_row("Flow_Table", row.uuid, row.external_ids)
        self._restore_row("Bridge", bridge.name, bridge.external_ids)

    def _restore_device(self, name: str, external_ids: dict[str, str]) -> None:
        earlier = marks.earlier_settings(external_ids)
        if name not in self.state.devices:
            return
        if "mtu" in earlier:
            self._add(("ip", "link", "set", "dev", name, "mtu", earlier["mtu"]), "as it was before setup")
        if "disable_ipv6" in earlier:
            setting = f"net/ipv6/conf/{name}/disable_ipv6={earlier['disable_ipv6']}"
            self._add(("sysctl", "-qw", setting), "as it was before setup")
        if words := [word for kind in marks.MERGING if kind in earlier for word in (kind, earlier[kind])]:
            self._add(("ethtool", "-K", name, *words), "as it was before setup")

    def _restore_row(self, table: str, record: str, external_ids: dict[str, str]) -> None:
        """Put columns back and take the notes away, in one transaction."""
        words: list[str] = []
        for column, value in marks.earlier_settings(external_ids).items():
            if column in marks.KERNEL:
                continue
            name, is_map, key = column.partition(":")
            if value:
                words += ["set", table, record, f"{column}={marks.quoted(value) if is_map else value}", "--"]
            elif is_map:
                words += ["remove", table, record, name, key, "--"]
            else:
                words += ["clear", table, record, name, "--"]
        notes = [key for key in external_ids if key.startswith(marks.WAS) or key in (marks.ADDRESS, marks.ROUTE)]
        if notes:
            argv = vsctl(*words, "remove", table, record, "external_ids", *notes)
            self._add(argv, "as it was before setup")

    def _add(self, argv: tuple[str, ...], why: str) -> None:
        self.commands.append(Command(argv, why, self.link.name))
