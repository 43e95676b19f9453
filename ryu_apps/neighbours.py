"""The home agent's neighbours on one home link, resolved and watched as RFC 4861 section 7 says.

The flows of the reverse tunnel need the link-layer address of each on-link destination and of the router. Nothing is
sent or installed here: what must happen goes to the `Actions` that the owner gives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from mip6core.addresses import Address
from mip6core.constants import RETRANS_TIMER

MAX_SOLICITATIONS: Final = 3  # MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT, RFC 4861 section 10
REACHABLE_TIME: Final = 30  # seconds between probes of a neighbour in use
PERMANENT_RETRY: Final = 5  # seconds until a router that does not answer is asked again
MAX_NEIGHBOURS: Final = 4096
MAX_UNRESOLVED: Final = 256  # a stranger can ask for as many addresses as a prefix has
MAX_WAITING: Final = 64  # packets kept for one unresolved neighbour: many mobile nodes may talk to it at once
MAX_ALL_WAITING: Final = 1024  # packets kept for all of them


class Actions(Protocol):
    """What a neighbour table asks of its owner."""

    def solicit(self, address: Address, link_layer_address: bytes | None) -> None:
        """Send a Neighbor Solicitation: unicast to a known link-layer address, else multicast."""

    def resolved(self, address: Address, link_layer_address: bytes, waiting: list[bytes]) -> None:
        """The address is new or has moved: install its flow, then send the packets that waited."""

    def unreachable(self, address: Address, waiting: list[bytes]) -> None:
        """Nobody answers for it: take its flow away; the packets that waited cannot be delivered."""


@dataclass(slots=True)
class Neighbour:
    """One neighbour; without a link-layer address it is INCOMPLETE in the words of RFC 4861."""

    link_layer_address: bytes | None = None
    permanent: bool = False  # the router: asked for ever
    unanswered: int = 0
    next_probe: float = 0.0  # monotonic seconds
    waiting: deque[bytes] = field(default_factory=deque)  # oldest first


class NeighbourTable:
    """Neighbours by address; bounded."""

    def __init__(self, actions: Actions, statistics: dict[str, int]) -> None:
        self._actions = actions
        self._neighbours: dict[Address, Neighbour] = {}
        self._unresolved = 0
        self._waiting = 0  # packets, for all neighbours
        self._statistics = statistics

    def __len__(self) -> int:
        return len(self._neighbours)

    @property
    def unresolved(self) -> int:
        """How many have not answered yet."""
        return self._unresolved

    @property
    def waiting(self) -> int:
        """How many packets wait for an answer."""
        return self._waiting

    def lookup(self, address: Address) -> bytes | None:
        """The link-layer address, if it is known."""
        neighbour = self._neighbours.get(address)
        return neighbour.link_layer_address if neighbour else None

    def resolve(self, address: Address, now: float, waiting: bytes | None = None, permanent: bool = False) -> None:
        """Find out about `address`; `waiting` is handed back when that has succeeded or failed."""
        neighbour = self._neighbours.get(address)
        if neighbour is None:
            if not permanent and (self._unresolved >= MAX_UNRESOLVED or len(self._neighbours) >= MAX_NEIGHBOURS):
                self._statistics["neighbours_refused"] += 1
                return
            neighbour = self._neighbours[address] = Neighbour(permanent=permanent)
            self._unresolved += 1
            self._probe(address, neighbour, now)
        if waiting is None:
            return
        if neighbour.link_layer_address is not None:
            self._actions.resolved(address, neighbour.link_layer_address, [waiting])
        else:
            self._keep(neighbour, waiting)

    def advertisement(
        self, target: Address, link_layer_address: bytes | None, solicited: bool, override: bool, now: float
    ) -> None:
        """Take in a valid Neighbor Advertisement (RFC 4861 section 7.2.5)."""
        neighbour = self._neighbours.get(target)
        if neighbour is None:
            return
        known = neighbour.link_layer_address
        if known is None and link_layer_address is None:
            return
        different = link_layer_address is not None and link_layer_address != known
        if known is not None and different and not override:
            neighbour.next_probe = now  # STALE: asked again at the next tick
            return
        if different:
            assert link_layer_address is not None
            if known is None:
                self._unresolved -= 1
            neighbour.link_layer_address = link_layer_address
            self._actions.resolved(target, link_layer_address, self._take(neighbour))
        if solicited or different:
            neighbour.unanswered = 0
            neighbour.next_probe = now + REACHABLE_TIME

    def forget(self, address: Address) -> None:
        """The neighbour is no longer used: its flow has idled out."""
        neighbour = self._neighbours.get(address)
        if neighbour is not None and not neighbour.permanent and neighbour.link_layer_address is not None:
            del self._neighbours[address]

    def tick(self, now: float) -> None:
        """Ask again, and give up on those that have not answered."""
        for address, neighbour in list(self._neighbours.items()):
            if neighbour.next_probe > now:
                continue
            if neighbour.unanswered < MAX_SOLICITATIONS:
                self._probe(address, neighbour, now)
            else:
                self._give_up(address, neighbour, now)

    def _keep(self, neighbour: Neighbour, packet: bytes) -> None:
        """A new packet takes the place of the oldest one where there are too many (RFC 4861 section 7.2.2)."""
        if neighbour.waiting and (len(neighbour.waiting) >= MAX_WAITING or self._waiting >= MAX_ALL_WAITING):
            neighbour.waiting.popleft()
            self._waiting -= 1
            self._statistics["packets_for_neighbours_dropped"] += 1
        if self._waiting < MAX_ALL_WAITING:
            neighbour.waiting.append(packet)
            self._waiting += 1
        else:
            self._statistics["packets_for_neighbours_dropped"] += 1

    def _take(self, neighbour: Neighbour) -> list[bytes]:
        """The packets that have waited, oldest first."""
        packets = list(neighbour.waiting)
        neighbour.waiting.clear()
        self._waiting -= len(packets)
        return packets

    def _probe(self, address: Address, neighbour: Neighbour, now: float) -> None:
        neighbour.unanswered += 1
        neighbour.next_probe = now + RETRANS_TIMER
        # The last try is multicast: the node may have a new link-layer address.
        last = neighbour.unanswered == MAX_SOLICITATIONS
        self._actions.solicit(address, None if last else neighbour.link_layer_address)

    def _give_up(self, address: Address, neighbour: Neighbour, now: float) -> None:
        if neighbour.link_layer_address is None:
            self._unresolved -= 1
        waiting = self._take(neighbour)
        neighbour.link_layer_address = None
        neighbour.unanswered = 0
        if neighbour.permanent:
            neighbour.next_probe = now + PERMANENT_RETRY
            self._unresolved += 1
        else:
            del self._neighbours[address]
        self._actions.unreachable(address, waiting)
