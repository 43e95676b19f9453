"""The packet-in entry of a real application object, and what must be true of it whatever comes in.

Time is a number that the steps of an input move. After the last step it is moved past all lifetimes, and nothing may be
left over.
"""

from __future__ import annotations

import logging
import random
import struct
from types import SimpleNamespace
from typing import Final
from unittest import mock

from deploy import config
from ryu_apps import app as application
from ryu_apps import cookies
from ryu_apps.bridge import Bridge
from ryu_apps.cookies import Category
from ryu_apps.flowspec import LOCAL
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.of_compat import MAIN_DISPATCHER, ofp_event, ofproto
from ryu_apps.pipeline import Punt
from tests.fuzz import site
from tests.fuzz.steps import DELAYS, KINDS, Op, unpack
from tests.fuzz.switch import HEADER, Switch

DRAIN: Final = 700  # seconds: longer than any lifetime of the site
OTHER_MESSAGES: Final = (
    ofproto.OFPT_PACKET_IN,
    ofproto.OFPT_ERROR,
    ofproto.OFPT_BARRIER_REPLY,
    ofproto.OFPT_MULTIPART_REPLY,
)
OXM_IN_PORT: Final = 0x80000004
NXM_TUN_IPV6_SRC: Final = 0x0001DA10
WALL_CLOCK: Final = 1.7e9


class Failure(AssertionError):
    """An invariant does not hold."""


