"""What every command starts from: the settings, and a client of the daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from runtime.client.connection import Client
from runtime.client.target import Target
from runtime.daemon.settings import Settings


def read_settings() -> Settings:
    """Read the settings of this process's environment. Raises InvalidInputError for one that is wrong."""
    return Settings.from_env(os.environ)


@contextmanager
def daemon_client() -> Iterator[Client]:
    """A client to this environment's daemon."""
    with closing(Client(daemon_target(read_settings()))) as client:
        yield client


def daemon_target(settings: Settings) -> Target:
    """Which daemon this environment names. Raises InvalidInputError for a variable that is wrong."""
    return Target.from_env(os.environ, settings.api_socket)
