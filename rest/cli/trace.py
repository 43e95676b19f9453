"""mip6ctl trace: what happens to a packet between a correspondent and a mobile node, both ways, in plain words.

What the controller knows comes from the server; what the switch does, from ofproto/trace on this machine: no packet is
sent.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from deploy.shim import AdapterError, adapter_for
from mip6core import addresses
from mip6core.addresses import Prefix
from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.flows import ovs
from rest.cli.output import print_data
from ryu_apps import cookies, meanings
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Table

_STEP: Final = re.compile(r"^ ?(\d+)\. (?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?")
_NO_MATCH: Final = re.compile(r"^ ?(\d+)\. No match")
_ACTIONS: Final = re.compile(r"^Datapath actions: (.*)$", re.MULTILINE)
_TUNNEL: Final = re.compile(r"tnl_push\(.*?ipv6\(src=([0-9a-f:]+),dst=([0-9a-f:]+).*?key=(0x[0-9a-f]+)")
_ROUTE_KEY: Final = 1

WHY_DROPPED: Final = {
    "reverse_tunnel": "no binding has this care-of address and this home address together (RFC 6275 section 10.4.5)",
    "encapsulate": "a link-local source address is not tunnelled",
    "forward": "link-local and multicast destinations are not forwarded out of a tunnel",
    "classify": "what comes in this form is of no use here",
}


@dataclass
class Step:
    """One flow that the packet takes."""

    table: str
    priority: int
    category: str | None  # None: no flow of ours
    match: str
    meaning: str


@dataclass
class Direction:
    """One packet's way through one bridge. Field names are those of the JSON form."""

    name: str
    bridge: str
    packet: str
    steps: list[Step] = field(default_factory=list)
    datapath_actions: str = ""
    dropped: bool = False
    outcome: str = ""


def trace(options: argparse.Namespace) -> Exit:
    site = _Site(Client(options), options.home_address, options.correspondent)
    directions = site.directions()
    result = {
        "home_address": options.home_address,
        "correspondent": options.correspondent,
        "binding": site.binding,
        "route": site.route,
        "findings": site.findings,
        "directions": [asdict(direction) for direction in directions],
        "adapters": site.adapters(),
    }
    if options.output != "table":
        print_data(options, result)
    else:
        _print(result, directions)
    return Exit.FAILURE if any(direction.dropped for direction in directions) else Exit.OK


