"""The caller's paths stay the caller's, though the agent works in another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.local.input import with_absolute_paths


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"path": "src"}', '{"path": "/here/src"}'),
        ('{"directory": ".", "x": 1}', '{"directory": "/here", "x": 1}'),
        ('{"file_path": "a/b"}', '{"file_path": "/here/a/b"}'),
        ('{"path":  "/abs"}', '{"path":  "/abs"}'),
        ('{"path":  5, "directory": ""}', '{"path":  5, "directory": ""}'),
        ('{"other":  "src"}', '{"other":  "src"}'),
        ('["path"]', '["path"]'),
    ],
)
def test_relative_paths_are_made_absolute(data: str, expected: str):
    """In the platform's fields only; anything else stays byte for byte."""
    assert with_absolute_paths(data, Path("/here")) == expected
