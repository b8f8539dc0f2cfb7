"""The attacks on neighbours in a lab of the probe's own: two sandboxes for each, a victim and an attacker."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.containers.labels import labels
from runtime.containers.proxy import WORKER_BYTES
from runtime.daemon.settings import Settings
from runtime.keeper.ends import WORKER_LOST
from runtime.model.limits import Isolation, Limits
from runtime.model.run import Run, RunRequest, RunState
from runtime.model.secret import Secret
from runtime.probe.lab import INSIDE, PolicyText, ProbeLab, bundle, probe_lab
from runtime.probe.neighbours.judge import Result, Sample, Seen, judge
from runtime.probe.neighbours.memory import Memory, watched_memory
from runtime.probe.neighbours.table import EVERY_S, MORE_S, OUTLIVES_S, ROWS, Row, Windows
from runtime.sandbox.outcome import OUT_OF_MEMORY

AGENT = Path(__file__).parent / "agent"
HOST = "ok.test"
POLICY = PolicyText(
    "version: 1\nname: probe\negress:\n  allow:\n"
    f"    - host: {HOST}\n      ports: [443, 80]\n      tls: inspect\n"
)
_BUNDLE = {"runtime/probe/inside": INSIDE, "runtime/probe/neighbours/agent": AGENT}
_POLL_S = 0.05


async def prove_neighbours(
    settings: Settings,
    *,
    isolation: Isolation,
    windows: Windows,
    rows: Sequence[Row] = ROWS,
    on_progress: Callable[[str], None] = lambda _id: None,
) -> tuple[list[Result], list[str]]:
    """Every attack, one after the other, and what went wrong beside them.

    Raises CanaryError, NotReadyError and what the engine raises.
    """
    problems: list[str] = []
    results: list[Result] = []
    async with probe_lab(settings, policy=POLICY, problems=problems) as lab:
        lab.aim({}, zone={HOST: [[lab.ground.upstream]], "*.test": [[lab.ground.public]]})
        watch = watched_memory(
            lab.engine,
            lab.daemon.supervisor.container,
            image=lab.settings.image("daemon"),
            labels=labels(lab.instance, "helper"),
            name=f"orchbox-{lab.instance}-memory",
        )
        async with watch as memory:
            for row in rows:
                on_progress(row.title)
                results.append(await _prove(lab, row, isolation, windows, memory))
        seen = (await lab.canaries.record())["world"]
        problems += [f"a packet to {p.address}" for p in seen.packets if p.address == lab.ground.public]
    return results, problems


class _Victim:
    """One victim's run, and what its log says."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.first_at = float("inf")
        self.last_at = 0.0
        self.asked = 0

    def on_log(self, text: str) -> None:
        """Each line is a sample itself: how long it took to get here."""
        now = time.time()
        for line in text.splitlines():
            try:
                said = json.loads(line)
                told, at = [Sample(*sample) for sample in said["samples"]], float(said["at"])
            except (ValueError, KeyError, TypeError):
                continue
            self.samples += [*told, Sample("log", at, 1000 * (now - at))]
            self.asked += len(told)
            self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)


async def _prove(lab: ProbeLab, row: Row, isolation: Isolation, windows: Windows, memory: Memory) -> Result:
    victim = _Victim()
    order = {"lasts_s": windows.victim_s, "every_s": EVERY_S, "name": HOST}
    attack = {
        "attack": row.id,
        "name": HOST,
        "waits_s": windows.waits_s,
        "lasts_s": windows.attack_s,
    }
    lasts_s = windows.victim_s + MORE_S
    asking = asyncio.create_task(
        _timed(lab.run(_request(lab, "victim", order, isolation, lasts_s), on_log=victim.on_log))
    )
    attacking = asyncio.create_task(
        _attack(lab, _request(lab, "attacker", attack, isolation, lasts_s, secrets_of=row.secrets))
    )
    try:
        (attacker, begins_at, attacker_at), ((ran, _), victim_at) = await asyncio.gather(attacking, asking)
    finally:
        for task in (asking, attacking):
            task.cancel()
    both_at = max(attacker_at, victim_at)
    ends_at = begins_at + windows.attack_s if begins_at else attacker_at
    attack_window = (begins_at, max(ends_at, min(attacker_at, victim.last_at)))
    return judge(
        row,
        Seen(
            samples=tuple(victim.samples),
            quiet=(max(victim.first_at, begins_at - windows.quiet_s), begins_at),
            attack=attack_window,
            victim_ended=_ended(ran),
            attacker_ended=_ended(attacker),
            is_attacker_alone=_is_alone(attacker),
            lost=_asked(ran) - victim.asked,
            victim_end_s=victim_at - victim.last_at if victim.asked else 0.0,
            attacker_end_s=attacker_at - ends_at,
            worker_bytes=memory.largest_worker(attack_window),
            worker_limit=memory.parent + WORKER_BYTES,
            outlived_s=await _outlived_s(memory, both_at),
            did=(attacker.result.data if attacker.result else b"null")[:500].decode(),
        ),
        windows,
    )


async def _outlived_s(memory: Memory, since: float) -> float:
    """Wait until no worker is left, at most so long that the next row can still be measured."""
    while True:
        lasted = time.time() - since
        if (memory.seen_at > since and not memory.count) or lasted > 4 * OUTLIVES_S:
            return lasted
        await asyncio.sleep(_POLL_S)


async def _timed[T](running: Awaitable[T]) -> tuple[T, float]:
    return await running, time.time()


async def _attack(lab: ProbeLab, request: RunRequest) -> tuple[Run, float, float]:
    """The attacker's run, when its attack began, and when it ended.

    Its log is followed up to its first line only: what comes of it is not to be waited for by the probe.
    """
    service = lab.daemon.service
    run = await service.create(request)
    begins_at = 0.0
    async for event in service.events(run.id):
        if event.kind == "log":
            begins_at = float(json.loads(str(event.data["text"]))["begins_at"])
            break
    while True:
        run = await service.get(run.id)
        if run.state.is_final:
            return run, begins_at, time.time()
        await asyncio.sleep(_POLL_S)


def _request(
    lab: ProbeLab,
    program: str,
    document: dict[str, Any],
    isolation: Isolation,
    lasts_s: float,
    *,
    secrets_of: Sequence[int] = (),
) -> RunRequest:
    held = {f"HELD_{number}": secrets.token_hex(size // 2) for number, size in enumerate(secrets_of)}
    return RunRequest(
        agent_ref=f"orchbox/neighbours-{program}",
        image=lab.settings.image("agent-python"),
        argv=("python3", "-m", f"runtime.probe.neighbours.agent.{program}"),
        bundle=bundle(_BUNDLE),
        input=json.dumps(document).encode(),
        policy_name="probe",
        isolation=isolation,
        limits=Limits(timeout_s=lasts_s),
        secrets={name: Secret(value) for name, value in held.items()},
    )


def _ended(run: Run) -> str:
    return run.state.value if run.error is None else f"{run.state.value}: {run.error.message}"


def _is_alone(run: Run) -> bool:
    """Whether nothing ended it but itself, its own worker's limits or its sandbox's."""
    if run.state in {RunState.COMPLETED, RunState.TIMEOUT} or run.error == WORKER_LOST:
        return True
    return run.error is not None and OUT_OF_MEMORY in run.error.message


def _asked(run: Run) -> int:
    """How many samples the victim says that it took; none where it has no result."""
    result = run.result.parse() if run.result else None
    if not isinstance(result, dict):
        return 0
    return sum(result.get("asked", {}).values())
