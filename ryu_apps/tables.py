"""The tables that strangers can make grow: how full they are, and where they end (docs/security.md says what then)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mip6core.home_agents_list import MAX_HOME_AGENTS
from mip6core.reassembly import ReassemblyLimits
from ryu_apps import capture, event_log, known_networks, narrow_paths, neighbours
from ryu_apps.home_bridge import HomeBridge

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp


class Size(NamedTuple):
    """Of one table, or of all that are alike."""

    table: str
    entries: int
    limit: int


def sizes(app: HomeAgentApp) -> Iterator[Size]:
    """All of them."""
    engine, limits = app.engine, app.engine.limits
    bridges = [switch.bridge for switch in app.switches.values()]
    homes = [role for bridge in bridges for role in bridge.roles.values() if isinstance(role, HomeBridge)]
    agents = [len(engine.discovery.home_agents(link)) for link in engine.links]
    yield Size("bindings", len(engine.bindings), limits.max_bindings)
    routes = app.correspondent.bindings
    yield Size("correspondent_bindings", len(routes), app.config.limits.max_correspondent_bindings)
    tested = sum(len(engine.watched(link)) for link in engine.links)
    yield Size("addresses_under_test", tested, limits.max_addresses_in_dad)
    yield Size("error_peers", engine.error_peers, engine.max_error_peers)
    yield Size("home_agents", sum(agents), MAX_HOME_AGENTS * len(agents))
    neighbour_count = sum(len(bridge.neighbours) for bridge in bridges)
    yield Size("neighbours", neighbour_count, neighbours.MAX_NEIGHBOURS * len(bridges))
    known = sum(len(bridge.known_networks) for bridge in bridges)
    yield Size("known_networks", known, known_networks.CAPACITY * len(bridges))
    waiting = sum(home.packets_in_fragments for home in homes)
    yield Size("packets_in_fragments", waiting, ReassemblyLimits().max_packets * len(homes))
    narrow = sum(home.narrow_path_count for home in homes)
    yield Size("narrow_paths", narrow, narrow_paths.MAX_PATHS * len(homes))
    yield Size("events", len(app.event_log), event_log.CAPACITY)
    yield Size("watchers", app.event_log.watchers, event_log.MAX_WATCHERS)
    yield Size("captures", len(app.captures), capture.MAX_CAPTURES)
