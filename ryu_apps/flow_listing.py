"""The flows of ours on a switch, for whoever asks over REST: read from it when they are asked for.

OpenFlow knows no pages: a switch tells all flows that fit a question. So a question is as narrow as OpenFlow allows,
its answer is kept for KEEP seconds, from which the next pages come, and how many flows may be read in the long run is
limited: who asks for more is told to wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mip6core import addresses
from mip6core.addresses import Address
from rest.service import FlowView
from ryu_apps import cookies, flow_dump, flow_text, meanings
from ryu_apps.cookies import Category
from ryu_apps.of_compat import hub, ofproto
from ryu_apps.pipeline import ADVERTISEMENT, IPV6, SOLICITATION, Table

MAX_FLOWS: Final = 150_000  # of one answer
KEEP: Final = 10.0  # seconds since the last page
OVERDUE: Final = 10.0  # seconds after which an answer is not waited for any longer
FLOWS_AT_ONCE: Final = 50_000  # that may be read before anybody has to wait,
FLOWS_PER_SECOND: Final = 5000  # and in the long run
KEY_LENGTH: Final = 8 + 1 + 2 + 8  # octets: datapath, table, priority, and a digest of the match
WITH_BINDING: Final = (
    *(Category.TUNNEL, Category.REVERSE_TUNNEL, Category.PROXY_ND),
    *(Category.ROUTE_OUT, Category.ROUTE_IN),
)


@dataclass(frozen=True, slots=True)
class Question:
    """Which flows are wanted; None: it does not matter."""

    table: Table | None
    category: Category | None
    home_address: Address | None

    def requests(self, next_xid: Callable[[], int]) -> Iterator[tuple[int, bytes]]:
        """Transactions and messages."""
        table = ofproto.OFPTT_ALL if self.table is None else self.table
        matches: list[Mapping[str, object]] = [{}]
        if self.home_address is not None:
            text = addresses.text(self.home_address)
            ends = [{"eth_type": IPV6, name: text} for name in ("ipv6_src", "ipv6_dst")]
            targets = [{**message, "ipv6_nd_target": text} for message in (SOLICITATION, ADVERTISEMENT)]
            matches = [*ends, *targets]
        for fields in matches:
            xid = next_xid()
            yield xid, flow_dump.request(xid, table, self.category, fields)


@dataclass(slots=True)
class Answer:
    """The flows that fit a question, by keys in the order in which they are shown."""

    question: Question
    asked_at: float  # monotonic seconds
    xids: set[int] = field(default_factory=set)  # transactions without their whole answer
    flows: dict[bytes, flow_dump.Entry] = field(default_factory=dict)
    left_out: int = 0  # flows beyond MAX_FLOWS
    complete: hub.Event = field(default_factory=hub.Event)
    used_at: float = 0.0


class FlowListing:
    """Of one switch."""

    def __init__(self, bridge: str, datapath_id: int) -> None:
        self._bridge = bridge
        self._prefix = datapath_id.to_bytes(8, "big")
        self._answer: Answer | None = None
        self._allowance = float(FLOWS_AT_ONCE)  # flows that may be read; below 0 nobody may ask
        self._allowed_at = float("-inf")

    def ask(self, question: Question, next_xid: Callable[[], int], now: float) -> tuple[Answer, list[bytes]] | None:
        """What answers a question, perhaps not all of it yet, and what to send. None: not now, too much was asked."""
        answer = self._answer
        if answer is not None and answer.question == question:
            fresh = not answer.xids and now < answer.used_at + KEEP
            if fresh or (answer.xids and now < answer.asked_at + OVERDUE):
                answer.used_at = now
                return answer, []
        elif answer is not None and answer.xids and now < answer.asked_at + OVERDUE:
            return None  # one after another
        self._allow(now)
        if self._allowance < 0:
            return None
        answer = self._answer = Answer(question, now, used_at=now)
        messages = []
        for xid, message in question.requests(next_xid):
            answer.xids.add(xid)
            messages.append(message)
        return answer, messages

    def _allow(self, now: float) -> None:
        earned = max(0.0, now - self._allowed_at) * FLOWS_PER_SECOND
        self._allowance = min(float(FLOWS_AT_ONCE), self._allowance + earned)
        self._allowed_at = now

    def add(self, xid: int, message: bytes) -> bool:
        """Take in one part of an answer. False: it is not an answer of ours."""
        answer = self._answer
        if answer is None or xid not in answer.xids:
            return False
        for flow in flow_dump.entries(message):
            self._allowance -= 1
            if len(answer.flows) < MAX_FLOWS:
                answer.flows[self._key(flow)] = flow
            else:
                answer.left_out += 1
        if flow_dump.is_last(message):
            answer.xids.discard(xid)
            if not answer.xids:
                answer.complete.set()
        return True

    def tick(self, now: float) -> None:
        """Forget an answer that nobody reads any more."""
        answer = self._answer
        if answer is not None and now >= max(answer.used_at + KEEP, answer.asked_at + OVERDUE):
            self._answer = None

    def _key(self, flow: flow_dump.Entry) -> bytes:
        match = hashlib.blake2b(flow.match, digest_size=8).digest()
        return self._prefix + bytes((flow.table,)) + (0xFFFF - flow.priority).to_bytes(2, "big") + match

    def view(self, flow: flow_dump.Entry) -> FlowView:
        """A flow as the API shows it."""
        category, item = cookies.category(flow.cookie), cookies.item(flow.cookie)
        return FlowView(
            bridge=self._bridge,
            table=meanings.table(flow.table),
            priority=flow.priority,
            category=meanings.category(category),
            meaning=meanings.of_flow(flow.cookie, flow.table),
            generation=cookies.generation(flow.cookie),
            match=flow_text.match(flow.match),
            actions=flow_text.actions(flow.instructions),
            packets=flow.packets,
            bytes=flow.octets,
            remaining_lifetime=flow.left,
            sequence=cookies.binding_of_item(item)[0] if category in WITH_BINDING else None,
            punt=meanings.punt(item) if category == Category.PUNT else None,
        )


def question(table: str | None, category: str | None, home_address: Address | None) -> Question:
    """What somebody asks for by names, a table also by its number. ValueError: there is no such thing."""
    tables = {str(one.value): one for one in Table} | {one.name.lower(): one for one in Table}
    categories = {one.name.lower(): one for one in Category}
    if table is not None and table not in tables:
        raise ValueError(f"table: one of {', '.join(one.name.lower() for one in Table)}, or its number")
    if category is not None and category not in categories:
        raise ValueError(f"category: one of {', '.join(categories)}")
    return Question(
        None if table is None else tables[table], None if category is None else categories[category], home_address
    )
