"""`python -m proxy`: the egress proxy as the proxy image starts it.

Environment: ORCHBOX_CONTROL_SOCKET (default /run/orchbox/control/proxy.sock). There is nothing else to
set: policy arrives as grants. `python -m proxy --check` asks whether a running proxy listens (health).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import structlog

from proxy.contract.messages import CONTROL_FOLDER, CONTROL_SOCKET, EXPLICIT_PORT
from proxy.server import ProxyServer, ProxySettings


def main(argv: list[str]) -> int:
    """Exit status: 0 after an orderly stop, 1 where the proxy is not there (--check) or cannot start."""
    control = Path(os.environ.get("ORCHBOX_CONTROL_SOCKET", f"{CONTROL_FOLDER}/{CONTROL_SOCKET}"))
    if argv == ["--check"]:
        return _check(control)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logging.getLogger("proxy").setLevel(logging.INFO)  # written by the server's one handler (process_log)
    asyncio.run(_run(ProxySettings(control_socket=control, scratch=Path("/tmp"))))  # noqa: S108 - a tmpfs
    return 0


async def _run(settings: ProxySettings) -> None:
    await ProxyServer(settings).run()


def _check(control: Path, table: Path = Path("/proc/net/tcp")) -> int:
    """Look at the kernel's listeners (proc(5)): a connection would be one more refusal on record."""
    wanted = f":{EXPLICIT_PORT:04X}"
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    is_listening = any(row[1].endswith(wanted) and row[3] == "0A" for row in rows)
    return 0 if is_listening and control.exists() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
