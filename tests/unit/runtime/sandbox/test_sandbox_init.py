"""The init as a real process: what the agent finds, and what stops it from starting."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.sandbox import sandbox_init
from runtime.sandbox.sandbox_init import BAD_MESSAGE, CA_VARIABLES, SETUP_FAILED

AGENT = (
    "import json,os,sys; print(json.dumps([sys.argv[1:], sys.stdin.read(), dict(os.environ), os.getcwd()]))"
)
START = """
import sys
from pathlib import Path
import runtime.sandbox.sandbox_init as init
root = Path(sys.argv[1])
init.HOME, init.UPLOADS = root / "home", root / "uploads"
init.SECRETS, init.CA_BUNDLE = root / "run/secrets/env", root / "run/orchbox/ca.pem"
init.SYSTEM_ROOTS, init.NODE_PROXY = (root / "own.pem", root / "roots.pem"), root / "node-proxy.cjs"
init.JAVA_ROOTS = root / "cacerts"
sys.exit(init.main())
"""


def tar(**files: str) -> bytes:
    """A bundle of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class Init:
    """A folder that stands for the sandbox's root."""

    root: Path
    prefix: tuple[str, ...] = ()
    """A command that starts it."""

    def send(self, raw: bytes, *, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the init on these bytes."""
        return subprocess.run(
            [*self.prefix, sys.executable, "-c", START, str(self.root)],
            input=raw,
            capture_output=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **(env or {})},
            timeout=30,
            check=False,
        )

    def run(self, *, env: dict[str, str] | None = None, **changes: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the init on a message; `bundle`, `uploads` and `input` are given as bytes."""
        bundle, data = changes.pop("bundle", b""), changes.pop("input", b"")
        uploads: dict[str, bytes] = changes.pop("uploads", {})
        head = {
            "v": 1,
            "argv": [sys.executable, "-c", AGENT, "one"],
            "setup_argv": None,
            "env": {},
            "secrets": {},
            "ca_pem": "PROXY CA\n",
            "bundle": len(bundle),
            "uploads": [{"name": name, "size": len(content)} for name, content in uploads.items()],
            "input": len(data),
            **changes,
        }
        return self.send(
            json.dumps(head).encode() + b"\n" + bundle + b"".join(uploads.values()) + data, env=env
        )


@pytest.fixture
def init(tmp_path: Path) -> Init:
    """An empty sandbox."""
    (tmp_path / "home").mkdir()
    (tmp_path / "roots.pem").write_text("SYSTEM ROOTS\n")
    return Init(tmp_path)


def test_agent_gets_arguments_input_environment_and_home(init: Init):
    """The agent is started as the contract says."""
    done = init.run(input=b'{"a": 1}', env={"FROM_IMAGE": "x"}, secrets={"API_KEY": "s"})
    assert (done.returncode, done.stderr) == (0, b"")
    arguments, stdin, environment, folder = json.loads(done.stdout)
    assert (arguments, stdin, folder) == (["one"], '{"a": 1}', str(init.root / "home"))
    assert (environment["FROM_IMAGE"], environment["API_KEY"]) == ("x", "s")


def test_every_client_finds_the_proxys_ca_beside_the_systems_roots(init: Init):
    """One bundle, named by each client's own variable."""
    environment = json.loads(init.run().stdout)[2]
    bundle = init.root / "run/orchbox/ca.pem"
    assert {environment[name] for name in CA_VARIABLES} == {str(bundle)}
    assert bundle.read_text() == "SYSTEM ROOTS\n\nPROXY CA\n"


def test_the_images_own_copy_of_the_roots_counts_before_the_distributions_place(init: Init):
    """The distribution's place leads to the bundle itself, so it cannot be what the bundle is made of."""
    (init.root / "own.pem").write_text("OWN ROOTS\n")
    init.run()
    assert (init.root / "run/orchbox/ca.pem").read_text() == "OWN ROOTS\n\nPROXY CA\n"


PROXY_URL = "http://explain:t0ken@10.0.0.2:8080"


def start_with_proxy(init: Init, **of_the_image: str) -> dict[str, str]:
    """The agent's environment of a sandbox that has a proxy."""
    head = {
        "argv": [sys.executable, "-c", AGENT],
        "setup_argv": None,
        "secrets": {},
        "ca_pem": "",
        "bundle": 0,
    }
    head |= {"uploads": [], "input": 0, "env": {"HTTPS_PROXY": PROXY_URL}}
    return json.loads(init.send(json.dumps(head).encode() + b"\n", env=of_the_image).stdout)[2]


def test_an_image_without_java_gets_nothing_for_java(init: Init):
    """No store is made and no variable set: it would cost time, and a line on stderr of each JVM."""
    assert "JAVA_TOOL_OPTIONS" not in start_with_proxy(init)
    assert not (init.root / "run/orchbox/java-cacerts").exists()


def test_java_gets_its_store_and_the_proxy_without_the_token(init: Init):
    """An image whose JDK's store leads to ours: the store is there, and the JVM's own proxy settings."""
    (init.root / "cacerts").symlink_to(init.root / "run/orchbox/java-cacerts")
    options = start_with_proxy(init, JAVA_TOOL_OPTIONS="-Xmx64m")["JAVA_TOOL_OPTIONS"]
    assert options.startswith("-Xmx64m ")
    assert "-Dhttps.proxyHost=10.0.0.2 -Dhttps.proxyPort=8080" in options
    assert "t0ken" not in options
    assert (init.root / "cacerts").read_bytes().startswith(bytes.fromhex("feedfeed"))


def test_a_jdks_store_holds_the_certificates_byte_for_byte():
    """JKS as the JDK writes it: magic, version, count, entries, and the digest its password gives."""
    der = [b"\x30\x82" + bytes(range(200)), b"\x30\x03abc"]
    pem = "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(d).decode()}-----END CERTIFICATE-----\n"
        for d in der
    )
    store = sandbox_init.java_keystore("# a comment\n" + pem)
    assert store[:12] == bytes.fromhex("feedfeed0000000200000002")
    entry = b"\0\0\0\2" + b"\0\6root-1" + bytes(8) + b"\0\5X.509" + b"\0\0\0\5" + der[1]
    assert store[:-20].endswith(entry)
    assert der[0] in store
    assert (
        store[-20:]
        == hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]).digest()
    )


