"""The operating systems under the images: Debian packages in layers that the images share.

The lowest layer comes from mmdebstrap, or is BASE_IMAGE; every other one adds packages to the one below,
fetched on the host with a private apt root and installed in a container without network. With BASE_IMAGE
the image's own apt fetches them, since its mirrors are its own.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docker_cli import LABEL, content_hash, docker_build, image_id, run, say

ROOT = Path(__file__).resolve().parent.parent
TRIXIE = str(ROOT / "scripts/trixie.py")


@dataclass(frozen=True)
class Layer:
    """Debian packages on top of another layer."""

    below: str | None
    packages: tuple[str, ...]


LAYERS = {
    "base": Layer(None, ("ca-certificates", "python3")),
    "network": Layer("base", ("iproute2", "nftables")),
    "tools": Layer("base", ("curl", "git")),
    "python": Layer("tools", ("python3-venv",)),
    "node": Layer("tools", ("nodejs", "npm", "node-undici")),
    "polyglot": Layer(
        "node",
        (
            *("python3-venv", "wget", "golang-go", "default-jdk-headless", "cargo", "ruby"),
            *("php-cli", "php-curl"),
        ),
    ),
}

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# A JDK's alternatives fail where the excluded manual pages leave no folder.
_INSTALL = """
mkdir -p /usr/share/man/man1
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
  -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io /debs/*.deb
rm -rf /debs /var/cache/apt/*
find /var/log -type f -delete
"""


class System:
    """Builds layers on demand, each once, from any thread."""

    def __init__(self, *, base_image: str, reference_of: Callable[[str], str], build: Path) -> None:
        self._base_image = base_image
        self._reference_of = reference_of
        self._build = build
        self._locks = {name: threading.Lock() for name in LAYERS}

    def ensure(self, name: str) -> str:
        """The reference of a layer that is there and up to date. Raises BuildError."""
        layer = LAYERS[name]
        below = self.ensure(layer.below) if layer.below else self._pulled_base()
        with self._locks[name]:
            parts = ("trixie", image_id(below) if below else "", *layer.packages, Path(__file__).read_text())
            wanted = hashlib.sha256("\0".join(parts).encode()).hexdigest()
            reference = self._reference_of(f"system-{name}")
            if content_hash(reference) != wanted:
                say(f"{reference}: {' '.join(layer.packages)}")
                self._make(layer, below, reference, wanted)
            return reference

    def _pulled_base(self) -> str:
        if self._base_image and not image_id(self._base_image):
            run("docker", "pull", "-q", self._base_image)
        return self._base_image

    def _make(self, layer: Layer, below: str, reference: str, wanted: str) -> None:
        if self._base_image:
            options = ("--build-arg", f"BASE={below}", "--build-arg", f"PACKAGES={' '.join(layer.packages)}")
            docker_build(str(ROOT / "images/registry-base"), reference, *options, labels={LABEL: wanted})
        elif below:
            self._add_packages(layer, below, reference, wanted)
        else:
            self._bootstrap(layer, reference, wanted)

    def _bootstrap(self, layer: Layer, reference: str, wanted: str) -> None:
        sources = run(sys.executable, TRIXIE, "sources").splitlines()
        with tempfile.TemporaryDirectory(dir=self._build) as name:
            tar = f"{name}/root.tar"
            run(
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(layer.packages)}"),
                *('--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
                *("trixie", tar, *sources),
            )
            run("docker", "import", "-c", f"LABEL {LABEL}={wanted}", tar, reference)

    def _add_packages(self, layer: Layer, below: str, reference: str, wanted: str) -> None:
        """By a container and a commit: the package files themselves stay out of the layer."""
        name = f"orchbox-build-{uuid.uuid4().hex[:12]}"
        command = ("--entrypoint", "sh", below, "-ec", _INSTALL)
        run("docker", "create", "--name", name, "--network", "none", *command)
        try:
            with tempfile.TemporaryDirectory(dir=self._build) as folder:
                debs = Path(folder) / "debs"
                debs.mkdir()
                run("docker", "cp", f"{name}:/var/lib/dpkg/status", f"{folder}/status")
                run(sys.executable, TRIXIE, "closure", str(debs), f"{folder}/status", *layer.packages)
                run("docker", "cp", str(debs), f"{name}:/")
            run("docker", "start", "-a", name)
            changes = (f"LABEL {LABEL}={wanted}", "ENTRYPOINT []", "CMD []")
            run("docker", "commit", *(word for change in changes for word in ("-c", change)), name, reference)
        finally:
            run("docker", "rm", "-f", "-v", name)
