"""The documentation's picture is the one that its source draws."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """`scripts/draw.py`, which is no package."""
    spec = importlib.util.spec_from_file_location("draw", ROOT / "scripts/draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_its_source_draws(drawing: ModuleType) -> None:
    """`docs/overview.svg` was drawn from `docs/overview.toml` as it is now, and is well-formed."""
    source = tomllib.loads((ROOT / "docs/overview.toml").read_text())
    picture = (ROOT / "docs/overview.svg").read_text()

    assert drawing.draw(source) == picture
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_an_unknown_kind_is_an_error(drawing: ModuleType) -> None:
    """A box of a kind without a look is refused, not left out."""
    with pytest.raises(KeyError):
        drawing.draw_box({"kind": "cloud", "at": [0, 0, 1, 1], "lines": ["a"]})
