"""The wire format adapter on the uplinks."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

from deploy.config import BridgeLinkConfig, Config, HomeLinkConfig
from deploy.ovs.commands import Command, ProvisionError
from deploy.ovs.state import Bridge, State
from deploy.shim import DEFAULT_LIMITS, AdapterError, Correspondents, Endpoint, Limits, WireFormatAdapter, adapter_for
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


@dataclass
class Wanted:
    """What the adapter of an uplink serves."""

    endpoints: list[Endpoint] = field(default_factory=list)
    correspondents: list[Correspondents] = field(default_factory=list)


def wanted_adapters(config: Config, state: State) -> dict[str, Wanted]:
    """What the adapter of each uplink serves: all links that use the uplink."""
    found: dict[str, Wanted] = {}
    for link in config.bridge_links:
        mac = bytes.fromhex(bridge_mac(link, state.bridges.get(link.bridge)).replace(":", ""))
        hosts = next((other.prefixes for other in config.correspondent_links if other.bridge == link.bridge), ())
        for uplink in link.uplinks:
            wanted = found.setdefault(uplink, Wanted())
            if isinstance(link, HomeLinkConfig):
                wanted.endpoints.append(Endpoint(link.address, mac))
            wanted.correspondents += [Correspondents(prefix, link.address, mac) for prefix in hosts]
    return found


def wanted_limits(config: Config) -> Limits:
    """What the adapters let through."""
    rates, uplinks = config.limits.punt_rates, config.limits.uplinks
    return Limits(
        signalling=rates.signalling,
        return_routability=rates.return_routability,
        esp=rates.esp,
        new_sources=uplinks.new_sources,
        known_sources=uplinks.known_sources,
    )


def adapter_commands(config: Config, state: State) -> list[Command]:
    """Attach the adapter where it is not, or serves others."""
    adapter = adapter_for(DATAPATH_TYPE)
    limits = wanted_limits(config)
    commands = []
    for device, wanted in wanted_adapters(config, state).items():
        try:
            status = adapter.status(device)
        except AdapterError as error:
            raise ProvisionError(str(error)) from error
        served = set(status.endpoints) == set(wanted.endpoints)
        if (
            status.attached
            and served
            and status.limits == limits
            and set(status.correspondents) == set(wanted.correspondents)
        ):
            continue
        argv = [sys.executable, "-m", "deploy.shim", "attach", "--device", device]
        for point in wanted.endpoints:
            argv += ["-a", addresses.text(point.home_agent), "-m", point.bridge_mac.hex(":")]
        for hosts in wanted.correspondents:
            argv += ["-c", str(hosts.prefix), addresses.text(hosts.tunnel_end_point), hosts.bridge_mac.hex(":")]
        for name, number in asdict(limits).items():
            if number != getattr(DEFAULT_LIMITS, name):
                argv += [f"--{name.replace('_', '-')}", str(number)]
        link = next(link.name for link in config.bridge_links if device in link.uplinks)
        why = f"mobile nodes' packets on {device} must be in the form of RFC 2473 and RFC 6275"
        commands.append(Command(tuple(argv), why, link, _attach(adapter, device, wanted, limits)))
    return commands


def _attach(adapter: WireFormatAdapter, device: str, wanted: Wanted, limits: Limits) -> Callable[[], None]:
    def attach() -> None:
        try:
            adapter.attach(device, wanted.endpoints, wanted.correspondents, limits)
        except AdapterError as error:
            raise ProvisionError(str(error)) from error

    return attach
