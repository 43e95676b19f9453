"""What REST clients see and do: the `Service` of the WSGI application on top of the running app."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from deploy.config import HomeLinkConfig
from deploy.config.effective import effective
from mip6core.addresses import Address, Prefix, home_agents_anycast
from mip6core.constants import MAX_NONCE_LIFETIME
from rest.service import (
    BindingView,
    Busy,
    CorrespondentView,
    EventView,
    FlowView,
    HomeAgentView,
    NonceView,
    PortView,
    PrefixView,
    SwitchView,
    Watch,
)
from ryu_apps import flow_listing
from ryu_apps.correspondent_bridge import CorrespondentBridge
from ryu_apps.flow_listing import Answer, FlowListing
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.metrics import CONTENT_TYPE, STATES
from ryu_apps.turns import in_pieces

if TYPE_CHECKING:
    from deploy.config import BridgeLinkConfig
    from mip6core.bcache import BindingCacheEntry
    from ryu_apps.app import HomeAgentApp
    from ryu_apps.capture import Capture
    from ryu_apps.reload import Reloader

COUNTERS_WAIT: Final = 3.0  # seconds for a switch to tell its counters; then those of before are shown
FLOWS_WAIT: Final = 10.0  # seconds for a switch to tell its flows


class Flows:
    """See `rest.service.Flows`."""

    def __init__(self, answers: Sequence[tuple[FlowListing, Answer]]) -> None:
        self._flows = {key: (listing, flow) for listing, answer in answers for key, flow in answer.flows.items()}

    def keys(self) -> Sequence[bytes]:
        return list(self._flows)

    def view(self, key: bytes) -> FlowView:
        listing, flow = self._flows[key]
        return listing.view(flow)


class Northbound:
    """See `rest.service.Service`. What is listed: bindings, and registrations that wait for their address's test."""

    def __init__(self, app: HomeAgentApp, reloader: Reloader, cooperate: Callable[[], None]) -> None:
        """`cooperate` lets others run if there has been work for some time."""
        self._app = app
        self._reloader = reloader
        self._cooperate = cooperate
        self._zero: dict[str, dict[str, int]] = {}  # the counters when they were cleared
        self._counted_since: float | None = None  # seconds since 1970; None: the start

    def home_addresses(self) -> Sequence[Address]:
        found: list[Address] = []
        for entries in in_pieces(self._app.engine.bindings, self._cooperate):
            found += [entry.home_address for entry in entries if entry.state in STATES]
        return found

    def binding(self, home_address: Address) -> BindingView | None:
        entry = self._app.engine.bindings.get(home_address)
        return None if entry is None or entry.state not in STATES else self._view(entry)

    def count(self, home_address: Address | None) -> None:
        app = self._app
        roles = [role for switch in app.switches.values() for role in switch.bridge.roles.values()]
        homes = {role for role in roles if isinstance(role, HomeBridge)}
        if home_address is not None:
            entry = app.engine.bindings.get_bound(home_address)
            homes = {home for home in homes if entry is not None and home.link is entry.link}
        deadline = app.clock() + COUNTERS_WAIT
        for answered in [home.count(home_address) for home in homes]:
            if answered is not None:
                answered.wait(max(0.0, deadline - app.clock()))

    def put(self, home_address: Address, care_of_address: Address, home_link: str, lifetime: int | None) -> None:
        app = self._app
        link = app.links.get(home_link)
        if link is None:
            raise ValueError(f"there is no home link {home_link[:64]}")
        seconds = math.inf if lifetime is None else lifetime
        app.perform(app.engine.put(link, home_address, care_of_address, seconds, app.clock()))
        app.reschedule()

    def clear(self, home_address: Address) -> bool:
        if self.binding(home_address) is None:
            return False
        self._app.perform(self._app.engine.clear(home_address, self._app.clock()))
        self._app.reschedule()
        return True

    def clear_prefix(self, prefix: Prefix) -> int:
        cleared = 0
        for home_address in filter(prefix.contains, self.home_addresses()):
            cleared += self.clear(home_address)
            self._cooperate()
        return cleared

    def correspondents(self) -> Sequence[tuple[Address, Address]]:
        found: list[tuple[Address, Address]] = []
        for entries in in_pieces(self._app.correspondent.bindings, self._cooperate):
            found += [(entry.correspondent, entry.home_address) for entry in entries]
        return found

    def correspondent(self, correspondent: Address, home_address: Address) -> CorrespondentView | None:
        app = self._app
        entry = app.correspondent.bindings.get(correspondent, home_address)
        if entry is None:
            return None
        now, wall = app.clock(), time.time()
        switch = app.switches.get(entry.link.name)
        role = None if switch is None else switch.bridge.roles[entry.link.name]
        counts = role.counters.of((correspondent, home_address)) if isinstance(role, CorrespondentBridge) else None
        return CorrespondentView(
            correspondent=correspondent,
            home_address=home_address,
            care_of_address=entry.care_of_address,
            correspondent_link=entry.link.name,
            sequence=entry.sequence,
            lifetime=entry.lifetime,
            remaining_lifetime=max(0.0, entry.expires_at - now),
            registered_at=wall - (now - entry.registered_at),
            updated_at=wall - (now - entry.updated_at),
            state="bound",
            packets_out=0 if counts is None else counts.packets_out,
            bytes_out=0 if counts is None else counts.bytes_out,
            packets_in=0 if counts is None else counts.packets_in,
            bytes_in=0 if counts is None else counts.bytes_in,
            home_nonce_index=entry.home_nonce_index,
            care_of_nonce_index=entry.care_of_nonce_index,
            unreachable_errors=entry.unreachable_count,
            datapath_id=None if switch is None else switch.datapath.id,
            version=f"{entry.registered_at}/{entry.updated_at}/{entry.sequence}",
        )

    def clear_correspondent(self, correspondent: Address, home_address: Address) -> bool:
        app = self._app
        if app.correspondent.bindings.get(correspondent, home_address) is None:
            return False
        app.perform(app.correspondent.clear(correspondent, home_address, app.clock()))
        app.reschedule()
        return True

    def switches(self) -> list[SwitchView]:
        return [self._switch(link) for link in self._app.config.bridge_links]

    def flows(self, link: str | None, table: str | None, category: str | None, home_address: Address | None) -> Flows:
        app, wanted = self._app, flow_listing.question(table, category, home_address)
        answers = []
        for switch in {id(one): one for name, one in app.switches.items() if link in (None, name)}.values():
            asked = switch.flows.ask(wanted, switch.bridge.outbox.next_xid, app.clock())
            if asked is None:
                raise Busy("a switch has just been asked for many flows: try it again soon, or with a filter")
            answer, messages = asked
            for message in messages:
                switch.bridge.outbox.put(message)
            switch.bridge.outbox.flush()
            answers.append((switch.flows, answer))
        deadline = app.clock() + FLOWS_WAIT
        for _, answer in answers:
            if not answer.complete.is_set() and not answer.complete.wait(max(0.0, deadline - app.clock())):
                raise Busy("a switch does not answer")
            if answer.left_out:
                raise ValueError(f"more than {flow_listing.MAX_FLOWS} flows: name a table, category or home address")
        return Flows(answers)

    def home_agents(self) -> list[HomeAgentView]:
        app = self._app
        now = app.clock()
        views = []
        for link in app.engine.links:
            own = link.router_advertisement.preference
            views.append(HomeAgentView(link.name, None, [link.address], own, None))
            views += [
                HomeAgentView(link.name, e.link_local_address, list(e.addresses), e.preference, e.expires_at - now)
                for e in app.engine.discovery.home_agents(link).entries(now)
            ]
        return views

    def prefixes(self) -> list[PrefixView]:
        now = self._app.clock()
        return [
            PrefixView(
                link.name,
                entry.prefix,
                entry.remaining(entry.valid_lifetime, now),
                entry.remaining(entry.preferred_lifetime, now),
                home_agents_anycast(entry.prefix),
            )
            for link in self._app.engine.links
            for entry in link.prefixes
        ]

    def events(self) -> Iterator[EventView]:
        return iter(self._app.event_log)

    def watch(self, after: int | None) -> Watch | None:
        return self._app.event_log.watch(after)

    def knows_all_behind(self, number: int) -> bool:
        return self._app.event_log.knows_all_behind(number)

    def configuration(self) -> dict[str, Any]:
        return effective(self._app.config)

    def reload(self) -> dict[str, Any]:
        return self._reloader.reload()

    def statistics(self) -> dict[str, Any]:
        """Counters since the start: what the engine saw and did, what the switches punted, and what is held now."""
        app = self._app
        states: Counter[str | None] = Counter()
        for entries in in_pieces(app.engine.bindings, self._cooperate):
            states.update(STATES.get(entry.state) for entry in entries)
        return {
            "uptime": round(time.time() - app.started_at, 3),
            "counted_for": round(time.time() - (self._counted_since or app.started_at), 3),
            **{
                group: {name: value - self._zero.get(group, {}).get(name, 0) for name, value in sorted(counts.items())}
                for group, counts in self._counters().items()
            },
            "bindings": {name: states[name] for name in dict.fromkeys(STATES.values())},
            "correspondent_bindings": {"bound": len(app.correspondent.bindings)},
            "neighbours": {name: len(switch.bridge.neighbours) for name, switch in app.switches.items()},
        }

    def clear_statistics(self) -> None:
        self._zero = {name: dict(group) for name, group in self._counters().items()}
        self._counted_since = time.time()

    def _counters(self) -> dict[str, dict[str, int]]:
        """The groups of counters that only go up."""
        app = self._app
        return {
            "engine": app.engine.statistics,
            "correspondent": app.correspondent.statistics,
            "shell": app.statistics,
        }

    def nonces(self) -> list[NonceView]:
        now = self._app.clock()
        return [
            NonceView(nonce.index, now - nonce.made_at, nonce.made_at + MAX_NONCE_LIFETIME - now)
            for nonce in self._app.correspondent.nonces(now)
        ]

    def debug_topics(self) -> dict[str, bool]:
        return self._app.debug.topics

    def debug(self, topic: str, on: bool) -> None:
        self._app.debug.switch(topic, on)

    def capture(self, home_addresses: Prefix | None, seconds: int) -> Capture | None:
        return self._app.captures.start(home_addresses, seconds)

    def metrics(self) -> tuple[str, bytes]:
        return CONTENT_TYPE, self._app.metrics.text()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Bad once one of the application's threads has died."""
        died = dict(self._app.loops.died)
        return not died, {"threads_died": died, "internal_errors": self._app.statistics["internal_errors"]}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Good when the switch of each link is connected and has its flows."""
        config = self._app.config
        homes = {link.name: self._state(link.name) for link in config.home_links}
        correspondents = {link.name: self._state(link.name) for link in config.correspondent_links}
        good = all(state == "ready" for state in (*homes.values(), *correspondents.values()))
        return good, {"home_links": homes, "correspondent_links": correspondents}

    def _state(self, link: str) -> str:
        switch = self._app.switches.get(link)
        if switch is None:
            return "no switch"
        return "ready" if switch.bridge.confirmed else "synchronising"

    def _view(self, entry: BindingCacheEntry) -> BindingView:
        now, wall = self._app.clock(), time.time()
        switch = self._app.switches.get(entry.link.name)
        role = None if switch is None else switch.bridge.roles.get(entry.link.name)
        counts = role.counters.of(entry.home_address) if isinstance(role, HomeBridge) else None
        bound = entry.bound
        endless = bound and entry.expires_at == math.inf
        return BindingView(
            home_address=entry.home_address,
            care_of_address=entry.care_of_address,
            home_link=entry.link.name,
            sequence=entry.sequence,
            lifetime=None if endless else entry.lifetime,
            remaining_lifetime=None if endless else max(0.0, entry.expires_at - now) if bound else 0.0,
            flags=entry.flags,
            registered_at=wall - (now - entry.registered_at) if bound else wall,
            updated_at=wall - (now - entry.updated_at) if bound else wall,
            state=STATES[entry.state],
            packets_out=None if counts is None else counts.packets_out,
            bytes_out=None if counts is None else counts.bytes_out,
            packets_in=None if counts is None else counts.packets_in,
            bytes_in=None if counts is None else counts.bytes_in,
            counted_at=None if counts is None else wall - (now - counts.counted_at),
            version=f"{entry.registered_at}/{entry.updated_at}/{entry.sequence}/{int(entry.state)}",
            datapath_id=None if switch is None else switch.datapath.id,
        )

    def _switch(self, link: BridgeLinkConfig) -> SwitchView:
        switch = self._app.switches.get(link.name)
        home_link = link.name if isinstance(link, HomeLinkConfig) else None
        correspondents = self._app.correspondents_on(link)
        correspondent_link = None if correspondents is None else correspondents.name
        if switch is None:
            return SwitchView(link.datapath_id, home_link, correspondent_link, link.bridge, connected=False)
        ports = sorted(switch.datapath.ports.values(), key=lambda port: port.port_no)
        host, port = switch.datapath.address[:2]
        return SwitchView(
            datapath_id=switch.datapath.id,
            home_link=home_link,
            correspondent_link=correspondent_link,
            bridge=link.bridge,
            connected=True,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            role="equal",
            ports=[PortView(port.port_no, port.name.decode(errors="replace")) for port in ports],
        )
