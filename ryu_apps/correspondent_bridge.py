"""The correspondents' role of one bridge: return routability to the engine, its bindings to flows."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from mip6core import addresses
from mip6core.actions import InstallRoute, RefreshRoute, ReleaseRoute, SendDatagram
from mip6core.addresses import Address
from mip6core.codec import ipv6
from mip6core.codec.ipv6 import Datagram
from mip6core.correspondent import Correspondent, CorrespondentLink
from mip6core.correspondent_cache import CorrespondentBinding
from mip6core.errors import ParseError
from ryu_apps import cookies, correspondent_pipeline, templates
from ryu_apps.bridge import IPV6_HEADER, NO_COOKIE, NO_TIMEOUT, Bridge, Role
from ryu_apps.cookies import Category
from ryu_apps.correspondent_pipeline import CorrespondentLayout
from ryu_apps.flow_dump import FlowDump
from ryu_apps.flowspec import Action as FlowAction
from ryu_apps.flowspec import FlowSpec, Resubmit, SetField
from ryu_apps.origin import Origin, with_home_address_option
from ryu_apps.parameter_problems import without_mobility
from ryu_apps.pipeline import FROM_TUNNEL, Punt, Table
from ryu_apps.route_counters import RouteCounters, RouteKey

LOG = logging.getLogger(__name__)

TO_ROUTE_OPTIMIZATION: Final = Resubmit(Table.ROUTE_OPTIMIZATION)
SPARE_TIME: Final = 1  # seconds that the flows outlive a binding; the engine takes them away before


class CorrespondentBridge(Role[CorrespondentLink]):
    """The correspondents' hands on one bridge."""

    key_type = tuple

    def __init__(
        self,
        bridge: Bridge,
        engine: Correspondent,
        link: CorrespondentLink,
        layout: CorrespondentLayout,
        perform_elsewhere: Callable[[list[Any]], None],
    ) -> None:
        super().__init__(bridge, link, perform_elsewhere, _as_it_is)
        self.engine = engine
        self.counters = RouteCounters(lambda key: engine.bindings.get(*key))
        self.layout = layout
        self._forward = templates.PacketOut(SetField(FROM_TUNNEL, 1), Resubmit(Table.FORWARD))
        self._to_deliver = templates.PacketOut(Resubmit(Table.DELIVER))
        self._home_addresses: dict[Address, set[Address]] = {}  # of the bindings of each correspondent
        self._ways_on: dict[tuple[FlowAction, int], templates.PacketOut] = {}  # by the port that a packet came in by
        self.begin(0)
        self._execute |= {
            InstallRoute: self._install,
            RefreshRoute: self._refresh,
            ReleaseRoute: self._release,
        }
        self.punts = {Punt.CORRESPONDENT_ERROR: self._error}
        self.punts_with_origin = {
            Punt.CORRESPONDENT_SIGNALLING: self._signalling,
            Punt.CORRESPONDENT_PROBLEM: self._problem,
            Punt.UNBOUND_CORRESPONDENT: self._unbound,
        }

    # From the switch

    def _signalling(self, frame: bytes, origin: Origin, now: float) -> None:
        """A Mobility Header to a host. What is for a mobile node that visits the link goes on its way."""
        try:
            datagram = ipv6.parse(frame[14:])
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            if error.pointer is not None:  # the sender is told by the host, whose kernel finds it out, too
                self._pass_on(frame, origin)
            return
        # Where no adapter is, optimised packets would leave as GRE. Out of the reverse tunnel nothing is registered
        # but what can be.
        optimizable = origin.from_tunnel or origin.in_port in self.bridge.layout.uplink_ports
        actions = self.engine.receive(self.link, datagram, now, optimizable=optimizable)
        if actions is not None:
            self.execute(actions)
        else:
            self._pass_on(frame, origin)

    def _pass_on(self, frame: bytes, origin: Origin) -> None:
        if origin.from_tunnel:
            self.bridge.send_into(self._forward, frame[14:])
        else:
            self._send_on(self.bridge.layout.onward, origin.in_port, frame)

    def _problem(self, frame: bytes, origin: Origin, now: float) -> None:
        """A host's kernel may not know of Mobile IPv6, and complains of what it should leave alone in silence."""
        allowed = without_mobility(frame)
        if allowed is None:
            self.statistics["dropped_complaint_about_mobility"] += 1
        else:
            self._send_on(TO_ROUTE_OPTIMIZATION, origin.in_port, allowed)

    def _send_on(self, action: FlowAction, in_port: int, frame: bytes) -> None:
        """As if the packet had not been punted: the operator's table may look at the port."""
        way = self._ways_on.get((action, in_port))
        if way is None:
            way = self._ways_on[action, in_port] = templates.PacketOut(action, in_port=in_port)
        self.outbox.put(way.build(frame))

    def _unbound(self, frame: bytes, origin: Origin, now: float) -> None:
        """A Home Address option that no flow accepts (9.3.1)."""
        packet = frame[14:]
        if len(packet) < IPV6_HEADER or origin.tunnel_source is None:
            self.statistics["dropped_truncated"] += 1
            return
        source, home_address, correspondent = origin.tunnel_source, packet[8:24], packet[24:40]
        to_mobile_node = self.bridge.way(packet)
        if to_mobile_node is not None:  # it is its own correspondent, and away: the option is for it to judge
            self.bridge.send_into(to_mobile_node, with_home_address_option(packet, source))
            return
        binding = self.engine.bindings.get(correspondent, home_address)
        if binding is not None and binding.care_of_address == source and binding.link is self.link:
            self.bridge.send_into(self._to_deliver, packet)  # its flows were on their way
            return
        self.execute(self.engine.unknown_binding(self.link, source, home_address, correspondent, now))

    def _error(self, frame: bytes, now: float) -> None:
        """A copy of a Destination Unreachable to a host (9.3.4)."""
        try:
            datagram = ipv6.parse(frame[14:])
        except ParseError as error:
            self.statistics[f"dropped_{error.reason}"] += 1
            return
        self.execute(self.engine.icmpv6_error(self.link, datagram, now))

    def neighbor_discovery(self, datagram: Datagram, link_layer_source: bytes, now: float) -> None:
        """Nothing in it is for correspondents: they do their own."""

    def way(self, packet: bytes) -> templates.PacketOut | None:
        return None

    def refused(self, key: RouteKey) -> None:
        LOG.error(
            "switch refused flows cn=%s hoa=%s link=%s", addresses.text(key[0]), addresses.text(key[1]), self.link.name
        )
        self.execute(self.engine.installation_failed(*key, self.clock()))

    def left_home(self, address: Address) -> None:
        """A host has turned out to be a mobile node, and is away: from now on it is its own correspondent."""
        for home_address in tuple(self._home_addresses.get(address, ())):
            self.execute(self.engine.clear(address, home_address, self.clock()))

    # The engine's actions

    def _install(self, action: InstallRoute) -> None:
        binding, previous = action.binding, action.previous
        xid = self._add(binding)
        if previous is not None and previous != binding.care_of_address:
            # The way out has changed in place; the way in matches the care-of address.
            values = (xid, NO_COOKIE, NO_TIMEOUT, binding.correspondent, binding.home_address, previous)
            self.outbox.put(templates.DELETE_ROUTE_IN % values)

    def _refresh(self, action: RefreshRoute) -> None:
        self._add(action.binding)

    def _release(self, action: ReleaseRoute) -> None:
        binding = action.binding
        correspondent, home = binding.correspondent, binding.home_address
        self._binding = (correspondent, home)
        self.counters.forget((correspondent, home))
        others = self._home_addresses.get(correspondent, set())
        others.discard(home)
        if not others:
            self._home_addresses.pop(correspondent, None)
        head = (templates.word(self.outbox.next_xid()), NO_COOKIE, NO_TIMEOUT)
        self.outbox.put(templates.DELETE_ROUTE_OUT % (*head, home, correspondent))
        self.outbox.put(templates.DELETE_ROUTE_IN % (*head, correspondent, home, binding.care_of_address))

    def _add(self, binding: CorrespondentBinding) -> bytes:
        """Add the flows, or let them end at another time; the transaction's id."""
        correspondent, home, care_of = binding.correspondent, binding.home_address, binding.care_of_address
        self._binding = (correspondent, home)
        self._home_addresses.setdefault(correspondent, set()).add(home)
        xid = self.outbox.next_flow_xid(self._binding)
        now = self.clock()
        for where in (home, care_of):  # a Home Test Init comes from the one, what else there is from the other
            self.bridge.known_networks.seen(where, now)
        seconds = math.ceil(binding.expires_at - now) + SPARE_TIME
        hard = templates.short(max(1, seconds))
        item = cookies.binding_item(binding.sequence, 0)
        way_in = (xid, templates.long(self._in_cookie | item), hard, correspondent, home, care_of)
        way_out = (xid, templates.long(self._out_cookie | item), hard, home, correspondent, care_of)
        self.outbox.put(templates.ADD_ROUTE_IN % way_in)
        self.outbox.put(templates.ADD_ROUTE_OUT % way_out)
        return xid

    def _send_datagram(self, action: SendDatagram) -> None:
        """A Home Test may have to go to a mobile node of this very bridge's home link, and into its tunnel."""
        if action.after_flows or action.link_layer_destination is not None:
            super()._send_datagram(action)
        else:
            self.bridge.send_through_pipeline(action.packet)

    # Bringing the switch to what it should be

    def begin(self, generation: int) -> None:
        self._out_cookie = cookies.cookie(Category.ROUTE_OUT, generation)
        self._in_cookie = cookies.cookie(Category.ROUTE_IN, generation)

    def static_flows(self, generation: int) -> list[FlowSpec]:
        return correspondent_pipeline.static_flows(self.bridge.layout, self.layout, generation)

    def adopt(self, dump: FlowDump, now: float) -> int:
        adopted = 0
        for found in dump.routes:
            remaining = min(found.remaining, self.link.max_lifetime)
            adopted += self.engine.adopt(
                self.link,
                found.correspondent,
                found.home_address,
                found.care_of_address,
                found.sequence,
                remaining,
                now,
            )
        return adopted

    def restore(self) -> Iterator[None]:
        for binding in [entry for entry in self.engine.bindings if entry.link is self.link]:
            if binding.bound:
                self._add(binding)
            yield

    def counted(self, xid: int, message: bytes) -> bool:
        used = self.counters.add(xid, message)
        if used is None:
            return False
        for key in used:
            actions = self.engine.in_use(*key, self.clock())
            if actions:
                self.execute(actions)
        return True

    def tick(self, now: float) -> None:
        if self.counters.due(len(self.engine.bindings), now):
            for message in self.counters.requests((self.outbox.next_xid(), self.outbox.next_xid()), now):
                self.outbox.put(message)

    def link_up(self, now: float) -> None:
        """Nothing waits for it."""

    def link_down(self) -> None:
        """Bindings stay: the mobile nodes do not know."""


def _as_it_is(packet: bytes) -> bytes:
    return packet
