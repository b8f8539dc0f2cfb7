"""One probe from corpus to report: fill the cases, attack, gather both views, judge."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy.contract.decision_line import DecisionLine
from proxy.policy.model import Policy
from runtime.canary.net.ground import Ground
from runtime.canary.seen import Record
from runtime.daemon.settings import Settings
from runtime.model.limits import Isolation
from runtime.model.run import RunState
from runtime.policies.catalogue import PolicyCatalogue
from runtime.probe.corpus import CASES
from runtime.probe.corpus.addresses import ANSWERS, FAILING, REBINDING
from runtime.probe.corpus.case import Case, Works
from runtime.probe.corpus.policy import policy_cases, under
from runtime.probe.judge import judge
from runtime.probe.lab import ProbeLab, probe_lab
from runtime.probe.result import Inside, Outside, Report, Result
from runtime.probe.targets import addresses_in
from runtime.sandbox.outcome import OUT_OF_MEMORY

Zone = dict[str, list[list[str]]]
ALLOWED = ("ok.test", "pass.test", "paths.test", "keyed.test")
Progress = Callable[[str, str], None]
"""Case id and what it saw inside, as it happens."""


def cases_for(settings: Settings, policy: str, isolation: Isolation = Isolation.RUNC) -> tuple[Case, ...]:
    """The corpus, and what the policy's own hosts add to it. Raises NotFoundError, InvalidInputError."""
    attacked = PolicyCatalogue(settings.policy_dirs, site=settings.site_policy)(policy)
    fitting = (under(attacked, case) for case in CASES if isolation.value in case.isolations)
    return (*(case for case in fitting if case is not None), *policy_cases(attacked))


async def probe(
    settings: Settings,
    *,
    policy: str,
    isolation: Isolation,
    cases: tuple[Case, ...],
    on_progress: Progress = lambda _id, _outcome: None,
) -> Report:
    """Attack this host from inside a real sandbox. Raises CanaryError, NotReadyError, OrchError."""
    started = time.monotonic()
    problems: list[str] = []
    async with probe_lab(settings, policy=policy, problems=problems) as lab:
        results = await attack_from(
            lab, cases, isolation=isolation, problems=problems, on_progress=on_progress
        )
        engine = (await lab.engine.info()).version
    took = time.monotonic() - started
    return Report(policy, isolation.value, f"Docker {engine}", tuple(results), took, tuple(problems))


class Plan:
    """The cases of one probe, each with its marker and, where it names one, an address of its own."""

    def __init__(self, cases: Iterable[Case], ground: Ground, *, may_resolve: bool = False) -> None:
        self.cases = tuple(cases)
        self.ground = ground
        self.may_resolve = may_resolve
        """Whether the policy lets unlisted names be asked for; their addresses are refused all the same."""
        nonce = secrets.token_hex(2)
        self.markers = {case.id: f"m{nonce}{number:03d}x" for number, case in enumerate(self.cases)}
        wanting = [case.id for case in self.cases if "{ip}" in json.dumps(dict(case.args))]
        self.addresses = {id_: ground.case(number) for number, id_ in enumerate(wanting)}
        self.rebinding = ground.case(len(wanting))

    @property
    def aims(self) -> dict[str, Any]:
        """The arguments of each case that is made inside, as the sandbox gets them, by the case's id."""
        return {c.id: self._fill(c, dict(c.args)) for c in self.cases if c.action != "outside"}

    @property
    def wanted(self) -> frozenset[str]:
        """Every address and network that must be held before the attack."""
        answers = [self._place(answer) for answers in ANSWERS.values() for answer in answers]
        networks = {answer for answer in answers if "/" in answer}
        single = [answer for answer in answers if "/" not in answer]
        return addresses_in([*self.aims.values(), *single, self.rebinding]) | networks

    def zone(self, held: Mapping[str, str]) -> Zone:
        """What the probe's name server says; `held` has the address that stands for a network."""
        upstream, public = self.ground.upstream, self.ground.public
        names: Zone = {name: [[upstream]] for name in (*ALLOWED, "*.wild.test")}
        for name, answers in ANSWERS.items():
            placed = [self._place(answer) for answer in answers]
            names[f"{name}.wild.test"] = [[held.get(answer, answer) for answer in placed]]
        for name, word in FAILING.items():
            names[f"{name}.wild.test"] = [[word] if word else []]
        names[f"{REBINDING}.wild.test"] = [[upstream], [self.rebinding]]
        return {**names, "*.test": [[public]]}

    def document(self, facts: Mapping[str, str]) -> dict[str, Any]:
        """The plan as the program in the sandbox reads it."""
        aims = self.aims
        made = sorted((c for c in self.cases if c.id in aims), key=lambda case: case.is_last)
        return {
            "facts": dict(facts),
            "cases": [
                {
                    "id": case.id,
                    "action": case.action,
                    "is_serial": case.is_serial,
                    "args": aims[case.id],
                }
                for case in made
            ],
        }

    def _fill(self, case: Case, value: Any) -> Any:
        if isinstance(value, str):
            filled = self._place(value).replace("{m}", self.markers[case.id])
            return filled.replace("{ip}", self.addresses.get(case.id, ""))
        if isinstance(value, (list, tuple)):
            return [self._fill(case, item) for item in value]
        if isinstance(value, dict):
            return {key: self._fill(case, item) for key, item in value.items()}
        return value

    def _place(self, text: str) -> str:
        at = self.ground
        return text.replace("{public}", at.public).replace("{dns}", at.dns).replace("{upstream}", at.upstream)


