"""The shell: switches that come and go, one timer for the engine, and what REST asks."""

from __future__ import annotations

import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from logging import DEBUG, INFO
from typing import Any, Final

from deploy.config import BridgeLinkConfig, Config, CorrespondentLinkConfig, HomeLinkConfig
from mip6core import addresses
from mip6core.actions import Action, CorrespondentAction
from mip6core.correspondent import Correspondent
from mip6core.events import CorrespondentEvent, Event, InconsistentRouterAdvertisement
from mip6core.home_agent import HomeAgent
from rest.service import EventView
from ryu_apps import cookies, layouts
from ryu_apps.bridge import Bridge
from ryu_apps.capture import Captures
from ryu_apps.connection import Connections
from ryu_apps.cookies import Category
from ryu_apps.correspondent_bridge import CorrespondentBridge
from ryu_apps.debug import Debug
from ryu_apps.event_log import EventLog
from ryu_apps.flowspec import LOCAL
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.loops import Loops
from ryu_apps.metrics import Metrics
from ryu_apps.of_compat import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    RyuApp,
    eventlet,
    hub,
    ofp_event,
    ofproto,
    set_ev_cls,
)
from ryu_apps.switch import Switch
from ryu_apps.tap import Tap

LOG = logging.getLogger(__name__)

BINDING_LINE: Final = "binding %s cn=%s hoa=%s coa=%s link=%s status=%d"
MAX_REST_CONNECTIONS: Final = 64  # served at once
TICK: Final = 1.0  # seconds between looks at the neighbours


