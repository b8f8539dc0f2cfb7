"""Every client of `orch probe --trust` in a real sandbox, against what docs/clients.md promises."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from runtime.agents.bundle import bundle_of
from runtime.canary.net.session import CanaryNet
from runtime.client.connection import Client
from runtime.daemon.settings import Settings
from runtime.probe.trust.clients import CLIENTS
from runtime.probe.trust.run import HOSTS, PLACES, REFUSED
from runtime.probe.trust.table import (
    AGENT,
    ENVIRONMENTS,
    IMAGE,
    Row,
    Shown,
    attempts_document,
    check_trust,
    time_limit_s,
)
from tests.integration.conftest import ROOT, Lab

pytestmark = pytest.mark.docker

SETTINGS = Settings.from_env(
    {k: v for k, v in os.environ.items() if k.startswith("ORCHBOX_IMAGE") or k == "HOME"}
)
POLICY = "version: 1\nname: trust\negress:\n  allow:\n" + "".join(
    f"    - host: {host}\n      tls: inspect\n" for host in HOSTS
)
IN_THE_DOCS = {
    Shown.REASON: "reason code",
    Shown.STATUS: "403",
    Shown.NAME: "does not resolve",
    Shown.NOTHING: "no reason",
    Shown.REACHED: "",
}
WITH_ROOTS_OF_THEIR_OWN = {"requests", "httpx", "uv"}
"""Clients that trust what the sandbox trusts only by the variables that name its bundle."""


def documented() -> dict[tuple[str, str], tuple[bool, str]]:
    """(client, environment) -> (works, how a refusal shows), from the table in docs/clients.md."""
    found = {}
    for line in (ROOT / "docs/clients.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `"):
            name = cells[0].strip("`")
            for environment, cell in zip(ENVIRONMENTS, cells[2:4], strict=True):
                works, shown = re.fullmatch(r"(works|does not work); (.*)", cell).groups()
                found[name, environment] = (works == "works", shown)
    return found


@pytest.fixture
def image(engine: docker.DockerClient) -> str:
    """The image with every client; built only where asked for, so its absence is a failure in CI alone."""
    reference = SETTINGS.image(IMAGE)
    try:
        engine.images.get(reference)
    except docker.errors.ImageNotFound:
        if os.environ.get("CI"):
            pytest.fail(f"the image {reference} is not built: make trust-image")
        pytest.skip(f"the image {reference} is not built: make trust-image")
    return reference


def run_agent(
    lab: Lab, folder: Path, document: dict[str, Any], image: str, isolation: str = "runc"
) -> tuple[dict[str, Any], str]:
    """Run the folder's program as an agent of its own image; its result and the run's id."""
    request = {
        "agent_ref": "orchbox/trust",
        "image": image,
        "argv": ["python3", "main.py"],
        "input": json.dumps(document),
        "policy": "trust",
        "isolation": isolation,
        "timeout_s": time_limit_s(document),
    }
    with closing(Client(Path(lab.environment["ORCHBOX_RUN_DIR"]) / "api.sock")) as client:
        created = client.create_run(request, bundle_of(folder), {})
        for _ in client.events(created["id"]):
            pass
        run = client.get_run(created["id"])
    assert run["state"] == "completed", (run["state"], run["error"], run["stderr"])
    return run["result"], run["id"]


@pytest.mark.parametrize("isolation", ["runc", "runsc"])
def test_every_client_does_what_the_docs_say(
    lab: Lab, canary_net: CanaryNet, engine: docker.DockerClient, image: str, isolation: str
):
    """Every row works where the docs say so, and shows a refusal as they say; nothing reaches a refused host."""
    if isolation not in engine.info()["Runtimes"]:
        pytest.skip(f"the engine has no runtime {isolation}")
    (lab.folder / "policies/trust.yaml").write_text(POLICY)
    runs = []

    def run(folder: Path, document: dict[str, Any], *, image: str) -> dict[str, Any]:
        result, run_id = run_agent(lab, folder, document, image, isolation)
        runs.append(run_id)
        return result

    rows = check_trust(run, PLACES, image=image)

    seen = {(row.client.id, row.environment): (row.is_reached, IN_THE_DOCS[row.shown]) for row in rows}
    assert seen == documented(), "\n\n".join(told(row) for row in rows if differs(row))
    assert all(row.is_ok for row in rows)
    record = canary_net.record()
    assert record.requests_to(REFUSED) == []
    assert record.queries_for(REFUSED) == []
    assert [accept for accept in record.accepts if accept.address == canary_net.ground.public] == []
    refusals = [line for line in lab.decisions(runs[0]) if line["host"] == REFUSED]
    assert {line["reason_code"] for line in refusals} == {"not_allowed_host"}
    inspected = {line["host"] for line in lab.decisions(runs[0]) if line["verdict"] == "allow"}
    assert inspected == set(HOSTS)


def test_trust_needs_no_variable_where_a_client_reads_the_distributions_roots(lab: Lab, image: str):
    """With an empty environment (cron, `env -i`) all but those with roots of their own trust the host."""
    (lab.folder / "policies/trust.yaml").write_text(POLICY)
    document = attempts_document(PLACES, CLIENTS)
    document["attempts"] = [
        {
            **attempt,
            "argv": ["sh", "-c", 'exec env -i HOME="$HOME" PATH="$PATH" "$@"', "sh", *attempt["argv"]],
        }
        for attempt in document["attempts"]
        if attempt["id"].endswith("/direct/allowed")
    ]

    results, _ = run_agent(lab, AGENT, document, image)

    failed = {
        client.id: results[f"{client.id}/direct/allowed"]["output"]
        for client in CLIENTS
        if PLACES[client.place].marker not in results[f"{client.id}/direct/allowed"]["output"]
    }
    assert set(failed) == WITH_ROOTS_OF_THEIR_OWN, failed


def differs(row: Row) -> bool:
    """Whether a row is not as documented."""
    return documented().get((row.client.id, row.environment)) != (row.is_reached, IN_THE_DOCS[row.shown])


def told(row: Row) -> str:
    """A row with what its client printed."""
    head = f"{row.client.id}/{row.environment}: reached {row.is_reached}, refusal {row.shown}"
    return f"{head}\n--- allowed\n{row.allowed_output}\n--- refused\n{row.refused_output}"


def test_each_attempt_is_told_to_the_sandbox():
    """The document holds four attempts for each client, and the docs two cells."""
    assert len(attempts_document(PLACES, CLIENTS)["attempts"]) == 4 * len(CLIENTS)
    assert {name for name, _ in documented()} == {client.id for client in CLIENTS}
