"""The trust kit in the probe's own lab: every client, against the canary's registries, in one sandbox."""

from __future__ import annotations

import json
from typing import Any

from runtime.canary.upstreams.application import APT, CARGO, GIT, NPM, PIP
from runtime.canary.upstreams.git_repo import README
from runtime.canary.upstreams.packages import MESSAGE
from runtime.daemon.settings import Settings
from runtime.engine.docker import DockerEngine
from runtime.errors import NotFoundError, OrchError
from runtime.model.limits import Isolation, Limits
from runtime.model.run import RunRequest, RunState
from runtime.probe.lab import PolicyText, ProbeLab, bundle, probe_lab
from runtime.probe.trust.clients import CLIENTS, PlaceKind
from runtime.probe.trust.table import AGENT, IMAGE, Place, Row, attempts_document, check_trust, time_limit_s

PLAIN, REFUSED = "ok.test", "evil.test"
_WHEEL = "orchdemo-1.0.0-py3-none-any.whl"
HOSTS = (PLAIN, GIT, PIP, NPM, CARGO, APT)
POLICY = PolicyText(
    "version: 1\nname: probe\negress:\n  allow:\n"
    + "".join(f"    - host: {host}\n      tls: inspect\n" for host in HOSTS)
)
PLACES: dict[PlaceKind, Place] = {
    "page": Place(f"https://{PLAIN}/", f"https://{REFUSED}/", f"this is {PLAIN}"),
    "git": Place(f"https://{GIT}/orchdemo.git", f"https://{REFUSED}/orchdemo.git", README.strip()),
    "pip": Place(f"https://{PIP}/simple/", f"https://{REFUSED}/simple/", MESSAGE),
    "wheel": Place(f"https://{PIP}/files/{_WHEEL}", f"https://{REFUSED}/{_WHEEL}", MESSAGE),
    "npm": Place(f"https://{NPM}/", f"https://{REFUSED}/", MESSAGE),
    "cargo": Place(f"https://{CARGO}/", f"https://{REFUSED}/", MESSAGE),
    "apt": Place(f"https://{APT}/", f"https://{REFUSED}/", "the demo package"),
}


async def prove_trust(settings: Settings, *, isolation: Isolation) -> tuple[list[Row], list[str]]:
    """Every client in both environments, and what went wrong beside them.

    Raises NotFoundError without the image, CanaryError, NotReadyError and what the engine raises.
    """
    problems: list[str] = []
    image = settings.image(IMAGE)
    await _require_image(image)

    async with probe_lab(settings, policy=POLICY, problems=problems) as lab:
        public = lab.ground.public
        lab.aim({}, zone={**{host: [[lab.ground.upstream]] for host in HOSTS}, "*.test": [[public]]})
        results = await _run(lab, image, isolation)
        seen = (await lab.canaries.record())["world"]
        problems += [f"a packet to {p.address}" for p in seen.packets if p.address == public]
        problems += [f"a DNS question for {query.name}" for query in seen.dns if query.name not in HOSTS]
    rows = check_trust(lambda *_args, **_more: results, PLACES, image=image)
    return rows, problems


async def _require_image(image: str) -> None:
    """Before the lab is set up, which takes seconds that would be for nothing."""
    engine = DockerEngine()
    try:
        if await engine.image_id(image) is None:
            raise NotFoundError(f"no such image: {image}", hint="make trust-image")
    finally:
        await engine.close()


async def _run(lab: ProbeLab, image: str, isolation: Isolation) -> dict[str, Any]:
    document = attempts_document(PLACES, clients=CLIENTS)
    request = RunRequest(
        agent_ref="orchbox/trust",
        image=image,
        argv=("python3", "main.py"),
        bundle=bundle({"": AGENT}),
        input=json.dumps(document).encode(),
        policy_name="probe",
        isolation=isolation,
        limits=Limits(timeout_s=time_limit_s(document)),
    )
    run, _ = await lab.run(request, on_log=lambda _text: None)
    result = run.result.parse() if run.result else None
    if run.state is not RunState.COMPLETED or not isinstance(result, dict):
        raise OrchError(f"the clients' run ended {run.state.value}: {run.error and run.error.message}")
    return result
