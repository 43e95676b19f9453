"""A connected switch that carries one or two of our links: its messages, and how it is brought up to date."""

from __future__ import annotations

import logging
import struct
import time
from typing import TYPE_CHECKING, Final

from deploy.config import BridgeLinkConfig, PuntRates
from rest.service import EventView
from ryu_apps import cookies, encode, flow_dump, pipeline
from ryu_apps.bridge import Bridge
from ryu_apps.connection import FastDatapath
from ryu_apps.cookies import ITEM_MASK, PUNTS, Category
from ryu_apps.flow_listing import FlowListing
from ryu_apps.of_compat import hub, ofproto
from ryu_apps.origin import Origin
from ryu_apps.pipeline import CUT, WITH_ORIGIN, Punt

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp

LOG = logging.getLogger(__name__)

SYNC_CHUNK: Final = 500  # bindings between two writes while a switch is brought up to date
PACKET_IN: Final = struct.Struct("!4xH2xQ2xH")  # behind the OpenFlow header: frame's length, cookie, match's length
OXM_FIELDS: Final = 8 + PACKET_IN.size  # where the match's fields begin
OFPT_PACKET_IN: Final = ofproto.OFPT_PACKET_IN
SHORTEST: Final = {  # octets of each message that a switch hands to `Switch.receive`
    ofproto.OFPT_PACKET_IN: OXM_FIELDS,
    ofproto.OFPT_BARRIER_REPLY: 8,
    ofproto.OFPT_MULTIPART_REPLY: 16,
    ofproto.OFPT_ERROR: 12,
}


class Switch:
    """Takes the messages of a switch from the connection. `config` is of the link that says where its bridge is."""

    def __init__(self, app: HomeAgentApp, datapath: FastDatapath, config: BridgeLinkConfig, bridge: Bridge) -> None:
        self.app = app
        self.datapath = datapath
        self.config = config
        self.bridge = bridge
        self.dump: flow_dump.FlowDump | None = None
        self.dump_xid = 0
        self.connected_at = time.time()
        self.flows = FlowListing(config.bridge, datapath.id)
        self.adopted = 0  # bindings that only the switch still knew

    def ask(self) -> None:
        """Ask for the flows that it has: what is done next depends on them."""
        self.dump = flow_dump.FlowDump()
        self.dump_xid = self.bridge.outbox.next_xid()
        self.bridge.outbox.put(flow_dump.request(self.dump_xid))

    def receive(self, message_type: int, xid: int, message: bytes) -> bool:
        """See `connection.Receiver`. An exception here would drop the switch, so none leaves."""
        try:
            if message_type == OFPT_PACKET_IN:
                total_length, cookie, match_length = PACKET_IN.unpack_from(message, 8)
                if cookie >> 40 != PUNTS:
                    return cookies.is_ours(cookie)
                # the match is padded to 8 octets, and 2 more bring the frame's payload to alignment
                frame = message[24 + (match_length + 7 & ~7) + 2 :]
                kind = cookie & ITEM_MASK
                if len(frame) < total_length and kind not in CUT:
                    self.app.statistics["dropped_cut_by_switch"] += 1
                elif kind in WITH_ORIGIN:
                    self.bridge.punted_from(kind, frame, Origin.of(message[OXM_FIELDS : OXM_FIELDS + match_length - 4]))
                else:
                    self.bridge.punted(kind, frame)
                return True
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

    def _multipart_reply(self, xid: int, message: bytes) -> bool:
        if self.dump is None or xid != self.dump_xid:
            return self.flows.add(xid, message) or any(
                role.counted(xid, message) for role in self.bridge.roles.values()
            )
        if self.dump.add(message):
            dump, self.dump = self.dump, None
            self.app.loops.spawn("synchronise", self.synchronise, dump)
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

    # Bringing the switch to what it should be

    def synchronise(self, dump: flow_dump.FlowDump) -> None:
        """Add everything wanted under a new generation, then delete the older ones: at no time is a flow missing."""
        bridge = self.bridge
        generation = cookies.next_generation(dump.generations)
        for meter in pipeline.meters(punt_rates(self.app.config.limits.punt_rates)):
            for command in (ofproto.OFPMC_ADD, ofproto.OFPMC_MODIFY):
                bridge.outbox.put(encode.wire(encode.meter_mod(meter, command), bridge.outbox.next_xid()))
        bridge.put_static_flows(generation)
        now = self.app.clock()
        self.adopted = sum(role.adopt(dump, now) for role in bridge.roles.values())
        bridge.ready = True
        bindings = 0
        for role in bridge.roles.values():
            for _ in role.restore():
                bindings += 1
                if bindings % SYNC_CHUNK == 0:
                    bridge.outbox.flush()
                    hub.sleep(0)
        bridge.neighbours.resolve(bridge.router, now, permanent=True)
        bridge.outbox.then(lambda: self._confirmed(dump.generations))
        bridge.outbox.flush()
        LOG.info(
            "switch synchronised link=%s dpid=%016x generation=%d bindings=%d adopted=%d flows_found=%d",
            self.config.name,
            self.datapath.id,
            generation,
            bindings,
            self.adopted,
            dump.flows,
        )
        self.app.reschedule()

    def _confirmed(self, generations: set[int]) -> None:
        """All flows of the new generation are in: those of the older ones may go."""
        self.bridge.confirmed = True
        for name, role in self.bridge.roles.items():
            role.link_up(self.app.clock())
            self.app.event_log.add(EventView("switch_ready", name, datapath_id=self.datapath.id))
        for generation in generations:
            value = cookies.cookie(Category.PIPELINE, generation)
            message = encode.delete_generation(value, cookies.GENERATION_MASK)
            self.bridge.outbox.put(encode.wire(message, self.bridge.outbox.next_xid()))


def punt_rates(rates: PuntRates) -> dict[Punt, int]:
    """Packets a second of each kind that a switch may hand up."""
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
        Punt.CORRESPONDENT_PROBLEM: rates.tunnel_errors,
        Punt.UNBOUND_CORRESPONDENT: rates.unbound,
        Punt.HOST_PROBLEM: rates.tunnel_errors,
    }
