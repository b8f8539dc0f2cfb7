"""What keepers share: nothing that makes two of them alike, and nothing that a fork would break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
FORKED = """
import hashlib, json, os, sys
from runtime.egress.ca import make_ca
from {module} import warm_up
before = sorted(os.listdir("/proc/self/fd"))
warm_up()
after = {{"files": sorted(os.listdir("/proc/self/fd")) == before, "threads": len(os.listdir("/proc/self/task"))}}
keys = []
for _ in range(3):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, hashlib.sha256(make_ca().key_pem.encode()).hexdigest().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    keys.append(os.read(reader, 100).decode())
keys.append(hashlib.sha256(make_ca().key_pem.encode()).hexdigest())
print(json.dumps({{**after, "keys": keys}}))
"""


@pytest.mark.parametrize("module", ["runtime.keeper.warm", "proxy.warm"])
def test_what_is_forked_from_a_warm_parent_has_keys_of_its_own(module: str):
    """OpenSSL was used before the fork, and makes another key in each process; one thread, no file is left."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED.format(module=module)],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    seen = json.loads(done.stdout)

    assert (seen["files"], seen["threads"]) == (True, 1)
    assert len(set(seen["keys"])) == 4