def test_a_proxy_for_everything_is_not_passed_on(init: Init):
    """ALL_PROXY would send some clients elsewhere."""
    environment = json.loads(init.run(env={"ALL_PROXY": "http://x", "all_proxy": "http://x"}).stdout)[2]
    assert not {"ALL_PROXY", "all_proxy"} & set(environment)


def test_node_is_given_its_proxy_where_the_image_has_it(init: Init):
    """Node's fetch honours the proxy only with our preload."""
    assert "NODE_OPTIONS" not in json.loads(init.run().stdout)[2]
    (init.root / "node-proxy.cjs").write_text("")
    fresh = Init(init.root)
    (init.root / "run/secrets/env").unlink()
    assert json.loads(fresh.run().stdout)[2]["NODE_OPTIONS"] == f"--require {init.root}/node-proxy.cjs"


def test_files_are_in_place(init: Init):
    """The bundle is in the home, the uploads beside it, byte for byte."""
    code = "import pathlib,sys; print(pathlib.Path('pkg/m.py').read_text(), sys.stdin.read())"
    upload = bytes(range(256)) * 5000
    done = init.run(
        bundle=tar(pkg__m="x", **{"pkg__m.py": "y"}),
        uploads={"a.bin": upload, "b.txt": b"two"},
        input=b"in",
        argv=[sys.executable, "-c", code],
    )
    assert done.stdout == b"y in\n"
    assert (init.root / "uploads/a.bin").read_bytes() == upload
    assert (init.root / "uploads/b.txt").read_bytes() == b"two"