class _Site:
    """What the server knows of both ends, and the bridges in between."""

    def __init__(self, client: Client, home_address: str, correspondent: str) -> None:
        self.home_address, self.correspondent = home_address, correspondent
        self.findings: list[str] = []
        self._config = client.get("/v1/config")
        self.binding = _found(client, f"/v1/bindings/{home_address}")
        self.route = _found(client, f"/v1/correspondents/{correspondent}/{home_address}")
        self._home = self._home_link()
        self._hosts = self._correspondent_link()
        self._tell()

    def _home_link(self) -> dict[str, Any] | None:
        links: list[dict[str, Any]] = self._config["home_links"]
        return next((link for link in links if _is_in(self.home_address, link["prefixes"])), None)

    def _correspondent_link(self) -> dict[str, Any] | None:
        """With what it has from the home link on its bridge."""
        homes = {link["bridge"]: link for link in self._config["home_links"]}
        for link in self._config["correspondent_links"]:
            if _is_in(self.correspondent, link["prefixes"]):
                return {**homes.get(link["bridge"], {}), **link}
        return None

    def _tell(self) -> None:
        tell = self.findings.append
        binding, route = self.binding, self.route
        if self._home is None:
            tell(f"{self.home_address} is in no prefix of a home link here: this is not its home agent")
        elif binding is None:
            tell("there is no binding: packets for the home address are forwarded as if the mobile node were at home")
        elif binding["state"] == "duplicate_address_detection":
            tell("the registration waits for Duplicate Address Detection: nothing is tunnelled yet")
        else:
            left = (
                "for ever" if binding["remaining_lifetime"] is None else f"for {binding['remaining_lifetime']} s more"
            )
            tell(f"the home address is {binding['state']} to {binding['care_of_address']} {left}")
            if binding["datapath_id"] is None:
                tell("no switch of this home link is connected: its flows are as the controller left them")
        if self._hosts is None:
            tell(f"{self.correspondent} is in no prefix of a correspondent link here: nothing optimises its routes")
        elif route is None:
            tell("no route is optimised: the mobile node has not registered with this correspondent")
        else:
            tell(f"the route is optimised to {route['care_of_address']} for {route['remaining_lifetime']} s more")

    def directions(self) -> list[Direction]:
        found = []
        if self._home is not None:
            bridge = _Bridge(self._home)
            at_home = _is_in(self.correspondent, self._home["prefixes"])
            port = bridge.host_port if at_home else bridge.uplink_port
            if self.route is None or self._hosts is None or self._hosts["bridge"] != self._home["bridge"]:
                found.append(bridge.trace("to the mobile node, by its home agent", port, self._ends(True)))
            if self.binding is not None and self.binding["state"] != "duplicate_address_detection":
                tunnel = bridge.tunnel(self.binding["care_of_address"], 0)
                found.append(bridge.trace("from the mobile node, out of its tunnel", tunnel, self._ends(False)))
        if self._hosts is not None and self.route is not None:
            bridge = _Bridge(self._hosts)
            found.append(bridge.trace("to the mobile node, optimised", bridge.host_port, self._ends(True)))
            tunnel = bridge.tunnel(self.route["care_of_address"], _ROUTE_KEY)
            found.append(bridge.trace("from the mobile node, optimised", tunnel, self._ends(False)))
        return found

    def _ends(self, to_mobile_node: bool) -> str:
        ends = (self.correspondent, self.home_address)
        source, destination = ends if to_mobile_node else reversed(ends)
        return f"ipv6_src={source},ipv6_dst={destination}"

    def adapters(self) -> list[dict[str, Any]]:
        """The wire format adapters that the packets pass, with what they have counted."""
        links = [link for link in (self._home, self._hosts) if link is not None]
        devices = dict.fromkeys(device for link in links for device in link["uplinks"])
        found = []
        for device in devices:
            try:
                status = adapter_for("netdev").status(device)
            except (AdapterError, OSError) as error:
                found.append({"device": device, "attached": None, "counters": {}, "problems": [str(error)]})
                continue
            counters = {name: count for name, count in status.counters.items() if count}
            problems = list(status.problems)
            found.append({"device": device, "attached": status.attached, "counters": counters, "problems": problems})
        return found


class _Bridge:
    """A bridge on this machine."""

    def __init__(self, link: Mapping[str, Any]) -> None:
        self.name: str = link["bridge"]
        self._address = link["address"]
        ports = ovs("ovs-vsctl", "list-ports", self.name).split()
        uplinks = [port for port in link["uplinks"] if port in ports]
        ours = [port for port in ports if port.startswith(("mip6-", "mip6u-")) or port == link["tunnel_port"]]
        hosts = [port for port in ports if port not in (*uplinks, *ours)]
        patch = [port for port in ports if port.startswith("mip6u-")]
        self.uplink_port = _number((uplinks or patch or ["LOCAL"])[0])
        self.host_port = _number(hosts[0]) if hosts else self.uplink_port
        self._tunnel_port = _number(link["tunnel_port"])
        self._mac = ovs("ovs-vsctl", "get", "interface", self.name, "mac_in_use").strip().strip('"')

    def tunnel(self, care_of_address: str, key: int) -> str:
        """Where packets of a mobile node come in, as a match."""
        ends = f"tun_ipv6_src={care_of_address},tun_ipv6_dst={self._address}"
        return f"{self._tunnel_port},tun_id={key},{ends}"

    def trace(self, name: str, port: str, ends: str) -> Direction:
        """What the bridge does with a small UDP packet that comes in by a port."""
        packet = f"in_port={port},udp6,dl_dst={self._mac},{ends},nw_ttl=64"
        direction = Direction(name, self.name, packet)
        printed = ovs("ovs-appctl", "ofproto/trace", self.name, packet)
        read(printed, direction)
        return direction


