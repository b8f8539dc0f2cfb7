"""Providers of LLMs: one row each, and what follows from the rows. Pure.

A new provider is one row of `TABLE` and one rule of `policies/llm-only.yaml`, which opens its host and binds
its key there. Only a way to speak that no other provider has needs code: a `Dialect` and its entry in
`runtime.llm.upstream.providers`. Names, models and the order of `any` are the platform's (docs.orchagent.io:
BYOK, manifest format).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from proxy.policy.passes import Passes
from runtime.model.llm_provider import Dialect, Endpoint, HostedProvider, LocalProvider

_OF_STAINLESS = frozenset({"x-stainless-*"})
"""What the SDKs that are generated for OpenAI and Anthropic tell about themselves."""
_OPENAI = Passes(
    headers=_OF_STAINLESS
    | {"http-referer", "openai-beta", "openai-organization", "openai-project", "x-title"}
    | {"conversation_id", "originator", "session_id", "version"},  # of Codex
    parameters=frozenset(
        """
    actor_emails actor_ids after agent_id batch before bucket_width call_id context_levels
    effective_at emails end_time environment_id event_types filter group_by group_type include
    include_archived include_obfuscation intent limit line_items metadata model models name order
    order_by owner_project_access page path project_id project_ids purpose resource_ids run_id
    service_account_id session_id sizes sources start_time starting_after status stream tenant_only
    type user user_ids variant vector_store_ids
    """.split()  # noqa: SIM905 - a list to read
    ),
    subprotocols=frozenset({"openai-organization.*", "openai-project.*"}),
)
_ANTHROPIC = Passes(
    headers=_OF_STAINLESS
    | {"anthropic-beta", "anthropic-dangerous-direct-browser-access", "anthropic-organization-id"}
    | {"anthropic-user-profile-id", "anthropic-version", "anthropic-worker-id", "anthropic-workspace-id"}
    | {"x-app", "x-claude-code-*"},
    parameters=frozenset(
        """
    after_id agent_id agent_version before_id beta block_ms created_at_gt created_at_gte created_at_lt
    created_at_lte deployment_id depth desired_ttl_seconds event_deltas expected_content_sha256
    expected_last_heartbeat has_error ids include_archived limit memory_id memory_store_id operation
    order page path_prefix reclaim_older_than_ms scope_id service_account_id session_id source status
    statuses trigger_type types version view
    """.split()  # noqa: SIM905 - a list to read
    ),
)
_GEMINI = Passes(
    headers=_OPENAI.headers  # it has OpenAI's shape too
    | {"api-revision", "x-gemini-api-privileged-user-id", "x-goog-api-client", "x-goog-fieldmask"}
    | {"x-goog-request-params", "x-goog-upload-command", "x-goog-upload-file-name"}
    | {"x-goog-upload-header-content-length", "x-goog-upload-header-content-type"}
    | {"x-goog-upload-offset", "x-goog-upload-protocol", "x-server-timeout"},
    parameters=frozenset(
        """
    after alt event_type fields filter force include_input last_event_id limit mode order overwrite
    pageSize pageToken page_size page_token parent path prettyPrint purpose recursive stream type
    updateMask update_mask uploadType upload_protocol
    """.split()  # noqa: SIM905 - a list to read
    ),
)

TABLE: tuple[HostedProvider | LocalProvider, ...] = (
    HostedProvider(
        name="openai",
        default_model="gpt-5.2",
        family=r"(gpt-|chatgpt-|o[134](-|$)).*",
        key_name="OPENAI_API_KEY",
        key_start="sk-",
        endpoint=Endpoint("api.openai.com", path="/v1"),
        dialect=Dialect.OPENAI,
        passes=_OPENAI,
    ),
    HostedProvider(
        name="anthropic",
        default_model="claude-opus-4-5-20251101",
        family=r"claude-.+",
        key_name="ANTHROPIC_API_KEY",
        key_start="sk-ant-api03-",
        endpoint=Endpoint("api.anthropic.com"),
        dialect=Dialect.ANTHROPIC,
        passes=_ANTHROPIC,
    ),
    HostedProvider(
        name="gemini",
        default_model="gemini-2.5-pro",
        family=r"gemini-.+",
        key_name="GEMINI_API_KEY",
        key_start="AIza",
        key_chars=39,
        key_aliases=("GOOGLE_API_KEY",),
        endpoint=Endpoint("generativelanguage.googleapis.com", path="/v1beta/openai"),
        dialect=Dialect.OPENAI_COMPATIBLE,
        passes=_GEMINI,
        price_list="google",
    ),
    LocalProvider(
        name="ollama",
        default_model="llama3.2",
        url_variable="OLLAMA_HOST",
        url="http://localhost:11434/v1",
    ),
)
"""In the order in which `any` tries them."""

MAX_MODEL_CHARS = 200
"""Of a model's name, or of an entry that names one with its provider."""
ANY = "any"
"""In `supported_providers`: all of them."""
HOSTED: Mapping[str, HostedProvider] = MappingProxyType(
    {row.name: row for row in TABLE if isinstance(row, HostedProvider)}
)
"""Those with a key, which the daemon reaches; by name."""
LOCAL: Mapping[str, LocalProvider] = MappingProxyType(
    {row.name: row for row in TABLE if isinstance(row, LocalProvider)}
)
"""Those without a key, which only an agent on the caller's own machine reaches; by name."""
PROVIDERS = tuple(row.name for row in TABLE)
DEFAULT_MODELS: Mapping[str, str] = MappingProxyType({row.name: row.default_model for row in TABLE})
KEY_NAMES: Mapping[str, str] = MappingProxyType({name: row.key_name for name, row in HOSTED.items()})
PROVIDER_OF_KEY: Mapping[str, str] = MappingProxyType({row.key_name: name for name, row in HOSTED.items()})
_FAMILIES = tuple((re.compile(row.family), row.name) for row in HOSTED.values())


