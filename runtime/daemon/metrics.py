"""The daemon's metrics in Prometheus' text format, read from its parts at the moment somebody asks.

The only importer of `prometheus_client`, and imported by the serving daemon alone. Each label is from a
closed set or from our own routes, and no value names a run, a host, a workspace or a secret.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from runtime.api.counts import RequestCounts
from runtime.daemon.loop_lag import LoopLag
from runtime.daemon.parts import Parts
from runtime.model.histogram import Histogram
from runtime.model.run import RunState
from runtime.version import VERSION

PREFIX = "orchbox_"
READS = ("given", "absent", "failed")


class Metrics(Collector):
    """All metrics of one daemon; `text` is what a scrape is answered with."""

    def __init__(self, parts: Parts, requests: RequestCounts) -> None:
        self._parts = parts
        self._requests = requests
        self.lag = LoopLag()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> tuple[bytes, str]:
        """The metrics as they are now, and their media type."""
        self.lag.watch()
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would collect for it, before there is a daemon."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours."""
        yield InfoMetricFamily(
            f"{PREFIX}build",
            "The version of Orchbox and of its Python.",
            {"version": VERSION, "python": platform.python_version()},
        )
        yield from self._of_runs()
        yield from self._of_room()
        yield from self._of_parts()
        yield from self._of_service()

    def _of_runs(self) -> Iterator[Metric]:
        records = self._parts.service.records
        states = records.states
        living = {state.value: states[state] for state in RunState if not state.is_final}
        yield _gauges("runs", "Runs that have not ended, by state.", "state", living)
        yield _counters("runs_ended", "Runs that have ended.", ("state", "reason"), records.figures.ended)
        yield _histogram(
            "run_queue_seconds", "What runs waited for their turn, from acceptance.", records.figures.queue_s
        )
        yield _histogram(
            "run_start_seconds", "From a run's turn to its agent's start.", records.figures.start_s
        )
        yield _counters(
            "egress_decisions",
            "What the egress proxy decided on requests of runs.",
            ("verdict", "reason_code"),
            records.figures.decisions,
        )

    def _of_room(self) -> Iterator[Metric]:
        slots, admission = self._parts.slots, self._parts.service.admission
        yield _gauges(
            "slots", "Networks for sandboxes in the pool.", "is", {"used": slots.used, "free": slots.free}
        )
        memory = {"used": admission.used_bytes, "free": admission.free_bytes}
        yield _gauges("sandbox_memory_bytes", "Memory that limits of sandboxes may reach.", "is", memory)

    def _of_parts(self) -> Iterator[Metric]:
        parts = self._parts
        yield _gauge("keepers", "Keepers that live, one for each run that works.", parts.keepers.alive)
        warm = {"keeper": int(parts.keepers.is_warm), "proxy": int(parts.link.is_connected)}
        yield _gauges("warm_parents", "Whether the processes live that others are forked of.", "of", warm)
        yield _gauge("guard_proved", "1 while the host guard is proved.", int(parts.guard.status.is_proved))
        yield _counter(
            "guard_losses", "How often a change of the guard's table was found.", parts.guard.losses
        )
        reads = {(result,): parts.vault.reads[result] for result in READS}
        yield _counters("vault_reads", "Secrets that runs asked the vault for.", ("result",), reads)
        yield _counter("database_errors", "Calls that the database did not answer.", parts.database.errors)

    def _of_service(self) -> Iterator[Metric]:
        counted: Counter[tuple[str, ...]] = Counter(
            {(route, method, str(status)): n for (route, method, status), n in self._requests.items()}
        )
        yield _counters("api_requests", "Answers of the API.", ("route", "method", "status"), counted)
        yield _histogram("event_loop_lag_seconds", "How late the event loop is.", self.lag.histogram)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, about, value=value)


def _gauges(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, about, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, about, value=value)


def _counters[L: tuple[str, ...]](
    name: str, about: str, labels: tuple[str, ...], values: Mapping[L, float]
) -> Metric:
    family = CounterMetricFamily(PREFIX + name, about, labels=labels)
    for each, value in values.items():
        family.add_metric(each, value)
    return family


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    buckets = [
        ("+Inf" if math.isinf(bound) else f"{bound:g}", count) for bound, count in histogram.cumulative
    ]
    return HistogramMetricFamily(PREFIX + name, about, buckets=buckets, sum_value=histogram.total)
