"""How far the bridges are as the configuration says."""

from __future__ import annotations

from typing import Any

from deploy.config import Config
from deploy.ovs.adapters import DATAPATH_TYPE
from deploy.ovs.setup import controller_target, plan
from deploy.ovs.state import Inspector, inspect
from deploy.shim import adapter_for


def status(config: Config, inspector: Inspector = inspect) -> list[dict[str, Any]]:
    """One entry a home link, ready for JSON. ProvisionError as for `plan`."""
    needed = plan(config, inspector)
    state = inspector()  # planning has changed the other one
    adapter = adapter_for(DATAPATH_TYPE)
    target = controller_target(config)
    result = []
    for link in config.home_links:
        bridge = state.bridges.get(link.bridge)
        controllers = bridge.controllers if bridge else []
        result.append(
            {
                "home_link": link.name,
                "bridge": link.bridge,
                "datapath_id": bridge.datapath_id if bridge else None,
                "tunnel_port": link.tunnel_port,
                "controller": target,
                "connected": any(c.is_connected for c in controllers if c.target == target),
                "adapters": [adapter.status(device).as_dict() for device in link.uplinks],
                "provisioned": not any(command.link == link.name for command in needed),
                "missing": [
                    {"command": str(command), "why": command.why} for command in needed if command.link == link.name
                ],
            }
        )
    return result
