"""runtime.vault.source: where the key is, by its spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.vault.source import EnvKey, FileKey, KmsKey, parse_key_source

AWS = "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/bc436485-5092-42b8-92a3-0aa8b93536dc"


def test_the_three_kinds():
    """A file, a variable that is there or not, a KMS."""
    env = {"MY_KEY": "the key", "EMPTY": ""}
    variable = parse_key_source("env:MY_KEY", env)

    assert parse_key_source("file:/a/b", env) == FileKey(Path("/a/b"))
    assert isinstance(variable, EnvKey)
    assert variable.value is not None
    assert variable.value.reveal() == "the key"
    assert parse_key_source("env:EMPTY", env) == EnvKey("EMPTY", None)
    assert parse_key_source("hcvault://v.example:8200/transit/keys/k", env) == KmsKey(
        "hcvault://v.example:8200/transit/keys/k"
    )
    assert parse_key_source(AWS, env) == KmsKey(AWS)


def test_a_key_in_a_variable_is_never_printed():
    """Neither by repr nor by str."""
    variable = parse_key_source("env:MY_KEY", {"MY_KEY": "the key"})

    assert "the key" not in repr(variable) + str(variable)
    assert str(variable) == "environment variable MY_KEY"


@pytest.mark.parametrize(
    "text",
    ["", "file:", "file:relative", "env:", "env:A B", "http://x/y", "hcvault://", "hcvault://u:p@host/k",
     "hcvault://h/k?token=t", "vault.key", '{"primaryKeyId": 1}'],
)  # fmt: skip
def test_anything_else_is_refused_unseen(text: str):
    """Also a URI with a credential in it, and a key that somebody put there itself."""
    with pytest.raises(ValueError, match="expected") as told:
        parse_key_source(text, {})

    assert len(text) < 11 or text not in str(told.value)
