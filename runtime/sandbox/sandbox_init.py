"""The first program in a sandbox: takes one message on stdin, then becomes the agent.

Standard library only, Python >= 3.11: it is copied into the sandbox images as a file and run with
`python3 -I -S`. It runs as the agent's user and holds no more rights than the agent.

The message is one JSON line, then the bytes it announces, in this order:

    {"v": 1, "argv": [..], "setup_argv": [..] | null, "env": {..}, "secrets": {..}, "ca_pem": "..",
     "bundle": n, "uploads": [{"name": "..", "size": n}], "input": n}
    <bundle: tar> <uploads> <input>

Secrets are written to an env file on a tmpfs and become the agent's environment at exec; they are in no
argument, image or container configuration.
"""

from __future__ import annotations

import binascii
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

HOME = Path("/home/user")
UPLOADS = Path("/tmp/uploads")  # noqa: S108 - the agent contract's path, on a tmpfs
SECRETS = Path("/run/secrets/env")
CA_BUNDLE = Path("/run/orchbox/ca.pem")
SYSTEM_ROOTS = (Path("/opt/orchbox/system-roots.pem"), Path("/etc/ssl/certs/ca-certificates.crt"))
"""The first that is there: our images lead the distribution's place to CA_BUNDLE (images/finish.sh)."""
JAVA_ROOTS = Path("/etc/ssl/certs/java/cacerts")
"""Where a JDK of the distribution looks; our images lead it to a file beside CA_BUNDLE."""
NODE_PROXY = Path("/opt/orchbox/node-proxy.cjs")

PR_SET_DUMPABLE = 4
"""linux/prctl.h; exec sets it back."""
MAX_HEAD_BYTES = 4 << 20
"""Of the message's first line."""

SETUP_FAILED = 97
"""Exit status: the agent's own set-up (pip, npm) failed before its code ran."""
BAD_MESSAGE = 98
"""Exit status: the message on stdin could not be read, or the agent could not be started."""

CA_VARIABLES = (
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_cafile",
)
"""Where common clients look for trusted roots, none of which reads the others' name."""


