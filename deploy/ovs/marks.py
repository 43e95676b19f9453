"""Notes in OVSDB about what setup made or changed: teardown takes away the one and puts back the other.

external_ids:mip6 is the name of the link that a bridge, port or controller was made for. What was there
already and has been changed has external_ids:mip6-was-X, the value that X had before (empty: none).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

MADE_FOR: Final = "mip6"
WAS: Final = "mip6-was-"
ADDRESS: Final = "mip6-address"  # of a bridge: what was added to its device
ROUTE: Final = "mip6-route"  # of a bridge: gateway of the kernel's default route that was added

MERGING: Final = ("gro", "lro", "rx-gro-hw")  # ethtool's names for what makes one large packet of several received
KERNEL: Final = ("mtu", "disable_ipv6", *MERGING)  # what is noted with a port but belongs to the kernel's device


def quoted(value: str) -> str:
    """A text as ovs-vsctl takes it for a value."""
    return value if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", value) else json.dumps(value)


def note(key: str, value: str) -> str:
    """The word that makes ovs-vsctl set a note."""
    return f"external_ids:{key}={quoted(value)}"


def setting_key(column: str) -> str:
    """The note's key for the earlier value of a column, or of a key in a map column (other_config:hwaddr)."""
    return WAS + column.replace(":", ".")


def earlier_settings(external_ids: Mapping[str, str]) -> dict[str, str]:
    """Column -> value before setup changed it."""
    return {key[len(WAS) :].replace(".", ":"): value for key, value in external_ids.items() if key.startswith(WAS)}
