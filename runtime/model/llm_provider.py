"""What is to be known of a provider of LLMs: the form of a row of `llm_providers.TABLE`. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.policy.passes import Passes


class Dialect(enum.StrEnum):
    """How a provider is spoken to: `runtime.llm.upstream.providers` has an SDK for each."""

    OPENAI = "openai"
    """Both of OpenAI's shapes, chat completions and responses, with all that OpenAI takes."""
    OPENAI_COMPATIBLE = "openai-compatible"
    """OpenAI's chat completions, without the hints and the responses that only OpenAI has."""
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider answers, over https."""

    host: str
    port: int = 443
    path: str = ""

    @property
    def url(self) -> str:
        """The base URL, as the provider's SDK wants it."""
        return f"https://{self.host}{'' if self.port == 443 else f':{self.port}'}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedProvider:
    """A provider on the internet, which bills whoever holds the key."""

    name: str
    default_model: str
    family: str
    """A regular expression that matches the whole name of each of its models, and of no other provider's."""
    key_name: str
    """The secret that holds its key."""
    key_start: str
    """What its keys begin with: placeholders begin so too, and errors are searched for it."""
    key_chars: int | None = None
    """The length of every key, where they all have one."""
    key_aliases: tuple[str, ...] = ()
    """Other secrets that hold such a key."""
    endpoint: Endpoint
    dialect: Dialect
    passes: Passes = field(default_factory=Passes)
    """What its clients send beside the key and beside what any HTTP client sends; nothing else may pass."""
    price_list: str | None = None
    """Its name in the price list of genai-prices, where that is not `name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProvider:
    """A provider on the caller's own machine: it needs no key, and no sandbox reaches it."""

    name: str
    default_model: str
    url_variable: str
    """The environment variable that moves it elsewhere."""
    url: str
    """Where it answers when that variable is not set."""

    def url_in(self, environment: Mapping[str, str]) -> str:
        """Where it answers for a process with this environment."""
        return environment.get(self.url_variable) or self.url