def read_exactly(stream: io.RawIOBase, size: int) -> bytes:
    """Read `size` bytes. Raises EOFError when the stream ends before."""
    parts = []
    while size > 0:
        part = stream.read(min(size, 1 << 20))
        if not part:
            raise EOFError("the message ended early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class TooLongError(ValueError):
    """The head is longer than is read."""


def read_line(stream: io.RawIOBase, limit: int = MAX_HEAD_BYTES) -> bytes:
    """Read to the newline, byte by byte, so that nothing behind it is taken."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = stream.read(1)
        if not byte:
            raise EOFError("the message ended early")
        if len(line) >= limit:
            raise TooLongError(f"command, environment and secrets take more than {limit >> 20} MiB together")
        line += byte
    return bytes(line)


def trust(ca_pem: str) -> dict[str, str]:
    """Write the CA bundle (the system's roots and the proxy's CA); the variables that point to it."""
    CA_BUNDLE.parent.mkdir(parents=True, exist_ok=True)
    roots = next((path.read_text() for path in SYSTEM_ROOTS if path.exists()), "")
    pem = roots + "\n" + ca_pem
    CA_BUNDLE.write_text(pem)
    if JAVA_ROOTS.is_symlink():
        CA_BUNDLE.with_name("java-cacerts").write_bytes(java_keystore(pem))
    return dict.fromkeys(CA_VARIABLES, str(CA_BUNDLE))


def java_keystore(pem: str) -> bytes:
    """The certificates of a PEM text as a JDK's trust store, since it reads no PEM.

    The format is the JDK's own JKS (sun.security.provider.JavaKeyStore): a list of names and certificates and
    a digest over it, under the password that every JDK's own store has.
    """
    import hashlib  # noqa: PLC0415 - a sandbox without a JDK need not pay for it

    blocks = pem.split("-----BEGIN CERTIFICATE-----")[1:]
    entries = [binascii.a2b_base64(block.partition("-----END")[0]) for block in blocks]
    parts = [struct.pack(">III", 0xFEEDFEED, 2, len(entries))]
    for number, certificate in enumerate(entries):
        name = f"root-{number}".encode()
        parts += [struct.pack(">IH", 2, len(name)), name, struct.pack(">QH", 0, 5), b"X.509"]
        parts += [struct.pack(">I", len(certificate)), certificate]
    store = b"".join(parts)
    salt = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    return store + hashlib.sha1(salt + store, usedforsecurity=False).digest()


def java_proxy(proxy_url: str) -> dict[str, str]:
    """The proxy for Java, which reads no HTTPS_PROXY; without the token, which a JDK sends in no CONNECT."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - as above, 8 ms

    proxy = urlsplit(proxy_url)
    where = (
        f"-D{scheme}.proxyHost={proxy.hostname} -D{scheme}.proxyPort={proxy.port}"
        for scheme in ("http", "https")
    )
    options = (os.environ.get("JAVA_TOOL_OPTIONS", ""), *where, "-Dhttp.nonProxyHosts=localhost|127.*")
    return {"JAVA_TOOL_OPTIONS": " ".join(options).strip()}


def unpack(bundle: bytes, home: Path) -> None:
    """Unpack the agent's files; tarfile's data filter refuses links and paths that lead outside."""
    if bundle:
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as archive:
            archive.extractall(home, filter="data")


def save_uploads(stream: io.RawIOBase, uploads: list[dict[str, object]]) -> None:
    """Write the caller's files, by their base names."""
    UPLOADS.mkdir(parents=True, exist_ok=True)
    for upload in uploads:
        name = Path(str(upload["name"])).name
        (UPLOADS / name).write_bytes(read_exactly(stream, int(str(upload["size"]))))


def save_secrets(secrets: dict[str, str]) -> None:
    """Write the env file, readable by the agent's user only."""
    SECRETS.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(SECRETS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(fd, "w") as file:
        file.writelines(f"{name}={json.dumps(value)}\n" for name, value in secrets.items())


def give_stdin(data: bytes) -> None:
    """Make `data` the process's stdin: an unlinked file, so that any size ends with EOF."""
    fd = os.memfd_create("input")
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.close(fd)


def receive(stdin: io.RawIOBase) -> tuple[dict[str, Any], bytes, dict[str, str]]:
    """Read the message and put its files in place: the message's head, the input, the environment."""
    message = json.loads(read_line(stdin))
    bundle = read_exactly(stdin, message["bundle"])
    save_uploads(stdin, message["uploads"])
    data = read_exactly(stdin, message["input"])
    unpack(bundle, HOME)
    given = message["env"]
    java = java_proxy(given["HTTPS_PROXY"]) if JAVA_ROOTS.is_symlink() and "HTTPS_PROXY" in given else {}
    environment = {**os.environ, **trust(message["ca_pem"]), **java, **given}
    for name in (
        "ALL_PROXY",
        "all_proxy",
    ):  # it would take precedence over the proxy's variables in some clients
        environment.pop(name, None)
    if NODE_PROXY.exists():
        environment["NODE_OPTIONS"] = f"--require {NODE_PROXY}"
    os.chdir(HOME)
    return message, data, environment


def hide_memory() -> None:
    """Keep processes of the same user out of this one's memory and descriptors, until it becomes the agent.

    Raises OSError where the kernel refuses.
    """
    import ctypes  # noqa: PLC0415 - 6 ms, and most agents have no set-up

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def set_up(argv: list[str], environment: dict[str, str]) -> bool:
    """Run the agent's own set-up, without its secrets and its input; whether it succeeded.

    It runs as the agent's user, so what this process holds is hidden from it, and the secrets' file is not
    there yet.
    """
    try:
        hide_memory()
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=2, check=False)
    except OSError as exc:
        sys.stderr.write(f"orchbox: {argv[0]} could not be started: {exc.strerror}\n")
        return False
    if done.returncode:
        sys.stderr.write(f"orchbox: set-up failed with status {done.returncode}\n")
    return done.returncode == 0


def main() -> int:
    """Never returns once the agent runs; otherwise an exit status."""
    try:
        message, data, environment = receive(io.FileIO(0, closefd=False))
        argv, setup_argv = message["argv"], message["setup_argv"]
    except (EOFError, OSError, ValueError, KeyError, TypeError, tarfile.TarError) as exc:
        why = str(exc) if isinstance(exc, (EOFError, TooLongError)) else type(exc).__name__
        sys.stderr.write(f"orchbox: the sandbox could not be set up: {why}\n")
        return BAD_MESSAGE
    if setup_argv and not set_up(setup_argv, environment):
        return SETUP_FAILED
    environment.update(message["secrets"])
    try:
        save_secrets(message["secrets"])
    except OSError as exc:  # something of the set-up stands in its place
        sys.stderr.write(f"orchbox: the secrets could not be handed over: {exc.strerror}\n")
        return BAD_MESSAGE
    try:
        give_stdin(data)
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - becoming the agent is the point
    except OSError as exc:
        sys.stderr.write(f"orchbox: {argv[0]} could not be started: {exc.strerror}\n")
        return BAD_MESSAGE


if __name__ == "__main__":
    sys.exit(main())
