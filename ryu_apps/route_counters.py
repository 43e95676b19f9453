"""What the flows of optimised routes have counted: asked of the switch at a pace that follows their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from mip6core.addresses import Address
from ryu_apps import cookies, flow_dump, oxm
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Table

INTERVAL: Final = 5.0  # seconds between two questions, at least
FLOWS_PER_SECOND: Final = 4000  # that are read in the long run, at most
MAX_INTERVAL: Final = 50.0  # seconds; the engine has to hear of a route in use once in ACTIVE_USE
OVERDUE: Final = 60.0  # seconds after which an answer is not waited for any longer
DIRECTIONS: Final = {Category.ROUTE_OUT: Table.ROUTE_OPTIMIZATION, Category.ROUTE_IN: Table.HOME_ADDRESS_OPTION}

RouteKey: TypeAlias = tuple[Address, Address]  # correspondent, home address


@dataclass(slots=True)
class RouteCounts:
    """Packets and octets of one binding, since it was made or this program has known it."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0


class RouteCounters:
    """The counts of one bridge's routes.

    A flow of the way in is another one with each care-of address, so what it says is added to what came before.
    """

    def __init__(self, known: Callable[[RouteKey], object]) -> None:
        """`known` says whether there is a binding; an answer may be about one that has just gone."""
        self._known = known
        self._counts: dict[RouteKey, RouteCounts] = {}
        self._seen: dict[tuple[int, RouteKey], tuple[Address, int, int]] = {}  # what the flow of a direction said last
        self._asked: dict[int, float] = {}  # transactions without their whole answer
        self._due = 0.0

    def of(self, key: RouteKey) -> RouteCounts:
        """The counts of one binding."""
        return self._counts.get(key) or RouteCounts()

    def forget(self, key: RouteKey) -> None:
        """The binding is gone."""
        self._counts.pop(key, None)
        for category in DIRECTIONS:
            self._seen.pop((category, key), None)

    def due(self, bindings: int, now: float) -> bool:
        """Whether it is time to ask. Each True is an obligation to do so."""
        if now < self._due or not bindings:
            return False
        if self._asked and now < min(self._asked.values()) + OVERDUE:
            return False
        self._asked.clear()
        self._due = now + min(MAX_INTERVAL, max(INTERVAL, 2 * bindings / FLOWS_PER_SECOND))
        return True

    def requests(self, xids: tuple[int, int], now: float) -> Iterator[bytes]:
        """The questions: one for the flows of each direction."""
        for xid, (category, table) in zip(xids, DIRECTIONS.items(), strict=True):
            self._asked[xid] = now
            yield flow_dump.request(xid, table, category)

    def add(self, xid: int, message: bytes) -> set[RouteKey] | None:
        """Take in one part of an answer: the routes that have been used. None: it is not an answer of ours."""
        if xid not in self._asked:
            return None
        used: set[RouteKey] = set()
        for flow in flow_dump.entries(message):
            self._add_flow(flow, used)
        if flow_dump.is_last(message):
            del self._asked[xid]
        return used

    def _add_flow(self, flow: flow_dump.Entry, used: set[RouteKey]) -> None:
        fields = dict(oxm.fields(flow.match))
        source, destination = fields.get(oxm.IPV6_SRC), fields.get(oxm.IPV6_DST)
        category = cookies.category(flow.cookie)
        if source is None or destination is None or category not in DIRECTIONS:
            return
        key = (source, destination) if category == Category.ROUTE_OUT else (destination, source)
        if not self._known(key):
            return
        care_of_address = fields.get(oxm.TUN_IPV6_SRC, b"")
        before, packets, octets = self._seen.get((category, key), (b"", 0, 0))
        if before != care_of_address or flow.packets < packets:  # another flow, or the same made anew
            packets = octets = 0
        self._seen[category, key] = care_of_address, flow.packets, flow.octets
        if flow.packets == packets:
            return
        counts = self._counts.setdefault(key, RouteCounts())
        if category == Category.ROUTE_OUT:
            counts.packets_out += flow.packets - packets
            counts.bytes_out += flow.octets - octets
        else:
            counts.packets_in += flow.packets - packets
            counts.bytes_in += flow.octets - octets
        used.add(key)
