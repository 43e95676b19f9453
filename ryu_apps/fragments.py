"""Fragments to the home agent, and what the adapter leaves alone, on one bridge.

Open vSwitch looks at fragments one by one, and so does the adapter on the uplink. Signalling that was fragmented, and
tunnel packets of which the outer packet was, are rare enough to be put together here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mip6core.codec.ipv6 import Datagram
from mip6core.constants import IPV6
from mip6core.errors import ParseError
from mip6core.reassembly import Reassembler
from ryu_apps import forwarding_errors, templates
from ryu_apps.bridge import IPV6_HEADER, PuntHandler
from ryu_apps.flowspec import Resubmit, SetField
from ryu_apps.pipeline import FROM_TUNNEL, Table

if TYPE_CHECKING:
    from ryu_apps.home_bridge import HomeBridge

ETHERNET_MTU: Final = 1500  # octets
IPV6_VERSION: Final = 6
TUNNEL: Final = bytes((IPV6,))
NEXT_HEADER_AT: Final = 14 + 6  # of the IPv6 header, in a frame


class Fragments:
    """What waits for fragments, and where whole packets go: `signalling` takes them by their protocol."""

    def __init__(self, home: HomeBridge, signalling: Mapping[int, PuntHandler]) -> None:
        self._home = home
        self._signalling = signalling
        self._statistics = home.statistics
        self._reassembler = Reassembler(home.statistics)
        self._from_tunnel = templates.PacketOut(SetField(FROM_TUNNEL, 1), Resubmit(Table.BINDINGS))

    def __len__(self) -> int:
        """How many packets wait for fragments."""
        return len(self._reassembler)

    def by_uplink(self, frame: bytes, now: float) -> None:
        """From where mobile nodes send: signalling or tunnel."""
        self._fragment(frame, True, now)

    def from_link(self, frame: bytes, now: float) -> None:
        """From the home link: nobody there sends in a tunnel, or a neighbour could forge care-of addresses (10.4.5)."""
        self._fragment(frame, False, now)

    def tick(self, now: float) -> None:
        """Once a second."""
        home = self._home
        for fragment in self._reassembler.tick(now):
            home.execute(home.engine.reassembly_timed_out(home.link, fragment, now))

    def _fragment(self, frame: bytes, by_uplink: bool, now: float) -> None:
        home = self._home
        if (
            frame[NEXT_HEADER_AT : NEXT_HEADER_AT + 1] == TUNNEL
        ):  # the adapter is not there: not even a slow way, or nobody would notice
            self._drop("tunnel_without_adapter")
            return
        try:
            whole = self._reassembler.receive(frame[14:], by_uplink, now)
        except ParseError as error:
            home.execute(home.engine.malformed(home.link, frame[14:], error, frame[6:12], now))
            return
        if whole is None:
            return
        frame = frame[:14] + whole
        datagram = home.parse(frame, frame[6:12], now)
        if datagram is None:
            return
        handler = self._signalling.get(datagram.upper_protocol)
        if handler is not None:
            handler(frame, now)
        elif datagram.upper_protocol == IPV6 and by_uplink:
            self._tunnel_packet(datagram, frame[6:12], now)
        else:
            self._drop("fragment")

    def _tunnel_packet(self, datagram: Datagram, link_layer_source: bytes, now: float) -> None:
        """What the flows of the reverse tunnel do with other tunnel packets (10.4.5)."""
        home, inner = self._home, datagram.upper
        if datagram.unrecognized_option is not None:
            home.execute(home.engine.receive(home.link, datagram, link_layer_source, now))
            return
        if datagram.home_address is not None or datagram.type2_home_address is not None:
            self._drop("tunnel_headers")
            return
        length = IPV6_HEADER + int.from_bytes(inner[4:6], "big")
        if len(inner) < max(length, IPV6_HEADER) or inner[0] >> 4 != IPV6_VERSION:
            self._drop("tunnel_truncated")
            return
        binding = home.engine.bindings.get_bound(inner[8:24])
        if binding is None or binding.link is not home.link or binding.care_of_address != datagram.source:
            self._drop("tunnel_source")
            return
        inner = inner[:length]
        if length > ETHERNET_MTU:
            error = forwarding_errors.too_big(inner, home.link.address, ETHERNET_MTU)
            if error is not None:
                self._statistics["icmpv6_errors_sent"] += 1
                home.bridge.send_through_pipeline(error)
            return
        self._statistics["tunnel_packets_reassembled"] += 1
        home.bridge.send_into(self._from_tunnel, inner)

    def _drop(self, reason: str) -> None:
        self._statistics["dropped_" + reason] += 1
