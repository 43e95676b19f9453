"""What of the operator's would be in the way of setup, or come to harm by it."""

from __future__ import annotations

from deploy.config import BridgeLinkConfig
from deploy.ovs import marks
from deploy.ovs.commands import ProvisionError
from deploy.ovs.state import State
from deploy.shim import AdapterError, adapter_for
from mip6core import addresses


def check(link: BridgeLinkConfig, state: State) -> None:
    """ProvisionError if the link cannot be provisioned without damage to something else."""
    for name in filter(None, (link.bridge, link.uplink_bridge)):
        _check_bridge(name, state)
    uplinks_on = link.uplink_bridge or link.bridge
    for uplink in link.uplinks:
        _check_uplink(uplink, uplinks_on, state)
    _check_port(link.tunnel_port, link.bridge, state)
    if link.patch_ports is not None:
        _check_port(link.patch_ports[0], link.bridge, state)
        _check_port(link.patch_ports[1], uplinks_on, state)
    for device in state.devices.values():
        if device.name != link.bridge and any(a.address == link.address for a in device.addresses):
            address = addresses.text(link.address)
            raise ProvisionError(f"{device.name} has the address {address}, which belongs on {link.bridge}")


def _check_bridge(name: str, state: State) -> None:
    bridge = state.bridges.get(name)
    if bridge is None and name in state.devices:
        raise ProvisionError(f"{name} is a device already, but not a bridge of Open vSwitch")
    if bridge is not None:
        try:
            adapter_for(bridge.datapath_type)
        except AdapterError as error:
            raise ProvisionError(f"bridge {name}: {error}") from error
        if name not in state.devices:
            raise ProvisionError(f"bridge {name} does not work: ovs-vsctl get Interface {name} error")


def _check_uplink(name: str, wanted: str, state: State) -> None:
    bridge, device = state.bridge_of(name), state.devices.get(name)
    if device is None:
        raise ProvisionError(f"uplink {name}: there is no such device")
    if bridge is not None and bridge.name != wanted:
        raise ProvisionError(f"uplink {name} is a port of {bridge.name}, not of {wanted}")
    for address in device.addresses:
        if address.kept and (bridge is None or (address.address and not device.disable_ipv6)):
            raise ProvisionError(
                f"uplink {name} has the address {address.text}, which would no longer work on a port of "
                f"{wanted}: move it to another device first"
            )


def _check_port(name: str, wanted: str, state: State) -> None:
    bridge = state.bridge_of(name)
    if bridge is None:
        return
    if bridge.name != wanted or marks.MADE_FOR not in bridge.ports[name].external_ids:
        raise ProvisionError(f"{bridge.name} has a port {name} that was not made by setup: remove it")
