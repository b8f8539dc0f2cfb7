"""Commands that hold a daemon of their own: it logs as a daemon does, but here only the command speaks."""

from __future__ import annotations

import logging

import structlog


def be_quiet() -> None:
    """No log line reaches stderr."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
