"""runtime.daemon.tracing: one trace a run, as a collector on loopback gets it, and nothing without one."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.daemon import tracing as module
from runtime.daemon.serve import _trace
from runtime.daemon.settings import Settings
from runtime.daemon.tracing import SECRETS, Tracing
from runtime.engine.fake_programs import FakeProcess
from runtime.engine.protocol import STDERR, STDOUT
from runtime.model.run import RunState
from runtime.version import VERSION
from tests.harness.collector import Collector, attributes_of, collecting
from tests.unit.runtime.run_world import World, hang, request, world

__all__ = ["world"]
ROOT = Path(__file__).resolve().parents[4]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SECRET = "a-value-of-this-test"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """One that the standard variable names."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with collecting() as made:
        monkeypatch.setenv(ENDPOINT, made.url)
        yield made


async def ask(process: FakeProcess, head: dict[str, Any]) -> int:
    """An agent that is refused once, and says what nobody else is to know."""
    process.write(STDERR, f"log {SECRET}\n".encode())
    process.write(STDOUT, f'{{"error": "result {SECRET}"}}'.encode())
    return 3


async def test_a_run_is_one_trace(world: World, collector: Collector):
    """Its id is the run's; phases are below the run, and decisions below the agent; how it ended is said."""
    tracing = Tracing()
    world.service.records.on_end = tracing.export

    async def refused(process: FakeProcess, head: dict[str, Any]) -> int:
        [(sandbox_id, worker)] = world.link.workers.items()
        line = {
            "sandbox_id": sandbox_id,
            "at": 1_700_000_000.5,
            "verdict": "deny",
            "reason_code": "not_allowed_host",
            "rule_id": None,
            "host": "evil.test",
            "port": 443,
            "method": "GET",
            "path": f"/{SECRET}",
            "suppressed": 0,
        }
        worker.on_decision(line)
        return await ask(process, head)

    world.agent = refused
    run = await world.run()
    await tracing.close()

    assert {span.trace_id for span in collector.spans} == {uuid.UUID(run.id).bytes}
    [root], [agent], [egress] = (collector.named(name) for name in ("run", "agent", "egress"))
    names = ["queue", "slot", "create", "start", "agent", "clean-up"]
    below = sorted(
        (span for span in collector.spans if span.parent_span_id == root.span_id),
        key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano),
    )
    assert {span.name for span in below} == set(names)
    assert below[0].name == "queue"
    assert (root.parent_span_id, egress.parent_span_id) == (b"", agent.span_id)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in collector.spans)
    said = attributes_of(root)
    assert (said["orchbox.run.id"], said["orchbox.run.state"]) == (run.id, "failed")
    assert (said["orchbox.run.reason"], root.status.code) == ("SANDBOX_ERROR", 2)
    assert attributes_of(egress) == {
        "orchbox.egress.verdict": "deny",
        "orchbox.egress.reason_code": "not_allowed_host",
        "server.address": "evil.test",
        "server.port": 443,
        "http.request.method": "GET",
    }
    assert egress.start_time_unix_nano == 1_700_000_000_500_000_000
    [resource] = collector.resources
    assert (resource["service.name"], resource["service.version"]) == ("orchbox", VERSION)


async def test_nothing_that_an_agent_wrote_is_sent(world: World, collector: Collector):
    """Neither its log, nor its result, nor the error that quotes both."""
    tracing = Tracing()
    world.service.records.on_end = tracing.export
    world.agent = ask
    run = await world.run()
    await tracing.close()

    assert run.error is not None
    assert SECRET in run.error.message
    assert collector.spans
    assert SECRET not in "".join(str(span) for span in collector.spans)


async def test_each_run_has_a_trace_of_its_own(world: World, collector: Collector):
    """Also one that was cancelled, whose status is an error."""
    tracing = Tracing()
    world.service.records.on_end = tracing.export
    world.agent = hang
    runs = [await world.service.create(request()) for _ in range(2)]
    for run in runs:
        await world.until_running(run)
        await world.service.cancel(run.id)
    await tracing.close()

    roots = collector.named("run")
    assert {root.trace_id for root in roots} == {uuid.UUID(run.id).bytes for run in runs}
    assert [attributes_of(root)["orchbox.run.state"] for root in roots] == [RunState.CANCELLED.value] * 2


async def test_the_standard_variables_count(
    world: World, collector: Collector, monkeypatch: pytest.MonkeyPatch
):
    """Headers, the service's name and the sampler; tokens stay in no environment."""
    monkeypatch.setenv(SECRETS[0], f"x-token={SECRET}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    tracing = Tracing()
    assert SECRETS[0] not in os.environ
    world.service.records.on_end = tracing.export
    world.agent = ask
    await world.run()
    await tracing.close()
    assert collector.headers[0]["x-token"] == SECRET
    assert collector.resources[0]["service.name"] == "mine"

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    silent, before = Tracing(), len(collector.spans)
    world.service.records.on_end = silent.export
    await world.run()
    await silent.close()
    assert len(collector.spans) == before


async def test_a_collector_that_is_away_holds_up_nothing(
    world: World, collector: Collector, monkeypatch: pytest.MonkeyPatch
):
    """Runs end as they do, and so does the daemon."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    tracing = Tracing()
    world.service.records.on_end = tracing.export
    world.agent = ask
    assert (await world.run()).state is RunState.FAILED
    await tracing.close()
    assert collector.spans == []


def settings(**env: str) -> Settings:
    """With these variables."""
    return Settings.from_env({"HOME": "/x", **env})


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({ENDPOINT: "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ({ENDPOINT: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_made_where_they_are_asked_for(env: dict[str, str], expected: bool):
    """By the standard variables; what is for other programs is no error."""
    assert settings(**env).has_traces is expected


def test_a_daemon_without_a_collector_imports_no_sdk():
    """By a process that has imported all of the daemon."""
    code = "import sys, runtime.daemon.serve; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


async def test_without_a_collector_nothing_is_made(world: World):
    """No run hands over its trace."""
    close = _trace(_Daemon(world), settings())  # type: ignore[arg-type]
    await close()
    assert world.service.records.on_end is None


async def test_with_one_the_daemon_sends_them(world: World, collector: Collector):
    """As it serves."""
    close = _trace(_Daemon(world), settings(**{ENDPOINT: collector.url}))  # type: ignore[arg-type]
    world.agent = ask
    await world.run()
    await close()
    assert len(collector.named("run")) == 1


class _Daemon:
    """As far as traces go."""

    def __init__(self, world: World) -> None:
        self.service = world.service