class HomeAgentApp(RyuApp):
    """The Ryu application. `config` comes from the launcher."""

    OFP_VERSIONS = (ofproto.OFP_VERSION,)  # what the byte templates are made for; Ryu agrees on it with the switch

    def __init__(self, *args: Any, config: Config, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config = config
        self.started_at = time.time()
        self.clock = time.monotonic
        self.statistics: dict[str, int] = defaultdict(int)
        self.loops = Loops()
        self.event_log = EventLog(time.time)
        self.metrics = Metrics(self)
        tap = Tap()
        self.debug = Debug(tap)
        self.captures = Captures(tap)
        self.links = {link.name: layouts.home_link(link) for link in config.home_links}
        self.correspondent_links = {link.name: layouts.correspondent_link(link) for link in config.correspondent_links}
        self.engine = HomeAgent(
            self.links.values(),
            layouts.limits(config.limits),
            secrets.token_bytes,
            self._log_event,
            access=config.access,
            associations=layouts.authentication_associations(config.security),
            wall_clock=time.time,
        )
        self.correspondent = Correspondent(
            self.correspondent_links.values(),
            layouts.correspondent_limits(config.limits),
            secrets.token_bytes,
            self._log_event,
        )
        # Packets to a mobile node are fewer than seconds: its count goes on after a restart where it would be now.
        self.gateway = Gateway(config.security, secrets.token_bytes, int(time.time()), self.statistics)
        self.connections = Connections(None)  # of switches, and whatever else has connected there
        self.rest_connections = eventlet.GreenPool(MAX_REST_CONNECTIONS)
        self.datapaths: set[Any] = set()  # all that are connected, whatever they carry
        self.switches: dict[str, Switch] = {}  # by the names of the links that they carry
        self._timer: Any = None
        self._timer_at = float("inf")

    def start(self) -> Any:
        """Ryu calls this once; the thread it returns is waited for."""
        super().start()
        self.loops.spawn("neighbours", self._tick_for_ever)
        self.loops.spawn("event_loop_lag", self.metrics.watch_event_loop)

    # Switches

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state_change(self, event: Any) -> None:
        """A switch is connected, or gone."""
        if event.state == MAIN_DISPATCHER:
            self.datapaths.add(event.datapath)
            self.attach(event.datapath)
        else:
            self.datapaths.discard(event.datapath)
            self.detach(event.datapath)

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)
    def on_port_change(self, event: Any) -> None:
        """An uplink, the tunnel port or the bridge's address has come, changed or gone."""
        switch = event.datapath.receiver
        if switch is None:
            self.attach(event.datapath)
            return
        layout = layouts.bridge_layout(switch.config, self.correspondents_on(switch.config), event.datapath)
        if layout != switch.bridge.layout:
            LOG.info("ports changed link=%s dpid=%016x", switch.config.name, event.datapath.id)
            self.detach(event.datapath)
            self.attach(event.datapath)

    @set_ev_cls(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    def on_flow_removed(self, event: Any) -> None:
        """A neighbour's flow has idled out."""
        message = event.msg
        switch = message.datapath.receiver
        if switch is None or not cookies.is_ours(message.cookie):
            return
        idle = message.reason == ofproto.OFPRR_IDLE_TIMEOUT
        destination = message.match.get("ipv6_dst")
        if idle and cookies.category(message.cookie) == Category.NEIGHBOUR and isinstance(destination, str):
            switch.bridge.neighbours.forget(addresses.parse(destination))

    def attach(self, datapath: Any) -> None:
        """Serve what links there are on a switch, if it has all its ports."""
        config = self.link_of(datapath)
        if config is None:
            return
        correspondents = self.correspondents_on(config)
        layout = layouts.bridge_layout(config, correspondents, datapath)
        if layout is None:
            return
        bridge = Bridge(layout, config.address, config.router, datapath.send, self.clock, self.statistics)
        bridge.outbox.measure = self.metrics.switch_answered
        home: HomeBridge | None = None
        if isinstance(config, HomeLinkConfig):
            home_layout = layouts.home_layout(config, self.gateway.active)
            home = HomeBridge(bridge, self.engine, self.links[config.name], home_layout, self.gateway, self.perform)
            bridge.add_role(home)
        if correspondents is not None:
            correspondent_layout = layouts.correspondent_layout(correspondents, config)
            link = self.correspondent_links[correspondents.name]
            role = CorrespondentBridge(bridge, self.correspondent, link, correspondent_layout, self.perform)
            bridge.add_role(role)
            if home is not None:
                home.left_home = role.left_home
        switch = Switch(self, datapath, config, bridge)
        for name, carried in bridge.roles.items():
            carried.link.link_layer_address = bridge.link_layer_address
            self.switches[name] = switch
            self.event_log.add(EventView("switch_connected", name, datapath_id=datapath.id))
        switch.ask()
        datapath.receiver = switch
        LOG.info("switch connected link=%s dpid=%016x", ",".join(bridge.roles), datapath.id)
        self.loops.spawn("greet", bridge.outbox.flush)

    def detach(self, datapath: Any) -> None:
        switch: Switch | None = getattr(datapath, "receiver", None)
        if switch is None:
            return
        datapath.receiver = None
        for name, role in switch.bridge.roles.items():
            if self.switches.get(name) is switch:
                del self.switches[name]
                role.link_down()
                self.event_log.add(EventView("switch_gone", name, datapath_id=datapath.id))
                LOG.warning("switch gone link=%s dpid=%016x", name, datapath.id)

    def link_of(self, datapath: Any) -> BridgeLinkConfig | None:
        """The link whose bridge a switch is, by its datapath id or by the name of its LOCAL port."""
        local = datapath.ports.get(LOCAL)
        name = local.name.decode(errors="replace") if local is not None else ""
        for config in self.config.bridge_links:
            if config.datapath_id == datapath.id or (config.datapath_id is None and config.bridge == name):
                return config
        LOG.info("switch without a link dpid=%016x bridge=%s", datapath.id, name)
        return None

    def correspondents_on(self, config: BridgeLinkConfig) -> CorrespondentLinkConfig | None:
        """The correspondent link on the bridge of a link, itself if it is one."""
        if isinstance(config, CorrespondentLinkConfig):
            return config
        return next((link for link in self.config.correspondent_links if link.bridge == config.bridge), None)

    # Time

    def reschedule(self) -> None:
        """Keep one timer, for the engines' next one."""
        at = self.engine.next_timer()
        if self.correspondent_links:
            other = self.correspondent.next_timer()
            if other is not None and (at is None or other < at):
                at = other
        if at is None or at >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = hub.spawn_after(max(0.0, at - self.clock()), self._tick_engine)

    def _tick_engine(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        try:
            self.perform(self.engine.tick(self.clock()))
            self.perform(self.correspondent.tick(self.clock()))
        except Exception:
            self.statistics["internal_errors"] += 1
            LOG.exception("timer not handled")
        self.reschedule()

    def perform(self, actions: Sequence[Action | CorrespondentAction]) -> None:
        """Hand actions to the switches of their links and send what comes of them."""
        by_link: dict[str, list[Action | CorrespondentAction]] = {}
        for action in actions:
            by_link.setdefault(action.link.name, []).append(action)
        for name, some in by_link.items():
            switch = self.switches.get(name)
            if switch is None or not switch.bridge.ready:
                # Flows will be right when the switch is back: it is synchronised with the engine then.
                self.statistics["actions_without_switch"] += len(some)
                continue
            switch.bridge.roles[name].execute(some)
            switch.bridge.outbox.flush()

    def say_goodbye(self) -> None:
        """What the links are told before the process ends; bindings and their flows stay."""
        self.perform(self.engine.close(self.clock()))

    def _tick_for_ever(self) -> None:
        while True:
            hub.sleep(TICK)
            now = self.clock()
            for switch in set(self.switches.values()):
                switch.flows.tick(now)
                if switch.bridge.ready:
                    switch.bridge.tick(now)

    def _log_event(self, event: Event | CorrespondentEvent) -> None:
        if isinstance(event, InconsistentRouterAdvertisement):
            router, what = addresses.text(event.router), ",".join(event.what)
            LOG.warning("router advertises something else link=%s router=%s fields=%s", event.link, router, what)
            return
        if event.kind == "refreshed":  # nothing has changed, and it happens all the time
            level = DEBUG
        else:
            level = INFO
            self.event_log.add(event)
        if LOG.isEnabledFor(level):
            values = (
                event.kind,
                addresses.text(event.correspondent) if isinstance(event, CorrespondentEvent) else "-",
                addresses.text(event.home_address),
                addresses.text(event.care_of_address),
                event.link,
                event.status,
            )
            if event.kind == "rejected":  # a place of its own: strangers must not use up the lines of mobile nodes
                LOG.log(level, BINDING_LINE, *values)
            else:
                LOG.log(level, BINDING_LINE, *values)
