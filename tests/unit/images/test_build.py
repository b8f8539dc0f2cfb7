"""The image build's own rules: what counts as a change, and what it refuses."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """images/build.py, which is run as a script."""
    sys.path.insert(0, str(ROOT / "images"))
    try:
        return importlib.import_module("build")
    finally:
        sys.path.remove(str(ROOT / "images"))


@pytest.fixture
def tree(tmp_path: Path, build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one folder."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "app/__pycache__").mkdir(parents=True)
    (tmp_path / "app/main.py").write_text("1")
    return tmp_path


def test_content_and_names_count(build: ModuleType, tree: Path) -> None:
    """A changed file, a renamed file and a changed text each change the hash."""
    first = build.hash_of([tree / "app", "x"])
    (tree / "app/main.py").write_text("2")
    second = build.hash_of([tree / "app", "x"])
    (tree / "app/main.py").rename(tree / "app/other.py")
    third = build.hash_of([tree / "app", "x"])

    assert len({first, second, third, build.hash_of([tree / "app", "y"])}) == 4


def test_bytecode_and_times_do_not_count(build: ModuleType, tree: Path) -> None:
    """Running the code, or touching a file, rebuilds nothing."""
    first = build.hash_of([tree / "app"])
    (tree / "app/__pycache__/main.pyc").write_bytes(b"compiled")
    (tree / "app/main.py").touch()

    assert first == build.hash_of([tree / "app"])


def test_extra_ca_is_refused_where_it_is_none(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXTRA_CA_BUNDLE must be a readable PEM file of certificates, never one with a private key."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (key, empty, tmp_path / "absent.pem"):
        monkeypatch.setenv("EXTRA_CA_BUNDLE", str(path))
        with pytest.raises(build.BuildError, match=f"EXTRA_CA_BUNDLE={path}"):
            build.extra_ca()


def test_extra_ca_is_taken_whole(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PEM file of certificates goes into the images as it is; none is none."""
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("EXTRA_CA_BUNDLE", str(pem))
    assert pem.read_bytes() == build.extra_ca()
    monkeypatch.delenv("EXTRA_CA_BUNDLE")
    assert build.extra_ca() == b""


def test_an_unknown_image_is_named() -> None:
    """A wrong name ends with status 2 and one line, before anything is built."""
    done = subprocess.run(
        [sys.executable, "images/build.py", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "images: no image nonsense: see IMAGES in images/build.py\n")


def test_an_image_on_demand_is_built_only_by_its_name(build: ModuleType) -> None:
    """`make images` leaves the big image of `orch probe --trust` out."""
    assert [i.name for i in build.chosen_images(["agent-polyglot"])] == ["agent-polyglot"]
    usual = [i.name for i in build.chosen_images([])]
    assert usual == [i.name for i in build.IMAGES if i.name != "agent-polyglot"]


def test_every_image_stands_on_a_layer(build: ModuleType) -> None:
    """Each image names a layer that exists, a Dockerfile, and sources that exist."""
    layers = importlib.import_module("layers")
    for image in build.IMAGES:
        assert image.layer in layers.LAYERS
        assert (ROOT / "images" / image.name / "Dockerfile").exists()
        assert all((ROOT / source).exists() for source in image.sources)


def test_the_proxys_image_holds_no_reader_of_policies(build: ModuleType) -> None:
    """Policies arrive as grants: the sources are the proxy's alone, and nothing brings YAML or pydantic in."""
    (proxy,) = (image for image in build.IMAGES if image.name == "proxy")
    pins = (build.ROOT / "requirements" / proxy.requirements).read_text().splitlines()
    packages = {line.partition("==")[0] for line in pins if "==" in line and line[0].isalpha()}

    assert proxy.sources == ("proxy",)
    assert "mitmproxy" in packages
    assert packages.isdisjoint({"docker", "fastapi", "pydantic", "pydantic-core", "pyyaml"})
