"""What has to be done so that the bridges are as the configuration says."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Final

from deploy.config import IPV6_HEADER, ROUTE_OPTIMIZATION_HEADER, BridgeLinkConfig, Config, HomeLinkConfig
from deploy.ovs import guard, marks, prefixes
from deploy.ovs.adapters import DATAPATH_TYPE, adapter_commands, bridge_mac
from deploy.ovs.check import check
from deploy.ovs.commands import Command, ProvisionError, vsctl
from deploy.ovs.state import Bridge, Controller, FlowTable, Inspector, Interface, Port, State, inspect
from deploy.shim import adapter_for
from mip6core import addresses

PROTOCOL: Final = "OpenFlow13"
INACTIVITY_PROBE: Final = 10_000  # milliseconds; OVS's 5 s end the connection to a controller that is only busy
# Octets: what GRE over IPv6 adds to a packet, less what a type 2 routing header or a Home Address option does.
ROUTE_OPTIMIZATION_OVERHEAD: Final = IPV6_HEADER + 8 - ROUTE_OPTIMIZATION_HEADER
MAX_BACKOFF: Final = 1_000  # milliseconds between tries to reach a controller that restarts; OVS's are up to 8 s


def plan(config: Config, inspector: Inspector = inspect) -> list[Command]:
    """The commands that are still needed, in their order; none if everything is in place.

    ProvisionError if something of the operator's is in the way: nothing has been changed then.
    """
    state = inspector()
    if config.openflow.tls is not None and not state.has_certificate:
        raise ProvisionError(
            "Open vSwitch has no certificate to show the controller: ovs-vsctl set-ssl KEY CERT CA-CERT"
        )
    for link in config.bridge_links:
        check(link, state)
    links = [_LinkPlan(config, link, state) for link in config.bridge_links]
    commands = [command for link in links for command in link.underlay()]
    # Before anything can make tunnel packets, what puts them right.
    commands += adapter_commands(config, state)
    alone = sum(link.marked for link in links) == 1
    return commands + [command for link in links for command in link.overlay(alone)]


def controller_target(config: Config) -> str:
    """Where switches on this machine find the controller, as OVSDB writes it."""
    listen = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.openflow.listen, config.openflow.listen)
    transport = "tcp" if config.openflow.tls is None else "ssl"
    return f"{transport}:{f'[{listen}]' if ':' in listen else listen}:{config.openflow.port}"


def route_mark(link: BridgeLinkConfig) -> int:
    """The packet mark of a link's tunnel packets where they need a default route of their own."""
    return zlib.crc32(link.bridge.encode()) or 1


def tunnel_options(link: BridgeLinkConfig, marked: bool, alone: bool) -> dict[str, str]:
    """One layer-3 GRE port for all bindings; flows set the care-of address. `alone`: no other one here is marked."""
    options = {
        "remote_ip": "flow",
        "local_ip": addresses.text(link.address),
        "packet_type": "legacy_l3",
        "key": "flow",
        "tos": "inherit",  # RFC 2473 section 6.4: the traffic class of the inner packet
    }
    if marked:
        options["egress_pkt_mark"] = str(route_mark(link))
        if alone:
            # Open vSwitch 3.5 wants a route to local_ip with the mark, which only the kernel's own could be: "native
            # tunnel routing failed". Two ports without it would be the same to Open vSwitch.
            del options["local_ip"]
    return options