class _Handler(logging.Handler):
    """Keeps what is logged of exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(logging.Formatter().format(record))


class Target:
    """The application with its two switches. It takes many inputs, one after the other."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.refuse = False
        chance = random.Random(6275)
        fake_time = SimpleNamespace(time=lambda: WALL_CLOCK + self.now, monotonic=lambda: self.now)
        fake_secrets = SimpleNamespace(token_bytes=chance.randbytes)
        with mock.patch.object(application, "time", fake_time), mock.patch.object(application, "secrets", fake_secrets):
            self.app = application.HomeAgentApp(config=config.parse(site.CONFIGURATION))
        self.app.clock = lambda: self.now
        self.app.reschedule = lambda: None  # type: ignore[method-assign]
        self.app.loops.spawn = lambda _name, function, *args: function(*args)  # type: ignore[method-assign]
        self.handler = _Handler()
        logging.getLogger("ryu_apps").addHandler(self.handler)
        logging.getLogger("ryu_apps").propagate = False
        self.switches = [
            Switch(index + 1, {LOCAL: bridge, 1: uplink, 2: f"mip6-{bridge}"}, site.MACS[index], lambda: self.now)
            for index, (bridge, uplink) in enumerate(site.BRIDGES)
        ]
        for switch, link in zip(self.switches, self.app.config.home_links, strict=True):
            switch.own, switch.router = link.address, link.router
            self._connect(switch)
        self.drain()

    def close(self) -> None:
        """Let the log go on as before."""
        logging.getLogger("ryu_apps").removeHandler(self.handler)
        logging.getLogger("ryu_apps").propagate = True

    # Inputs

    def run(self, octets: bytes) -> set[str]:
        """Carry out an input; what it has led to. Raises Failure."""
        found: set[str] = set()
        before = self._counters()
        for switch in self.switches:
            switch.given = octets
            switch.kinds.clear()
        self.refuse = False
        try:
            for op, number, data in unpack(octets):
                self._step(op, number, data)
                self._check()
            for switch in self.switches:
                found |= switch.kinds
            found |= {name for name, value in self._counters().items() if value != before.get(name)}
            self.drain()
        except Failure:
            raise
        except Exception as error:
            raise Failure(f"{type(error).__name__}: {error}") from error
        return found

    def _step(self, op: int, number: int, data: bytes) -> None:
        if op in (Op.HOME_PUNT, Op.VIRTUAL_PUNT):
            # Numbers beyond the kinds are for the same ones out of a tunnel from a care-of address.
            self._punt(self.switches[op], KINDS[number % len(KINDS)], data, number // len(KINDS))
        elif op == Op.WAIT:
            self._wait(DELAYS[number % len(DELAYS)])
        elif op == Op.REFUSE:
            self.refuse = True
        elif op == Op.MESSAGE:
            self._arrives(self.switches[number % 2], OTHER_MESSAGES[number // 2 % 4], number, data)
        elif op == Op.CLEAR:
            for entry in list(self.app.engine.bindings):
                self.app.perform(self.app.engine.clear(entry.home_address, self.now))
        else:
            self._connect(self.switches[number % 2])
        self._answer()

    def _punt(self, switch: Switch, kind: Punt, frame: bytes, tunnel: int = 0) -> None:
        bridge, _ = self._bridge(switch)
        if kind not in bridge._punts and kind not in bridge._punts_with_origin:
            return  # of a role that the bridge does not have
        fields = struct.pack("!II", OXM_IN_PORT, 1)
        if tunnel:
            fields += struct.pack("!I", NXM_TUN_IPV6_SRC) + site.TUNNEL_SOURCES[tunnel % len(site.TUNNEL_SOURCES)]
        match = struct.pack("!HH", 1, 4 + len(fields)) + fields
        match += bytes(-len(match) % 8)
        cookie = cookies.cookie(Category.PUNT, 0, kind)
        body = struct.pack("!IHBBQ", ofproto.OFP_NO_BUFFER, len(frame), 1, 60, cookie) + match + b"\0\0" + frame
        self._arrives(switch, ofproto.OFPT_PACKET_IN, 0, body)

    def _arrives(self, switch: Switch, kind: int, xid: int, body: bytes) -> None:
        receiver = switch.receiver
        if receiver is None:
            raise Failure("a switch was lost")
        receiver.receive(kind, xid, HEADER.pack(4, kind, 8 + len(body) & 0xFFFF, xid) + body)
        receiver.chunk_received()

    def _connect(self, switch: Switch) -> None:
        """Connect, or connect again: the flows are still there."""
        if switch.receiver is not None:
            self.app.detach(switch)
        event = ofp_event.EventOFPStateChange(switch)
        event.state = MAIN_DISPATCHER
        switch.barriers.clear()
        switch.dump_requests.clear()
        self.app.on_state_change(event)
        (xid,) = switch.dump_requests
        octets = switch.dump(xid)
        self._arrives(switch, ofproto.OFPT_MULTIPART_REPLY, xid, octets[8:])
        self._answer()

    def _answer(self) -> None:
        """What the switch and the router say to what they were sent."""
        for switch in self.switches:
            while switch.barriers:
                if self.refuse:
                    self.refuse = False
                    body = struct.pack("!HH", ofproto.OFPET_FLOW_MOD_FAILED, 0)
                    self._arrives(switch, ofproto.OFPT_ERROR, switch.last_flow_xid, body)
                self._arrives(switch, ofproto.OFPT_BARRIER_REPLY, switch.barriers.pop(0), b"")
            if switch.router_asked:
                switch.router_asked = False
                self._punt(switch, Punt.NEIGHBOR_DISCOVERY, site.router_answer(switch.router, switch.own))

    # Time

    def _wait(self, seconds: float) -> None:
        """Let time pass, with the engine's timer and the tick that the application has each second."""
        end = self.now + seconds
        while (due := self.app.engine.next_timer()) is not None and due <= end:
            self._tick_bridges(due)
            self.app._tick_engine()
            self._answer()
        self._tick_bridges(end)

    def _tick_bridges(self, until: float) -> None:
        step = 1.0 if until - self.now < 140 else 20.0
        while self.now < until:
            self.now = min(until, self.now + step)
            for switch in self.app.switches.values():
                switch.bridge.tick(self.now)
            self._answer()

    def drain(self) -> None:
        """Let all lifetimes pass: nothing is left, here and in the switches."""
        self._wait(130)
        self._wait(DRAIN)
        engine = self.app.engine
        registrations, discovery = engine._registrations, engine.discovery
        prefixes = discovery.mobile_prefixes
        left = {
            "bindings": len(engine.bindings),
            "timers": len(registrations.timers),
            "addresses under test": len(registrations.dad),
            "announcements": len(registrations._announcer),
            "prefix deliveries": len(prefixes._deliveries) + len(prefixes._answers),
            "silences": sum(len(silence.since) for silence in prefixes._silences.values()),
            "anycast answers": discovery.anycast_answers,
            "timers of discovery": len(discovery.timers) - len(discovery._advertisers),
        }
        for switch in self.switches:
            bridge, home = self._bridge(switch)
            left |= {
                f"flows of {switch.id}": len(switch.binding_flows()),
                f"neighbours of {switch.id}": len(bridge.neighbours) - 1,  # the router
                f"barriers of {switch.id}": bridge.outbox.unconfirmed,
                f"messages of {switch.id}": len(bridge.outbox._messages),
                f"ends of flows of {switch.id}": len(home._flows_end),
                f"narrow paths of {switch.id}": len(home._narrow_paths),
                f"fragments of {switch.id}": len(home._fragments._reassembler),
            }
        self._check()
        if any(left.values()):
            raise Failure(f"left over: { {name: count for name, count in left.items() if count} }")

    # Invariants

    def _check(self) -> None:
        app = self.app
        if self.handler.seen or app.statistics["internal_errors"] or app.loops.died:
            seen, self.handler.seen = self.handler.seen, []
            seen = [text for text in seen if "switch refused flows" not in text and "switch error" not in text]
            if seen or app.statistics["internal_errors"] or app.loops.died:
                raise Failure("\n".join([str(app.loops.died), *seen]))
        for switch in self.switches:
            bridge, home = self._bridge(switch)
            reassembler = home._fragments._reassembler
            if len(bridge.neighbours) > 4097 or len(reassembler) > 256 or reassembler.octets > 1 << 20:
                raise Failure("a table has no bounds")
        engine = app.engine
        if len(engine._icmpv6_errors) > 4096 or len(engine._binding_errors) > 4096 or len(engine.bindings) > 50:
            raise Failure("a table has no bounds")

    def _bridge(self, switch: Switch) -> tuple[Bridge, HomeBridge]:
        receiver = switch.receiver
        if not isinstance(receiver, application.Switch) or not receiver.bridge.ready:
            raise Failure("a switch was lost")
        (home,) = receiver.bridge.roles.values()
        assert isinstance(home, HomeBridge)
        return receiver.bridge, home

    def _counters(self) -> dict[str, int]:
        return {**self.app.statistics, **self.app.engine.statistics}
