"""One connected switch: what every role of it shares.

A bridge plays the home agent for a home link, the correspondents of a correspondent link, or both. What a role adds,
its punts and its engine's actions, is in `home_bridge.py`; here is how packets leave and neighbours are found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from mip6core import addresses
from mip6core.actions import SendDatagram
from mip6core.addresses import Address, Prefix, is_link_local, multicast_mac, solicited_node
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import NeighborAdvertisement, NeighborSolicitation
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import ICMPV6, ND_HOP_LIMIT
from mip6core.correspondent_link import CorrespondentLink
from mip6core.errors import ParseError
from mip6core.home_link import HomeLink
from mip6core.rate_limit import SourceLimiter
from ryu_apps import encode, forwarding_errors, pipeline, templates
from ryu_apps.flow_dump import FlowDump
from ryu_apps.flowspec import CONTROLLER, LOCAL, FlowSpec, Output
from ryu_apps.known_networks import KnownNetworks
from ryu_apps.neighbours import NeighbourTable
from ryu_apps.of_compat import ofproto
from ryu_apps.origin import Origin
from ryu_apps.outbox import Outbox
from ryu_apps.pipeline import BY_NETWORK, BridgeLayout, Punt

NO_COOKIE: Final = bytes(8)  # a strict delete goes by table, priority and match
NO_TIMEOUT: Final = bytes(2)
ETHERTYPE_IPV6: Final = b"\x86\xdd"
IPV6_HEADER: Final = 40  # octets
PUNTED: Final = {int(kind): f"punted_{kind.name.lower()}" for kind in Punt}  # names of counters
# Signalling messages a second from one address. A mobile node sends 3 Binding Updates to each of its peers
# (MAX_UPDATE_RATE, RFC 6275 section 12), and the messages of return routability.
MAX_PER_SOURCE: Final = 1000
MAX_SOURCES: Final = 65_536  # that are counted in a second, more than the meters let through
NEIGHBOUR_IDLE: Final = 120  # seconds without traffic until a neighbour's flow goes

PuntHandler = Callable[[bytes, float], None]  # takes the frame, and the time in monotonic seconds
OriginHandler = Callable[[bytes, Origin, float], None]  # and where it came from


LinkT = TypeVar("LinkT", HomeLink, CorrespondentLink)


class Role(ABC, Generic[LinkT]):
    """What a bridge does for one link. `wrap` makes of a packet what may leave, None if nothing may."""

    key_type: type  # of what names a binding
    layout: Any  # what the role's flows need to know

    def __init__(
        self,
        bridge: Bridge,
        link: LinkT,
        perform_elsewhere: Callable[[list[Any]], None],
        wrap: Callable[[bytes], bytes | None],
    ) -> None:
        """`perform_elsewhere` takes actions for other links."""
        self.bridge: Bridge = bridge
        self.link: LinkT = link
        self.outbox = bridge.outbox
        self.clock = bridge.clock
        self.statistics = bridge.statistics
        self._perform_elsewhere = perform_elsewhere
        self._wrap = wrap
        self._build_onward = bridge.onward.build
        self._source_and_type = bridge.link_layer_address + ETHERTYPE_IPV6  # of the frames that are ours
        self._binding: Hashable = None  # that the packets with `after_flows` are about
        self._execute: dict[type, Callable[[Any], None]] = {SendDatagram: self._send_datagram}
        self.punts: dict[int, PuntHandler] = {}
        self.punts_with_origin: dict[int, OriginHandler] = {}

    def execute(self, actions: Sequence[Any]) -> None:
        """Carry out what the engine asks for; `outbox.flush` sends it."""
        self._binding = None
        link, execute = self.link, self._execute
        elsewhere: list[Any] = []
        for action in actions:
            if action.link is link:
                execute[type(action)](action)
            else:
                elsewhere.append(action)
        if elsewhere:
            self._perform_elsewhere(elsewhere)

    def _send_datagram(self, action: SendDatagram) -> None:
        packet = self._wrap(action.packet)
        if packet is None:
            return
        mac = action.link_layer_destination
        if action.through_bindings:
            self.bridge.send_through_pipeline(packet)
            return
        if mac is None:
            mac = self.bridge.next_hop(packet)
            if mac is None:
                return
        message = self._build_onward(mac + self._source_and_type + packet)
        if action.after_flows:
            self.outbox.promise(self._binding, message)
        else:
            self.outbox.put(message)

    @abstractmethod
    def neighbor_discovery(self, datagram: Datagram, link_layer_source: bytes, now: float) -> None:
        """A punted Neighbor Discovery message."""

    @abstractmethod
    def way(self, packet: bytes) -> templates.PacketOut | None:
        """The flows that take a packet of the bridge's own, if it concerns a binding."""

    @abstractmethod
    def refused(self, key: Any) -> None:
        """The switch did not take the flows of a binding, which is of `key_type`."""

    # Bringing the switch to what it should be

    @abstractmethod
    def begin(self, generation: int) -> None:
        """From now on every flow belongs to `generation`."""

    @abstractmethod
    def static_flows(self, generation: int) -> list[FlowSpec]:
        """The role's flows that do not depend on bindings."""

    @abstractmethod
    def adopt(self, dump: FlowDump, now: float) -> int:
        """Take over the bindings that only the switch still knows; how many."""

    @abstractmethod
    def restore(self) -> Iterator[None]:
        """Put the flows that the engine's state asks for, those of one binding at each step."""

    def counted(self, xid: int, message: bytes) -> bool:
        """A part of an answer to what the role may have asked about its flows. False: it has not."""
        return False

    @abstractmethod
    def tick(self, now: float) -> None:
        """Once a second."""

    @abstractmethod
    def link_up(self, now: float) -> None:
        """The switch has all its flows."""

    @abstractmethod
    def link_down(self) -> None:
        """The switch is gone."""


