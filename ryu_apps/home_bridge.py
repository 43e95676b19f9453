"""One connected switch that carries a home link: punts to the engine, the engine's actions to flows and packets."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Final

from mip6core import addresses
from mip6core.actions import (
    Action,
    InstallBinding,
    RefreshBinding,
    ReleaseBinding,
    SendDatagram,
    UnwatchAddress,
    WatchAddress,
)
from mip6core.addresses import Address, link_local, multicast_mac, solicited_node
from mip6core.bcache import BindingCacheEntry
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import NeighborAdvertisement, NeighborSolicitation
from mip6core.constants import ICMPV6, ND_HOP_LIMIT
from mip6core.errors import ParseError
from mip6core.home_agent import HomeAgent
from mip6core.home_link import HomeLink
from ryu_apps import cookies, encode, forwarding_errors, pipeline, templates
from ryu_apps.cookies import Category
from ryu_apps.flowspec import CONTROLLER, LOCAL, FlowSpec, Output, Resubmit
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.neighbours import NeighbourTable
from ryu_apps.of_compat import ofproto
from ryu_apps.outbox import Outbox
from ryu_apps.pipeline import BridgeLayout, Punt, Table
from ryu_apps.protection import Protection

LOG = logging.getLogger(__name__)

ETHERTYPE_IPV6: Final = b"\x86\xdd"
MAX_HARD_TIMEOUT: Final = 0xFFFF  # seconds
NO_COOKIE: Final = bytes(8)  # a strict delete goes by table, priority and match
NO_TIMEOUT: Final = bytes(2)
PUNTED: Final = {int(kind): f"punted_{kind.name.lower()}" for kind in Punt}  # names of counters
TIMEOUT_ROUNDING: Final = 2  # seconds: each lifetime in a timeout is rounded up
NEIGHBOUR_IDLE: Final = 120  # seconds without traffic until a neighbour's flow goes


class HomeBridge:
    """The home agent's hands on one bridge.

    `send` writes octets to the switch, `clock` is monotonic, `perform_elsewhere` takes actions for other links.
    """

    def __init__(
        self,
        engine: HomeAgent,
        link: HomeLink,
        layout: BridgeLayout,
        router: Address,
        send: Callable[[bytes], object],
        clock: Callable[[], float],
        statistics: dict[str, int],
        perform_elsewhere: Callable[[list[Action]], None],
        gateway: Gateway,
    ) -> None:
        self.engine = engine
        self.link = link
        self.layout = layout
        self.router = router
        self.clock = clock
        self.statistics = statistics
        self._perform_elsewhere = perform_elsewhere
        self._begin(0)
        self.ready = False  # the flows are on their way; until then nothing is handed to the engine
        self.confirmed = False  # and the switch has said that they are in
        self.outbox = Outbox(send, self._refused)
        self.neighbours = NeighbourTable(self)
        self._gateway = gateway
        self._protection = Protection(self, gateway)
        self._onward = templates.PacketOut(layout.onward)
        self._to_bindings = templates.PacketOut(Resubmit(Table.BINDINGS))
        self._to_host = templates.PacketOut(Output(LOCAL), in_port=CONTROLLER)
        self._home_address: Address | None = None  # that the packets with `after_flows` are about
        self._flows_end: dict[Address, float] = {}  # when a binding's flows end by themselves, monotonic seconds
        self._execute: dict[type, Callable[[Any], None]] = {
            InstallBinding: self._install,
            RefreshBinding: self._refresh,
            ReleaseBinding: self._release,
            WatchAddress: self._watch,
            UnwatchAddress: self._unwatch,
            SendDatagram: self._send_datagram,
        }
        self._punts: dict[int, Callable[[bytes, float], None]] = {
            Punt.SIGNALLING: self._signalling,
            Punt.NEIGHBOR_DISCOVERY: self._neighbor_discovery,
            Punt.TUNNEL_ERROR: self.tunnel_error,
            Punt.UNRESOLVED: self._unresolved,
            Punt.HOME_DISCOVERY: self._signalling,
            Punt.ROUTER_DISCOVERY: self._signalling,
            Punt.ESP: self._protection.esp,
            Punt.HOME_TEST: self._protection.home_test,
            Punt.HOME_TEST_INIT: self._protection.home_test_init,
        }

    # From the switch

    def punted(self, kind: int, frame: bytes) -> None:
        """A packet that a punt flow has sent us."""
        self.statistics[PUNTED[kind]] += 1
        if not self.ready or frame[12:14] != ETHERTYPE_IPV6:
            self.statistics["dropped_not_ready" if not self.ready else "dropped_not_ipv6"] += 1
            return
        self._punts[kind](frame, self.clock())

    def _signalling(self, frame: bytes, now: float) -> None:
        try:
            datagram = ipv6.parse(frame[14:])
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            return
        if self._gateway.admits(datagram):
            self.execute(self.engine.receive(self.link, datagram, frame[6:12], now))

    def _neighbor_discovery(self, frame: bytes, now: float) -> None:
        try:
            datagram = ipv6.parse(frame[14:])
            message = icmpv6.parse(datagram)
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            return
        if isinstance(message, NeighborAdvertisement) and datagram.destination == self.link.address:
            self.neighbours.advertisement(
                message.target, message.link_layer_address, message.solicited, message.override, now
            )
        self.execute(self.engine.receive(self.link, datagram, frame[6:12], now))

    def tunnel_error(self, frame: bytes, now: float) -> None:
        """A packet that may not enter the tunnel: its sender is told why."""
        packet = frame[14:]
        error = forwarding_errors.for_tunnel(packet, self.link.address, self.layout.tunnel_mtu)
        if error is None:
            self.statistics["dropped_no_error_due"] += 1
            return
        self.statistics["icmpv6_errors_sent"] += 1
        self.send_through_pipeline(error, now)

    def _unresolved(self, frame: bytes, now: float) -> None:
        packet = forwarding_errors.forwarded(frame[14:])
        if packet is None:
            self.statistics["dropped_truncated"] += 1
            return
        self.neighbours.resolve(packet[24:40], now, waiting=packet)

    def _refused(self, home_address: Address) -> None:
        LOG.error("switch refused flows hoa=%s link=%s", addresses.text(home_address), self.link.name)
        self.statistics["flows_refused"] += 1
        self.execute(self.engine.installation_failed(home_address, self.clock()))

    # The engine's actions

    def execute(self, actions: list[Action]) -> None:
        """Carry out what the engine asks for; `outbox.flush` sends it."""
        self._home_address = None
        elsewhere: list[Action] = []
        for action in actions:
            if action.link is self.link:
                self._execute[type(action)](action)
            else:
                elsewhere.append(action)
        if elsewhere:
            self._perform_elsewhere(elsewhere)

    def _install(self, action: InstallBinding) -> None:
        binding, previous = action.binding, action.previous
        home, care_of = binding.home_address, binding.care_of_address
        self._home_address = home
        xid = self.outbox.next_flow_xid(home)
        # The proxy flows stay where they are while the binding moves, unless they would end before it does.
        keep_proxy = previous is not None and self._timeouts_fit(binding)
        self._add_binding(binding, xid, with_proxy=not keep_proxy)
        if previous is None:
            return
        if previous.care_of_address != care_of:
            values = (xid, NO_COOKIE, NO_TIMEOUT, home, previous.care_of_address)
            self.outbox.put(templates.DELETE_REVERSE_TUNNEL % values)
        if keep_proxy and binding.link_local and not previous.link_local:
            self._put_proxy(binding, xid, link_local(home), self._hard_timeout(binding))
        if previous.link_local and not binding.link_local:
            self.outbox.put(templates.DELETE_PROXY % (xid, NO_COOKIE, NO_TIMEOUT, link_local(home)))

    def _refresh(self, action: RefreshBinding) -> None:
        """The flows outlive one more lifetime, so that most refreshes need none."""
        binding = action.binding
        self._home_address = binding.home_address
        if not self._timeouts_fit(binding):
            self._add_binding(binding, self.outbox.next_flow_xid(binding.home_address), with_proxy=True)

    def _release(self, action: ReleaseBinding) -> None:
        binding = action.binding
        home = binding.home_address
        self._home_address = home
        self._flows_end.pop(home, None)
        xid = templates.word(self.outbox.next_xid())
        head = (xid, NO_COOKIE, NO_TIMEOUT)
        put = self.outbox.put
        put(templates.DELETE_TUNNEL % (*head, home))
        put(templates.DELETE_REVERSE_TUNNEL % (*head, home, binding.care_of_address))
        self._protection.delete_flows(home, xid)
        if not self.link.virtual:
            put(templates.DELETE_PROXY % (*head, home))
            if binding.link_local:
                put(templates.DELETE_PROXY % (*head, link_local(home)))

    def _add_binding(self, binding: BindingCacheEntry, xid: bytes, with_proxy: bool, lifetimes: int = 2) -> None:
        home, care_of = binding.home_address, binding.care_of_address
        hard = self._hard_timeout(binding, lifetimes)
        item = cookies.binding_item(binding.sequence, binding.flags)
        put = self.outbox.put
        self._protection.add_flows(home, xid, hard)
        put(templates.ADD_TUNNEL % (xid, templates.long(self._tunnel_cookie | item), hard, home, care_of))
        put(templates.ADD_REVERSE_TUNNEL % (xid, templates.long(self._reverse_cookie | item), hard, home, care_of))
        if not with_proxy:
            return
        seconds = int.from_bytes(hard, "big")
        self._flows_end[home] = self.clock() + seconds if seconds else math.inf
        if not self.link.virtual:
            self._put_proxy(binding, xid, home, hard)
            if binding.link_local:
                self._put_proxy(binding, xid, link_local(home), hard)

    def _put_proxy(self, binding: BindingCacheEntry, xid: bytes, target: Address, hard: bytes) -> None:
        item = cookies.binding_item(binding.sequence, binding.flags)
        self.outbox.put(templates.ADD_PROXY % (xid, templates.long(self._proxy_cookie | item), hard, target))

    def _timeouts_fit(self, binding: BindingCacheEntry) -> bool:
        """Whether the flows end after the binding, and not more than another lifetime after it."""
        end = self._flows_end.get(binding.home_address, 0.0)
        left = binding.expires_at - self.clock()
        if left > MAX_HARD_TIMEOUT:
            return end == math.inf
        return binding.expires_at <= end <= binding.expires_at + left + TIMEOUT_ROUNDING

    def _hard_timeout(self, binding: BindingCacheEntry, lifetimes: int = 2) -> bytes:
        """Twice what is left of the lifetime: state dies by itself, yet every other refresh needs no flows.

        0, for ever, where the lifetime itself does not fit in 16 bits.
        """
        left = math.ceil(binding.expires_at - self.clock())
        if left > MAX_HARD_TIMEOUT:
            return NO_TIMEOUT
        return templates.short(min(lifetimes * left, MAX_HARD_TIMEOUT))

    def _watch(self, action: WatchAddress) -> None:
        for flow in pipeline.watch_flows(self.layout, addresses.text(action.address), self.generation):
            self.put_flow(flow)

    def _unwatch(self, action: UnwatchAddress) -> None:
        for flow in pipeline.watch_flows(self.layout, addresses.text(action.address), self.generation):
            self.put_flow(flow, ofproto.OFPFC_DELETE_STRICT)

    def _send_datagram(self, action: SendDatagram) -> None:
        packet = self._gateway.wrap(action.packet)
        if packet is None:
            return
        mac = action.link_layer_destination
        if mac is None:
            mac = self._next_hop(packet)
            if mac is None:
                return
        message = self._onward.build(mac + self.link.link_layer_address + ETHERTYPE_IPV6 + packet)
        if action.after_flows:
            self.outbox.promise(self._home_address, message)
        else:
            self.outbox.put(message)

    # Packets of our own

    def _next_hop(self, packet: bytes) -> bytes | None:
        """The link-layer address a packet goes to; None: not known yet, the packet waits for it."""
        destination = packet[24:40]
        if destination[0] == 0xFF:
            return multicast_mac(destination)
        hop = destination if self.link.find_prefix(destination) is not None else self.router
        mac = self.neighbours.lookup(hop)
        if mac is None:
            self.neighbours.resolve(hop, self.clock(), waiting=packet)
        return mac

    def send_through_pipeline(self, packet: bytes, now: float) -> None:
        """Send a packet of ours by the way that any packet to its destination takes, a binding's tunnel included."""
        if self.engine.bindings.get_bound(packet[24:40]) is not None:
            mac = self.link.link_layer_address
            self.outbox.put(self._to_bindings.build(mac + mac + ETHERTYPE_IPV6 + packet))
            return
        self.send_past_bindings(packet)

    def send_past_bindings(self, packet: bytes) -> None:
        """Send a packet of ours to its destination address, whatever binding that has."""
        if packet[24:40] == self.link.address:  # an error about a packet of the home agent's own host
            own = self.link.link_layer_address
            self.outbox.put(self._to_host.build(own + own + ETHERTYPE_IPV6 + packet))
            return
        mac = self._next_hop(packet)
        if mac is not None:
            self._transmit(packet, mac)

    def _transmit(self, packet: bytes, mac: bytes) -> None:
        self.outbox.put(self._onward.build(mac + self.link.link_layer_address + ETHERTYPE_IPV6 + packet))

    # What the neighbour table asks for

    def solicit(self, address: Address, link_layer_address: bytes | None) -> None:
        """Send a Neighbor Solicitation from the home agent's address."""
        own = self.link.address
        destination = solicited_node(address) if link_layer_address is None else address
        message = NeighborSolicitation(address, self.link.link_layer_address)
        upper = icmpv6.build(message, own, destination)
        packet = ipv6.build(own, destination, ICMPV6, upper, hop_limit=ND_HOP_LIMIT)
        self._transmit(packet, link_layer_address or multicast_mac(destination))

    def resolved(self, address: Address, link_layer_address: bytes, waiting: list[bytes]) -> None:
        """Let the flows deliver to a neighbour."""
        for flow in self._neighbour_flows(address, link_layer_address):
            self.put_flow(flow)
        for packet in waiting:
            self._transmit(packet, link_layer_address)

    def unreachable(self, address: Address, waiting: list[bytes]) -> None:
        """Nobody answers for `address`: no flow; whoever waits for it is told (RFC 4861 section 7.2.2)."""
        for flow in self._neighbour_flows(address, b"\0" * 6):
            self.put_flow(flow, ofproto.OFPFC_DELETE_STRICT)
        for packet in waiting:
            error = forwarding_errors.address_unreachable(packet, self.link.address)
            if error is not None:
                self.statistics["icmpv6_errors_sent"] += 1
                self.send_through_pipeline(error, self.clock())

    def _neighbour_flows(self, address: Address, link_layer_address: bytes) -> list[FlowSpec]:
        """The router is the way to everywhere else, and a neighbour like any other."""
        mac, text = link_layer_address.hex(":"), addresses.text(address)
        if address != self.router:
            return [pipeline.neighbour_flow(self.layout, text, mac, self.generation, NEIGHBOUR_IDLE)]
        return [
            pipeline.router_flow(self.layout, mac, self.generation),
            pipeline.neighbour_flow(self.layout, text, mac, self.generation, idle=0),
        ]

    # Bringing the switch to what it should be

    def put_flow(self, flow: FlowSpec, command: int = ofproto.OFPFC_ADD) -> None:
        """Add or delete one flow that is not a binding's."""
        self.outbox.put(encode.wire(encode.flow_mod(flow, command), self.outbox.next_xid()))

    def _begin(self, generation: int) -> None:
        self.generation = generation
        self._tunnel_cookie = cookies.cookie(Category.TUNNEL, generation)
        self._reverse_cookie = cookies.cookie(Category.REVERSE_TUNNEL, generation)
        self._proxy_cookie = cookies.cookie(Category.PROXY_ND, generation)

    def put_static_flows(self, generation: int) -> None:
        """From now on every flow belongs to `generation`."""
        self._begin(generation)
        for flow in pipeline.static_flows(self.layout, generation):
            self.put_flow(flow)

    def put_binding(self, binding: BindingCacheEntry) -> None:
        """Install a binding that the engine already has.

        Its flows end with it: an adopted one may have reached the end of its lifetime already, as far as the switch
        can tell, and each restart would give it another.
        """
        xid = self.outbox.next_flow_xid(binding.home_address)
        self._add_binding(binding, xid, with_proxy=True, lifetimes=1)

    def tick(self, now: float) -> None:
        """Once a second."""
        self.neighbours.tick(now)
        self.outbox.flush()
