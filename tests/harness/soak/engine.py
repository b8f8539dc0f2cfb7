"""Runs a soak against a daemon that is up: phases of single runs and of many at a time, and looks between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker

from runtime.api.run_json import request_to_json
from runtime.client.connection import Client
from runtime.errors import OrchError
from runtime.model.limits import Limits
from runtime.model.run import RunRequest
from runtime.probe.lab import INSIDE, bundle
from runtime.probe.neighbours.run import AGENT
from tests.harness.soak.report import Outcome, Sample
from tests.harness.vitals import Vitals, children_of, cpu_seconds, vitals_of

SOAK = Path(__file__).parent / "agent"
FILES = {
    "runtime/probe/inside": INSIDE,
    "runtime/probe/neighbours/agent": AGENT,
    "tests/harness/soak/agent": SOAK,
}
AT_ONCE = 10
TIMES = 8
BIG_BYTES = 2_000_000
ALONE, TOGETHER = "one after another", f"{AT_ONCE} at a time"
PHASES = (ALONE, TOGETHER)
WARM_RUNS = 12
QUIET_S = 30.0


@dataclass(frozen=True)
class Place:
    """The daemon under test."""

    api: Path
    pid: int
    instance: str
    image: str
    policy: str
    host: str
    engine: docker.DockerClient

    def container(self, what: str) -> docker.models.containers.Container:
        """The instance's one running container of that name: `proxy` or `watch`."""
        mine = {"label": f"io.orchbox.instance={self.instance}", "name": f"orchbox-{self.instance}-{what}"}
        [found] = self.engine.containers.list(filters=mine, ignore_removed=True)
        return found

    def of_runs(self) -> list[str]:
        """What there is on the engine for a run: containers and networks that carry a run's id."""
        labels = {"label": [f"io.orchbox.instance={self.instance}", "io.orchbox.run"]}
        containers = self.engine.containers.list(all=True, filters=labels, ignore_removed=True)
        return [c.name for c in containers] + [n.name for n in self.engine.networks.list(filters=labels)]

    def vitals(self) -> dict[str, Vitals]:
        """Of the daemon and of the proxy's first process (below the container's init)."""
        [proxy] = children_of(self.container("proxy").attrs["State"]["Pid"])
        return {"daemon": vitals_of(self.pid), "proxy parent": vitals_of(proxy)}


def soak(
    place: Place,
    *,
    seconds: float,
    idle_s: float,
    unknown: str | None = None,
    warm_runs: int = WARM_RUNS,
    parts: int = 2,
    on_progress: Callable[[str], None] = lambda _text: None,
) -> Outcome:
    """Both phases in each part, after a warm-up. A name that is `unknown` to the policy makes it fail, on purpose."""
    outcome = Outcome()
    began = time.monotonic()
    if warm_runs:
        _phase(place, Outcome(), TOGETHER, runs=warm_runs, unknown=None)
    _look(place, outcome)
    on_progress("warm")
    for part in range(parts):
        for number, phase in enumerate(PHASES, len(PHASES) * part + 1):
            until = began + seconds * number / (len(PHASES) * parts)
            _phase(place, outcome, phase, until=until, unknown=unknown)
        _look(place, outcome)
        on_progress(f"{sum(outcome.runs.values())} runs, {len(outcome.failed)} failed")
    outcome.left_over = place.of_runs()
    outcome.lasted_s = time.monotonic() - began
    outcome.idle = idle_cost(place, idle_s)
    return outcome


def _phase(
    place: Place,
    outcome: Outcome,
    phase: str,
    *,
    unknown: str | None,
    runs: int | None = None,
    until: float = float("inf"),
) -> None:
    """Runs until there were so many, or until the time; always one for each that may be at work."""
    at_once = AT_ONCE if phase == TOGETHER else 1
    numbers = iter(range(runs if runs is not None else 1_000_000))

    def keep_running() -> None:
        with closing(Client(place.api)) as client:
            for _ in numbers:
                _run(place, client, outcome, phase, unknown)
                if time.monotonic() > until:
                    return

    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(keep_running) for _ in range(at_once)]:
            done.result()


def _run(place: Place, client: Client, outcome: Outcome, phase: str, unknown: str | None) -> None:
    document = {"name": place.host, "unknown": unknown, "times": TIMES, "big_bytes": BIG_BYTES}
    request = RunRequest(
        agent_ref="orchbox/soak",
        image=place.image,
        argv=("python3", "-m", "tests.harness.soak.agent.main"),
        bundle=bundle(FILES),
        input=json.dumps(document).encode(),
        policy_name=place.policy,
        limits=Limits(timeout_s=120),
    )
    try:
        created = client.create_run(request_to_json(request), request.bundle, {})
        for _ in client.events(created["id"]):
            pass
        run = client.get_run(created["id"])
    except OrchError as exc:
        outcome.failed.append(f"{exc.reported_code}: {exc}")
        return
    result = run["result"] if run["state"] == "completed" else None
    if not isinstance(result, dict) or result.get("big") != "x" * BIG_BYTES:
        outcome.failed.append(
            f"{run['id']} is {run['state']}: {run['error']} {str(run.get('stderr'))[-300:]}"
        )
        return
    outcome.samples += [Sample(phase, *sample) for sample in result["samples"]]
    outcome.runs[phase] = outcome.runs.get(phase, 0) + 1


def _look(place: Place, outcome: Outcome) -> None:
    """Write down what the long-lived processes hold, once nothing of the runs is left (or is late)."""
    until = time.monotonic() + QUIET_S
    while place.of_runs() and time.monotonic() < until:
        time.sleep(0.2)
    for who, vitals in place.vitals().items():
        outcome.vitals.setdefault(who, []).append(vitals)


def idle_cost(place: Place, lasts_s: float) -> dict[str, float]:
    """The share of one core that daemon, proxy and watcher take while nothing runs, their helpers included."""
    containers = {what: place.container(what) for what in ("proxy", "watch")}

    def used() -> dict[str, float]:
        stats = {what: container.stats(stream=False) for what, container in containers.items()}
        taken = {what: said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9 for what, said in stats.items()}
        return {"daemon": cpu_seconds(place.pid), **taken}

    before, began = used(), time.monotonic()
    while time.monotonic() < began + lasts_s:
        time.sleep(0.2)
    after, lasted = used(), time.monotonic() - began
    return {who: (after[who] - before[who]) / lasted for who in before}