def test_input_of_any_size_and_content_arrives_whole(init: Init):
    """Nothing of the input is lost behind the message, and its end is seen."""
    data = bytes(range(256)) * 40_000
    done = init.run(input=data, argv=["cat"])
    assert done.stdout == data


def test_input_can_be_read_by_path(init: Init):
    """JavaScript agents read /dev/stdin."""
    assert init.run(input=b"in", argv=["cat", "/dev/stdin"]).stdout == b"in"


def test_secrets_are_a_file_of_the_agents_user_only(init: Init):
    """The env file is readable by its owner alone, and a value with a newline cannot add a line."""
    init.run(secrets={"KEY": "a\nEVIL=b"})
    file = init.root / "run/secrets/env"
    assert file.stat().st_mode & 0o777 == 0o400
    assert file.read_text() == 'KEY="a\\nEVIL=b"\n'


def test_secrets_are_in_no_argument_of_a_process(init: Init):
    """The process list shows the agent's command as it was given."""
    code = "print(open('/proc/self/cmdline').read())"
    assert b"s3cret" not in init.run(secrets={"KEY": "s3cret"}, argv=[sys.executable, "-c", code]).stdout


def test_set_up_runs_before_without_secrets_and_input(init: Init):
    """pip and its packages' code see neither the keys nor the input; their words go to the log."""
    code = (
        "import os,sys; print('to the log', 'KEY' in os.environ, repr(sys.stdin.read())); open('made', 'w')"
    )
    done = init.run(
        setup_argv=[sys.executable, "-c", code],
        secrets={"KEY": "s"},
        input=b"in",
        argv=["sh", "-c", "ls; cat"],
    )
    assert done.stderr == b"to the log False ''\n"
    assert done.stdout == b"made\nin"


LOOK = """
import glob, os, sys
found = []
for name in [*glob.glob("{root}/run/**", recursive=True), *glob.glob("/proc/[0-9]*/environ"),
             *glob.glob(f"/proc/{{os.getppid()}}/fd/*"), f"/proc/{{os.getppid()}}/mem"]:
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
            if not name.endswith("/mem"):
                found += [name] if b"s3cret-value" in (file.read(1 << 20) or b"") else []
                continue
            for line in open(f"/proc/{{os.getppid()}}/maps"):
                first, last = (int(part, 16) for part in line.split()[0].split("-"))
                if "r" in line.split()[1] and "[v" not in line:
                    file.seek(first)
                    found += [name] if b"s3cret-value" in file.read(last - first) else []
    except (OSError, ValueError, OverflowError):
        continue
print("seen:", found, file=sys.stderr)
"""


def test_set_up_finds_the_secrets_nowhere(init: Init):
    """Not in the file, which is not there yet, nor in the init's memory, environment or descriptors."""
    if os.geteuid() == 0:  # which may look into everything, unlike an agent
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv")
        init.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = init.run(
        setup_argv=[sys.executable, "-c", LOOK.format(root=init.root)],
        secrets={"KEY": "s3cret-value"},
        argv=["sh", "-c", f"echo $KEY; cat {init.root}/run/secrets/env"],
    )

    assert done.stderr == b"seen: []\n"
    assert done.stdout == b's3cret-value\nKEY="s3cret-value"\n'


@pytest.mark.parametrize("place", ["file", "folder"])
def test_set_up_cannot_stand_in_the_secrets_place(init: Init, place: str):
    """A file that it left there is never written into or taken for ours."""
    target = init.root / "run/secrets/env"
    make = f"mkdir -p {target.parent}; touch {target}" if place == "file" else f"mkdir -p {target}"
    done = init.run(setup_argv=["sh", "-c", make], secrets={"KEY": "s"}, argv=["echo", "started"])

    assert (done.returncode, done.stdout) == (BAD_MESSAGE, b"")
    assert b"the secrets could not be handed over" in done.stderr


