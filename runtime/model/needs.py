"""The secrets, providers and models that an agent names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class LlmChain:
    """The models that an agent's author names, in the order they are tried (`llm_providers.split_model`)."""

    primary: str
    fallbacks: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[str, ...]:
        """The primary, then its fallbacks."""
        return (self.primary, *self.fallbacks)


class LlmSpent(NamedTuple):
    """What a run's calls of models have taken."""

    tokens: int = 0
    usd: float = 0.0
    """Of the calls whose price is known."""


NOTHING_SPENT = LlmSpent()


@dataclass(frozen=True, slots=True)
class Needs:
    """The secrets and providers that an agent names; names only, never a value."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    """As in the manifest: names of providers, or `any`."""
    provider: str | None = None
    """The caller's choice."""
    model: str | None = None
    """The caller's choice."""
    default_models: Mapping[str, str] = field(default_factory=dict)
    """Provider -> model."""
    llm: LlmChain | None = None
