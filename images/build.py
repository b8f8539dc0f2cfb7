"""Builds the images: `build.py [NAME...]`. An unchanged input rebuilds nothing.

Hermetic: the operating system comes from mmdebstrap on the host (or from BASE_IMAGE), Python packages
from the hash-pinned requirements, installed on the host and copied in; no build step has a network.

Environment: BASE_IMAGE (a Debian-like image of your registry instead of mmdebstrap), EXTRA_CA_BUNDLE
(PEM file of a TLS-inspecting network, trusted in every image), ORCHBOX_IMAGE_PREFIX and
ORCHBOX_IMAGE_TAG (default orchbox/ and local), V=1 (show the output of every step).
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LABEL = "io.orchbox.content-hash"
PREFIX = os.environ.get("ORCHBOX_IMAGE_PREFIX", "orchbox/")
TAG = os.environ.get("ORCHBOX_IMAGE_TAG", "local")
BASE_IMAGE = os.environ.get("BASE_IMAGE") or ""
DOCKER_BUILD = ("docker", "build", "-q")


@dataclass(frozen=True)
class Image:
    """One image: its Debian packages, its pinned Python packages, and what of the repository goes in."""

    name: str
    packages: tuple[str, ...]
    requirements: str | None
    sources: tuple[str, ...]


_TOOLS = ("ca-certificates", "curl", "git", "python3")
IMAGES = (
    Image("agent-python", _TOOLS, "agent-python.txt", ("runtime/sandbox_init.py",)),
    Image(
        "agent-node",
        (*_TOOLS, "nodejs", "npm", "node-undici"),
        None,
        ("runtime/sandbox_init.py", "images/agent-node/node-proxy.cjs"),
    ),
    Image("proxy", ("ca-certificates", "python3"), "proxy.txt", ("proxy",)),
    Image(
        "daemon",
        ("ca-certificates", "iproute2", "nftables", "python3"),
        "daemon.txt",
        ("proxy", "runtime", "policies"),
    ),
)


class BuildError(Exception):
    """A step failed; the text is its command and the end of its output."""


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command; its output, or BuildError."""
    result = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if os.environ.get("V"):
        sys.stderr.write(result.stdout)
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n" + "\n".join(result.stdout.splitlines()[-20:]))
    return result.stdout.strip()


def hash_of(*parts: str | bytes | Path) -> str:
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


def label_of(reference: str) -> str:
    """The content hash of an image that is there, or nothing."""
    try:
        return run("docker", "image", "inspect", "-f", f'{{{{index .Config.Labels "{LABEL}"}}}}', reference)
    except BuildError:
        return ""


def reference_of(name: str) -> str:
    """The full name of an image."""
    return f"{PREFIX}{name}:{TAG}"


def build_os(packages: tuple[str, ...]) -> str:
    """The operating system with these Debian packages: the reference of its image."""
    recipe = ROOT / "images/os/Dockerfile"
    wanted = hash_of("trixie", base_image_id(), " ".join(packages), recipe)
    name = reference_of("os-" + wanted[:12])
    if label_of(name) == wanted:
        return name
    say(f"base system with {' '.join(packages)}")
    if BASE_IMAGE:
        args = ("--build-arg", f"BASE={BASE_IMAGE}", "--build-arg", f"PACKAGES={' '.join(packages)}")
        run(*DOCKER_BUILD, *args, "--label", f"{LABEL}={wanted}", "-t", name, str(recipe.parent))
        return name
    tar = BUILD / f"{wanted[:12]}.tar"
    sources = run(sys.executable, str(ROOT / "scripts/trixie.py"), "sources")
    run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "trixie",
        str(tar),
        *sources.splitlines(),
    )
    run("docker", "import", "-c", f"LABEL {LABEL}={wanted}", str(tar), name)
    tar.unlink()
    return name


def base_image_id() -> str:
    """The id of BASE_IMAGE, pulled where it is not here yet; nothing where none is set."""
    if not BASE_IMAGE:
        return ""
    inspect = ("docker", "image", "inspect", "-f", "{{.Id}}", BASE_IMAGE)
    try:
        return run(*inspect)
    except BuildError:
        run("docker", "pull", "-q", BASE_IMAGE)
        return run(*inspect)


def install_site(image: Image, os_reference: str, target: Path) -> None:
    """The image's Python packages, for the image's own Python, hash-checked, wheels only."""
    if image.requirements is None:
        return
    version = run(
        *("docker", "run", "--rm", "--network=none", "--entrypoint", "python3", os_reference, "-c"),
        "import sys; print('%d.%d' % sys.version_info[:2])",
    )
    uv = shutil.which("uv") or str(BUILD / "uv/bin/uv")
    run(
        *(uv, "pip", "install", "-q", "--target", str(target), "--python", sys.executable),
        *("--python-version", version, "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy"),
        *("-r", str(ROOT / "requirements" / image.requirements)),
        env={"UV_PYTHON_DOWNLOADS": "never"},
    )
    shutil.rmtree(target / "bin", ignore_errors=True)


def build(image: Image) -> None:
    """Build one image where its inputs changed."""
    extra = os.environ.get("EXTRA_CA_BUNDLE")
    extra_ca = Path(extra).read_bytes() if extra else b""
    os_reference = build_os(image.packages)
    folder = ROOT / "images" / image.name
    inputs: list[str | bytes | Path] = [label_of(os_reference), folder, ROOT / "images/finish.sh", extra_ca]
    inputs += [ROOT / source for source in image.sources]
    if image.requirements:
        inputs.append(ROOT / "requirements" / image.requirements)
    wanted = hash_of(*inputs)
    if label_of(reference_of(image.name)) == wanted:
        return
    say(reference_of(image.name))
    context = BUILD / "context" / image.name
    shutil.rmtree(context, ignore_errors=True)
    (context / "site").mkdir(parents=True)
    install_site(image, os_reference, context / "site")
    (context / "extra-ca.pem").write_bytes(extra_ca)
    shutil.copy(ROOT / "images/finish.sh", context)
    for source in image.sources:
        copy_source(ROOT / source, context)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    labels = (f"{LABEL}={wanted}", f"org.opencontainers.image.version={version}")
    run(
        *(*DOCKER_BUILD, "--network=none", "--build-arg", f"OS={os_reference}"),
        *(word for label in labels for word in ("--label", label)),
        *("-t", reference_of(image.name), "-f", str(folder / "Dockerfile"), str(context)),
        env={"DOCKER_BUILDKIT": "0"},
    )
    shutil.rmtree(context)


def copy_source(source: Path, context: Path) -> None:
    """Copy a file or a folder of the repository into a build context, without bytecode."""
    if source.is_dir():
        shutil.copytree(source, context / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, context)


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"images: {text}\n")


def main(names: list[str]) -> int:
    """Build the named images, or all. Exit status 1 with the failing step's output."""
    chosen = [image for image in IMAGES if not names or image.name in names]
    BUILD.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # mmdebstrap and uv each use about one core
        results = [pool.submit(build, image) for image in chosen]
        for result in results:
            try:
                result.result()
            except BuildError as exc:
                sys.stderr.write(f"images: failed: {exc}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
