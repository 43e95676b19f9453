"""What the adapter's map `limits` holds (sources.h), from rates and back."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Mapping
from typing import Final

from deploy.shim.adapter import Limits

SIZED: Final = ("known_sources", "known_networks")  # maps with as many entries as `Limits.known_sources`
_KINDS: Final = (
    "signalling",
    "return_routability",
    "esp",
    "new_sources",
)  # in the order of `enum kind`
_TUNNEL: Final = "new_sources"
_RATE: Final = struct.Struct("=QQ")  # struct rate: nanoseconds between two packets, and that may be made up for
_SEED: Final = 8  # octets, behind the rates
_SECOND: Final = 1_000_000_000
_GROUPS: Final = 64  # of strangers' networks
_SOURCE_RATE: Final = 20  # messages of one care-of address
_SOURCE_BURST: Final = 100  # a move: home agent and correspondents, three messages each
_ADMITTED_RATE: Final = 1_000  # tunnel packets of one source that was let through, but is not known
_ADMITTED_PART: Final = 10  # and of all of them, times the rate of new ones
_LEAST_BURST: Final = 4


def entries(limits: Limits) -> dict[bytes, bytes]:
    """Index -> struct limits. The seed is another one each time.

    Of signalling about as much comes in as the meters let through to the controller (pipeline.meters): strangers get
    half of the kind's rate, on top of what known networks get.
    """
    seed = os.urandom(_SEED)
    found = {}
    for index, kind in enumerate(_KINDS):
        rate: int = getattr(limits, kind)
        if kind == _TUNNEL:
            known = (_rate(_ADMITTED_RATE), _rate(rate), _rate(rate * _ADMITTED_PART))
            once = rate / 2  # as much again for those who come again
        else:
            known = (_rate(_SOURCE_RATE, _SOURCE_BURST), _rate(rate * 3 / 8), _rate(rate * 3 / 4))
            once = rate / 4
        strangers = (_rate(once / 2 / _GROUPS), _rate(once / 2))
        found[_key(index)] = b"".join((*known, *strangers, seed, struct.pack("=Q", rate)))
    return found


def limits_of(held: Mapping[bytes, bytes], known_sources: int) -> Limits | None:
    """What `entries` has made this from; None if it has not."""
    values = [held.get(_key(index), bytes(8)) for index in range(len(_KINDS))]
    configured = {kind: int.from_bytes(value[-8:], sys.byteorder) for kind, value in zip(_KINDS, values, strict=True)}
    return Limits(**configured, known_sources=known_sources) if all(configured.values()) else None


def _key(index: int) -> bytes:
    return index.to_bytes(4, sys.byteorder)


def _rate(per_second: float, burst: float | None = None) -> bytes:
    interval = max(1, int(_SECOND / per_second))
    return _RATE.pack(interval, int(max(burst or per_second, _LEAST_BURST) * interval))
