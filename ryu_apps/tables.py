"""The tables that strangers can make grow: how full they are, and where they end (docs/security.md says what then)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mip6core.advertisement_consistency import MAX_ROUTERS
from mip6core.discovery import MAX_ANYCAST_ANSWERS
from mip6core.home_agents_list import MAX_HOME_AGENTS
from mip6core.reassembly import ReassemblyLimits
from ryu_apps import capture, connection, event_log, known_networks, narrow_paths, neighbours
from ryu_apps.bridge import MAX_SOURCES
from ryu_apps.home_bridge import HomeBridge

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp


class Size(NamedTuple):
    """Of one table, or of all that are alike."""

    table: str
    entries: int
    limit: int
    # New entries that found no place, and old ones that had to give way, since the start; None: not counted.
    turned_away: int | None


def sizes(app: HomeAgentApp) -> Iterator[Size]:
    """All of them."""
    yield from _of_home_agents(app)
    yield from _of_correspondents(app)
    peers = (*app.engine.rate_limiters, *app.correspondent.rate_limiters)
    limit, forgotten = sum(one.max_peers for one in peers), sum(one.forgotten for one in peers)
    yield Size("error_peers", sum(map(len, peers)), limit, forgotten)
    yield from _of_bridges(app)
    log, captures, rest = app.event_log, app.captures, app.rest_connections
    yield Size("events", len(log), event_log.CAPACITY, log.rejections_left_out)
    yield Size("watchers", log.watchers, event_log.MAX_WATCHERS, log.watchers_refused)
    yield Size("captures", len(captures), capture.MAX_CAPTURES, captures.refused)
    yield Size("openflow_connections", len(app.connections), connection.MAX_CONNECTIONS, app.connections.refused)
    yield Size("rest_connections", rest.running(), rest.size, None)  # those that are too many wait


def _of_home_agents(app: HomeAgentApp) -> Iterator[Size]:
    engine, statistics, limits = app.engine, app.engine.statistics, app.engine.limits
    discovery, links = engine.discovery, len(engine.links)
    yield Size("bindings", len(engine.bindings), limits.max_bindings, engine.bindings.refused)
    tested = sum(len(engine.watched(link)) for link in engine.links)
    yield Size("addresses_under_test", tested, limits.max_addresses_in_dad, engine.tests_refused)
    agents = sum(len(discovery.home_agents(link)) for link in engine.links)
    turned_away = statistics.get("home_agents_refused", 0) + statistics.get("home_agents_replaced", 0)
    yield Size("home_agents", agents, MAX_HOME_AGENTS * links, turned_away)
    answers = statistics.get("dropped_too_many_anycast_solicitations", 0)
    yield Size("anycast_answers", discovery.anycast_answers, MAX_ANYCAST_ANSWERS, answers)
    found = discovery.inconsistent_routers
    left_out = sum(routers.left_out for routers in found)
    yield Size("inconsistent_routers", sum(map(len, found)), MAX_ROUTERS * len(found), left_out)


def _of_correspondents(app: HomeAgentApp) -> Iterator[Size]:
    cache, statistics = app.correspondent.bindings, app.correspondent.statistics
    limit = app.config.limits.max_correspondent_bindings
    yield Size("correspondent_bindings", len(cache), limit, statistics.get("bindings_refused", 0))
    forgotten = statistics.get("deleted_bindings_forgotten", 0)
    yield Size("deleted_correspondent_bindings", cache.remembered, limit, forgotten)


def _of_bridges(app: HomeAgentApp) -> Iterator[Size]:
    bridges = list({switch.bridge: None for switch in app.switches.values()})
    homes = [role for bridge in bridges for role in bridge.roles.values() if isinstance(role, HomeBridge)]
    tables, statistics = [bridge.neighbours for bridge in bridges], app.statistics
    known = sum(len(bridge.known_networks) for bridge in bridges)
    of_bridge: tuple[tuple[str, int, int, int | None], ...] = (
        ("neighbours", sum(map(len, tables)), neighbours.MAX_NEIGHBOURS, statistics.get("neighbours_refused", 0)),
        ("unresolved_neighbours", sum(table.unresolved for table in tables), neighbours.MAX_UNRESOLVED, None),
        (
            *("packets_for_neighbours", sum(table.waiting for table in tables), neighbours.MAX_ALL_WAITING),
            statistics.get("packets_for_neighbours_dropped", 0),
        ),
        ("known_networks", known, known_networks.CAPACITY, statistics.get("known_networks_full", 0)),
        ("sources", sum(bridge.sources for bridge in bridges), MAX_SOURCES, None),
    )
    for name, entries, limit, turned_away in of_bridge:
        yield Size(name, entries, limit * len(bridges), turned_away)
    waiting = sum(home.packets_in_fragments for home in homes)
    limit = ReassemblyLimits().max_packets * len(homes)
    yield Size("packets_in_fragments", waiting, limit, statistics.get("reassembly_evicted", 0))
    narrow = sum(home.narrow_path_count for home in homes)
    yield Size("narrow_paths", narrow, narrow_paths.MAX_PATHS * len(homes), statistics.get("narrow_paths_refused", 0))
