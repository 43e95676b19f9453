"""What IPsec changes on one bridge: protected packets to the engine and on their way, Home Tests under protection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mip6core.addresses import Address
from mip6core.codec import ipv6
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import MINIMUM_MTU
from mip6core.errors import ParseError
from ryu_apps import cookies, forwarding_errors, templates
from ryu_apps.cookies import Category
from ryu_apps.flowspec import Resubmit, SetField
from ryu_apps.ipsec.esp import Rejected
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.pipeline import DESTINATION_CHECKED, FROM_TUNNEL, SOURCE_CHECKED, Table

if TYPE_CHECKING:
    from ryu_apps.home_bridge import HomeBridge


class Protection:
    """The bridge's side of the IPsec boundary. Forwarding stays with the flows: packets go back into them."""

    def __init__(self, bridge: HomeBridge, gateway: Gateway) -> None:
        self._bridge = bridge
        self._gateway = gateway
        self._to_correspondent = templates.PacketOut(
            SetField(FROM_TUNNEL, 1), SetField(SOURCE_CHECKED, 1), Resubmit(Table.BINDINGS)
        )
        self._to_mobile_node = templates.PacketOut(SetField(DESTINATION_CHECKED, 1), Resubmit(Table.BINDINGS))

    # Punts

    def esp(self, frame: bytes, now: float) -> None:
        """ESP to the home agent."""
        bridge = self._bridge
        datagram = bridge.parse(frame, frame[6:12], now)
        if datagram is None:
            return
        if datagram.unrecognized_option is not None or datagram.fragment_id is not None:
            # The engine has an answer to the one, and drops the other.
            bridge.execute(bridge.engine.receive(bridge.link, datagram, frame[6:12], now))
            return
        try:
            association, inner = self._gateway.unwrap(datagram)
            if association.tunnel:
                binding = bridge.engine.bindings.get_bound(inner.source)
                # RFC 3776 section 4.3: the tunnel's end point is the care-of address of the binding.
                if binding is None or binding.link is not bridge.link or binding.care_of_address != datagram.source:
                    raise Rejected("esp_tunnel_source")
        except Rejected as rejected:
            self._drop(rejected.reason)
            return
        except ParseError as error:
            self._drop(error.reason)
            return
        if not association.tunnel or (inner.destination == bridge.link.address and self._gateway.admits(inner)):
            bridge.execute(bridge.engine.receive(bridge.link, inner, frame[6:12], now))
        elif inner.destination != bridge.link.address:
            self._send(self._to_correspondent, inner.packet)

    def home_test_init(self, frame: bytes, now: float) -> None:
        """A Mobility Header out of the reverse tunnel, which the flows have found to be the right one (10.4.5)."""
        datagram = self._parse(frame)
        if datagram is not None and self._gateway.admits_from_tunnel(datagram):
            self._send(self._to_correspondent, datagram.packet)

    def home_test(self, frame: bytes, now: float) -> None:
        """A Mobility Header to a mobile node that is away (10.4.6)."""
        bridge = self._bridge
        datagram = self._parse(frame)
        if datagram is None:
            return
        home_address = datagram.destination
        binding = bridge.engine.bindings.get_bound(home_address)
        association = self._gateway.return_routability(home_address)
        if binding is None or association is None:
            self._drop("no_binding")
        elif datagram.fragment_id is not None:
            self._drop("fragment")  # it may be part of a Home Test
        elif association.in_clear or not association.covers_reply(datagram.upper_protocol, datagram.upper):
            self._send(self._to_mobile_node, datagram.packet)
        elif datagram.hop_limit <= 1:
            bridge.tunnel_error(frame, now)
        else:
            inner = forwarding_errors.forwarded(datagram.packet)
            care_of_address = binding.care_of_address
            packet = inner and self._gateway.wrap_tunnel(association, inner, bridge.link.address, care_of_address)
            if packet and len(packet) > MINIMUM_MTU:
                self._drop("home_test_too_long")  # there is no honest one, and no fragmentation here
            elif packet:
                bridge.bridge.send_past_bindings(packet)

    def _parse(self, frame: bytes) -> Datagram | None:
        try:
            return ipv6.parse(frame[14:])
        except ParseError as error:
            self._drop(error.reason)
            return None

    def _send(self, way: templates.PacketOut, packet: bytes) -> None:
        self._bridge.bridge.send_into(way, packet)

    def _drop(self, reason: str) -> None:
        self._bridge.statistics["dropped_" + reason] += 1

    # Flows

    def add_flows(self, home_address: Address, xid: bytes, hard_timeout: bytes) -> None:
        """Before those of the binding: until it is gone nothing of return routability passes unseen."""
        if self._gateway.return_routability(home_address) is None:
            return
        cookie = templates.long(cookies.cookie(Category.HOME_TEST, self._bridge.bridge.generation))
        for template in (templates.ADD_HOME_TEST_INIT, templates.ADD_HOME_TEST):
            self._bridge.outbox.put(template % (xid, cookie, hard_timeout, home_address))

    def delete_flows(self, home_address: Address, xid: bytes) -> None:
        """Behind those of the binding."""
        if self._gateway.return_routability(home_address) is not None:
            self.take_flows_away(home_address, xid)

    def take_flows_away(self, home_address: Address, xid: bytes) -> None:
        """Home Tests of this mobile node are not protected any more."""
        for template in (templates.DELETE_HOME_TEST_INIT, templates.DELETE_HOME_TEST):
            self._bridge.outbox.put(template % (xid, bytes(8), bytes(2), home_address))
