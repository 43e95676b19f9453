"""/v1/events: what has happened. /v1/watch: the same as it happens, as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from rest import serialize
from rest.problem import Problem, bad_request
from rest.resources.pages import in_pieces, long_list
from rest.router import Call, Stream, Text
from rest.service import EventView, Watch

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
RETRY: Final = 2000  # milliseconds after which a browser comes back
LOST: Final = b"event: lost\ndata: {}\n\n"
_MAX_ID: Final = 2**63 - 1

Filter = Callable[[EventView], bool]


def list_events(call: Call) -> Text:
    """The newest ones, newest first; `home_address` for the history of one mobile node."""
    call.query.only("home_address", "link", "kind", "limit")
    limit = call.query.number("limit", DEFAULT_LIMIT, MAX_LIMIT)
    passes = _filter(call)
    total = 0
    newest: deque[EventView] = deque(maxlen=limit)
    for some in in_pieces(call, call.service.events()):
        found = list(filter(passes, some))
        total += len(found)
        newest.extend(found)
    return long_list(call, "events", map(serialize.event, reversed(newest)), total=total)


def watch(call: Call) -> Stream:
    """Goes on behind the event named by Last-Event-ID, or with what happens from now on.

    A watcher that has missed something, since it was away or slow for too long, gets an event `lost`: it must read
    the lists again.
    """
    call.query.only("home_address", "link", "kind")
    after = _last_event_id(call)
    passes = _filter(call)
    complete = after is None or call.service.knows_all_behind(after)
    events = call.service.watch(after)
    if events is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many watchers", {"Retry-After": "10"})
    return Stream("text/event-stream", EventStream(events, passes, complete, call.cooperate))


class EventStream:
    """The events of a watch in the format of server-sent events."""

    def __init__(self, events: Watch, passes: Filter, complete: bool, cooperate: Callable[[], None]) -> None:
        self._events = events
        self._passes = passes
        self._complete = complete
        self._cooperate = cooperate

    def __iter__(self) -> Iterator[bytes]:
        yield f"retry: {RETRY}\n\n".encode()
        if not self._complete:
            yield LOST
        for views in self._events:
            blocks = []
            for view in views:
                self._cooperate()
                if self._passes(view):
                    blocks.append(_block(view))
            if blocks or not views:
                yield b"".join(blocks) or b":\n\n"
        yield LOST

    def close(self) -> None:
        """The server calls this when the client has gone (PEP 3333)."""
        self._events.close()


def _block(view: EventView) -> bytes:
    if not view.encoded:
        data = serialize.octets(serialize.event(view)).decode()
        view.encoded = f"id: {view.id}\nevent: {view.kind}\ndata: {data}\n\n".encode()
    return view.encoded


def _last_event_id(call: Call) -> int | None:
    """A browser sends it as a header when it comes back."""
    given = call.headers.get("Last-Event-ID")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) <= _MAX_ID):
        raise bad_request("Last-Event-ID: not an id of this API")
    return int(given)


def _filter(call: Call) -> Filter:
    prefix = call.query.prefix("home_address")
    link, kind = call.query.text("link"), call.query.text("kind")

    def passes(view: EventView) -> bool:
        if prefix is not None and (view.home_address is None or not prefix.contains(view.home_address)):
            return False
        return link in (None, view.link) and kind in (None, view.kind)

    return passes
