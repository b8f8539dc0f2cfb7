"""The engine's connections, kept for the next call whatever its URL.

The Docker SDK keeps a pool for each URL (docker 7.2, `UnixHTTPAdapter`). Most URLs name a container or a
network, so hardly any call finds a connection there, and what the pools of the last 25 URLs hold stays
open at both ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from docker.api import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnectionPool

KEPT = 16
"""Connections that wait for the next call, at most."""
_PREFIX = "http+docker://"
_TAKES_OVER = "/attach"
"""Behind such a call the connection is the container's stream, and never again the engine's API."""


class SharedPool(UnixHTTPAdapter):  # type: ignore[misc]  # the SDK ships no types
    """One pool for all calls to one socket, and a connection of its own for each that takes it over."""

    def get_connection(self, url: str, proxies: Mapping[str, str] | None = None) -> UnixHTTPConnectionPool:
        """The pool that a call to `url` takes its connection from."""
        if urlsplit(url).path.endswith(_TAKES_OVER):
            return UnixHTTPConnectionPool(url, self.socket_path, self.timeout, maxsize=1)
        return super().get_connection(_PREFIX, proxies)


def share_connections(api: APIClient) -> None:
    """Let all calls of a client to a local socket share its connections; over TCP they do so already."""
    present = api.adapters.get(_PREFIX)
    if type(present) is UnixHTTPAdapter:
        api.mount(_PREFIX, SharedPool(present.socket_path, present.timeout, max_pool_size=KEPT))
