"""Long lists, a page at a time, in the order of what names their entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from rest import serialize
from rest.query import make_cursor
from rest.router import Call, Text

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Entries between two chances for others to run: half a millisecond's work.
_CHUNK: Final = 100
_CHUNK_SHOWN: Final = 10
_SPARE: Final = 2000  # keys that are kept beyond a page before they are sorted out

T = TypeVar("T")


def page(
    call: Call, name: str, found: Iterator[Sequence[bytes]], key_length: int, show: Callable[[bytes], Any]
) -> Text:
    """One page of what is `found`, by key: what comes or goes meanwhile moves no other entry to another page.

    A key has `key_length` octets. `show` gives an entry as JSON, None if it has gone since it was found.
    """
    limit = call.query.number("limit", DEFAULT_LIMIT, MAX_LIMIT)
    after = call.query.cursor("cursor", key_length) or b""
    total = 0
    keys: list[bytes] = []  # the first ones behind the cursor, and at times some more
    for some in found:
        total += len(some)
        keys += (key for key in some if key > after)
        if len(keys) > limit + _SPARE:
            keys = sorted(keys)[: limit + 1]
    keys.sort()
    call.cooperate()
    next_cursor = make_cursor(keys[limit - 1]) if len(keys) > limit else None
    return long_list(call, name, map(show, keys[:limit]), total=total, next_cursor=next_cursor)


def long_list(call: Call, name: str, entries: Iterable[Any], **others: Any) -> Text:
    """A JSON object with a long list as its first member; entries that are None are left out."""
    encoded = []
    for position, entry in enumerate(entries):
        if position % _CHUNK_SHOWN == 0:
            call.cooperate()
        if entry is not None:
            encoded.append(serialize.octets(entry))
    head, tail = serialize.octets({name: []}), serialize.octets(others)
    return Text("application/json", head[:-2] + b",".join(encoded) + b"]," + tail[1:] + b"\n")


def in_pieces(call: Call, everything: Iterable[T]) -> Iterator[list[T]]:
    """All of it, with chances for others to run in between."""
    left = iter(everything)
    while some := list(islice(left, _CHUNK)):
        yield some
        call.cooperate()