def test_a_head_that_is_too_long_says_so(init: Init):
    """In one sentence that names what is too large."""
    done = init.run(secrets={"KEY": "x" * (4 << 20)})

    assert done.returncode == BAD_MESSAGE
    assert b"environment and secrets take more than 4 MiB" in done.stderr


def test_set_up_that_fails_ends_it(init: Init):
    """The agent is not started after a failed set-up, and the status tells it apart."""
    done = init.run(setup_argv=["sh", "-c", "exit 5"], argv=["echo", "started"])
    assert (done.returncode, done.stdout) == (SETUP_FAILED, b"")
    assert b"status 5" in done.stderr


def test_set_up_that_is_not_there_ends_it(init: Init):
    """A missing installer is a set-up failure."""
    done = init.run(setup_argv=["no-such-installer"])
    assert done.returncode == SETUP_FAILED
    assert b"no-such-installer could not be started" in done.stderr


def test_an_agent_that_is_not_there(init: Init):
    """A missing command is named."""
    done = init.run(argv=["no-such-agent"])
    assert done.returncode == BAD_MESSAGE
    assert b"no-such-agent could not be started: No such file or directory" in done.stderr


BAD = {
    "nothing": b"",
    "no line": b'{"v": 1',
    "no JSON": b"hello\n",
    "no object": b"[]\n",
    "missing parts": b'{"v": 1}\n',
    "a bundle cut short": b'{"bundle": 9}\nshort',
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_message_starts_nothing(init: Init, case: str):
    """A message that cannot be read ends in one line and a status of its own."""
    done = init.send(BAD[case])
    assert (done.returncode, done.stdout) == (BAD_MESSAGE, b"")
    assert done.stderr.startswith(b"orchbox: the sandbox could not be set up: ")
    assert done.stderr.count(b"\n") == 1


def evil(kind: str) -> bytes:
    """A bundle that wants out of the home."""
    info = tarfile.TarInfo({"absolute": "/tmp/orchbox-evil", "dots": "../evil"}.get(kind, "link"))
    if kind == "symlink":
        info.type, info.linkname = tarfile.SYMTYPE, "../../etc/passwd"
    if kind == "hard link":
        info.type, info.linkname = tarfile.LNKTYPE, "../roots.pem"
    if kind == "device":
        info.type = tarfile.CHRTYPE
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["dots", "symlink", "hard link", "device"])
def test_a_bundle_never_leaves_the_home(init: Init, kind: str):
    """A path, link or device that leads outside stops the start."""
    done = init.run(bundle=evil(kind), argv=["echo", "started"])
    assert (done.returncode, done.stdout) == (BAD_MESSAGE, b"")
    assert sorted(p.name for p in (init.root / "home").iterdir()) == []
    assert not (init.root / "evil").exists()


def test_an_absolute_path_lands_in_the_home(init: Init):
    """The data filter takes the root off an absolute name."""
    init.run(bundle=evil("absolute"))
    assert (init.root / "home/tmp/orchbox-evil").exists()
    assert not Path("/tmp/orchbox-evil").exists()


def test_a_compressed_bundle_is_refused(init: Init):
    """Only a plain tar is unpacked: its size is what was checked."""
    assert init.run(bundle=gzip.compress(tar(a="x"))).returncode == BAD_MESSAGE


def test_an_upload_is_placed_by_its_base_name(init: Init):
    """A name with folders cannot leave the uploads."""
    init.run(uploads={"../../evil": b"x"})
    assert (init.root / "uploads/evil").read_bytes() == b"x"


def test_imports_only_the_standard_library():
    """The file is copied into images that have nothing else."""
    source = Path(sandbox_init.__file__).read_text()
    imported = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= set(sys.stdlib_module_names)
