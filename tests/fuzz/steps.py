"""Inputs of the fuzzer: sequences of steps, each of four octets and data."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

from ryu_apps.pipeline import Punt

STEP: Final = struct.Struct("!BBH")
MAX_STEPS: Final = 24
KINDS: Final = tuple(Punt)
DELAYS: Final = (0.0, 0.01, 0.5, 1.0, 3.0, 30.0, 61.0, 300.0)  # seconds


class Op(IntEnum):
    """What a step does."""

    HOME_PUNT = 0  # a frame to the bridge of the home link; the number is the kind
    VIRTUAL_PUNT = 1  # the same to that of the virtual link
    WAIT = 2
    REFUSE = 3  # the switch will refuse the last flow ahead of its next barrier
    MESSAGE = 4  # any octets as the body of an OpenFlow message
    CLEAR = 5  # the operator clears the bindings
    RECONNECT = 6


Step = tuple[int, int, bytes]


def pack(steps: Iterable[Step]) -> bytes:
    """Steps as one input."""
    return b"".join(STEP.pack(op, number, len(data)) + data for op, number, data in steps)


def unpack(octets: bytes) -> Iterator[Step]:
    """Any octets as steps."""
    offset = 0
    for _ in range(MAX_STEPS):
        if len(octets) - offset < STEP.size:
            return
        op, number, length = STEP.unpack_from(octets, offset)
        offset += STEP.size
        yield op % len(Op), number, octets[offset : offset + length]
        offset += length


def readable(octets: bytes) -> str:
    """An input for people."""
    lines = []
    for op, number, data in unpack(octets):
        what = KINDS[number % len(KINDS)].name if op in (Op.HOME_PUNT, Op.VIRTUAL_PUNT) else str(number)
        lines.append(f"{Op(op).name} {what} {data.hex()}")
    return "\n".join(lines)
