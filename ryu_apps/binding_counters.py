"""What the flows of home bindings have counted: asked of the switch when somebody wants to know, and not before.

One binding is asked about by itself. All of a bridge are asked for together, and at a pace: however many ask, not more
than FLOWS_PER_SECOND flows are read in the long run, and everybody is given the same answer.

A flow counts from when its mobile node has come to its care-of address: the way in is another flow at each of them, and
the way out begins at 0 there (`templates.ADD_TUNNEL_AFTER_MOVE`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mip6core import addresses
from mip6core.addresses import Address
from mip6core.rate_limit import TokenBucket
from ryu_apps import cookies, flow_dump, oxm
from ryu_apps.cookies import Category
from ryu_apps.of_compat import hub
from ryu_apps.pipeline import IPV6, Table

INTERVAL: Final = 5.0  # seconds between two questions about all bindings, at least
FLOWS_PER_SECOND: Final = 2000  # that are read for them in the long run, at most
OVERDUE: Final = 10.0  # seconds after which an answer is not waited for any longer
SINGLE_RATE: Final = 20.0  # questions a second about one binding: for each, the switch goes through two whole tables
SINGLE_BURST: Final = 40.0
DIRECTIONS: Final = {Category.TUNNEL: Table.BINDINGS, Category.REVERSE_TUNNEL: Table.REVERSE_TUNNEL}


@dataclass(slots=True)
class BindingCounts:
    """Packets and octets of one binding since the mobile node is at this care-of address; None: not known."""

    care_of_address: Address
    counted_at: float  # monotonic seconds
    packets_out: int | None = None  # to the mobile node
    bytes_out: int | None = None
    packets_in: int | None = None
    bytes_in: int | None = None


@dataclass(slots=True, eq=False)
class _Question:
    asked_at: float
    xids: set[int]  # transactions without their whole answer
    answered: hub.Event = field(default_factory=hub.Event)


class Asked(NamedTuple):
    """What to send, and what is set when the answer is in."""

    messages: Sequence[bytes]
    answered: hub.Event


class BindingCounters:
    """The counts of one bridge's home bindings."""

    def __init__(self, care_of_address: Callable[[Address], Address | None]) -> None:
        """`care_of_address` is that of a home address's binding, None if it has none."""
        self._care_of_address = care_of_address
        self._counts: dict[Address, BindingCounts] = {}
        self._questions: dict[int, _Question] = {}  # by the xids of their messages
        self._everything: _Question | None = None  # the last one about all bindings
        self._due = 0.0  # when the next one may be put
        self._singles = TokenBucket(SINGLE_RATE, SINGLE_BURST, float("-inf"))

    def of(self, home_address: Address) -> BindingCounts | None:
        """What was counted when somebody asked last; None: nothing about where the mobile node is now."""
        counts = self._counts.get(home_address)
        if counts is None or counts.care_of_address != self._care_of_address(home_address):
            return None
        return counts

    def forget(self, home_address: Address) -> None:
        """The binding is gone."""
        self._counts.pop(home_address, None)

    def ask_all(self, bindings: int, next_xid: Callable[[], int], now: float) -> Asked | None:
        """Have the counts of all `bindings` looked at, unless that has just been done (None)."""
        last = self._everything
        if last is not None and last.xids and now < last.asked_at + OVERDUE:
            return Asked((), last.answered)
        if now < self._due or not bindings:
            return None
        self._due = now + max(INTERVAL, 2 * bindings / FLOWS_PER_SECOND)
        asked, self._everything = self._ask(None, next_xid, now)
        return asked

    def ask_one(self, home_address: Address, next_xid: Callable[[], int], now: float) -> Asked | None:
        """Have the counts of one binding looked at, unless too many are asked about (None)."""
        return self._ask(home_address, next_xid, now)[0] if self._singles.take(now) else None

    def _ask(self, home_address: Address | None, next_xid: Callable[[], int], now: float) -> tuple[Asked, _Question]:
        for question in set(self._questions.values()):
            if now >= question.asked_at + OVERDUE:
                self._end(question)
        names = {Category.TUNNEL: "ipv6_dst", Category.REVERSE_TUNNEL: "ipv6_src"}
        messages, question = [], _Question(now, set())
        for category, table in DIRECTIONS.items():
            xid = next_xid()
            question.xids.add(xid)
            self._questions[xid] = question
            fields = {}
            if home_address is not None:
                fields = {"eth_type": IPV6, names[category]: addresses.text(home_address)}
            messages.append(flow_dump.request(xid, table, category, fields))
        return Asked(messages, question.answered), question

    def _end(self, question: _Question) -> None:
        for xid in question.xids:
            del self._questions[xid]
        question.xids.clear()
        question.answered.set()

    def add(self, xid: int, message: bytes, now: float) -> bool:
        """Take in one part of an answer. False: it is not an answer of ours."""
        question = self._questions.get(xid)
        if question is None:
            return False
        for flow in flow_dump.entries(message):
            self._add_flow(flow, now)
        if flow_dump.is_last(message):
            question.xids.discard(xid)
            del self._questions[xid]
            if not question.xids:
                question.answered.set()
        return True

    def _add_flow(self, flow: flow_dump.Entry, now: float) -> None:
        category = cookies.category(flow.cookie)
        if category not in DIRECTIONS:
            return
        fields = dict(oxm.fields(flow.match))
        if category == Category.TUNNEL:
            home_address, care_of_address = fields.get(oxm.IPV6_DST), flow_dump.tunnel_destination(flow)
        else:
            home_address, care_of_address = fields.get(oxm.IPV6_SRC), fields.get(oxm.TUN_IPV6_SRC)
        if home_address is None or care_of_address is None or self._care_of_address(home_address) != care_of_address:
            return  # the binding has gone or moved meanwhile
        counts = self._counts.get(home_address)
        if counts is None or counts.care_of_address != care_of_address:
            counts = self._counts[home_address] = BindingCounts(care_of_address, now)
        counts.counted_at = now
        if category == Category.TUNNEL:
            counts.packets_out, counts.bytes_out = flow.packets, flow.octets
        else:
            counts.packets_in, counts.bytes_in = flow.packets, flow.octets
