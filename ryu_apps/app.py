"""The shell: switches that come and go, one timer for the engine, and what REST asks."""

from __future__ import annotations

import logging
import secrets
import struct
import time
from collections import defaultdict
from typing import Any, Final

from deploy.config import ROUTE_OPTIMIZATION_HEADER, Config, HomeLinkConfig
from mip6core import addresses
from mip6core.actions import Action
from mip6core.events import Event, InconsistentRouterAdvertisement
from mip6core.home_agent import HomeAgent, HomeLink, Limits
from rest.service import EventView
from ryu_apps import cookies, encode, flow_dump, pipeline
from ryu_apps.bridge import Bridge
from ryu_apps.connection import FastDatapath
from ryu_apps.cookies import Category
from ryu_apps.event_log import EventLog
from ryu_apps.flowspec import LOCAL
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.home_pipeline import HomeLayout
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.loops import Loops
from ryu_apps.metrics import Metrics
from ryu_apps.of_compat import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    RyuApp,
    hub,
    ofp_event,
    ofproto,
    set_ev_cls,
)
from ryu_apps.origin import Origin
from ryu_apps.pipeline import BridgeLayout, Punt

LOG = logging.getLogger(__name__)

TICK: Final = 1.0  # seconds between looks at the neighbours
SYNC_CHUNK: Final = 500  # bindings between two writes while a switch is brought up to date
PACKET_IN: Final = struct.Struct("!4xH2xQ2xH")  # behind the OpenFlow header: frame's length, cookie, match's length
OXM_FIELDS: Final = 8 + PACKET_IN.size  # where the match's fields begin
SHORTEST: Final = {  # octets of each message that a switch hands to `Switch.receive`
    ofproto.OFPT_PACKET_IN: OXM_FIELDS,
    ofproto.OFPT_BARRIER_REPLY: 8,
    ofproto.OFPT_MULTIPART_REPLY: 16,
    ofproto.OFPT_ERROR: 12,
}


