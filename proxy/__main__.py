"""`python -m proxy`: the egress proxy as the proxy image starts it.

Environment: ORCHBOX_CONTROL_SOCKET (default /run/orchbox/control/proxy.sock). There is nothing else to
set: policy arrives as grants. The socket is there as long as a proxy serves, which is what tells its health.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from pathlib import Path

import structlog

from proxy.contract.messages import CONTROL_FOLDER, CONTROL_SOCKET, LLM_SOCKET
from proxy.parent import Parent
from proxy.warm import warm_up
from proxy.worker import work


def main() -> int:
    """Exit status 0 after an orderly stop."""
    control = Path(os.environ.get("ORCHBOX_CONTROL_SOCKET", f"{CONTROL_FOLDER}/{CONTROL_SOCKET}"))
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    # Written by the worker's one handler (process_log); what the parent says quotes nobody.
    logging.getLogger("proxy").setLevel(logging.INFO)
    scratch = Path("/tmp")  # noqa: S108 - a tmpfs
    llm_socket = control.with_name(LLM_SOCKET)
    warm_up()
    Parent(control, partial(work, parent=os.getpid(), llm_socket=llm_socket, scratch=scratch)).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
