"""The networks from where mobile nodes are registered: their signalling does not share meters with strangers'.

A flood of signalling from anywhere fills the strangers' meters, and a mobile node that is among strangers is heard only
now and then. So a /64 from where a registration has been accepted gets punt flows of its own. They need no protocol
and no key, and are a help, no proof: whoever can send with such a source still fills that meter.

Bounded: CAPACITY networks. A new one takes the place of the one from where nothing has been accepted for the longest
time, if that is KEEP seconds or more; else it stays among the strangers. So flows are changed at most CAPACITY times in
KEEP seconds, wherever mobile nodes are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mip6core import addresses
from mip6core.addresses import Address
from ryu_apps import pipeline
from ryu_apps.of_compat import ofproto

if TYPE_CHECKING:
    from ryu_apps.bridge import Bridge

CAPACITY: Final = 256
KEEP: Final = 300.0  # seconds
_NETWORK: Final = 8  # octets of an address
_INTERFACE: Final = bytes(8)


@dataclass(slots=True)
class _Known:
    slot: int  # which of the meters
    last: float  # monotonic seconds


class KnownNetworks:
    """Those of one bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._known: OrderedDict[bytes, _Known] = OrderedDict()  # the one that was silent for longest is first

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, address: Address, now: float) -> None:
        """A registration from there is accepted."""
        network = address[:_NETWORK]
        known = self._known.get(network)
        if known is not None:
            known.last = now
            self._known.move_to_end(network)
            return
        slot = len(self._known)
        if slot >= CAPACITY:
            oldest, known = next(iter(self._known.items()))
            if now - known.last < KEEP:
                self._bridge.statistics["known_networks_full"] += 1
                return
            del self._known[oldest]
            self._put(oldest, known.slot, ofproto.OFPFC_DELETE_STRICT)
            slot = known.slot
        self._known[network] = _Known(slot, now)
        self._put(network, slot, ofproto.OFPFC_ADD)

    def _put(self, network: bytes, slot: int, command: int) -> None:
        bridge = self._bridge
        prefix = f"{addresses.text(network + _INTERFACE)}/64"
        for kind in pipeline.BY_NETWORK:
            bridge.put_flow(pipeline.known_network_flow(kind, prefix, slot, bridge.generation), command)
