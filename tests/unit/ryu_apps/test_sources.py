"""One address cannot keep the application busy, whatever the meters let through."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mip6core import addresses
from ryu_apps import pipeline
from ryu_apps.bridge import MAX_PER_SOURCE, Bridge
from ryu_apps.origin import Origin
from ryu_apps.pipeline import Punt
from tests.unit.ryu_apps.test_pipeline import LAYOUT

NOISY, OTHER = addresses.parse("2001:db8:bad::1"), addresses.parse("2001:db8:f1::1")


def frame(source: bytes) -> bytes:
    return bytes(12) + b"\x86\xdd" + bytes(8) + source + bytes(16)


@pytest.mark.parametrize("kind", pipeline.BY_NETWORK)
def test_what_one_address_sends_too_much_is_dropped_first_of_all(kind: Punt) -> None:
    seen: list[bytes] = []
    statistics: dict[str, int] = defaultdict(int)
    router = addresses.parse("2001:db8:1::1")
    bridge = Bridge(LAYOUT, addresses.parse(LAYOUT.address), router, bytes, lambda: 100.0, statistics)
    role = SimpleNamespace(
        link=SimpleNamespace(name="homenet"),
        punts={kind: lambda octets, _: seen.append(octets[22:38])},
        punts_with_origin={kind: lambda octets, _, __: seen.append(octets[22:38])},
    )
    bridge.add_role(cast(Any, role))
    bridge.ready = True
    for source in [NOISY] * (2 * MAX_PER_SOURCE) + [OTHER]:
        if kind in pipeline.WITH_ORIGIN:
            bridge.punted_from(kind, frame(source), Origin())
        else:
            bridge.punted(kind, frame(source))
    assert (seen.count(NOISY), seen.count(OTHER)) == (MAX_PER_SOURCE, 1)
    assert statistics["dropped_source_rate"] == MAX_PER_SOURCE