def provider_with_key_shape(key_name: str) -> HostedProvider | None:
    """The provider whose keys look like the secret of this name; None for any other secret."""
    return next((row for row in HOSTED.values() if key_name in (row.key_name, *row.key_aliases)), None)


def check_provider(name: str) -> str:
    """The name of a provider. Raises ValueError listing those that there are."""
    if name not in PROVIDERS:
        raise ValueError(f"none of {', '.join(PROVIDERS)}")
    return name


def check_supported(entry: str) -> str:
    """An entry of `supported_providers`. Raises ValueError listing those that there are."""
    if entry != ANY and entry not in PROVIDERS:
        raise ValueError(f"none of {', '.join((*PROVIDERS, ANY))}")
    return entry


def split_model(entry: str) -> tuple[str | None, str]:
    """`provider/model`, `provider:model` or a bare model whose name tells its provider.

    None for a provider that cannot be told. Raises ValueError where no model is named.
    """
    head, separator, rest = entry.partition("/")
    if head not in PROVIDERS or not separator:
        head, separator, rest = entry.partition(":")
    if head in PROVIDERS and separator:
        if not rest.strip():
            raise ValueError(f"names no model of {head}")
        return head, rest
    if not entry.strip():
        raise ValueError("names no model")
    family = next((provider for pattern, provider in _FAMILIES if pattern.fullmatch(entry)), None)
    return family, entry


def known_model(entry: str) -> tuple[str, str]:
    """As `split_model`. Raises ValueError too where the provider cannot be told; repeats nothing."""
    provider, model = split_model(entry)
    if provider is None:
        raise ValueError("is no model whose provider is known: write provider/model, as in openai/NAME")
    return provider, model


def expand(supported: Iterable[str], *, is_local: bool) -> tuple[str, ...]:
    """The providers meant, in the order they are tried: `any` is all; LOCAL ones count on local runs only."""
    meant = [name for entry in supported for name in (PROVIDERS if entry == ANY else (entry,))]
    return tuple(dict.fromkeys(name for name in meant if is_local or name not in LOCAL))
