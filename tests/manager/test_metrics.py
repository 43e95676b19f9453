"""/metrics of the real server, read by Prometheus' own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

Start = Callable[..., Any]


def scrape(running: Any) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and labels."""
    connection = running.connect()
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.read().decode()
    connection.close()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in series, f"twice: {sample}"
            series[labels] = sample.value
    return found


def test_what_is_not_there_is_zero_and_not_missing(manager: Start) -> None:
    metrics = scrape(manager())
    link = ("link", "homenet")
    assert metrics["mip6_switch_connected"] == {(link,): 0}
    assert metrics["mip6_switch_ready"] == {(link,): 0}
    assert metrics["mip6_bindings"] == {
        (link, ("state", "bound")): 0,
        (link, ("state", "duplicate_address_detection")): 0,
        (link, ("state", "static")): 0,
    }
    assert metrics["mip6_bindings_limit"] == {(): 100_000}
    assert metrics["mip6_threads_died"] == {(): 0}
    assert metrics["mip6_start_time_seconds"][()] > 1.7e9


def test_the_event_loop_is_looked_at(manager: Start) -> None:
    running = manager()
    while not (lag := scrape(running)["mip6_event_loop_lag_seconds_count"][()]):
        pass
    assert lag >= 1


MONITORING = Path(__file__).resolve().parents[2] / "deploy/monitoring"
NOT_OURS = {"up"}


def expressions() -> list[str]:
    """Every query of the dashboard and the alerting rules."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + [
        rule["expr"] for group in rules["groups"] for rule in group["rules"]
    ]


def test_what_dashboard_and_alerts_ask_for_is_there(manager: Start) -> None:
    running = manager()
    # A counter has no sample before it counts, nor a switch before it connects, but the names are declared.
    connection = running.connect()
    connection.request("GET", "/metrics")
    declared = {line.split()[2] for line in connection.getresponse().read().decode().splitlines() if "# TYPE" in line}
    connection.close()
    present = set(scrape(running)) | declared
    asked = [name for expression in expressions() for name in re.findall(r"\b(?:mip6_\w+|up)\b", expression)]
    assert len(asked) > 15
    assert set(asked) - present - NOT_OURS == set()
