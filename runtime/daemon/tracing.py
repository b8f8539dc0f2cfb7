"""Traces of runs for an OpenTelemetry collector: OTLP over HTTP, set up by the standard OTEL_* variables.

The only importer of the SDK, and itself imported only where a collector is named. A run is sent once, when
it has ended, from a thread of the SDK's own: a collector that is slow or away holds up nothing, and loses
traces. The trace's id is the run's, without its dashes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from runtime.model.run import RunState
from runtime.runs.trace import RunTrace
from runtime.version import VERSION

CLOSE_S = 5.0
"""For what is not sent yet when the daemon ends."""
NAME = "service.name"
SECRETS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


class _RunIds(RandomIdGenerator):
    """Trace ids that are the ids of runs."""

    run: uuid.UUID | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.run is None else self.run.int


class Tracing:
    """Sends traces; `export` is a run service's `on_end`."""

    def __init__(self) -> None:
        """Reads the SDK's own variables; tokens among them reach no program that we start."""
        self._ids = _RunIds()
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("orchbox", VERSION)
        for name in SECRETS:
            os.environ.pop(name, None)

    def export(self, trace: RunTrace) -> None:
        """Hand over the trace of a run that has ended; it is sent later, or dropped where too many wait."""
        self._ids.run = _uuid(trace.run.id)
        run = trace.run
        attributes = {
            "orchbox.run.id": run.id,
            "orchbox.run.agent": run.agent_ref,
            "orchbox.run.policy": run.policy_name,
            "orchbox.run.workspace": run.workspace,
            "orchbox.run.isolation": run.isolation.value,
            "orchbox.run.state": run.state.value,
            "orchbox.egress.omitted": trace.omitted_decisions,
        }
        if run.error is not None:  # not its message: that quotes what the agent wrote
            attributes["orchbox.run.reason"] = run.error.code
        root = self._start("run", run.created_at, attributes, Context())
        if run.state is not RunState.COMPLETED:
            root.set_status(Status(StatusCode.ERROR, run.error.code if run.error else run.state.value))
        within = set_span_in_context(root, Context())
        around = within
        for phase in trace.phases:
            span = self._start(phase.name, phase.start, {}, within)
            if phase.name == "agent":
                around = set_span_in_context(span, Context())
            span.end(_ns(phase.end))
        for line in trace.decisions:
            at = float(line.get("at") or trace.end)
            self._start("egress", at, _of_decision(line), around).end(_ns(at))
        root.end(_ns(trace.end))

    async def close(self) -> None:
        """Send what there is, for a moment at most."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces")
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_S)

    def _start(self, name: str, at: float, attributes: Mapping[str, Any], within: Context) -> Span:
        return self._tracer.start_span(name, context=within, attributes=dict(attributes), start_time=_ns(at))


def _resource() -> Resource:
    """What the variables say of this service, under our name where they have none."""
    found = Resource.create({"service.version": VERSION})
    is_named = not str(found.attributes.get(NAME, "")).startswith("unknown_service")
    return found if is_named else found.merge(Resource({NAME: "orchbox"}))


def _of_decision(line: Mapping[str, Any]) -> dict[str, Any]:
    """Where it was to go and what was decided; no path, and nothing where a field is empty."""
    fields = {
        "orchbox.egress.verdict": line.get("verdict"),
        "orchbox.egress.reason_code": line.get("reason_code"),
        "orchbox.egress.rule": line.get("rule_id"),
        "orchbox.egress.entry": line.get("entry"),
        "orchbox.egress.suppressed": line.get("suppressed"),
        "server.address": line.get("host"),
        "server.port": line.get("port"),
        "http.request.method": line.get("method"),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", 0)}


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
