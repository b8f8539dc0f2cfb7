"""Reading one policy file: bytes -> the schema's value, every defect with file, line, field and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runtime.policies.schema import SECTIONS, PolicyFile
from runtime.policies.yaml_document import Document, Place, YamlError, field_name, read_yaml

MAX_FILE_BYTES = 256 * 1024

_TYPE_MESSAGE = {
    "missing": "is missing: add it",
    "string_type": "is not a text: quote it",
    "int_type": "is not a whole number: write one without quotes",
    "bool_type": "is neither true nor false: write one of them",
    "list_type": "is not a list: write [a, b], or one '- item' a line",
    "dict_type": "is not a mapping: write 'key: value' lines",
    "model_type": "is not a mapping: write 'key: value' lines",
    "too_short": "an empty list here would allow nothing: add an item, or remove the key",
}


class PolicyError(ValueError):
    """A policy was refused; each line of the text is one defect, with file, line, field and remedy."""


class PolicyNotFoundError(PolicyError, LookupError):
    """No file of that name is in the search path."""


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A file that was read and fits the schema, for messages about what it means."""

    path: Path
    document: Document
    file: PolicyFile

    def where(self, place: Place) -> str:
        """`file:line: field` of a place, as messages begin."""
        return f"{self.path}:{self.document.line_of(place)}: {field_name(place)}"

    def error(self, place: Place, message: str) -> PolicyError:
        """The error about that place; `message` is `what: remedy`."""
        return PolicyError(f"{self.where(place)}: {message}")


def read_policy_file(path: Path) -> PolicySource:
    """Read and check one file. Raises PolicyError."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as exc:
        raise PolicyError(f"{path}: cannot be read ({exc.strerror}): check the path and its rights") from None
    except UnicodeDecodeError:
        raise PolicyError(f"{path}: is not UTF-8 text: save it as UTF-8") from None
    if len(raw) > MAX_FILE_BYTES:
        raise PolicyError(f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB: split it with extends")
    try:
        document = read_yaml(text)
        return PolicySource(path, document, PolicyFile.model_validate(document.data))
    except YamlError as exc:
        raise PolicyError(_message(path, exc.line, exc.field, str(exc))) from None
    except ValidationError as exc:
        lines = [_defect(path, document, error) for error in exc.errors(include_url=False)]
        raise PolicyError("\n".join(lines)) from None


def _defect(path: Path, document: Document, error: ErrorDetails) -> str:
    place = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        section = next((part for part in reversed(place[:-1]) if isinstance(part, str)), "")
        message = f"unknown key: known here are {', '.join(SECTIONS[section].model_fields)}"
    elif error["type"] == "value_error":
        message = str(error["ctx"]["error"])
    else:
        message = _TYPE_MESSAGE.get(error["type"], f"{error['msg'].lower()}: change it")
    return _message(path, document.line_of(place), field_name(place), message)


def _message(path: Path, line: int, field: str, message: str) -> str:
    return ": ".join(part for part in (f"{path}:{line}", field, message) if part)