class _LinkPlan:
    """Commands for one link. `state` is kept as it will be after them."""

    def __init__(self, config: Config, link: BridgeLinkConfig, state: State) -> None:
        self.config = config
        self.link = link
        self.state = state
        self._shared = config.correspondent_link_of(link) if isinstance(link, HomeLinkConfig) else None
        self._commands: list[Command] = []
        self.marked = False

    def underlay(self) -> list[Command]:
        """Bridge, uplinks, and the application's place in the kernel."""
        self._bridge(self.link.bridge, managed=True)
        self._prefix_tries()
        if self.link.uplink_bridge:
            self._bridge(self.link.uplink_bridge, managed=False)
            self._patch_pair()
        for uplink in self.link.uplinks:
            self._uplink(uplink)
        if self.link.uplink_bridge:
            self._guard()
        self._bridge_device()
        self.marked = self._needs_mark()
        if self.marked:
            self._marked_route()
        else:
            self._kernel_route()
        return self._take()

    def overlay(self, alone: bool) -> list[Command]:
        """Tunnel port and controller. `alone`: no other link here needs a mark."""
        self._tunnel(alone)
        self._controller()
        return self._take()

    # --- Open vSwitch ---

    def _bridge(self, name: str, managed: bool) -> None:
        bridge = self.state.bridges.get(name)
        if bridge is None:
            self._new_bridge(name, managed)
            return
        local = bridge.ports[name].interface
        if managed:
            self._set_bridge(bridge, "fail_mode", "secure", bridge.fail_mode, "no controller, no forwarding")
            if bridge.protocols and PROTOCOL not in bridge.protocols:
                before = ",".join(sorted(bridge.protocols))
                self._set_bridge(bridge, "protocols", f"{before},{PROTOCOL}", before, "to speak with us")
            if not bridge.other_config.get("hwaddr"):
                mac = marks.quoted(bridge_mac(self.link, bridge))
                self._set_bridge(bridge, "other_config:hwaddr", mac, None, "its MAC address must not change")
            if self.link.datapath_id is not None and bridge.datapath_id != f"{self.link.datapath_id:016x}":
                fixed = bridge.other_config.get("datapath-id")
                wanted = marks.quoted(f"{self.link.datapath_id:016x}")
                self._set_bridge(bridge, "other_config:datapath-id", wanted, fixed, "datapath_id in the file")
        if local.mtu_request is None:
            words = self._changed("mtu_request", str(self.state.devices[name].mtu), None, local.external_ids)
            self._add(vsctl("set", "Interface", name, *words), "its MTU must stay when that of the uplinks grows")

    def _new_bridge(self, name: str, managed: bool) -> None:
        mac = bridge_mac(self.link, None)
        settings = [f"datapath_type={DATAPATH_TYPE}", marks.note(marks.MADE_FOR, self.link.name)]
        if managed:
            # In-band control would let the controller's traffic past the flows.
            settings += ["fail_mode=secure", f"protocols={PROTOCOL}", "other_config:disable-in-band=true"]
            settings.append(f"other_config:hwaddr={marks.quoted(mac)}")
            if self.link.datapath_id is not None:
                settings.append(f"other_config:datapath-id={marks.quoted(f'{self.link.datapath_id:016x}')}")
        else:
            settings.append("fail_mode=standalone")
        mtu = min(self._link_mtu(), *(self.state.devices[uplink].mtu for uplink in self.link.uplinks))
        words = ["add-br", name, "--", "set", "Bridge", name, *settings]
        words += ["--", "set", "Interface", name, f"mtu_request={mtu}"]
        self._add(vsctl(*words), f"there is no bridge {name}")
        made = {marks.MADE_FOR: self.link.name}
        local = Port(name, Interface(name, type="internal", mac=mac, mtu_request=mtu))
        self.state.bridges[name] = Bridge(name, DATAPATH_TYPE, external_ids=made, ports={name: local})
        self.state.devices[name] = replace(self.state.new_device, name=name, mtu=mtu, addresses=[])

    def _prefix_tries(self) -> None:
        """Tries in the tables that have a flow for each binding. What an operator has chosen for a table stays."""
        bridge = self.state.bridges[self.link.bridge]
        wanted = frozenset(prefixes.FIELDS)
        why = "the cache of decisions must not get an entry for each address"
        for row in {row.uuid: row for number, row in bridge.flow_tables.items() if number in prefixes.TABLES}.values():
            if row.prefixes != wanted and (marks.MADE_FOR in row.external_ids or not row.prefixes):
                words = self._changed("prefixes", prefixes.COLUMN, None, row.external_ids)
                self._add(vsctl("set", "Flow_Table", row.uuid, *words), why)
        missing = [number for number in prefixes.TABLES if number not in bridge.flow_tables]
        if not missing:
            return
        ours = next((row for row in bridge.flow_tables.values() if marks.MADE_FOR in row.external_ids), None)
        create: tuple[str, ...] = ()
        if ours is None:
            made = marks.note(marks.MADE_FOR, self.link.name)
            create = ("--id=@t", "create", "Flow_Table", f"prefixes={prefixes.COLUMN}", made, "--")
            ours = FlowTable("@t")
        words = [f"flow_tables:{number}={ours.uuid}" for number in missing]
        self._add(vsctl(*create, "set", "Bridge", bridge.name, *words), why)

    def _patch_pair(self) -> None:
        assert self.link.patch_ports and self.link.uplink_bridge
        bridges = (self.link.bridge, self.link.uplink_bridge)
        ports = self.link.patch_ports
        for bridge, port, peer in zip(bridges, ports, reversed(ports), strict=True):
            existing = self.state.bridges[bridge].ports.get(port)
            if existing is None:
                settings = ["type=patch", f"options:peer={marks.quoted(peer)}"]
                self._new_port(bridge, port, settings, f"{bridge} is not joined to {_other(bridges, bridge)}")

    def _guard(self) -> None:
        present = self.state.guards.get(guard.cookie(self.link), set())
        wanted = guard.flows(self.link)
        if present - set(wanted):
            self._add(guard.delete_command(self.link), "the uplinks or the bridge's own address were others")
            present = set()
        for flow in wanted:
            if flow not in present:
                self._add(guard.add_command(self.link, flow), "tunnel packets of others than an uplink could be forged")

    def _uplink(self, name: str) -> None:
        bridge = self.state.bridges[self.link.uplink_bridge or self.link.bridge]
        device = self.state.devices[name]
        overhead = max(adapter_for(bridge.datapath_type).mtu_overhead, ROUTE_OPTIMIZATION_OVERHEAD)
        wanted_mtu = self._link_mtu() + overhead
        if name not in bridge.ports:
            self._new_port(bridge.name, name, [], f"{name} is not a port of {bridge.name}")
        noted = bridge.ports[name].interface.external_ids
        notes: list[str] = []
        changes: list[tuple[tuple[str, ...], str]] = []
        if device.mtu < wanted_mtu:
            notes += self._earlier("mtu", str(device.mtu), noted)
            why = (
                f"packets of mobile nodes are up to {overhead} octets longer inside than on the wire "
                f"(a device that cannot: {self._lower_mtu(overhead)})"
            )
            changes.append((("ip", "link", "set", "dev", name, "mtu", str(wanted_mtu)), why))
            device.mtu = wanted_mtu
        if not device.disable_ipv6:
            notes += self._earlier("disable_ipv6", "0", noted)
            changes.append((_sysctl(name, "disable_ipv6", 1), "a port of a bridge is no host on the link"))
            device.disable_ipv6 = True
        if device.merging:  # before the adapter is attached: drivers with LRO refuse XDP
            notes += [word for kind in device.merging for word in self._earlier(kind, "on", noted)]
            words = [word for kind in device.merging for word in (kind, "off")]
            why = "packets merged into one larger than the MTU are lost, and keep XDP out of some drivers"
            changes.append((("ethtool", "-K", name, *words), why))
            device.merging = ()
        if not device.up:
            changes.append((("ip", "link", "set", "dev", name, "up"), f"{name} is down"))
            device.up = True
        if notes:
            self._add(vsctl("set", "Interface", name, *notes), "what teardown puts back")
        for argv, why in changes:
            self._add(argv, why)

    def _controller(self) -> None:
        bridge = self.state.bridges[self.link.bridge]
        target = controller_target(self.config)
        wanted = {
            "connection_mode": "out-of-band",
            "inactivity_probe": str(INACTIVITY_PROBE),
            "max_backoff": str(MAX_BACKOFF),
        }
        ours = [c for c in bridge.controllers if c.external_ids.get(marks.MADE_FOR) == self.link.name]
        found = next((c for c in [*ours, *bridge.controllers] if c in ours or c.target == target), None)
        if found is None:
            settings = [f"{column}={value}" for column, value in wanted.items()]
            made = marks.note(marks.MADE_FOR, self.link.name)
            create = ["--id=@c", "create", "Controller", f"target={marks.quoted(target)}", *settings, made]
            why = f"{bridge.name} does not know the controller"
            self._add(vsctl(*create, "--", "add", "Bridge", bridge.name, "controller", "@c"), why)
            bridge.controllers.append(Controller("", target))
            return
        words: list[str] = []
        if found.target != target:
            words += self._changed("target", marks.quoted(target), found.target, found.external_ids)
        for column, value in wanted.items():
            present = getattr(found, column)
            if str(present) != value:
                words += self._changed(column, value, present, found.external_ids)
        if words:
            self._add(vsctl("set", "Controller", found.uuid, *words), "the connection to the controller differs")

    def _tunnel(self, alone: bool) -> None:
        bridge, name = self.state.bridges[self.link.bridge], self.link.tunnel_port
        options = tunnel_options(self.link, self.marked, alone)
        words = [f"options:{key}={marks.quoted(value)}" for key, value in options.items()]
        if name not in bridge.ports:
            self._new_port(bridge.name, name, ["type=gre", *words], f"{bridge.name} has no tunnel port")
        elif bridge.ports[name].interface.options != options or bridge.ports[name].interface.type != "gre":
            clear = ("clear", "Interface", name, "options", "--")
            self._add(vsctl(*clear, "set", "Interface", name, "type=gre", *words), "the tunnel port differs")

    # --- the application's place in the kernel ---

    def _bridge_device(self) -> None:
        bridge = self.state.bridges[self.link.bridge]
        device = self.state.devices[bridge.name]
        noted = bridge.ports[bridge.name].interface.external_ids
        wanted = f"{addresses.text(self.link.address)}/{self.link.own_prefix.length}"
        if device.disable_ipv6:
            if notes := self._earlier("disable_ipv6", "1", noted):
                self._add(vsctl("set", "Interface", bridge.name, *notes), "what teardown puts back")
            self._add(_sysctl(bridge.name, "disable_ipv6", 0), "the bridge's own address is on this device")
        if device.accept_ra and marks.MADE_FOR in bridge.external_ids:
            why = "addresses and routes of this device are configured, not learnt"
            self._add(_sysctl(bridge.name, "accept_ra", 0), why)
        if not device.up:
            self._add(("ip", "link", "set", "dev", bridge.name, "up"), f"{bridge.name} is down")
        earlier = bridge.external_ids.get(marks.ADDRESS)
        if earlier is not None and earlier != wanted and any(a.text == earlier for a in device.addresses):
            self._add(("ip", "-6", "addr", "del", earlier, "dev", bridge.name), "no longer the bridge's own address")
        if not any(a.address == self.link.address for a in device.addresses):
            if earlier != wanted:
                note = marks.note(marks.ADDRESS, wanted)
                self._add(vsctl("set", "Bridge", bridge.name, note), "what teardown removes")
            # Without Duplicate Address Detection: the tunnel port needs the address at once.
            argv = ("ip", "-6", "addr", "add", wanted, "dev", bridge.name, "nodad")
            self._add(argv, "the bridge's own address on the link")

    def _needs_mark(self) -> bool:
        """Whether the kernel has a default route through something else: then OVS needs one for our packets.

        OVS looks care-of addresses up in the kernel's routes, for all tunnels the same unless marked.
        """
        return any(device != self.link.bridge for _, device in self.state.default_routes)

    def _kernel_route(self) -> None:
        bridge = self.state.bridges[self.link.bridge]
        router = addresses.text(self.link.router)
        present = [gateway for gateway, device in self.state.default_routes if device == bridge.name]
        ours = bridge.external_ids.get(marks.ROUTE)
        if router in present or (present and ours is None):
            return
        if ours != router:
            self._add(vsctl("set", "Bridge", bridge.name, marks.note(marks.ROUTE, router)), "what teardown removes")
        way = ("default", "via", router, "dev", bridge.name)
        self._add(("ip", "-6", "route", "replace" if present else "add", *way), "the way to care-of addresses")
        self.state.default_routes.append((router, bridge.name))

    def _marked_route(self) -> None:
        mark, wanted = route_mark(self.link), (addresses.text(self.link.router), self.link.bridge)
        if self.state.marked_routes.get(mark) != wanted:
            argv = ("ovs-appctl", "ovs/route/add", "::/0", self.link.bridge, wanted[0], f"pkt_mark={mark}")
            self._add(argv, "the way to care-of addresses, since the kernel's default route is another one")

    # --- helpers ---

    def _take(self) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands

    def _add(self, argv: tuple[str, ...], why: str) -> None:
        self._commands.append(Command(argv, why, self.link.name))

    def _new_port(self, bridge: str, name: str, settings: list[str], why: str) -> None:
        words = ["add-port", bridge, name]
        words += ["--", "set", "Port", name, marks.note(marks.MADE_FOR, self.link.name)]
        if settings:
            words += ["--", "set", "Interface", name, *settings]
        self._add(vsctl(*words), why)
        self.state.bridges[bridge].ports[name] = Port(name, Interface(name))

    def _set_bridge(self, bridge: Bridge, column: str, wanted: str, present: str | None, why: str) -> None:
        if wanted != present:
            words = self._changed(column, wanted, present, bridge.external_ids)
            self._add(vsctl("set", "Bridge", bridge.name, *words), why)

    def _changed(self, column: str, wanted: str, present: object, noted: dict[str, str]) -> list[str]:
        """Words that set a column and note what it was, unless the row was made by setup."""
        if marks.MADE_FOR in noted:
            return [f"{column}={wanted}"]
        return [f"{column}={wanted}", *self._earlier(column, "" if present is None else str(present), noted)]

    def _earlier(self, column: str, present: str, noted: dict[str, str]) -> list[str]:
        """The word that notes an earlier value; the first one noted stays."""
        key = marks.setting_key(column)
        if key in noted:
            return []
        noted[key] = present
        return [marks.note(key, present)]

    def _link_mtu(self) -> int:
        """What the uplinks must carry on the wire."""
        return max(link.link_mtu for link in (self.link, self._shared) if link is not None)

    def _lower_mtu(self, overhead: int) -> str:
        """What the file has to say so that the uplinks must not carry so much."""
        said = []
        if isinstance(self.link, HomeLinkConfig):
            said.append(f"tunnel_mtu {self._link_mtu() - IPV6_HEADER - overhead}")
        if self._shared or not said:
            said.append(f"mtu {self._link_mtu() - overhead}")
        return ", ".join(said)


def _other(pair: tuple[str, str], one: str) -> str:
    return pair[1] if one == pair[0] else pair[0]


def _sysctl(device: str, name: str, value: int) -> tuple[str, ...]:
    return ("sysctl", "-qw", f"net/ipv6/conf/{device}/{name}={value}")  # slashes: device names may hold dots
