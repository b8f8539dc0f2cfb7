"""`llm_credentials`: the key that the platform's CLI puts into the input document. Pure.

It must not reach the agent's stdin, a log or the history, so it is taken out before the document becomes any
of them, and then counts as the caller's flags would. Nothing of it is in an error.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime.errors import InvalidInputError
from runtime.model.llm_providers import HOSTED, KEY_NAMES, LOCAL, MAX_MODEL_CHARS
from runtime.model.needs import Needs
from runtime.model.secret import Secret

FIELD = "llm_credentials"
_KNOWN = {"api_key", "provider", "model"}
_HINT = f'{{"api_key": KEY, "provider": "{"|".join(HOSTED)}", "model"?: NAME}}'


class LlmCredentials(NamedTuple):
    """A key and what it is for."""

    key: Secret
    provider: str
    model: str | None = None


def take_credentials(text: str) -> tuple[str, LlmCredentials | None]:
    """The document without the field, at its top or in the `metadata` of a document of files; and the field.

    A document that has none, or is no JSON object, stays as it is, byte for byte. Raises InvalidInputError.
    """
    document = _object(text)
    if document is None:
        return text, None
    places = [document, document.get("metadata")]
    found = [place.pop(FIELD) for place in places if isinstance(place, dict) and FIELD in place]
    if not found:
        return text, None
    return json.dumps(document), next((_read(value) for value in found if value is not None), None)


def apply_credentials(
    credentials: LlmCredentials | None, needs: Needs, secrets: Mapping[str, Secret]
) -> tuple[Needs, dict[str, Secret]]:
    """As `--key`, `--provider` and `--model` would: before everything else."""
    if credentials is None:
        return needs, dict(secrets)
    chosen = dataclasses.replace(needs, provider=credentials.provider, model=credentials.model or needs.model)
    return chosen, {**secrets, KEY_NAMES[credentials.provider]: credentials.key}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    except (RecursionError, ValueError):
        # JSON that an agent may read and Python may not: what cannot be taken out of it is not passed on.
        if FIELD in text or "\\u" in text:
            raise InvalidInputError(
                "input: JSON that cannot be searched for llm_credentials", hint="simplify it"
            ) from None
        return None
    return value if isinstance(value, dict) else None


def _read(value: object) -> LlmCredentials:
    if not isinstance(value, dict) or not value.keys() <= _KNOWN:
        raise _bad("not an object of api_key, provider and model")
    key, provider, model = (value.get(name) for name in ("api_key", "provider", "model"))
    if not isinstance(key, str) or not key.strip() or not key.isprintable():
        raise _bad("api_key is no text of printable characters")
    if isinstance(provider, str) and provider in LOCAL:
        raise _bad(f"{provider} runs on the caller's own machine only")
    if not isinstance(provider, str) or provider not in HOSTED:
        raise _bad(f"provider is none of {', '.join(HOSTED)}")
    if model is not None and not is_model(model):
        raise _bad("model is no name of a model")
    return LlmCredentials(Secret(key), provider, model or None)


def is_model(value: object) -> bool:
    """Whether this can be the name of a model."""
    return isinstance(value, str) and len(value) <= MAX_MODEL_CHARS and value.isprintable()


def _bad(why: str) -> InvalidInputError:
    return InvalidInputError(f"{FIELD}: {why}", hint=_HINT)
