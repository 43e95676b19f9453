"""What the wire format adapters on this machine have counted, for /metrics.

Their counters are in the kernel, and the controller has no right to look there. `mip6ctl ovs counters --write FILE`,
which has, leaves them in a file (mip6-adapters.service). Where nobody does, because the switch is on another machine or
that unit does not run, nothing is known, and the metrics say so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path("/run/mip6-adapters/counters.json")
FRESH: Final = 60.0  # seconds; an older report is of a writer that does not run any more
MAX_LENGTH: Final = 1 << 20  # octets of a report
MAX_DEVICES: Final = 256
_COUNTER: Final = re.compile(r"(ingress|egress)_([a-z0-9_]{1,40})")
_DROPPED: Final = "_dropped"


@dataclass(frozen=True, slots=True)
class Counter:
    """Packets of one kind on one device."""

    device: str
    direction: str  # ingress, egress
    kind: str  # what they were; of dropped ones: why
    dropped: bool
    packets: int


@dataclass(frozen=True, slots=True)
class Report:
    """The adapters of one machine."""

    attached: dict[str, bool]  # by device
    counters: list[Counter]


def read(path: Path, now: float) -> Report | None:
    """The report in a file, `now` in seconds since 1970. None: there is none, or it is old, or not a report."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_LENGTH))
        if not abs(now - found["time"]) <= FRESH:
            return None
        adapters = found["adapters"][:MAX_DEVICES]
        attached = {str(adapter["device"]): bool(adapter["attached"]) for adapter in adapters}
        return Report(attached, [counter for adapter in adapters for counter in _counters(adapter)])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _counters(adapter: dict[str, Any]) -> list[Counter]:
    found = []
    for name, packets in adapter["counters"].items():
        if match := _COUNTER.fullmatch(name):
            kind = match[2]
            dropped = kind.endswith(_DROPPED)
            reason = kind.removesuffix(_DROPPED)
            found.append(Counter(str(adapter["device"]), match[1], reason if dropped else kind, dropped, int(packets)))
    return found
