"""/metrics of the real server, read by Prometheus' own parser."""

from __future__ import annotations

import json
import re
import time
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


def test_counters_of_adapters(manager: Start) -> None:
    """Written by somebody with the right to read them; without, nothing is known, and that is said."""
    running = manager()
    absent = scrape(running)
    assert absent["mip6_adapter_counters_known"] == {(): 0}
    assert "mip6_adapter_attached" not in absent
    counters = {"ingress_tunnel": 7, "egress_tunnel": 9, "ingress_options_passed": 1, "ingress_gre_dropped": 2}
    adapters = [
        {"device": "eth1", "attached": True, "problems": [], "counters": counters},
        {"device": "eth2", "attached": False, "problems": ["attach again"], "counters": {}},
    ]
    running.adapter_counters.write_text(json.dumps({"time": time.time(), "adapters": adapters}))
    metrics = scrape(running)
    device = ("device", "eth1")
    assert metrics["mip6_adapter_counters_known"] == {(): 1}
    assert metrics["mip6_adapter_attached"] == {(device,): 1, (("device", "eth2"),): 0}
    assert metrics["mip6_adapter_packets_total"] == {
        (device, ("direction", "ingress"), ("kind", "tunnel")): 7,
        (device, ("direction", "egress"), ("kind", "tunnel")): 9,
        (device, ("direction", "ingress"), ("kind", "options_passed")): 1,
    }
    assert metrics["mip6_adapter_dropped_total"] == {(device, ("direction", "ingress"), ("reason", "gre")): 2}


def test_tables_are_those_of_the_security_page(manager: Start) -> None:
    metrics = scrape(manager())
    named = {labels[0][1] for labels in metrics["mip6_table_entries"]}
    page = (MONITORING.parents[1] / "docs/security.md").read_text().split("## Tables")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    told = {name for row in rows[1:] for name in re.findall(r"`(\w+)`", row[3])}
    assert told == named
    assert {labels[0][1] for labels in metrics["mip6_table_limit"]} == named
    assert {labels[0][1] for labels in metrics["mip6_table_turned_away_total"]} < named
    limits = metrics["mip6_table_limit"]
    assert limits[(("table", "bindings"),)] == 100_000 and limits[(("table", "openflow_connections"),)] == 256


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
