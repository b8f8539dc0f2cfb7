"""What a case's arguments may name: `{proxy}`, `{gateway}`, `{self}`, `{auth}` and the facts given."""

from __future__ import annotations

import base64
import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Places:
    """Fills placeholders; anything else in braces stays as it is."""

    def __init__(self, facts: dict[str, str]) -> None:
        parts = urlsplit(os.environ["HTTPS_PROXY"])
        token = unquote(parts.password or "")
        self._values = {
            **facts,
            "proxy": parts.hostname or "",
            "gateway": gateway(),
            "auth": base64.b64encode(f"probe:{token}".encode()).decode(),
            "explain": base64.b64encode(f"explain:{token}".encode()).decode(),
            "self": own_address(),
        }

    def fill(self, value: Any) -> Any:
        """The same shape with every string filled."""
        if isinstance(value, str):
            return re.sub(r"\{([a-z_]+)\}", lambda m: self._values.get(m[1], m[0]), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value


def gateway() -> str:
    """The first address of this network, where a bridge has its host."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[7], 16):  # not the default route; the kernel prints in the machine's byte order
            return socket.inet_ntoa((socket.ntohl(int(fields[1], 16)) + 1).to_bytes(4, "big"))
    raise OSError("no network")


def own_address() -> str:
    """The address of this sandbox."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((gateway(), 9))
        return str(asking.getsockname()[0])
