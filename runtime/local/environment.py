"""What an agent finds in its environment on the caller's own machine (`orch run --local`). Pure.

All that the caller's own programs find, the directory's `.env`, and what the run adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.agents.manifest import Manifest
from runtime.keys.settle import Settled
from runtime.model.llm_providers import LOCAL

LOCAL_TIMEOUT_MS = 120_000
LOCAL_MAX_HOPS = 10
LOCAL_DOWNSTREAM_CAP = 50
"""The platform's, for a manifest that does not say."""
_PIP_ELSEWHERE = {"PIP_PREFIX", "PIP_ROOT", "PIP_TARGET"}


def agent_environment(
    environment: Mapping[str, str],
    dotenv: Mapping[str, str],
    settled: Settled,
    manifest: Manifest,
    *,
    now_ms: int,
) -> dict[str, str]:
    """The agent's environment: what is there wins over `.env` where it is not empty; secrets in the clear."""
    found = {**environment, **{name: value for name, value in dotenv.items() if not environment.get(name)}}
    if (provider := LOCAL.get(settled.env.get("LLM_PROVIDER", ""))) is not None:
        found[provider.url_variable] = provider.url_in(found)
    found.setdefault("PYTHONDONTWRITEBYTECODE", "1")  # a run leaves no file, in the agent's directory either
    secrets = {name: secret.reveal() for name, secret in settled.secrets.items()}
    return {**found, **_calling(manifest, found, now_ms), **settled.env, **secrets, "LOCAL_MODE": "1"}


def setup_environment(environment: Mapping[str, str], settled: Settled) -> dict[str, str]:
    """For pip: without the run's secrets, and without what would lead it out of the run's own folder."""
    kept = {name: value for name, value in environment.items() if name not in settled.secrets}
    return {**{name: value for name, value in kept.items() if name not in _PIP_ELSEWHERE}, "PIP_USER": "0"}


def _calling(manifest: Manifest, found: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """How the SDK calls other agents without a gateway; only for an agent that declares dependencies."""
    section = manifest.manifest if isinstance(manifest.manifest, dict) else {}
    if not section.get("dependencies"):
        return {}
    agents = found.get("ORCHAGENT_AGENTS_DIR") or f"{found.get('HOME', '')}/.orchagent/agents"
    return {
        "ORCHAGENT_LOCAL_EXECUTION": "true",
        "ORCHAGENT_AGENTS_DIR": agents,
        "ORCHAGENT_DEADLINE_MS": str(now_ms + _number(section.get("timeout_ms"), LOCAL_TIMEOUT_MS)),
        "ORCHAGENT_MAX_HOPS": str(_number(section.get("max_hops"), LOCAL_MAX_HOPS)),
        "ORCHAGENT_DOWNSTREAM_REMAINING": str(
            _number(section.get("per_call_downstream_cap"), LOCAL_DOWNSTREAM_CAP)
        ),
    }


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise
