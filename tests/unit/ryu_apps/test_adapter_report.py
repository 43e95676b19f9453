"""What `mip6ctl ovs counters --write` has left, read by the controller: what is no fresh report is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ryu_apps.adapter_report import Counter, Report, read

NOW = 1.8e9  # seconds since 1970


def report(age: float, **counters: object) -> str:
    adapter = {"device": "eth1", "attached": True, "problems": [], "counters": counters}
    return json.dumps({"time": NOW - age, "adapters": [adapter]})


def test_counters_by_direction_and_kind(tmp_path: Path) -> None:
    file = tmp_path / "counters.json"
    file.write_text(report(59, ingress_tunnel=7, egress_source_dropped=2, sideways=4))
    assert read(file, NOW) == Report(
        {"eth1": True},
        [Counter("eth1", "ingress", "tunnel", False, 7), Counter("eth1", "egress", "source", True, 2)],
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 100_000, '{"time": "now", "adapters": []}', '{"time": 1e400, "adapters": []}'),
        *('{"time": 1.8e9, "adapters": [{}]}', '{"time": 1.8e9}', '{"time": 1.8e9, "adapters": null}'),
        report(61, ingress_tunnel=7),
        report(-61, ingress_tunnel=7),
        report(0).replace("{}", "[]"),
        report(0, ingress_tunnel="7 or so"),
    ],
)
def test_a_bad_or_old_report_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "counters.json"
    file.write_text(text)
    assert read(file, NOW) is None


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    assert read(tmp_path / "counters.json", NOW) is None
    assert read(tmp_path, NOW) is None
