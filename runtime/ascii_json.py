"""JSON replies that can carry whatever an agent or a model wrote."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class AsciiJson(JSONResponse):
    """JSON in ASCII: an agent's text may hold half of a surrogate pair, which UTF-8 cannot carry.

    Raises ValueError for NaN and the infinities, which are no JSON.
    """

    def render(self, content: Any) -> bytes:
        """Encode the content as ASCII JSON. Raises ValueError for NaN and infinities."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
