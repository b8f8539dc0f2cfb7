"""A new provider of LLMs touches two files: its row, and the rule of the default policy that binds its key.

A copy of the sources gets both, as an author would write them, and a fresh interpreter goes the provider's
whole way there: what a command line, a manifest and the API take, its key, its model, its route, its host.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = Path("runtime/model/llm_providers.py")
POLICY = Path("policies/llm-only.yaml")
ROW = """    HostedProvider(
        name="acme",
        default_model="acme-large",
        family=r"acme-.+",
        key_name="ACME_API_KEY",
        key_start="acme_",
        endpoint=Endpoint("api.acme.example", path="/v2"),
        dialect=Dialect.OPENAI_COMPATIBLE,
    ),
    LocalProvider("""
RULE = """    - host: api.acme.example
      methods: [GET, POST]
      credential: ACME_API_KEY
    # The gateway"""
CHECKS = {
    "the command line": """
from runtime.cli.run.command import run
(option,) = [option for option in run.params if option.name == "provider"]
assert "acme" in option.type.choices
""",
    "the manifest and the API": """
from runtime.agents.manifest import Manifest
from runtime.api.needs_body import NeedsBody
made = Manifest.model_validate({"name": "an-agent", "supported_providers": ["acme"]})
assert made.supported_providers == ["acme"]
made = NeedsBody.model_validate_json('{"providers": ["acme"], "provider": "acme"}')
assert made.to_needs().provider == "acme"
""",
    "its key, from the environment and from the vault": """
from runtime.keys.settle import check_choice, gather, settle, wanted
from runtime.model.needs import Needs
from runtime.vault.entry import provider_of_name
needs = Needs(providers=("any",))
given = gather(needs, key=None, environment={"ACME_API_KEY": "k"}, dotenv={})
assert given.keys() == {"ACME_API_KEY"} <= wanted(needs)
chosen = Needs(providers=("any",), provider="acme")
check_choice(chosen, key="k")
assert gather(chosen, key="k", environment={}, dotenv={}).keys() == {"ACME_API_KEY"}
assert provider_of_name("ACME_API_KEY") == "acme"
""",
    "its default model": """
from runtime.keys.settle import settle
from runtime.model.needs import Needs
from runtime.model.secret import Secret
made = settle(Needs(providers=("any",)), {"ACME_API_KEY": Secret("k")}, {}, workspace="default")
assert made.env == {"LLM_PROVIDER": "acme", "LLM_MODEL": "acme-large"}
""",
    "llm_credentials": """
from runtime.keys.llm_credentials import take_credentials
_, found = take_credentials('{"llm_credentials": {"api_key": "k", "provider": "acme"}}')
assert found.provider == "acme"
""",
    "its placeholder": """
from runtime.keys.placeholders import placeholder_for
from runtime.model.secret import Secret
assert placeholder_for("ACME_API_KEY", Secret("k")).startswith("acme_")
""",
    "the router's plan, by name and by its models' family": """
from proxy.policy.model import Policy
from runtime.llm.door import LlmRoutes
from runtime.llm.session import LlmSessions
from runtime.model.limits import Limits
from runtime.model.needs import LlmChain, Needs
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
sessions = LlmSessions()
needs = Needs(llm=LlmChain("openai/gpt-5.2", ("acme-small", "acme/other")))
request = RunRequest(
    agent_ref="a", image="i", argv=("true",), input=b"", bundle=b"", policy_name="p", needs=needs,
    secrets={"ACME_API_KEY": Secret("k")},
)
LlmRoutes(sessions).open("run", request, Policy("p"), lambda kind, data: None)
plan = sessions.get("run").plan("default")
assert [str(route) for route in plan.attempts] == ["acme/acme-small", "acme/other"]
assert [skipped.reason for skipped in plan.skipped] == ["no_key"]
""",
    "its price, unknown until the list has it": """
from runtime.llm.plan.budget import Usage
from runtime.llm.plan.chain import Route
from runtime.llm.plan.prices import price
assert price(Route("acme", "acme-large"), Usage(1, 1)) is None
""",
    "its endpoint, over its dialect's SDK": """
import asyncio
import warnings
from proxy.policy.model import Policy
from runtime.llm.upstream.providers import Outside, open_provider
from runtime.model.secret import Secret
warnings.simplefilter("ignore")
async def check():
    provider = await open_provider("acme", Secret("k"), Policy("p"), Outside())
    assert str(provider._llm.client.base_url) == "https://api.acme.example/v2/"
    await provider.aclose()
asyncio.run(check())
""",
    "its key in a provider's error, masked": """
from runtime.llm.shapes.failure import classify
class BadRequestError(Exception):
    status_code, body = 400, {"message": "no such key: acme_0123456789"}
assert classify(BadRequestError()).text == "no such key: ***"
""",
    "its host, bound to its key": """
from pathlib import Path
from proxy.policy.bindings import binding_of, brokered_names
from proxy.policy.decide import decide
from proxy.policy.model import Request, Verdict
from runtime.policies.loader import load_policy
policy = load_policy("llm-only", [Path("policies")], registries={})
request = Request("api.acme.example", 443, "https", "POST", "/v2/chat/completions")
assert decide(policy, request).verdict is Verdict.ALLOW
assert binding_of(policy, request).credentials == {"ACME_API_KEY"} <= brokered_names(policy)
""",
}

GO = """
import json, os, sys, traceback
import runtime
assert runtime.__file__.startswith(os.getcwd()), runtime.__file__
faults = {}
for way, code in json.load(sys.stdin).items():
    try:
        exec(code, {})
        faults[way] = ""
    except BaseException:
        faults[way] = traceback.format_exc()
print(json.dumps(faults))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the provider's row and rule in it."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("runtime", "proxy", "policies"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, before, after in ((TABLE, "    LocalProvider(", ROW), (POLICY, "    # The gateway", RULE)):
        text = (folder / path).read_text()
        assert text.count(before) == 1
        (folder / path).write_text(text.replace(before, after))
    return folder


@pytest.fixture(scope="module")
def faults(sources: Path) -> dict[str, str]:
    """What went wrong on each way, in one fresh interpreter; empty where nothing did."""
    environment = {**os.environ, "PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", GO],
        cwd=sources,
        env=environment,
        input=json.dumps(CHECKS),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", CHECKS)
def test_a_new_provider_is_a_row_and_a_rule(faults: dict[str, str], way: str):
    """Every part that knows providers knows it then."""
    assert faults[way] == ""


def test_two_files_are_all_that_it_touches(sources: Path):
    """What differs from the sources as they are: one file of code, one of data."""
    changed = {
        path.relative_to(sources)
        for path in sources.rglob("*.*")
        if path.is_file() and path.read_bytes() != (ROOT / path.relative_to(sources)).read_bytes()
    }

    assert changed == {TABLE, POLICY}