class Switch:
    """A connected switch that carries one of our home links: takes its messages from the connection."""

    def __init__(self, app: HomeAgentApp, datapath: FastDatapath, config: HomeLinkConfig, bridge: Bridge) -> None:
        self.app = app
        self.datapath = datapath
        self.config = config
        self.bridge = bridge
        self.dump: flow_dump.FlowDump | None = None
        self.dump_xid = 0
        self.connected_at = time.time()
        self.adopted = 0  # bindings that only the switch still knew

    def receive(self, message_type: int, xid: int, message: bytes) -> bool:
        """See `connection.Receiver`. An exception here would drop the switch, so none leaves."""
        try:
            if message_type == ofproto.OFPT_PACKET_IN:
                return self._packet_in(message)
            if message_type == ofproto.OFPT_BARRIER_REPLY:
                return self.bridge.outbox.barrier_reply(xid)
            if message_type == ofproto.OFPT_MULTIPART_REPLY:
                return self._multipart_reply(xid, message)
            return self._error(xid, message)
        except Exception:
            if len(message) < SHORTEST[message_type]:
                self.app.statistics["dropped_bad_openflow"] += 1
                return True
            self.app.statistics["internal_errors"] += 1
            LOG.exception("message not handled dpid=%016x message=%s", self.datapath.id, message.hex())
            return True

    def chunk_received(self) -> None:
        self.bridge.outbox.flush()
        self.app.reschedule()

    def _packet_in(self, message: bytes) -> bool:
        total_length, cookie, match_length = PACKET_IN.unpack_from(message, 8)
        if cookie >> 40 != cookies.PUNTS:
            return cookies.is_ours(cookie)
        # the match is padded to 8 octets, and 2 more bring the frame's payload to alignment
        frame = message[24 + (match_length + 7) // 8 * 8 + 2 :]
        kind = cookie & cookies.ITEM_MASK
        if len(frame) < total_length and kind not in pipeline.CUT:
            self.app.statistics["dropped_cut_by_switch"] += 1
        elif kind in pipeline.WITH_ORIGIN:
            self.bridge.punted_from(kind, frame, Origin.of(message[OXM_FIELDS : OXM_FIELDS + match_length - 4]))
        else:
            self.bridge.punted(kind, frame)
        return True

    def _multipart_reply(self, xid: int, message: bytes) -> bool:
        if self.dump is None or xid != self.dump_xid:
            return False
        if self.dump.add(message):
            dump, self.dump = self.dump, None
            self.app.loops.spawn("synchronise", self.app.synchronise, self, dump)
        return True

    def _error(self, xid: int, message: bytes) -> bool:
        if self.bridge.outbox.error(xid):
            return True
        kind, code = struct.unpack_from("!HH", message, 8)
        if (kind, code) == (ofproto.OFPET_METER_MOD_FAILED, ofproto.OFPMMFC_METER_EXISTS):
            return True  # meters are added and modified, since flows that use them must not lose them
        self.app.statistics["openflow_errors"] += 1
        LOG.error("switch error dpid=%016x type=%d code=%d data=%s", self.datapath.id, kind, code, message[12:].hex())
        return True


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
        self.links = {link.name: _engine_link(link) for link in config.home_links}
        limits = Limits(
            max_bindings=config.limits.max_bindings, max_bindings_per_link=config.limits.max_bindings_per_link
        )
        self.engine = HomeAgent(
            self.links.values(),
            limits,
            secrets.token_bytes,
            self._log_event,
            access=config.access,
            associations=[
                node.authentication.association(node.home_address)
                for node in config.security.mobile_nodes
                if node.authentication is not None
            ],
            wall_clock=time.time,
        )
        # Packets to a mobile node are fewer than seconds: its count goes on after a restart where it would be now.
        self.gateway = Gateway(config.security, secrets.token_bytes, int(time.time()), self.statistics)
        self.switches: dict[str, Switch] = {}  # by the name of the home link
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
            self._attach(event.datapath)
        else:
            self._detach(event.datapath)

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)
    def on_port_change(self, event: Any) -> None:
        """An uplink, the tunnel port or the bridge's address has come, changed or gone."""
        switch = event.datapath.receiver
        if switch is None:
            self._attach(event.datapath)
            return
        layout = self._layout(switch.config, event.datapath)
        if layout != switch.bridge.layout:
            LOG.info("ports changed link=%s dpid=%016x", switch.config.name, event.datapath.id)
            self._detach(event.datapath)
            self._attach(event.datapath)

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

    def _attach(self, datapath: Any) -> None:
        """Serve a home link on a switch, if it carries one and has all its ports."""
        config = self._link_of(datapath)
        if config is None:
            return
        layout = self._layout(config, datapath)
        if layout is None:
            return
        link = self.links[config.name]
        bridge = Bridge(layout, config.address, config.router, datapath.send, self.clock, self.statistics)
        link.link_layer_address = bridge.link_layer_address
        bridge.add_role(HomeBridge(bridge, self.engine, link, self._home_layout(config), self.gateway, self.perform))
        switch = Switch(self, datapath, config, bridge)
        self.switches[config.name] = switch
        switch.dump = flow_dump.FlowDump()
        switch.dump_xid = bridge.outbox.next_xid()
        bridge.outbox.put(flow_dump.request(switch.dump_xid))
        datapath.receiver = switch
        self.event_log.add(EventView("switch_connected", config.name, datapath_id=datapath.id))
        LOG.info("switch connected link=%s dpid=%016x", config.name, datapath.id)
        self.loops.spawn("greet", bridge.outbox.flush)

    def _detach(self, datapath: Any) -> None:
        switch: Switch | None = getattr(datapath, "receiver", None)
        if switch is None:
            return
        datapath.receiver = None
        if self.switches.get(switch.config.name) is switch:
            del self.switches[switch.config.name]
            for role in switch.bridge.roles.values():
                role.link_down()
            self.event_log.add(EventView("switch_gone", switch.config.name, datapath_id=datapath.id))
            LOG.warning("switch gone link=%s dpid=%016x", switch.config.name, datapath.id)

    def _link_of(self, datapath: Any) -> HomeLinkConfig | None:
        """The home link a switch carries, by its datapath id or by the name of its LOCAL port."""
        local = datapath.ports.get(LOCAL)
        name = local.name.decode(errors="replace") if local is not None else ""
        for config in self.config.home_links:
            if config.datapath_id == datapath.id or (config.datapath_id is None and config.bridge == name):
                return config
        LOG.info("switch without a home link dpid=%016x bridge=%s", datapath.id, name)
        return None

    def _layout(self, config: HomeLinkConfig, datapath: Any) -> BridgeLayout | None:
        """The link on this bridge's ports, or None (and one log line) while a port is missing."""
        numbers = {port.name.decode(errors="replace"): port.port_no for port in datapath.ports.values()}
        wanted = (config.tunnel_port, *config.underlay_ports)
        missing = [name for name in wanted if name not in numbers]
        if missing or LOCAL not in datapath.ports:
            LOG.error("ports missing link=%s bridge=%s ports=%s", config.name, config.bridge, ",".join(missing))
            return None
        return BridgeLayout(
            address=addresses.text(config.address),
            link_layer_address=datapath.ports[LOCAL].hw_addr,
            on_link=tuple(str(home_prefix.prefix) for home_prefix in config.prefixes),
            tunnel_port=numbers[config.tunnel_port],
            uplink_ports=tuple(numbers[name] for name in config.underlay_ports),
            next_table=config.next_table,
            route_mtu=config.link_mtu - ROUTE_OPTIMIZATION_HEADER,
        )

    def _home_layout(self, config: HomeLinkConfig) -> HomeLayout:
        return HomeLayout(
            prefixes=tuple(str(home_prefix.prefix) for home_prefix in config.prefixes),
            tunnel_mtu=config.tunnel_mtu,
            ipsec=self.gateway.active,
            advertises=config.router_advertisement.enabled and not config.virtual,
            virtual=config.virtual,
        )

    def synchronise(self, switch: Switch, dump: flow_dump.FlowDump) -> None:
        """Add everything wanted under a new generation, then delete the older ones: at no time is a flow missing."""
        bridge = switch.bridge
        generation = cookies.next_generation(dump.generations)
        for meter in pipeline.meters(self._punt_rates()):
            for command in (ofproto.OFPMC_ADD, ofproto.OFPMC_MODIFY):
                bridge.outbox.put(encode.wire(encode.meter_mod(meter, command), bridge.outbox.next_xid()))
        bridge.put_static_flows(generation)
        now = self.clock()
        switch.adopted = sum(role.adopt(dump, now) for role in bridge.roles.values())
        bridge.ready = True
        bindings = 0
        for role in bridge.roles.values():
            for _ in role.restore():
                bindings += 1
                if bindings % SYNC_CHUNK == 0:
                    bridge.outbox.flush()
                    hub.sleep(0)
        bridge.neighbours.resolve(bridge.router, now, permanent=True)
        bridge.outbox.then(lambda: self._confirmed(switch, dump.generations))
        bridge.outbox.flush()
        LOG.info(
            "switch synchronised link=%s dpid=%016x generation=%d bindings=%d adopted=%d flows_found=%d",
            switch.config.name,
            switch.datapath.id,
            generation,
            bindings,
            switch.adopted,
            dump.flows,
        )
        self.reschedule()

    def _confirmed(self, switch: Switch, generations: set[int]) -> None:
        """All flows of the new generation are in: those of the older ones may go."""
        switch.bridge.confirmed = True
        for role in switch.bridge.roles.values():
            role.link_up(self.clock())
        for generation in generations:
            value = cookies.cookie(Category.PIPELINE, generation)
            message = encode.delete_generation(value, cookies.GENERATION_MASK)
            switch.bridge.outbox.put(encode.wire(message, switch.bridge.outbox.next_xid()))

    def _punt_rates(self) -> dict[Punt, int]:
        rates = self.config.limits.punt_rates
        return {
            Punt.SIGNALLING: rates.signalling,
            Punt.NEIGHBOR_DISCOVERY: rates.neighbor_discovery,
            Punt.TUNNEL_ERROR: rates.tunnel_errors,
            Punt.UNRESOLVED: rates.neighbor_discovery,
            Punt.ICMPV6_ERROR: rates.tunnel_errors,
            Punt.UPLINK_FRAGMENT: rates.fragments,
            Punt.LINK_FRAGMENT: rates.fragments,
            Punt.NARROW_PATH: rates.fragments,
            Punt.ESP: rates.esp,
            Punt.HOME_TEST: rates.esp,
            Punt.HOME_TEST_INIT: rates.esp,
            Punt.HOME_DISCOVERY: rates.discovery,
            Punt.TUNNELLED_DISCOVERY: rates.discovery,
            Punt.ROUTER_DISCOVERY: rates.discovery,
            Punt.UNBOUND: rates.unbound,
            Punt.ROUTE_TOO_BIG: rates.tunnel_errors,
            Punt.UNREACHABLE: rates.tunnel_errors,
            Punt.CORRESPONDENT_SIGNALLING: rates.return_routability,
            Punt.CORRESPONDENT_ERROR: rates.tunnel_errors,
            Punt.UNBOUND_CORRESPONDENT: rates.unbound,
        }

    # Time

    def reschedule(self) -> None:
        """Keep one timer, for the engine's next one."""
        at = self.engine.next_timer()
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
        except Exception:
            self.statistics["internal_errors"] += 1
            LOG.exception("timer not handled")
        self.reschedule()

    def perform(self, actions: list[Action]) -> None:
        """Hand actions to the switches of their links and send what comes of them."""
        by_link: dict[str, list[Action]] = {}
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
            for switch in list(self.switches.values()):
                if switch.bridge.ready:
                    switch.bridge.tick(now)

    def _log_event(self, event: Event) -> None:
        if isinstance(event, InconsistentRouterAdvertisement):
            router, what = addresses.text(event.router), ",".join(event.what)
            LOG.warning("router advertises something else link=%s router=%s fields=%s", event.link, router, what)
            return
        level = logging.DEBUG
        if event.kind != "refreshed":  # nothing has changed, and it happens all the time
            level = logging.INFO
            self.event_log.add(event)
        if LOG.isEnabledFor(level):
            LOG.log(
                level,
                "binding %s hoa=%s coa=%s link=%s status=%d",
                event.kind,
                addresses.text(event.home_address),
                addresses.text(event.care_of_address),
                event.link,
                event.status,
            )


def _engine_link(config: HomeLinkConfig) -> HomeLink:
    return HomeLink(
        name=config.name,
        address=config.address,
        prefixes=config.prefixes,
        virtual=config.virtual,
        max_lifetime=config.max_lifetime,
        reserved=frozenset({config.router}),
        router_advertisement=config.router_advertisement,
        mobile_prefix=config.mobile_prefix,
    )
