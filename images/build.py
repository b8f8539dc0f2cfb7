"""Builds the images: `build.py [NAME...]`. An unchanged input rebuilds nothing.

Hermetic: the operating system comes from layers.py, Python packages from the hash-pinned requirements,
installed on the host and copied in; no build step has a network (but for BASE_IMAGE's apt).

Environment: BASE_IMAGE (a Debian-like image of your registry, e.g. debian:trixie-slim, instead of Debian's
archive), EXTRA_CA_BUNDLE (PEM file of a TLS-inspecting network, trusted in every image),
ORCHBOX_IMAGE_PREFIX and ORCHBOX_IMAGE_TAG (default orchbox/ and local), V=1 (show every step).
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docker_cli import LABEL, BuildError, content_hash, docker_build, image_id, run, say
from layers import System

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PREFIX = os.environ.get("ORCHBOX_IMAGE_PREFIX") or "orchbox/"
TAG = os.environ.get("ORCHBOX_IMAGE_TAG") or "local"

_ASK_PYTHON = "import site, sys; print('%d.%d' % sys.version_info[:2], site.getsitepackages()[0])"


@dataclass(frozen=True)
class Image:
    """One image: its operating system, its pinned Python packages, and what of the repository goes in."""

    name: str
    layer: str
    requirements: str | None
    sources: tuple[str, ...]
    is_on_demand: bool = False
    """Built only where it is named."""


IMAGES = (
    Image(
        "agent-node", "node", None, ("runtime/sandbox/sandbox_init.py", "images/agent-node/node-proxy.cjs")
    ),
    Image(
        "agent-polyglot",
        "polyglot",
        "agent-polyglot.txt",
        ("runtime/sandbox/sandbox_init.py", "images/agent-node/node-proxy.cjs", "images/agent-polyglot"),
        is_on_demand=True,
    ),
    Image("agent-python", "python", "agent-python.txt", ("runtime/sandbox/sandbox_init.py",)),
    Image("proxy", "base", "proxy.txt", ("proxy",)),
    Image("daemon", "network", "daemon.txt", ("proxy", "runtime", "policies")),
)


def reference_of(name: str) -> str:
    """The full name of an image."""
    return f"{PREFIX}{name}:{TAG}"


def hash_of(parts: Sequence[str | bytes | Path]) -> str:
    """SHA-256 over texts and over the names and contents of files and folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            for file in files:
                if "__pycache__" not in file.parts:
                    digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
        else:
            digest.update((part if isinstance(part, bytes) else part.encode()) + b"\0")
    return digest.hexdigest()


def base_image() -> str:
    """The image to start from: the caller's, or what set-up found in a registry; empty for the archive."""
    chosen = BUILD / "base-image"
    return os.environ.get("BASE_IMAGE") or (chosen.read_text().strip() if chosen.exists() else "")


def extra_ca() -> bytes:
    """The certificates of EXTRA_CA_BUNDLE. Raises BuildError where it is no PEM file."""
    name = os.environ.get("EXTRA_CA_BUNDLE")
    if not name:
        return b""
    try:
        pem = Path(name).read_bytes()
    except OSError as exc:
        raise BuildError(f"EXTRA_CA_BUNDLE={name}: {exc.strerror}: name a readable PEM file") from exc
    if b"-----BEGIN CERTIFICATE-----" not in pem or b"PRIVATE KEY-----" in pem:
        raise BuildError(f"EXTRA_CA_BUNDLE={name}: name a PEM file that holds certificates and no key")
    return pem


def install_site(requirements: str, python_version: str, target: Path) -> None:
    """Install Python packages for the image's own Python: hash-checked, wheels only."""
    command = (
        *("bash", str(ROOT / "scripts/uv.sh"), "pip", "install", "-q", "--target", str(target)),
        *("--python", sys.executable, "--python-version", python_version, "--link-mode", "copy"),
        *("--only-binary", ":all:", "--require-hashes", "-r", str(ROOT / "requirements" / requirements)),
    )
    try:  # the hashes decide what is taken, so the cache is as good as the index, and never times out
        run(*command, "--offline", env={"UV_PYTHON_DOWNLOADS": "never"})
    except BuildError:
        run(*command, env={"UV_PYTHON_DOWNLOADS": "never"})
    for script in (target / "bin").iterdir():  # they name the host's interpreter
        lines = script.read_bytes().split(b"\n", 1)
        if lines[0].startswith(b"#!") and b"python" in lines[0]:
            script.write_bytes(b"#!/usr/bin/env python3\n" + lines[1])


def fill(context: Path, image: Image, system: str, ca_pem: bytes) -> str:
    """Put together what the Dockerfile copies; the image's folder for Python packages."""
    (context / "site/bin").mkdir(parents=True)
    ask = ("docker", "run", "--rm", "--network=none", "--entrypoint", "python3", system, "-c", _ASK_PYTHON)
    version, site = run(*ask).split()
    if image.requirements:
        install_site(image.requirements, version, context / "site")
    (context / "site/bin").rename(context / "bin")
    (context / "extra-ca.pem").write_bytes(ca_pem)
    shutil.copy(ROOT / "images/finish.sh", context)
    for source in image.sources:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, context / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, context)
    for path in context.rglob("*"):  # a strict umask here must not lock out the images' users
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return site


def build(image: Image, system: System) -> None:
    """Build one image where its inputs changed. Raises BuildError."""
    ca_pem = extra_ca()
    below = system.ensure(image.layer)
    folder = ROOT / "images" / image.name
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    inputs = [image_id(below), version, ca_pem, folder, ROOT / "images/finish.sh", Path(__file__)]
    inputs += [ROOT / source for source in image.sources]
    if image.requirements:
        inputs.append(ROOT / "requirements" / image.requirements)
    wanted = hash_of(inputs)
    reference = reference_of(image.name)
    if content_hash(reference) == wanted:
        return
    say(reference)
    context = BUILD / "context" / f"{image.name}-{os.getpid()}"
    try:
        site = fill(context, image, below, ca_pem)
        options = ("--network=none", "--build-arg", f"SYSTEM={below}", "--build-arg", f"SITE={site}")
        dockerfile = ("-f", str(folder / "Dockerfile"))
        labels = {LABEL: wanted, "org.opencontainers.image.version": version}
        docker_build(str(context), reference, *options, *dockerfile, labels=labels)
    finally:
        shutil.rmtree(context, ignore_errors=True)


def chosen_images(names: Sequence[str]) -> list[Image]:
    """The named images; without names, all that are not on demand."""
    return [image for image in IMAGES if image.name in names or not (names or image.is_on_demand)]


def main(names: list[str]) -> int:
    """Build images. Exit status 1 with the failing step's output, 2 on a wrong name."""
    unknown = set(names) - {image.name for image in IMAGES}
    if unknown:
        sys.stderr.write(f"images: no image {', '.join(sorted(unknown))}: see IMAGES in images/build.py\n")
        return 2
    BUILD.mkdir(exist_ok=True)
    system = System(base_image=base_image(), reference_of=reference_of, build=BUILD)
    chosen = chosen_images(names)
    with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:  # they wait for each other's layers
        results = [pool.submit(build, image, system) for image in chosen]
    for result in results:
        error = result.exception()
        if isinstance(error, BuildError):
            sys.stderr.write(f"images: failed: {error}\n")
            return 1
        if error is not None:
            raise error
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
