"""The API on a TCP port of every address of the host: callers with tokens use it, and no sandbox reaches it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import docker
import pytest

from runtime.access.tokens import parse
from tests.integration.conftest import Lab

pytestmark = pytest.mark.docker

TRY = """
import json, socket, sys, urllib.request
asked = json.load(sys.stdin)
found = {}
own = socket.gethostbyname(socket.gethostname())
first, last = own.rsplit(".", 1)
bridge = f"{first}.{int(last) // 8 * 8 + 1}"  # the host's end of this sandbox's network
for address in [*asked["addresses"], bridge]:
    try:
        with socket.create_connection((address, asked["port"]), 2): found[address] = "connected"
    except OSError as exc:
        found[address] = type(exc).__name__
    try:
        urllib.request.urlopen(f"https://{address}:{asked['port']}/healthz", timeout=5).read()
        found[address] += ", answered by the proxy's way"
    except Exception as exc:
        found[address] += f", {type(exc).__name__}: {exc}"
print(json.dumps(found))
"""
FROM_THE_PROXY = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as connection:
    connection.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    try: print("got", len(connection.recv(100)))
    except ConnectionError: print("got reset")
"""


def remote(lab: Lab, token: str) -> dict[str, str]:
    """What a caller elsewhere has in the environment."""
    return {
        "ORCHBOX_RUN_DIR": str(lab.folder / "none"),
        "ORCHBOX_URL": f"https://127.0.0.1:{lab.tcp_port}",
        "ORCHBOX_TOKEN": token,
        "ORCHBOX_CA": str(lab.folder / "home/tls/ca.pem"),
    }


def token(lab: Lab, role: str, *more: str) -> str:
    """The text of a new one, made by the operator on the unix socket."""
    made = lab.orch("token", "create", "--role", role, *more)
    assert made.code == 0, made.out + made.err
    return str(made.json["token"])


def host_addresses() -> list[str]:
    """Every IPv4 address of this host, loopback left out."""
    said = subprocess.run(["ip", "-json", "-4", "addr"], capture_output=True, check=True, text=True).stdout
    found = [address["local"] for link in json.loads(said) for address in link["addr_info"]]
    return [address for address in found if not address.startswith("127.")]


def test_a_command_elsewhere_works_by_a_token(lab: Lab):
    """Runs, their logs and decisions, secrets, and who one is; what the role has not is refused with its scope."""
    given = remote(lab, token(lab, "orchestrator"))
    agent = lab.agent("agent", "import sys; print('seen', file=sys.stderr); print('{\"a\": 1}')")

    ran = lab.orch("run", str(agent), "--policy", "lab", env=given)
    assert ran.code == 0, ran.out + ran.err
    run = lab.orch("runs", env=given).json["runs"][0]["id"]
    assert "seen" in lab.orch("logs", run, env=given).out
    assert lab.orch("egress", run, env=given).code == 0
    assert lab.orch("secrets", "set", "TCP_KEY", "a-value-of-this-test", env=given).code == 0
    assert lab.orch("secrets", "delete", "TCP_KEY", env=given).code == 0

    refused = lab.orch("token", "list", env=given)
    assert (refused.code, refused.json["code"]) == (3, "PERMISSION_DENIED")
    assert "tokens:read" in refused.json["message"]


def test_a_token_ends_when_it_is_revoked_or_rotated(lab: Lab):
    """From the next request on, by exit status 2; its id is all that the operator needs."""
    text = token(lab, "viewer")
    presented = parse(text)
    assert presented is not None
    assert lab.orch("runs", env=remote(lab, text)).code == 0

    rotated = lab.orch("token", "rotate", presented.id).json["token"]
    assert lab.orch("runs", env=remote(lab, text)).code == 2
    assert lab.orch("runs", env=remote(lab, rotated)).code == 0

    assert lab.orch("token", "revoke", presented.id).code == 0
    assert lab.orch("runs", env=remote(lab, rotated)).code == 2


def test_a_workspace_hides_the_runs_of_others(lab: Lab):
    """A caller who is bound to one starts runs there, and finds no other."""
    assert lab.orch("workspaces", "create", "tcp-team").code == 0
    theirs = lab.run("print(1)")
    assert theirs.code == 0
    other = lab.orch("runs").json["runs"][0]["id"]
    given = remote(lab, token(lab, "orchestrator", "--workspace", "tcp-team"))

    agent = lab.agent("agent", "print(2)")
    assert lab.orch("run", str(agent), "--policy", "lab", env=given).code == 0
    (only,) = lab.orch("runs", env=given).json["runs"]
    assert only["workspace"] == "tcp-team"
    for command in ("logs", "egress", "cancel"):
        assert lab.orch(command, other, env=given).code == 4


@pytest.mark.parametrize("isolation", ["runc", "runsc"])
def test_no_sandbox_reaches_it(lab: Lab, isolation: str):
    """Directly or by the proxy, at each address of the host; a command on the host is answered there."""
    addresses = host_addresses()
    probe = subprocess.run(
        ["python3", "-c", FROM_THE_PROXY, "127.0.0.1", str(lab.tcp_port)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert probe.stdout.startswith("got"), "nothing listens"

    agent = lab.agent("agent", TRY)
    asked = {"addresses": addresses, "port": lab.tcp_port}
    ran = lab.orch(
        "run",
        str(agent),
        "--policy",
        "lab",
        "--isolation",
        isolation,
        "--data",
        json.dumps(asked),
        timeout=300,
    )

    assert ran.code == 0, ran.out + ran.err
    found = ran.json["result"]
    assert len(found) > len(addresses), "the end of its own network was not tried"
    for address, said in found.items():
        assert "connected" not in said, (address, said)
        assert "answered" not in said, (address, said)


def test_the_proxys_container_is_not_answered_either(lab: Lab, engine: docker.DockerClient):
    """What takes over the proxy stands on the host's doorstep: it is turned away before a byte of it is read."""
    labels = ["io.orchbox.instance=test", "io.orchbox.role=proxy"]
    (proxy,) = engine.containers.list(filters={"label": labels})
    egress = next(iter(proxy.attrs["NetworkSettings"]["Networks"].values()))
    status, said = proxy.exec_run(["python3", "-c", FROM_THE_PROXY, egress["Gateway"], str(lab.tcp_port)])

    assert (status, said.decode().strip()) in {(0, "got 0"), (0, "got reset")}
    log = Path(lab.folder / "home/daemon.log").read_text()
    assert "api-refused-a-sandbox" in log
    assert egress["IPAddress"] in log
