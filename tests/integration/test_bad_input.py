"""Bad input gives one clear message that names the thing and the remedy, the right status, and no leftovers."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.integration.conftest import Lab, inventory

pytestmark = pytest.mark.docker


def broken(lab: Lab, name: str) -> list[str]:
    """The command line of one bad case."""
    good = str(lab.agent("good", "print(1)"))
    policies = Path(lab.environment["ORCHBOX_POLICY_DIR"])
    (policies / "broken.yaml").write_text(
        "version: 1\nname: broken\negress:\n  allow:\n    - hots: ok.test\n"
    )
    manifest = lab.agent("manifest", "print(1)")
    (manifest / "orchagent.json").write_text('{"name": "x",\n oops}')
    bad_field = lab.agent("field", "print(1)", timeout_seconds="soon")
    prompt = lab.agent("prompt", "print(1)", type="prompt")
    return {
        "absent agent": ["run", "/nowhere/agent"],
        "agent that is not installed": ["run", "acme/summarizer@v1"],
        "manifest that is no JSON": ["run", str(manifest)],
        "manifest with a wrong field": ["run", str(bad_field)],
        "agent of a type that is not run": ["run", str(prompt)],
        "input that is no JSON": ["run", good, "--data", "{oops"],
        "input file that is absent": ["run", good, "--data", "@/nowhere.json"],
        "policy that does not exist": ["run", good, "--policy", "nowhere"],
        "policy with an unknown key": ["run", good, "--policy", "broken"],
        "isolation that is none": ["run", good, "--isolation", "chroot"],
        "secret that nobody has": ["run", str(lab.agent("secret", "print(1)", required_secrets=["LAB_A"]))],
        "llm key that nobody has": ["run", str(lab.agent("key", "print(1)", supported_providers=["gemini"]))],
        "ollama in a sandbox": ["run", str(lab.agent("ollama", "print(1)", supported_providers=["ollama"]))],
        "code agent to install": ["install", good],
        "key without provider": ["run", good, "--key", "k"],
        "unknown option": ["run", good, "--frobnicate"],
        "unknown run": ["logs", "no-such-run"],
    }[name]


CASES = {
    "absent agent": (4, "NOT_FOUND", "/nowhere/agent"),
    "agent that is not installed": (4, "NOT_FOUND", "acme/summarizer@v1"),
    "manifest that is no JSON": (5, "INVALID_INPUT", "orchagent.json:2"),
    "manifest with a wrong field": (5, "INVALID_INPUT", "timeout_seconds"),
    "agent of a type that is not run": (5, "INVALID_INPUT", "type"),
    "input that is no JSON": (5, "INVALID_INPUT", "--data"),
    "input file that is absent": (5, "INVALID_INPUT", "/nowhere.json"),
    "policy that does not exist": (4, "NOT_FOUND", "nowhere"),
    "policy with an unknown key": (5, "INVALID_INPUT", "hots"),
    "isolation that is none": (5, "INVALID_INPUT", "--isolation"),
    "secret that nobody has": (1, "MISSING_SECRETS", "not found in workspace: LAB_A."),
    "llm key that nobody has": (1, "LLM_KEY_REQUIRED", "gemini"),
    "ollama in a sandbox": (5, "INVALID_INPUT", "own machine"),
    "code agent to install": (5, "INVALID_INPUT", "code agent"),
    "key without provider": (5, "INVALID_INPUT", "--provider"),
    "unknown option": (5, "INVALID_INPUT", "--frobnicate"),
    "unknown run": (4, "NOT_FOUND", "no-such-run"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_clearly(lab: Lab, engine: docker.DockerClient, case: str):
    """One JSON error on stdout, nothing started."""
    status, code, words = CASES[case]
    before = inventory(engine)

    done = lab.orch(*broken(lab, case))

    assert (done.code, done.json["code"]) == (status, code), done.out
    assert words in done.json["message"]
    assert done.json["exit_code"] == status
    assert "Traceback" not in done.out + done.err
    assert inventory(engine) == before


def test_unknown_image_names_the_remedy(lab: Lab):
    """An image that is not built says how to build it."""
    done = lab.orch("run", str(lab.agent("good", "print(1)")), env={"ORCHBOX_IMAGE_TAG": "absent"})

    assert (done.code, done.json["code"], done.json["hint"]) == (4, "NOT_FOUND", "make images")


def test_without_a_daemon_orch_run_names_orch_up(lab: Lab, tmp_path: Path):
    """No daemon: exit status 9 and the command that starts one."""
    done = lab.orch("run", str(lab.agent("good", "print(1)")), env={"ORCHBOX_RUN_DIR": str(tmp_path)})

    assert (done.code, done.json["code"]) == (9, "NETWORK_ERROR")
    assert "orch up" in done.json["hint"]


def test_dead_engine_is_told(lab: Lab, tmp_path: Path):
    """No engine behind DOCKER_HOST: `orch up` ends with one clear error and leaves no daemon."""
    env = {
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        "ORCHBOX_RUN_DIR": str(tmp_path / "run"),
        "ORCHBOX_HOME": str(tmp_path / "home"),
        "ORCHBOX_LISTEN": "",  # the lab's daemon has that port
    }
    done = lab.orch("up", env=env)

    assert (done.code, done.json["code"]) == (8, "SERVER_ERROR")
    assert "engine" in done.json["message"]
    assert "Traceback" not in done.err
