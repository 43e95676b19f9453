"""How far the bridges are as the configuration says."""

from __future__ import annotations

from typing import Any

from deploy.config import BridgeLinkConfig, Config
from deploy.ovs.adapters import DATAPATH_TYPE
from deploy.ovs.commands import Command
from deploy.ovs.setup import controller_target, plan
from deploy.ovs.state import Inspector, State, inspect
from deploy.shim import adapter_for


def status(config: Config, inspector: Inspector = inspect) -> dict[str, list[dict[str, Any]]]:
    """One entry a link, by kind, ready for JSON. ProvisionError as for `plan`.

    A correspondent link on a home link's bridge is provisioned, or not, with that.
    """
    needed = plan(config, inspector)
    state = inspector()  # planning has changed the other one
    correspondents = []
    for link in config.correspondent_links:
        home = config.home_link_of(link)
        names = {"correspondent_link": link.name, "home_link": home.name if home else None}
        correspondents.append({**names, **_entry(config, home or link, state, needed)})
    return {
        "home_links": [{"home_link": link.name, **_entry(config, link, state, needed)} for link in config.home_links],
        "correspondent_links": correspondents,
    }


def _entry(config: Config, link: BridgeLinkConfig, state: State, needed: list[Command]) -> dict[str, Any]:
    bridge = state.bridges.get(link.bridge)
    controllers = bridge.controllers if bridge else []
    adapter = adapter_for(DATAPATH_TYPE)
    target = controller_target(config)
    missing = [{"command": str(command), "why": command.why} for command in needed if command.link == link.name]
    return {
        "bridge": link.bridge,
        "datapath_id": bridge.datapath_id if bridge else None,
        "tunnel_port": link.tunnel_port,
        "controller": target,
        "connected": any(c.is_connected for c in controllers if c.target == target),
        "adapters": [adapter.status(device).as_dict() for device in link.uplinks],
        "provisioned": not missing,
        "missing": missing,
    }
