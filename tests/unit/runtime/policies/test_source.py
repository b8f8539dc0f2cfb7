"""Reading a policy file: whatever is wrong with it, one error that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.policies.source import MAX_FILE_BYTES, PolicyError, read_policy_file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not UTF-8 text: save it as UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than 256 KiB: split it with extends"),
    ],
    ids=["not text", "too large"],
)
def test_a_file_that_is_no_policy_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A file is read within bounds, as UTF-8."""
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        read_policy_file(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory in a file's place is an error like any other."""
    with pytest.raises(PolicyError) as caught:
        read_policy_file(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory): check the path and its rights"


def test_an_error_about_a_place_names_line_and_field(tmp_path: Path) -> None:
    """What is found wrong later still points into the file."""
    path = tmp_path / "x.yaml"
    path.write_text("version: 1\n\nname: x\n")
    source = read_policy_file(path)
    assert str(source.error(("name",), "is odd: change it")) == f"{path}:3: name: is odd: change it"
