"""Long lists, a page at a time, in the order of what names their entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from rest.query import make_cursor
from rest.router import Call

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Entries gone through between two chances for others to run: about a millisecond's work.
_CHUNK: Final = 500
_CHUNK_SHOWN: Final = 100

T = TypeVar("T")


def page(
    call: Call, name: str, found: Iterator[Sequence[bytes]], key_length: int, show: Callable[[bytes], Any]
) -> dict[str, Any]:
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
        if len(keys) > limit + 4 * _CHUNK:
            keys = sorted(keys)[: limit + 1]
    keys.sort()
    call.cooperate()
    shown = []
    for position, key in enumerate(keys[:limit]):
        if position % _CHUNK_SHOWN == 0:
            call.cooperate()
        entry = show(key)
        if entry is not None:
            shown.append(entry)
    return {
        name: shown,
        "total": total,
        "next_cursor": make_cursor(keys[limit - 1]) if len(keys) > limit else None,
    }


def in_pieces(call: Call, everything: Sequence[T]) -> Iterator[list[T]]:
    """All of it, with chances for others to run in between."""
    left = iter(everything)
    while some := list(islice(left, _CHUNK)):
        call.cooperate()
        yield some