class Bridge:
    """The application's hands on one switch."""

    def __init__(
        self,
        layout: BridgeLayout,
        address: Address,
        router: Address,
        send: Callable[[bytes], object],
        clock: Callable[[], float],
        statistics: dict[str, int],
    ) -> None:
        """`address` is the bridge's own. `send` writes octets to the switch, `clock` is monotonic."""
        self.address = address
        self.link_layer_address = bytes.fromhex(layout.link_layer_address.replace(":", ""))
        self.router = router
        self.clock = clock
        self.statistics = statistics
        self.generation = 0
        self.ready = False  # the flows are on their way; until then nothing is handed to an engine
        self.confirmed = False  # and the switch has said that they are in
        self.roles: dict[str, Role[Any]] = {}  # by the name of the link
        self.outbox = Outbox(send, self._refused, clock)
        self.neighbours = NeighbourTable(self, statistics)
        self.known_networks = KnownNetworks(self)
        self._sources = SourceLimiter(MAX_PER_SOURCE, MAX_SOURCES)
        self.onward = templates.PacketOut(layout.onward)
        self._to_host = templates.PacketOut(Output(LOCAL), in_port=CONTROLLER)
        self._set_layout(layout)
        self._punts: dict[int, PuntHandler] = {
            Punt.NEIGHBOR_DISCOVERY: self._neighbor_discovery,
            Punt.UNRESOLVED: self._unresolved,
            Punt.ROUTE_TOO_BIG: self._route_too_big,
            Punt.UNREACHABLE: self._unreachable,
        }
        self._punts_with_origin: dict[int, OriginHandler] = {}

    def _set_layout(self, layout: BridgeLayout) -> None:
        self.layout = layout
        on_link = map(Prefix.parse, layout.on_link)
        self._on_link = tuple((prefix.network, prefix.last) for prefix in on_link)  # lowest and highest address

    def add_role(self, role: Role[Any]) -> None:
        """Before anything comes from the switch."""
        self.roles[role.link.name] = role
        self._punts.update(role.punts)
        self._punts_with_origin.update(role.punts_with_origin)

    # From the switch

    @property
    def sources(self) -> int:
        """How many sources of signalling this second has seen."""
        return len(self._sources)

    def punted(self, kind: int, frame: bytes) -> None:
        """A packet that a punt flow has sent us."""
        self.statistics[PUNTED[kind]] += 1
        if not self.ready:
            self.statistics["dropped_not_ready"] += 1
        elif frame[12:14] != ETHERTYPE_IPV6:
            self.statistics["dropped_not_ipv6"] += 1
        else:
            now = self.clock()
            if kind not in BY_NETWORK or self._sources.allow(frame[22:38], now):
                self._punts[kind](frame, now)
            else:
                self.statistics["dropped_source_rate"] += 1

    def punted_from(self, kind: int, frame: bytes, origin: Origin) -> None:
        """The same for a kind that is in `pipeline.WITH_ORIGIN`."""
        self.statistics[PUNTED[kind]] += 1
        if not self.ready or frame[12:14] != ETHERTYPE_IPV6:
            self.statistics["dropped_not_ready" if not self.ready else "dropped_not_ipv6"] += 1
            return
        now = self.clock()
        if kind not in BY_NETWORK or self._sources.allow(frame[22:38], now):
            self._punts_with_origin[kind](frame, origin, now)
        else:
            self.statistics["dropped_source_rate"] += 1

    def _neighbor_discovery(self, frame: bytes, now: float) -> None:
        try:
            datagram = ipv6.parse(frame[14:])
            if datagram.destination == self.address:
                self._advertisement(icmpv6.parse(datagram), now)
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            return
        for role in self.roles.values():
            role.neighbor_discovery(datagram, frame[6:12], now)  # which may answer a message that is wrong, too

    def _advertisement(self, message: icmpv6.Message, now: float) -> None:
        if isinstance(message, NeighborAdvertisement):
            self.neighbours.advertisement(
                message.target, message.link_layer_address, message.solicited, message.override, now
            )

    def _unresolved(self, frame: bytes, now: float) -> None:
        """The flows have counted the hop already."""
        packet = frame[14:]
        if len(packet) < IPV6_HEADER:
            self.statistics["dropped_truncated"] += 1
            return
        self.neighbours.resolve(packet[24:40], now, waiting=packet)

    def _route_too_big(self, frame: bytes, now: float) -> None:
        """A packet that does not fit with a routing header: the one that sent it is on this bridge, and is told."""
        self.send_error(frame, forwarding_errors.too_big(frame[14:], self.address, self.layout.route_mtu))

    def _unreachable(self, frame: bytes, now: float) -> None:
        self.send_error(frame, forwarding_errors.address_unreachable(frame[14:], self.address))

    def _refused(self, key: Hashable) -> None:
        self.statistics["flows_refused"] += 1
        for role in self.roles.values():
            if type(key) is role.key_type:
                role.refused(key)

    # Packets of our own

    def next_hop(self, packet: bytes) -> bytes | None:
        """The link-layer address a packet goes to; None: not known yet, the packet waits for it."""
        destination = packet[24:40]
        if destination[0] == 0xFF:
            return multicast_mac(destination)
        hop = self.router
        for first, last in self._on_link:
            if first <= destination <= last:
                hop = destination
        mac = self.neighbours.lookup(hop)
        if mac is None:
            self.neighbours.resolve(hop, self.clock(), waiting=packet)
        return mac

    def send_through_pipeline(self, packet: bytes) -> None:
        """Send a packet of ours by the way that any packet to its destination takes, a binding's included."""
        way = self.way(packet)
        if way is None:
            self.send_past_bindings(packet)
        else:
            self.send_into(way, packet)

    def way(self, packet: bytes) -> templates.PacketOut | None:
        """The flows that take a packet of ours, if its destination has a binding here."""
        ways = (role.way(packet) for role in self.roles.values())
        return next((way for way in ways if way is not None), None)

    def send_error(self, frame: bytes, error: bytes | None) -> None:
        """Send the ICMPv6 error that a frame has caused, if it is due one."""
        if error is None:
            self.statistics["dropped_no_error_due"] += 1
            return
        self.statistics["icmpv6_errors_sent"] += 1
        if is_link_local(error[24:40]):
            self._transmit(error, frame[6:12])
        else:
            self.send_through_pipeline(error)

    def send_into(self, way: templates.PacketOut, packet: bytes) -> None:
        """Give a packet to some flows."""
        own = self.link_layer_address
        self.outbox.put(way.build(own + own + ETHERTYPE_IPV6 + packet))

    def send_past_bindings(self, packet: bytes) -> None:
        """Send a packet of ours to its destination address, whatever binding that has."""
        if packet[24:40] == self.address:  # an error about a packet of the bridge's own host
            self.send_into(self._to_host, packet)
            return
        mac = self.next_hop(packet)
        if mac is not None:
            self._transmit(packet, mac)

    def _transmit(self, packet: bytes, mac: bytes) -> None:
        self.outbox.put(self.onward.build(mac + self.link_layer_address + ETHERTYPE_IPV6 + packet))

    # What the neighbour table asks for

    def solicit(self, address: Address, link_layer_address: bytes | None) -> None:
        """Send a Neighbor Solicitation from the bridge's own address."""
        destination = solicited_node(address) if link_layer_address is None else address
        message = NeighborSolicitation(address, self.link_layer_address)
        upper = icmpv6.build(message, self.address, destination)
        packet = ipv6.build(self.address, destination, ICMPV6, upper, hop_limit=ND_HOP_LIMIT)
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
            error = forwarding_errors.address_unreachable(packet, self.address)
            if error is not None:
                self.statistics["icmpv6_errors_sent"] += 1
                self.send_through_pipeline(error)

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

    def put_static_flows(self, generation: int) -> None:
        """From now on every flow belongs to `generation`."""
        self.generation = generation
        for role in self.roles.values():
            role.begin(generation)
        for flow in self._static_flows():
            self.put_flow(flow)

    def change_layouts(self, layout: BridgeLayout, of_roles: Mapping[str, Any]) -> None:
        """Other layouts of the bridge and of its roles, by link: flows that differ come and go, all others stay."""
        before = {flow.identity: flow for flow in self._static_flows()}
        self._set_layout(layout)
        for name, role_layout in of_roles.items():
            self.roles[name].layout = role_layout
        if not self.ready:
            return  # there are no flows yet
        after = {flow.identity: flow for flow in self._static_flows()}
        for identity, flow in after.items():
            if before.get(identity) != flow:
                self.put_flow(flow)
        gone = [flow for identity, flow in before.items() if identity not in after]
        self.outbox.then(lambda: self._delete_flows(gone))

    def _delete_flows(self, flows: list[FlowSpec]) -> None:
        wanted = {flow.identity for flow in self._static_flows()}
        for flow in flows:
            if flow.identity not in wanted:
                self.put_flow(flow, ofproto.OFPFC_DELETE_STRICT)

    def _static_flows(self) -> list[FlowSpec]:
        flows = pipeline.static_flows(self.layout, self.generation)
        for role in self.roles.values():
            flows += role.static_flows(self.generation)
        return flows

    def tick(self, now: float) -> None:
        """Once a second."""
        self.neighbours.tick(now)
        for role in self.roles.values():
            role.tick(now)
        self.outbox.flush()
