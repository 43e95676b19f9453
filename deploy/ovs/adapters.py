"""The wire format adapter on the uplinks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from deploy.config import BridgeLinkConfig, Config
from deploy.ovs.commands import Command, ProvisionError
from deploy.ovs.state import Bridge, State
from deploy.shim import AdapterError, Endpoint, WireFormatAdapter, adapter_for
from mip6core import addresses

DATAPATH_TYPE: Final = "netdev"  # of new bridges: the one that has a wire format adapter


def bridge_mac(link: BridgeLinkConfig, bridge: Bridge | None) -> str:
    """The MAC address that the bridge of a link has and keeps.

    By itself OVS chooses one, and another one when the machine has started again or (not in all datapaths) when ports
    come: neighbours and the wire format adapter would know the wrong one. A new bridge gets one that follows from its
    address on the link.
    """
    if bridge is not None:
        fixed = bridge.other_config.get("hwaddr") or bridge.ports[bridge.name].interface.mac
        if fixed:
            return fixed.lower()
    return (b"\x02" + hashlib.sha256(link.address).digest()[:5]).hex(":")


def endpoints(config: Config, state: State) -> dict[str, list[Endpoint]]:
    """The tunnel end points that the adapter of each uplink serves: of all links that use the uplink."""
    found: dict[str, list[Endpoint]] = {}
    for link in config.bridge_links:
        mac = bytes.fromhex(bridge_mac(link, state.bridges.get(link.bridge)).replace(":", ""))
        for uplink in link.uplinks:
            found.setdefault(uplink, []).append(Endpoint(link.address, mac))
    return found


def adapter_commands(config: Config, state: State) -> list[Command]:
    """Attach the adapter where it is not, or serves other end points."""
    adapter = adapter_for(DATAPATH_TYPE)
    commands = []
    for device, wanted in endpoints(config, state).items():
        try:
            status = adapter.status(device)
        except AdapterError as error:
            raise ProvisionError(str(error)) from error
        if status.attached and set(status.endpoints) == set(wanted):
            continue
        argv = ["python3", "-m", "deploy.shim", "attach", "--device", device]
        for point in wanted:
            argv += ["-a", addresses.text(point.home_agent), "-m", point.bridge_mac.hex(":")]
        link = next(link.name for link in config.bridge_links if device in link.uplinks)
        why = f"tunnel packets on {device} must be in the form of RFC 2473"
        commands.append(Command(tuple(argv), why, link, _attach(adapter, device, wanted)))
    return commands


def _attach(adapter: WireFormatAdapter, device: str, wanted: list[Endpoint]) -> Callable[[], None]:
    def attach() -> None:
        try:
            adapter.attach(device, wanted)
        except AdapterError as error:
            raise ProvisionError(str(error)) from error

    return attach
