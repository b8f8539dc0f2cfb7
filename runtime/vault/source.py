"""Which key opens the vault: a file, an environment variable or a key of a KMS. Names, no cryptography."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.model.secret import Secret

TAKES = "file:/absolute/path, env:NAME, or a key's URI: hcvault://, aws-kms:// or gcp-kms://"
_URI = re.compile(r"(hcvault|aws-kms|gcp-kms)://[A-Za-z0-9][A-Za-z0-9._~:/+-]{1,500}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class FileKey:
    """A Tink key set in a file that only its owner may read."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class EnvKey:
    """A Tink key set in an environment variable."""

    variable: str
    value: Secret | None
    """None where the variable is not set."""

    def __str__(self) -> str:
        return f"environment variable {self.variable}"


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key that never leaves its KMS."""

    uri: str
    """Holds no credential: those are the KMS client's own settings."""

    def __str__(self) -> str:
        return self.uri


KeySource = FileKey | EnvKey | KmsKey


def parse_key_source(text: str, env: Mapping[str, str]) -> KeySource:
    """Read `file:PATH`, `env:NAME` or a KMS URI. Raises ValueError, which does not repeat the text."""
    kind, _, rest = text.partition(":")
    if kind == "file" and Path(rest).is_absolute():
        return FileKey(Path(rest))
    if kind == "env" and _VARIABLE.fullmatch(rest):
        return EnvKey(rest, Secret(env[rest]) if env.get(rest) else None)
    if _URI.fullmatch(text):
        return KmsKey(text)
    raise ValueError(f"expected {TAKES}")
