"""Which variables a run may not set."""

from __future__ import annotations

import pytest

from runtime.model.llm_providers import KEY_NAMES
from runtime.model.reserved_names import is_reserved
from runtime.sandbox.plan import proxy_environment
from runtime.sandbox.sandbox_init import CA_VARIABLES


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "NODE_OPTIONS", "PATH", "HTTPS_PROXY", "https_proxy", "LD_AUDIT", "PYTHONPATH"),
        *("BASH_ENV", "JAVA_TOOL_OPTIONS", "npm_config_proxy", "NPM_CONFIG_CAFILE", "GIT_CONFIG_COUNT"),
        *("ALL_PROXY", "SSL_CERT_DIR", "GLIBC_TUNABLES", "ORCHBOX_CONTROL_SOCKET", "_JAVA_OPTIONS"),
    ],
)
def test_what_loads_code_trusts_or_leads_out_is_reserved(name: str):
    """In either case."""
    assert is_reserved(name)


@pytest.mark.parametrize("name", [*CA_VARIABLES, *proxy_environment("10.0.0.2", "t")])
def test_whatever_the_runner_sets_itself_is_reserved(name: str):
    """No secret can stand in its place."""
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name",
    [
        *KEY_NAMES.values(),
        *("LLM_PROVIDER", "LLM_MODEL", "DATABASE_URL", "GITHUB_TOKEN", "NPM_TOKEN", "PIP_INDEX_URL"),
        *(
            "NPM_CONFIG_REGISTRY",
            "PROXY_KEY",
            "LDAP_PASSWORD",
            "PATHFINDER_KEY",
            "MY_PATH",
            "GIT_TOKEN",
            "LANG",
        ),
    ],
)
def test_ordinary_names_are_free(name: str):
    """A name that only resembles one is no other's."""
    assert not is_reserved(name)
