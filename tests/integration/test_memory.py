"""Bodies stream: large ones, allowed or refused, in either direction, leave the proxy's memory where it was."""

from __future__ import annotations

import docker
import pytest

from tests.integration.conftest import Lab
from tests.integration.test_clients import shell

pytestmark = pytest.mark.docker

SIZE = 256 << 20
MAX_GROWTH_BYTES = 48 << 20
UPLOAD = f"head -c {SIZE} /dev/zero | curl -sS -o /tmp/answer -w '%{{http_code}}' -T - "

TRANSFERS = {
    "download": f"curl -sS -o /dev/null -w '%{{http_code}} %{{size_download}}' https://ok.test/bytes/{SIZE}",
    "upload": UPLOAD + "https://ok.test/upload",
    "refused upload": UPLOAD + "https://evil.test/upload; true",
}
EXPECTED = {"download": f"200 {SIZE}", "upload": "200", "refused upload": "403"}


@pytest.mark.parametrize("case", TRANSFERS)
def test_large_bodies_are_not_held(lab: Lab, engine: docker.DockerClient, case: str):
    """256 MiB through the inspecting proxy grow its anonymous memory by less than 48 MiB at the peak."""
    proxy = engine.containers.get("orchbox-test-proxy")
    code = (
        "import json, subprocess\n"
        f"done = subprocess.run({TRANSFERS[case]!r}, shell=True, capture_output=True, text=True, timeout=110)\n"
        "print(json.dumps({'out': done.stdout, 'err': done.stderr}))\n"
    )
    lab.run(shell("curl -sS https://ok.test/echo"))  # warm: certificates and code are loaded
    before = _peak_rss(proxy)

    done = lab.run(code, "--timeout", "120")

    assert done.json["result"]["out"].startswith(EXPECTED[case]), done.out
    assert _peak_rss(proxy) - before < MAX_GROWTH_BYTES


def _peak_rss(proxy) -> int:
    """The largest resident set that the proxy process ever had (VmHWM of proc(5)), in bytes."""
    code, out = proxy.exec_run(["sh", "-c", "grep -h VmHWM /proc/[0-9]*/status"])
    assert code == 0, out
    return max(int(line.split()[1]) for line in out.decode().splitlines()) * 1024
