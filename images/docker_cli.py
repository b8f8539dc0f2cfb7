"""The few Docker commands that the image build needs, by way of the command line client."""

from __future__ import annotations

import os
import subprocess
import sys

LABEL = "io.orchbox.content-hash"


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
        sys.stderr.write(f"+ {' '.join(command)}\n{result.stdout}")
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n" + "\n".join(result.stdout.splitlines()[-20:]))
    return result.stdout.strip()


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"images: {text}\n")


def image_id(reference: str) -> str:
    """The id of an image that is there, or nothing."""
    try:
        return run("docker", "image", "inspect", "-f", "{{.Id}}", reference)
    except BuildError:
        return ""


def content_hash(reference: str) -> str:
    """The content hash of an image that is there, or nothing."""
    try:
        return run("docker", "image", "inspect", "-f", f'{{{{index .Config.Labels "{LABEL}"}}}}', reference)
    except BuildError:
        return ""


def docker_build(context: str, reference: str, *options: str, labels: dict[str, str]) -> None:
    """Build with the classic builder, which every engine has and which sees local images."""
    marks = (word for name, value in labels.items() for word in ("--label", f"{name}={value}"))
    run("docker", "build", "-q", *marks, *options, "-t", reference, context, env={"DOCKER_BUILDKIT": "0"})
