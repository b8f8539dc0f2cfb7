"""How many requests the API has answered, by route, method and status, for the metrics.

A route is counted by its template (`/v1/runs/{run_id}`), and what has no route of ours as `none`, so that no
caller can make the counts grow.
"""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"
NO_ROUTE = "none"

type RequestCounts = Counter[tuple[str, str, int]]
"""By route, method and status."""


class Counting:
    """Counts each answer as it begins, whoever gives it."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                method = scope["method"] if scope["method"] in METHODS else OTHER
                self._counts[route, method, message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)