def read(printed: str, direction: Direction) -> None:
    """Take in what ofproto/trace says. Branches for packets that are too big are left out: the packet is small."""
    body = printed.split("\nFinal flow:")[0].split("bridge(")
    for line in (body[1] if len(body) > 1 else "").splitlines():
        if step := _STEP.match(line):
            cookie = int(step[4] or "0", 16)
            ours = cookies.is_ours(cookie)
            category = Category(cookies.category(cookie)) if ours else None
            meaning = meanings.of_flow(cookie, int(step[1])) if ours else "a flow of the operator's"
            name = None if category is None else category.name.lower()
            table = _table(int(step[1]))
            direction.steps.append(Step(table, int(step[3]), name, step[2] or "any", meaning))
        elif miss := _NO_MATCH.match(line):
            direction.steps.append(Step(_table(int(miss[1])), 0, None, "no flow", "nothing fits"))
    actions = _ACTIONS.search(printed)
    direction.datapath_actions = actions[1] if actions else ""
    _conclude(direction)


def _conclude(direction: Direction) -> None:
    actions, steps = direction.datapath_actions, direction.steps
    last = steps[-1] if steps else None
    if tunnel := _TUNNEL.search(actions):
        how = "with a Type 2 Routing header" if int(tunnel[3], 16) == _ROUTE_KEY else "in an IPv6-in-IPv6 tunnel"
        direction.outcome = f"leaves {how} to {tunnel[2]}"
    elif last is not None and last.category == "punt":
        direction.outcome = f"goes {last.meaning}"
    elif actions in ("", "drop"):
        direction.dropped = True
        direction.outcome = f"dropped: {_why(last)}"
    else:
        direction.outcome = f"is forwarded (datapath: {actions})"


def _why(last: Step | None) -> str:
    if last is None or last.match == "no flow":
        return "the bridge has no flow for it: has the controller been connected since the bridge came up?"
    return WHY_DROPPED.get(last.table.partition(" ")[2], f"the flow in table {last.table} says so")


def _print(result: Mapping[str, Any], directions: Sequence[Direction]) -> None:
    for finding in result["findings"]:
        print(finding)
    for direction in directions:
        print(f"\n{direction.name} (bridge {direction.bridge}): {direction.outcome}")
        for step in direction.steps:
            print(f"  table {step.table:<24}{step.match}\n  {'':<30}{step.meaning}")
    for adapter in result["adapters"]:
        state = "attached" if adapter["attached"] else "NOT attached: nothing passes in the form of the RFCs"
        print(f"\nadapter on {adapter['device']}: {state}")
        for problem in adapter["problems"]:
            print(f"  {problem}")
        for name, count in adapter["counters"].items():
            print(f"  {name:<32}{count}")


def _found(client: Client, path: str) -> Any:
    """What the server has there; None if nothing."""
    try:
        return client.get(path)
    except Failure as failure:
        if failure.status == Exit.FAILURE and "no binding" in str(failure):
            return None
        raise


def _is_in(address: str, prefixes: Sequence[Any]) -> bool:
    texts = (entry["prefix"] if isinstance(entry, Mapping) else entry for entry in prefixes)
    return any(Prefix.parse(text).contains(addresses.parse(address)) for text in texts)


def _number(port: str) -> str:
    return port if port == "LOCAL" else ovs("ovs-vsctl", "get", "interface", port, "ofport").strip()


def _table(number: int) -> str:
    known = {table.value: table.name.lower() for table in Table}
    return f"{number} {known.get(number, 'of the operator')}"
