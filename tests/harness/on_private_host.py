"""A command on a host of its own: `python -m tests.harness.on_private_host [--image NAME]... -- COMMAND...`.

For tests that would be in the way of others on the machine's own engine and network: they see a second host
with an engine of its own, the images named, and an uplink that leads nowhere. Exit status: the command's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.harness.errors import HarnessError
from tests.harness.private_host import PrivateHost, why_not

_UPLINK = """
ip link add uplink0 type veth peer name uplink1
ip link set uplink0 up
ip link set uplink1 up
ip address add 10.206.0.2/24 dev uplink0
ip route add default via 10.206.0.1
"""
"""An address by which a host is known to its neighbours, of which there are none: the far end of the link is on the same host."""


def main(arguments: list[str]) -> int:
    """The command's exit status; 1 with the reason where there can be no such host."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--image", action="append", default=[], help="an image of the machine's own engine")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args(arguments)
    if reason := why_not():
        print(f"on_private_host: {reason}", file=sys.stderr)
        return 1
    try:
        with PrivateHost(images=asked.image) as host:
            host.run(_UPLINK)
            environment = {**os.environ, "DOCKER_HOST": host.docker_host}
            return subprocess.run(host.argv(asked.command), env=environment, check=False).returncode
    except HarnessError as exc:
        print(f"on_private_host: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
