"""Flow cookies: application tag 16 bits | category 8 | generation 8 | object 32.

The tag tells our flows from those of other applications on the bridge. The generation goes up each time a switch
(re)connects: everything wanted is added again under the new one, then older generations are deleted, so that no
packet ever finds the tables empty. The object of a binding's flows holds what is needed to adopt the binding again
after a restart of the controller: its sequence number (16 bits) and the flags of the Binding Update (4 bits).
"""

from __future__ import annotations

import enum
from typing import Final

APP_TAG: Final = 0x6D36  # "m6"
APP_MASK: Final = 0xFFFF << 48
CATEGORY_MASK: Final = APP_MASK | 0xFF << 40
GENERATION_MASK: Final = APP_MASK | 0xFF << 32
ITEM_MASK: Final = 0xFFFFFFFF
GENERATIONS: Final = 256


class Category(enum.IntEnum):
    """What a flow is for."""

    PIPELINE = 1
    PUNT = 2
    TUNNEL = 3
    REVERSE_TUNNEL = 4
    PROXY_ND = 5
    WATCH = 6
    NEIGHBOUR = 7
    HOME_TEST = 8
    ROUTE_OUT = 9
    ROUTE_IN = 10
    NARROW_PATH = 11


PUNTS: Final = APP_TAG << 8 | Category.PUNT  # what the cookie of a punt flow begins with, in 24 bits


def cookie(category: Category, generation: int, item: int = 0) -> int:
    """The cookie of one flow."""
    return APP_TAG << 48 | category << 40 | (generation % GENERATIONS) << 32 | item


def is_ours(value: int) -> bool:
    return value >> 48 == APP_TAG


def category(value: int) -> int:
    return value >> 40 & 0xFF


def generation(value: int) -> int:
    return value >> 32 & 0xFF


def item(value: int) -> int:
    return value & ITEM_MASK


def next_generation(seen: set[int]) -> int:
    """A generation that none of the flows seen on the switch has.

    Generations wrap; at most a few are in use at once, so the first free one after any used one will do.
    """
    candidate = (max(seen) + 1) % GENERATIONS if seen else 0
    while candidate in seen:
        candidate = (candidate + 1) % GENERATIONS
    return candidate


def binding_item(sequence: int, flags: int, static: bool = False) -> int:
    """The object part for a binding's flows; `flags` is the 16-bit flags field of the Binding Update."""
    return sequence << 16 | static << 4 | flags >> 12


def is_static(value: int) -> bool:
    """Whether the object part is of the operator's own binding."""
    return bool(value >> 4 & 1)


def binding_of_item(value: int) -> tuple[int, int]:
    """Sequence number and Binding Update flags of `binding_item`."""
    return value >> 16, (value & 0xF) << 12
