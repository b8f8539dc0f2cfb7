"""`needs` of a run's request: what the agent names, as it crosses the API."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from proxy.contract.secret_rules import is_secret_name
from runtime.agents.manifest import LlmSection, Provider, SupportedProvider
from runtime.keys.llm_credentials import is_model
from runtime.model.needs import Needs

MAX_NAMES = 200


def _secret_name(value: str) -> str:
    if not is_secret_name(value):  # not repeated: it may be a key put in the wrong place
        raise ValueError("letters A-Z, digits and underscores in names")
    return value


def _model(value: str) -> str:
    if not value or not is_model(value):
        raise ValueError("no name of a model")
    return value


Names = Annotated[list[Annotated[str, AfterValidator(_secret_name)]], Field(max_length=MAX_NAMES)]
Model = Annotated[str, AfterValidator(_model)]


class NeedsBody(BaseModel):
    """What an agent needs (`runtime.model.needs.Needs`), as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    required: Names = []
    optional: Names = []
    providers: list[SupportedProvider] = Field(default=[], max_length=10)
    provider: Provider | None = None
    model: Model | None = None
    default_models: dict[Annotated[str, Field(max_length=50)], Model] = Field(default={}, max_length=20)
    llm: LlmSection | None = None

    def to_needs(self) -> Needs:
        """As the service has it."""
        return Needs(
            required=tuple(self.required),
            optional=tuple(self.optional),
            providers=tuple(self.providers),
            provider=self.provider,
            model=self.model,
            default_models=self.default_models,
            llm=self.llm.chain() if self.llm else None,
        )