async def attack_from(
    lab: ProbeLab,
    cases: tuple[Case, ...],
    *,
    isolation: Isolation,
    problems: list[str],
    on_progress: Progress = lambda _id, _outcome: None,
) -> list[Result]:
    """Make the cases from one sandbox of this lab; what no case accounts for is added to `problems`.

    A lab can be attacked again once this is over. Raises CanaryError, OrchError.
    """
    plan = Plan(cases, lab.ground, may_resolve=lab.policy.allow_any_public)
    seen: dict[str, Inside] = {}

    def on_log(text: str) -> None:
        for line in text.splitlines():
            if (found := _inside(line)) is not None:
                seen[found[0]] = found[1]
                on_progress(found[0], found[1].outcome)

    lab.aim(plan.aims, zone=plan.zone(await lab.canaries.world.hold(plan.wanted)))
    await lab.start_victim()
    facts = await lab.facts()
    image = lab.settings.image("agent-python")
    run, inspected = await lab.attack(
        plan.document(facts.values), isolation=isolation, image=image, on_log=on_log
    )
    lines = await lab.daemon.service.decisions(run.id)
    record = await lab.canaries.record()
    problems += [f"another sandbox was {line}" for line in await lab.victim_was_reached()]
    for name in ("host", "published"):
        problems += [f"the {name} canary was reached from {a.peer}" for a in record[name].accepts]
    ended = f"the attacking run ended {run.state.value}: {run.error and run.error.message}"
    last = [case for case in plan.cases if case.is_last and case.id not in seen]
    if run.error is not None and OUT_OF_MEMORY in run.error.message and len(last) == 1:
        seen[last[0].id] = Inside("blocked", ended)
    elif run.state is not RunState.COMPLETED:
        problems.append(ended)
    kept = json.dumps([lines, dataclasses.asdict(dataclasses.replace(run, result=None))], default=str)
    for case in (case for case in plan.cases if case.action == "outside"):
        seen[case.id] = _outside_check(case, planted=facts.planted, inspected=inspected, kept=kept)
    views = {
        case.id: _view(case, plan, seen.get(case.id, Inside()), lines, record["world"]) for case in plan.cases
    }
    problems += unexplained(plan, record["world"], lab.policy)
    return [judge(case, seen.get(case.id, Inside()), views[case.id]) for case in plan.cases]


def _inside(line: str) -> tuple[str, Inside] | None:
    """A case's id and what it saw; None for a line that is something else."""
    try:
        said = json.loads(line)
        return str(said["id"]), Inside(
            outcome=str(said["outcome"]),
            detail=str(said.get("detail", "")),
            statuses=tuple(said.get("statuses", ())),
            reasons=tuple(said.get("reasons", ())),
            ports=tuple(said.get("ports", ())),
            took_s=float(said.get("took_s", 0)),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _view(case: Case, plan: Plan, inside: Inside, lines: list[DecisionLine], world: Record) -> Outside:
    marker, address = plan.markers[case.id], plan.addresses.get(case.id)
    own = [
        line
        for line in lines
        if line.get("client_port") in inside.ports or marker in f"{line['host']} {line['path'] or ''}"
    ]
    requests = [
        dataclasses.asdict(request)
        for request in world.requests
        if marker in f"{request.host} {request.path} {request.query} {request.headers}"
    ]
    asked = [] if plan.may_resolve else world.dns
    sightings = [f"a DNS question for {query.name}" for query in asked if marker in query.name]
    sightings += [f"TLS to {hello.sni}" for hello in world.hellos if marker in (hello.sni or "")]
    sightings += [
        f"a {p.protocol} packet to {p.address} port {p.port}" for p in world.packets if p.address == address
    ]
    if isinstance(case.expect, Works):
        sightings = []
    return Outside(tuple(own), tuple(requests), tuple(sightings))


def unexplained(plan: Plan, world: Record, policy: Policy) -> list[str]:
    """What the canaries saw that no allowed case accounts for, the host's own packets left out."""
    own = set(plan.addresses.values())
    held = (plan.ground.upstream, plan.ground.dns)
    found = [
        f"a {packet.protocol} packet to {packet.address} port {packet.port} from {packet.source}"
        for packet in world.without(plan.ground.host).packets
        if packet.address not in held and packet.address not in own
    ]
    if not policy.allow_any_public:
        found += [
            f"a DNS question for {query.name}"
            for query in world.dns
            if query.name not in ALLOWED
            and not query.name.endswith(".wild.test")
            and not _is_a_cases(plan, query.name)
        ]
    return list(dict.fromkeys(found))[:20]


def _is_a_cases(plan: Plan, name: str) -> bool:
    return any(marker in name for marker in plan.markers.values())


def _outside_check(case: Case, *, planted: str, inspected: str, kept: str) -> Inside:
    if not inspected:
        return Inside("error", "the engine's record of the sandbox was not seen")
    if case.args["name"] == "planted_is_nowhere":
        where = [
            name
            for name, text in (("docker inspect", inspected), ("the run's record", kept))
            if planted in text
        ]
    else:
        where = ["docker inspect"] if "_proxy=" in inspected.lower() or "explain:" in inspected else []
    return Inside("possible", f"in {where[0]}") if where else Inside("blocked", "in none of the records")
