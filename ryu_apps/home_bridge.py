"""The home agent's role of one bridge: punts to the engine, the engine's actions to flows and packets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from math import ceil, inf
from typing import Final

from mip6core import addresses
from mip6core.actions import (
    Action,
    InstallBinding,
    RefreshBinding,
    ReleaseBinding,
    UnwatchAddress,
    WatchAddress,
)
from mip6core.addresses import Address, link_local
from mip6core.bcache import BindingCacheEntry
from mip6core.codec import ipv6
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import ESP, MOBILITY_HEADER
from mip6core.errors import ParseError
from mip6core.fsm import State
from mip6core.home_agent import HomeAgent
from mip6core.home_link import HomeLink
from ryu_apps import cookies, forwarding_errors, home_pipeline, templates
from ryu_apps.binding_counters import BindingCounters
from ryu_apps.bridge import IPV6_HEADER, NO_COOKIE, NO_TIMEOUT, Bridge, Role
from ryu_apps.cookies import Category, binding_item
from ryu_apps.flow_dump import FlowDump
from ryu_apps.flowspec import FlowSpec, Resubmit, SetField
from ryu_apps.fragments import Fragments
from ryu_apps.home_pipeline import HomeLayout
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.narrow_paths import NarrowPaths
from ryu_apps.of_compat import hub, ofproto
from ryu_apps.origin import Origin
from ryu_apps.parameter_problems import without_mobility
from ryu_apps.pipeline import OPTIMIZED, Punt, Table
from ryu_apps.protection import Protection
from ryu_apps.templates import ADD_TUNNELS, ADD_TUNNELS_AFTER_MOVE, DELETE_REVERSE_TUNNEL, long, short

LOG = logging.getLogger(__name__)

MAX_HARD_TIMEOUT: Final = 0xFFFF  # seconds
_STATIC: Final = State.STATIC  # to read it from the enumeration takes its time
LIFETIMES: Final = 2  # in a timeout: state dies by itself, yet every other refresh needs no flows
TIMEOUT_ROUNDING: Final = 2  # seconds: each lifetime in a timeout is rounded up


class HomeBridge(Role[HomeLink]):
    """The home agent's hands on one bridge."""

    key_type = bytes

    def __init__(
        self,
        bridge: Bridge,
        engine: HomeAgent,
        link: HomeLink,
        layout: HomeLayout,
        gateway: Gateway,
        perform_elsewhere: Callable[[list[Action]], None],
    ) -> None:
        super().__init__(bridge, link, perform_elsewhere, gateway.wrap)
        self.engine = engine
        self.layout = layout
        self._gateway = gateway
        self._protection = Protection(self, gateway)
        self._fragments = Fragments(self, {MOBILITY_HEADER: self._signalling, ESP: self._protection.esp})
        self._narrow_paths = NarrowPaths(self)
        self.counters = BindingCounters(self._care_of_address)
        self._to_bindings = templates.PacketOut(Resubmit(Table.BINDINGS))
        self._from_host = templates.PacketOut(SetField(OPTIMIZED, 1), Resubmit(Table.BINDINGS))
        self.left_home: Callable[[Address], None] | None = None  # tells the correspondents of the same bridge
        self._flows_end: dict[Address, float] = {}  # when a binding's flows end by themselves, monotonic seconds
        self.begin(0)
        self._execute |= {
            InstallBinding: self._install,
            RefreshBinding: self._refresh,
            ReleaseBinding: self._release,
            WatchAddress: self._watch,
            UnwatchAddress: self._unwatch,
        }
        self.punts = {
            Punt.SIGNALLING: self._signalling,
            Punt.TUNNEL_ERROR: self.tunnel_error,
            Punt.HOME_DISCOVERY: self._signalling,
            Punt.ROUTER_DISCOVERY: self._router_discovery,
            Punt.ESP: self._protection.esp,
            Punt.HOME_TEST: self._protection.home_test,
            Punt.HOME_TEST_INIT: self._protection.home_test_init,
            Punt.ICMPV6_ERROR: self._icmpv6_error,
            Punt.TUNNELLED_DISCOVERY: self._tunnelled_discovery,
            Punt.UPLINK_FRAGMENT: self._fragments.by_uplink,
            Punt.LINK_FRAGMENT: self._fragments.from_link,
            Punt.NARROW_PATH: self._narrow_paths.punted,
            Punt.HOST_PROBLEM: self._host_problem,
        }
        self.punts_with_origin = {
            Punt.UNBOUND: self._unbound,
        }

    @property
    def packets_in_fragments(self) -> int:
        """How many packets wait for fragments."""
        return len(self._fragments)

    @property
    def narrow_path_count(self) -> int:
        """How many bindings have tunnels on narrow paths."""
        return len(self._narrow_paths)

    # From the switch

    def _signalling(self, frame: bytes, now: float) -> None:
        link_layer_source = frame[6:12]
        if self._gateway.admits_all:
            actions = self.engine.receive_usual(self.link, frame[14:], link_layer_source, now)
            if actions is not None:
                self.execute(actions)
                return
        datagram = self.parse(frame, link_layer_source, now)
        if datagram is not None and self._gateway.admits(datagram):
            self.execute(self.engine.receive(self.link, datagram, link_layer_source, now))

    def _tunnelled_discovery(self, frame: bytes, now: float) -> None:
        """Open vSwitch has made up the Ethernet header."""
        datagram = self.parse(frame, b"", now)
        if datagram is not None and self._gateway.admits(datagram):
            self.execute(self.engine.receive(self.link, datagram, b"", now))

    def parse(self, frame: bytes, link_layer_source: bytes, now: float) -> Datagram | None:
        """The packet that nobody but the home agent gets; None: it is wrong, and its sender is told if that is due."""
        try:
            return ipv6.parse(frame[14:])
        except ParseError as error:
            self.execute(self.engine.malformed(self.link, frame[14:], error, link_layer_source, now))
            return None

    def _router_discovery(self, frame: bytes, now: float) -> None:
        """A copy. What is wrong with the packet, the host will find out, too."""
        datagram = self._parse_copy(frame)
        if datagram is not None:
            self.execute(self.engine.receive(self.link, datagram, frame[6:12], now))

    def _parse_copy(self, frame: bytes) -> Datagram | None:
        try:
            datagram = ipv6.parse(frame[14:])
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            return None
        if datagram.unrecognized_option is not None:
            self.statistics["dropped_unrecognized_option"] += 1
            return None
        return datagram

    def _unbound(self, frame: bytes, origin: Origin, now: float) -> None:
        """A packet to the home agent itself that had a Home Address option, and no binding says that it may."""
        packet = frame[14:]
        if len(packet) < IPV6_HEADER or origin.tunnel_source is None:
            self.statistics["dropped_truncated"] += 1
            return
        home_address = packet[8:24]
        binding = self.engine.bindings.get_bound(home_address)
        if binding is not None and binding.link is self.link and binding.care_of_address == origin.tunnel_source:
            self.bridge.send_past_bindings(packet)  # the flows were on their way
            return
        self.execute(self.engine.unknown_binding(self.link, origin.tunnel_source, home_address, b"", now))

    def neighbor_discovery(self, datagram: Datagram, link_layer_source: bytes, now: float) -> None:
        self.execute(self.engine.receive(self.link, datagram, link_layer_source, now))

    def tunnel_error(self, frame: bytes, now: float) -> None:
        """A packet that may not enter the tunnel: its sender is told why."""
        self.bridge.send_error(
            frame, forwarding_errors.for_tunnel(frame[14:], self.link.address, self.layout.tunnel_mtu)
        )

    def _icmpv6_error(self, frame: bytes, now: float) -> None:
        """An error from inside a tunnel is for the original sender (RFC 2473 section 8)."""
        datagram = self._parse_copy(frame)
        if datagram is None:
            return
        report = self.engine.tunnel_errors.relay(self.link, datagram, now)
        if report.packet is not None:
            self.bridge.send_through_pipeline(report.packet)
        if report.narrow is not None:
            self._narrow_paths.found(report.narrow, now)

    def _host_problem(self, frame: bytes, now: float) -> None:
        """The host's kernel may not know of Mobile IPv6, and complains of what it should leave alone in silence."""
        allowed = without_mobility(frame)
        if allowed is None:
            self.statistics["dropped_complaint_about_mobility"] += 1
        else:
            self.outbox.put(self._from_host.build(allowed))

    def way(self, packet: bytes) -> templates.PacketOut | None:
        return None if self.engine.bindings.get_bound(packet[24:40]) is None else self._to_bindings

    def refused(self, key: Address) -> None:
        LOG.error("switch refused flows hoa=%s link=%s", addresses.text(key), self.link.name)
        self.execute(self.engine.installation_failed(key, self.clock()))

    # The engine's actions

    def _install(self, action: InstallBinding) -> None:
        binding, previous = action.binding, action.previous
        home = binding.home_address
        self._binding = home
        xid = self.outbox.next_flow_xid(home)
        now = self.clock()
        # The proxy flows stay where they are while the binding moves, unless they would end before it does.
        keep_proxy = previous is not None and self._timeouts_fit(binding, now)
        moved = previous is not None and previous != binding.care_of_address
        self._add_binding(binding, xid, now, not keep_proxy, moved)
        if previous is None:
            if self.left_home is not None:
                self.left_home(home)
            return
        if moved:
            self._narrow_paths.ended(home)
            self.outbox.put(DELETE_REVERSE_TUNNEL % (xid, NO_COOKIE, NO_TIMEOUT, home, previous))
        if binding.link_local == action.previous_link_local:
            return
        if not binding.link_local:
            self._release_link_local(home, xid)
        elif keep_proxy:
            self._defend_link_local(binding, xid, _hard_timeout(binding.expires_at - now, LIFETIMES))

    def _refresh(self, action: RefreshBinding) -> None:
        """The flows outlive one more lifetime, so that most refreshes need none."""
        binding = action.binding
        self._binding = binding.home_address
        now = self.clock()
        self.bridge.known_networks.seen(binding.care_of_address, now)
        if not self._timeouts_fit(binding, now):
            self._add_binding(binding, self.outbox.next_flow_xid(binding.home_address), now, with_proxy=True)

    def _release(self, action: ReleaseBinding) -> None:
        binding = action.binding
        home = binding.home_address
        self._binding = home
        self._flows_end.pop(home, None)
        self.counters.forget(home)
        self._narrow_paths.ended(home)
        xid = templates.word(self.outbox.next_xid())
        head = (xid, NO_COOKIE, NO_TIMEOUT)
        put = self.outbox.put
        put(templates.DELETE_TUNNEL % (*head, home))
        put(DELETE_REVERSE_TUNNEL % (*head, home, binding.care_of_address))
        if self._gateway.active:
            self._protection.delete_flows(home, xid)
        if not self.link.virtual:
            put(templates.DELETE_PROXY % (*head, home))
            if binding.link_local:
                self._release_link_local(home, xid)

    def _add_binding(
        self,
        binding: BindingCacheEntry,
        xid: bytes,
        now: float,
        with_proxy: bool,
        moved: bool = False,
        lifetimes: int = LIFETIMES,
    ) -> None:
        home, care_of = binding.home_address, binding.care_of_address
        hard = _hard_timeout(binding.expires_at - now, lifetimes)
        item = binding_item(binding.sequence, binding.flags, binding.state is _STATIC)
        put = self.outbox.put
        self.bridge.known_networks.seen(care_of, now)
        if self._gateway.active:
            self._protection.add_flows(home, xid, hard)
        tunnel, reverse = long(self._tunnel_cookie | item), long(self._reverse_cookie | item)
        template = ADD_TUNNELS_AFTER_MOVE if moved else ADD_TUNNELS
        put(template % (xid, tunnel, hard, home, care_of, xid, reverse, hard, home, care_of))
        if not with_proxy:
            return
        seconds = int.from_bytes(hard, "big")
        self._flows_end[home] = now + seconds if seconds else inf
        if not self.link.virtual:
            put(templates.ADD_PROXY % (xid, long(self._proxy_cookie | item), hard, home))
            if binding.link_local:
                self._defend_link_local(binding, xid, hard)

    def _defend_link_local(self, binding: BindingCacheEntry, xid: bytes, hard: bytes) -> None:
        item = binding_item(binding.sequence, binding.flags, binding.state is _STATIC)
        values = (xid, long(self._proxy_cookie | item), hard, link_local(binding.home_address))
        self.outbox.put(templates.ADD_PROXY % values)
        self.outbox.put(templates.ADD_LINK_LOCAL % values)

    def _release_link_local(self, home_address: Address, xid: bytes) -> None:
        values = (xid, NO_COOKIE, NO_TIMEOUT, link_local(home_address))
        self.outbox.put(templates.DELETE_PROXY % values)
        self.outbox.put(templates.DELETE_LINK_LOCAL % values)

    def _timeouts_fit(self, binding: BindingCacheEntry, now: float) -> bool:
        """Whether the flows end after the binding, and not more than another lifetime after it."""
        end = self._flows_end.get(binding.home_address, 0.0)
        expires_at = binding.expires_at
        left = expires_at - now
        if left > MAX_HARD_TIMEOUT:
            return end == inf
        return expires_at <= end <= expires_at + left + TIMEOUT_ROUNDING

    def _watch(self, action: WatchAddress) -> None:
        for flow in self._watch_flows(action.address):
            self.bridge.put_flow(flow)

    def _unwatch(self, action: UnwatchAddress) -> None:
        for flow in self._watch_flows(action.address):
            self.bridge.put_flow(flow, ofproto.OFPFC_DELETE_STRICT)

    def _watch_flows(self, address: Address) -> list[FlowSpec]:
        return home_pipeline.watch_flows(self.bridge.layout, addresses.text(address), self.bridge.generation)

    def protection_changed(self, home_addresses: Iterable[Address]) -> None:
        """These mobile nodes' Home Tests are protected since now, or no more."""
        for home_address in home_addresses:
            binding = self.engine.bindings.get_bound(home_address)
            if binding is None or binding.link is not self.link:
                continue
            if self._gateway.return_routability(home_address) is None:
                self._protection.take_flows_away(home_address, templates.word(self.outbox.next_xid()))
            else:
                xid = self.outbox.next_flow_xid(home_address)
                self._add_binding(binding, xid, self.clock(), with_proxy=True)  # all of them end together

    # Bringing the switch to what it should be

    def begin(self, generation: int) -> None:
        self._tunnel_cookie = cookies.cookie(Category.TUNNEL, generation)
        self._reverse_cookie = cookies.cookie(Category.REVERSE_TUNNEL, generation)
        self._proxy_cookie = cookies.cookie(Category.PROXY_ND, generation)

    def static_flows(self, generation: int) -> list[FlowSpec]:
        return home_pipeline.static_flows(self.bridge.layout, self.layout, generation)

    def adopt(self, dump: FlowDump, now: float) -> int:
        adopted = 0
        for found in dump.bindings.values():
            # A flow that never ends says nothing about the lifetime: the link's longest is the bound.
            remaining = found.remaining if found.static else min(found.remaining, self.link.max_lifetime)
            where = found.home_address, found.care_of_address
            adopted += self.engine.adopt(self.link, *where, found.sequence, found.flags, remaining, now, found.static)
        return adopted

    def restore(self) -> Iterator[None]:
        # The flows of a binding end with it here: an adopted one may have reached the end of its lifetime already, as
        # far as the switch can tell, and each restart would give it another.
        for binding in [entry for entry in self.engine.bindings if entry.bound and entry.link is self.link]:
            if binding.bound:
                xid = self.outbox.next_flow_xid(binding.home_address)
                self._add_binding(binding, xid, self.clock(), with_proxy=True, lifetimes=1)
            yield
        for address in self.engine.watched(self.link):
            for flow in self._watch_flows(address):
                self.bridge.put_flow(flow)

    # What the flows have counted

    def count(self, home_address: Address | None) -> hub.Event | None:
        """Ask the switch about the flows of one binding, or of all (None); what is set when it has answered.

        None: it is not asked, since it has just been, or too often.
        """
        now, next_xid = self.clock(), self.outbox.next_xid
        if home_address is None:
            asked = self.counters.ask_all(len(self.engine.bindings), next_xid, now)
        else:
            asked = self.counters.ask_one(home_address, next_xid, now)
        if asked is None:
            return None
        for message in asked.messages:
            self.outbox.put(message)
        self.outbox.flush()
        return asked.answered

    def counted(self, xid: int, message: bytes) -> bool:
        return self.counters.add(xid, message, self.clock())

    def _care_of_address(self, home_address: Address) -> Address | None:
        binding = self.engine.bindings.get_bound(home_address)
        return binding.care_of_address if binding is not None and binding.link is self.link else None

    def tick(self, now: float) -> None:
        self._fragments.tick(now)
        self._narrow_paths.tick(now)

    def link_up(self, now: float) -> None:
        self.engine.link_up(self.link, now)

    def link_down(self) -> None:
        self.engine.link_down(self.link)


def _hard_timeout(left: float, lifetimes: int) -> bytes:
    """So many times what is left of the lifetime; 0, for ever, where the lifetime itself does not fit in 16 bits."""
    if left > MAX_HARD_TIMEOUT:
        return NO_TIMEOUT
    seconds = lifetimes * ceil(left)
    return short(seconds if seconds < MAX_HARD_TIMEOUT else MAX_HARD_TIMEOUT)
