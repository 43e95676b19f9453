"""/metrics in Prometheus' form: made from the counters that there are anyhow, when somebody asks.

No label holds an address, nor anything else that a stranger can choose: the number of series is bounded.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mip6core.fsm import State
from ryu_apps import adapter_report, tables
from ryu_apps.of_compat import hub
from ryu_apps.reload import REJECTED
from ryu_apps.turns import in_pieces

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp
    from ryu_apps.reload import Reloader

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # of `Metrics.text`
LAG_INTERVAL: Final = 1.0  # seconds between two looks at how late the event loop is
LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)

_STATUS: Final = re.compile(r"(ba|be)_sent_([0-9]+)")
_MESSAGE: Final = re.compile(r"([a-z0-9]+)_(received|sent)")
# What is shown of registrations, and how: those that wait for their address's test, and bindings.
STATES: Final = {
    State.DAD: "duplicate_address_detection",
    State.BOUND: "bound",
    State.BOUND_DAD: "bound",
    State.STATIC: "static",
}


class Histogram:
    """How often something has taken how long. Prometheus' own has locks, and takes ten times the time for each."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        """`bounds` of the buckets, seconds, from the lowest on; there is one more for all above."""
        self._name = name
        self._documentation = documentation
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """It has taken so long once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def family(self) -> HistogramMetricFamily:
        """What Prometheus reads: each bucket counts those below it, too."""
        bounds = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(map(float, self._counts)), strict=True))
        return HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)


class Metrics:
    """The registry of one application."""

    def __init__(self, app: HomeAgentApp) -> None:
        self._app = app
        self.reloader: Reloader | None = None  # None: not there yet
        self.cooperate: Callable[[], None] = lambda: None  # called in long loops, to let others run
        self.adapter_report = adapter_report.FILE
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._installation = Histogram(
            "mip6_flow_installation_seconds",
            "From the flows of some bindings, written together, to the switch's word that they are in",
            LATENCY_BUCKETS,
        )
        self._acknowledgement = Histogram(
            "mip6_acknowledgement_seconds",
            "From when a Binding Update has been handled to its acknowledgement, which waits for its flows; "
            "the longest of some that are written together",
            LATENCY_BUCKETS,
        )
        self._lag = Histogram(
            "mip6_event_loop_lag_seconds",
            "How much later than asked for the event loop came back",
            LAG_BUCKETS,
        )

    def switch_answered(self, installation: float, acknowledgement: float | None) -> None:
        """See `Outbox.measure`, seconds."""
        self._installation.observe(installation)
        if acknowledgement is not None:
            self._acknowledgement.observe(acknowledgement)

    def watch_event_loop(self) -> None:
        """For ever."""
        while True:
            asked = time.monotonic()
            hub.sleep(LAG_INTERVAL)
            self._lag.observe(max(0.0, time.monotonic() - asked - LAG_INTERVAL))

    def text(self) -> bytes:
        """What Prometheus reads."""
        text: bytes = generate_latest(self._registry)
        return text

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client.registry.Collector."""
        app = self._app
        engines = {"home_agent": app.engine.statistics, "correspondent": app.correspondent.statistics}
        yield from _counters({**engines, "shell": app.statistics})
        yield from self._bindings()
        yield from self._switches()
        died = GaugeMetricFamily("mip6_threads_died", "Threads of the application that have ended by a bug")
        died.add_metric([], len(app.loops.died))
        yield died
        started = GaugeMetricFamily("mip6_start_time_seconds", "When the application started, seconds since 1970")
        started.add_metric([], app.started_at)
        yield started
        watchers = GaugeMetricFamily("mip6_watchers", "Clients that watch events")
        watchers.add_metric([], app.event_log.watchers)
        yield watchers
        yield from self._tables()
        yield from _adapters(adapter_report.read(self.adapter_report, time.time()))
        for histogram in (self._installation, self._acknowledgement, self._lag):
            yield histogram.family()

    def _tables(self) -> Iterator[Metric]:
        entries = GaugeMetricFamily("mip6_table_entries", "Of tables that strangers can make grow", labels=("table",))
        limit = GaugeMetricFamily("mip6_table_limit", "Entries that there can be", labels=("table",))
        turned_away = CounterMetricFamily(
            "mip6_table_turned_away",
            "New entries that found no place, and old ones that had to give way to others",
            labels=("table",),
        )
        for size in tables.sizes(self._app):
            entries.add_metric([size.table], size.entries)
            limit.add_metric([size.table], size.limit)
            if size.turned_away is not None:
                turned_away.add_metric([size.table], size.turned_away)
        yield from (entries, limit, turned_away)
        left_out = CounterMetricFamily("mip6_rejections_left_out", "Rejections that are not among the events")
        left_out.add_metric([], self._app.event_log.rejections_left_out)
        yield left_out

        if self.reloader is not None:
            yield from _configuration(self.reloader)

    def _bindings(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("mip6_bindings", "Home registrations", labels=("link", "state"))
        counted: Counter[tuple[str, str | None]] = Counter()
        for entries in in_pieces(self._app.engine.bindings, self.cooperate):
            counted.update((entry.link.name, STATES.get(entry.state)) for entry in entries)
        for link in self._app.engine.links:
            for state in dict.fromkeys(STATES.values()):
                family.add_metric([link.name, state], counted[link.name, state])
        yield family
        limit = GaugeMetricFamily("mip6_bindings_limit", "Home registrations that are possible at once")
        limit.add_metric([], self._app.config.limits.max_bindings)
        yield limit

        routes = GaugeMetricFamily("mip6_correspondent_bindings", "Bindings of correspondents", labels=("link",))
        held: Counter[str] = Counter()
        for bindings in in_pieces(self._app.correspondent.bindings, self.cooperate):
            held.update(binding.link.name for binding in bindings)
        for name in self._app.correspondent_links:
            routes.add_metric([name], held[name])
        yield routes
        limit = GaugeMetricFamily("mip6_correspondent_bindings_limit", "Bindings of correspondents that are possible")
        limit.add_metric([], self._app.config.limits.max_correspondent_bindings)
        yield limit

    def _switches(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily("mip6_switch_connected", "1: the switch of the link is", labels=("link",))
        ready = GaugeMetricFamily("mip6_switch_ready", "1: it has all flows, too", labels=("link",))
        unconfirmed = GaugeMetricFamily(
            "mip6_unconfirmed_barriers", "Barriers that the switch has not answered yet", labels=("link",)
        )
        neighbours = GaugeMetricFamily(
            "mip6_neighbours", "Neighbours on the link that are resolved or being so", labels=("link",)
        )
        for link in (*self._app.links, *self._app.correspondent_links):
            switch = self._app.switches.get(link)
            connected.add_metric([link], switch is not None)
            ready.add_metric([link], switch is not None and switch.bridge.confirmed)
            if switch is not None:
                unconfirmed.add_metric([link], switch.bridge.outbox.unconfirmed)
                neighbours.add_metric([link], len(switch.bridge.neighbours))
        yield from (connected, ready, unconfirmed, neighbours)


def _adapters(report: adapter_report.Report | None) -> Iterator[Metric]:
    """Of this machine, if somebody who may read their counters does."""
    known = GaugeMetricFamily("mip6_adapter_counters_known", "0: no fresh counters of adapters are on this machine")
    known.add_metric([], report is not None)
    attached = GaugeMetricFamily("mip6_adapter_attached", "1: the adapter of the device works", labels=("device",))
    labels = ("device", "direction")
    packets = CounterMetricFamily(
        "mip6_adapter_packets", "Packets that the adapter has converted or let pass", labels=(*labels, "kind")
    )
    drops = CounterMetricFamily("mip6_adapter_dropped", "Packets that it has dropped", labels=(*labels, "reason"))
    if report is not None:
        for device, works in report.attached.items():
            attached.add_metric([device], works)
        for counter in report.counters:
            family = drops if counter.dropped else packets
            family.add_metric([counter.device, counter.direction, counter.kind], counter.packets)
    yield from (known, attached, packets, drops)


def _configuration(reloader: Reloader) -> Iterator[Metric]:
    reloads = CounterMetricFamily("mip6_config_reloads", "Reloads of the configuration file", labels=("result",))
    for result, count in reloader.results.items():
        reloads.add_metric([result], count)
    yield reloads
    good = GaugeMetricFamily("mip6_config_last_reload_successful", "0: the file was not good, the running one stays")
    good.add_metric([], reloader.last != REJECTED)
    yield good
    info = GaugeMetricFamily("mip6_config_info", "The configuration file", labels=("hash",))
    info.add_metric([reloader.file_hash], 1)
    yield info


def _counters(groups: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    """The counters of the application by what they count; `groups` is by who counts."""
    messages = CounterMetricFamily(
        "mip6_messages",
        "Signalling messages by type (the RFC's abbreviation); status of acknowledgements and Binding Errors",
        labels=("part", "type", "direction", "status"),
    )
    drops = CounterMetricFamily("mip6_dropped", "Packets dropped by the application", labels=("part", "reason"))
    punts = CounterMetricFamily("mip6_punts", "Packets that switches handed up", labels=("kind",))
    others = CounterMetricFamily("mip6_events", "Whatever else is counted", labels=("part", "event"))
    for part, statistics in groups.items():
        for name, value in sorted(statistics.items()):
            if status := _STATUS.fullmatch(name):
                messages.add_metric([part, status[1], "sent", status[2]], value)
            elif name.startswith("dropped_"):
                drops.add_metric([part, name.removeprefix("dropped_")], value)
            elif name.startswith("punted_"):
                punts.add_metric([name.removeprefix("punted_")], value)
            elif message := _MESSAGE.fullmatch(name):
                messages.add_metric([part, message[1], message[2], ""], value)
            else:
                others.add_metric([part, name], value)
    yield from (messages, drops, punts, others)
