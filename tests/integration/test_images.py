"""The images as they are built: who runs in them, what is in them, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from runtime.daemon.settings import Settings

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings.from_env(
    {k: v for k, v in os.environ.items() if k.startswith("ORCHBOX_IMAGE") or k == "HOME"}
)
IMAGES = ("agent-python", "agent-node", "proxy", "daemon")
AGENTS = ("agent-python", "agent-node")

NODE_FETCH = """
import json, os, socket, subprocess, threading
server = socket.create_server(("127.0.0.1", 0))
seen = []
def serve():
    while True:
        connection, _ = server.accept()
        seen.append(connection.recv(65536).decode())
        connection.sendall(b"HTTP/1.1 403 Forbidden\\r\\ncontent-length: 0\\r\\n\\r\\n")
        connection.close()
threading.Thread(target=serve, daemon=True).start()
url = f"http://explain:t0ken@127.0.0.1:{server.getsockname()[1]}"
env = {**os.environ, "HTTPS_PROXY": url, "NODE_OPTIONS": "--require /opt/orchbox/node-proxy.cjs"}
subprocess.run(["node", "-e", "fetch('https://a.example/x').catch(() => 0)"], env=env, check=True)
print(json.dumps(seen))
"""


def inside(engine: docker.DockerClient, image: str, *command: str) -> str:
    """Run a command as the image's own user, read-only and without a network; its output."""
    output = engine.containers.run(
        SETTINGS.image(image),
        list(command[1:]),
        entrypoint=[command[0]],
        network_mode="none",
        read_only=True,
        tmpfs={"/home/user": "exec,uid=1000,gid=1000", "/tmp": ""},
        labels={"io.orchbox.instance": "test", "io.orchbox.role": "probe"},
        remove=True,
        stderr=True,
    )
    return output.decode().strip()


@pytest.mark.parametrize("image", IMAGES)
def test_nobody_is_root(engine: docker.DockerClient, image: str) -> None:
    """Each image names a user of its own."""
    assert inside(engine, image, "id", "-u") == {"proxy": "10001", "daemon": "10002"}.get(image, "1000")


@pytest.mark.parametrize("image", IMAGES)
def test_no_build_tool_and_no_setuid_program(engine: docker.DockerClient, image: str) -> None:
    """No compiler, no make, nothing that changes its user, no package file left over."""
    script = """
    for tool in gcc cc g++ c++ clang ld as make cmake dpkg-buildpackage; do command -v $tool; done
    find / -xdev -perm /6000 -type f 2>/dev/null
    find / -xdev -name '*.deb' 2>/dev/null
    ls /debs /tmp 2>/dev/null
    true
    """
    assert inside(engine, image, "sh", "-c", script) == "/tmp:"


@pytest.mark.parametrize("image", AGENTS)
def test_an_agents_roots_are_where_its_init_writes_them(engine: docker.DockerClient, image: str) -> None:
    """The distribution's place leads to the sandbox's tmpfs; outside a sandbox the image's own roots are there."""
    script = "readlink $0; cmp $0 /opt/orchbox/system-roots.pem && grep -c BEGIN $0"
    place, count = inside(engine, image, "sh", "-c", script, "/etc/ssl/certs/ca-certificates.crt").split()

    assert place == "/run/orchbox/ca.pem"
    assert int(count) > 100


@pytest.mark.parametrize("image", sorted({*IMAGES} - {*AGENTS}))
def test_other_images_keep_the_distributions_roots(engine: docker.DockerClient, image: str) -> None:
    """The proxy and the daemon have no init that would write others."""
    assert inside(engine, image, "sh", "-c", "test ! -h /etc/ssl/certs/ca-certificates.crt; echo $?") == "0"


@pytest.mark.parametrize("image", IMAGES)
def test_labels_tell_version_and_content(engine: docker.DockerClient, image: str) -> None:
    """The version and the hash of all inputs are on each image."""
    labels = engine.images.get(SETTINGS.image(image)).labels

    assert labels["org.opencontainers.image.version"].count(".") == 2
    assert len(labels["io.orchbox.content-hash"]) == 64


@pytest.mark.parametrize("image", AGENTS)
def test_agents_find_their_tools(engine: docker.DockerClient, image: str) -> None:
    """The tools of the contract run, by either name of Python."""
    script = "curl --version && git --version && python3 --version && python --version && ls /opt/orchbox/sandbox_init.py"
    assert "sandbox_init.py" in inside(engine, image, "sh", "-ec", script)


def test_python_agents_find_the_promised_packages(engine: docker.DockerClient) -> None:
    """The SDKs import, and pip and venv work with nothing but a home on a tmpfs."""
    script = """
    python3 -c 'import openai, anthropic, google.genai, httpx, requests, orchagent'
    pip --version
    python3 -m venv ~/v
    """
    assert inside(engine, "agent-python", "sh", "-ec", script).startswith("pip ")


def test_builtin_fetch_of_node_uses_the_proxy(engine: docker.DockerClient) -> None:
    """fetch() without a line of code asks the proxy of HTTPS_PROXY, with its token."""
    seen = inside(engine, "agent-node", "python3", "-c", NODE_FETCH)

    assert "CONNECT a.example:443" in seen
    assert "proxy-authorization: Basic ZXhwbGFpbjp0MGtlbg==" in seen


def test_an_unchanged_input_rebuilds_nothing(engine: docker.DockerClient) -> None:
    """Building again is silent and leaves every image as it is."""
    before = {image: engine.images.get(SETTINGS.image(image)).id for image in IMAGES}
    done = subprocess.run(
        [sys.executable, "images/build.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    after = {image: engine.images.get(SETTINGS.image(image)).id for image in IMAGES}

    assert (done.returncode, done.stderr, after) == (0, "", before)
