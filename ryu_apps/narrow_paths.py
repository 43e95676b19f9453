"""Tunnels on paths that carry no more than the minimum MTU (RFC 2473 section 7.1), on one bridge.

A packet of 1280 octets has to get through everywhere, but does not fit into a tunnel there, and its sender can send
nothing smaller. Open vSwitch cannot fragment tunnel packets: what is too big for one of these tunnels comes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mip6core import addresses
from mip6core.addresses import Address, is_link_local
from mip6core.bcache import BindingCacheEntry
from mip6core.codec import ipv6
from mip6core.constants import IPV6, MINIMUM_MTU
from mip6core.fragmentation import fragments
from ryu_apps import forwarding_errors, home_pipeline
from ryu_apps.of_compat import ofproto

if TYPE_CHECKING:
    from ryu_apps.home_bridge import HomeBridge

LIFETIME: Final = 600  # seconds until the path is tried with larger packets again (RFC 8201 section 4)
MAX_PATHS: Final = 1024  # whoever can forge an error about a tunnel packet can make one narrow
HOP_LIMIT_AT: Final = 7


class NarrowPaths:
    """The bindings whose tunnels are narrow, by home address."""

    def __init__(self, home: HomeBridge) -> None:
        self._home = home
        self._paths: dict[Address, tuple[Address, float]] = {}  # care-of address, end in monotonic seconds

    def __len__(self) -> int:
        return len(self._paths)

    def found(self, binding: BindingCacheEntry, now: float) -> None:
        """The path to the care-of address is narrow."""
        if binding.home_address in self._paths:
            return
        if len(self._paths) >= MAX_PATHS:
            self._home.statistics["narrow_paths_refused"] += 1
            return
        self._paths[binding.home_address] = (binding.care_of_address, now + LIFETIME)
        self._home.statistics["narrow_paths"] += 1
        self._put(binding.home_address, binding.care_of_address, ofproto.OFPFC_ADD)

    def ended(self, home_address: Address) -> None:
        """The binding has moved or ended."""
        path = self._paths.pop(home_address, None)
        if path is not None:
            self._put(home_address, path[0], ofproto.OFPFC_DELETE_STRICT)

    def tick(self, now: float) -> None:
        """Forget the paths whose flows have ended by themselves."""
        for home_address in [address for address, (_, end) in self._paths.items() if end <= now]:
            self.ended(home_address)

    def punted(self, frame: bytes, now: float) -> None:
        """A packet that is too big for its tunnel."""
        home, packet = self._home, frame[14:]
        binding = home.engine.bindings.get_bound(packet[24:40])
        if binding is None or binding.link is not home.link or is_link_local(packet[8:24]):
            home.statistics["dropped_no_binding"] += 1
        elif packet[HOP_LIMIT_AT] <= 1 or len(packet) > MINIMUM_MTU:
            home.bridge.send_error(frame, forwarding_errors.for_tunnel(packet, home.link.address, MINIMUM_MTU))
        else:
            inner = forwarding_errors.forwarded(packet)
            assert inner is not None
            outer = ipv6.build(home.link.address, binding.care_of_address, IPV6, inner)
            home.statistics["tunnel_packets_fragmented"] += 1
            for fragment in fragments(outer, MINIMUM_MTU, int.from_bytes(home.engine.rng(4), "big")):
                home.bridge.send_past_bindings(fragment)

    def _put(self, home_address: Address, care_of_address: Address, command: int) -> None:
        bridge = self._home.bridge
        ends = addresses.text(home_address), addresses.text(care_of_address)
        bridge.put_flow(home_pipeline.narrow_path_flow(*ends, bridge.generation, LIFETIME), command)
