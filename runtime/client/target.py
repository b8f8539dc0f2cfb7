"""Which daemon a command speaks with: the one of this host by its socket, or one elsewhere by its URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InvalidInputError
from runtime.model.secret import Secret

_URL = re.compile(
    r"https://[^\s/@?#]+(?::[0-9]{1,5})?/?|http://(?:127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5}/?"
)

_TOKEN = re.compile(r"orch_[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """A daemon."""

    socket: Path
    """Its unix socket, where there is no URL."""
    url: str | None = None
    token: Secret | None = None
    ca: Path | None = None
    """The certificate that its own is signed with; None is what the system trusts."""

    @property
    def shown(self) -> str:
        """For an error."""
        return self.url or str(self.socket)

    @classmethod
    def from_env(cls, env: Mapping[str, str], socket: Path) -> Target:
        """Read ORCHBOX_URL, ORCHBOX_TOKEN and ORCHBOX_CA.

        Raises InvalidInputError naming the variable, and never the token.
        """
        url, token, ca = (env.get(name) or None for name in ("ORCHBOX_URL", "ORCHBOX_TOKEN", "ORCHBOX_CA"))
        if url is None:
            return cls(socket)
        if not _URL.fullmatch(url):
            raise InvalidInputError(
                "environment variable ORCHBOX_URL: expected https://HOST[:PORT], or http:// on 127.0.0.1",
                hint="unset ORCHBOX_URL to use the daemon of this host",
            )
        if token is None:
            raise InvalidInputError(
                "environment variable ORCHBOX_TOKEN: not set, and ORCHBOX_URL is",
                hint="set it to a token: orch token create, on the daemon's host",
            )
        if not _TOKEN.fullmatch(token.strip()):
            raise InvalidInputError(
                "environment variable ORCHBOX_TOKEN: is no token",
                hint="it is `orch_` and 64 digits, `token` in what `orch token create` prints",
            )
        if ca is not None and not Path(ca).is_file():
            raise InvalidInputError(
                f"environment variable ORCHBOX_CA: {ca} is no file",
                hint="copy tls/ca.pem of the daemon's home",
            )
        return cls(socket, url.rstrip("/"), Secret(token.strip()), Path(ca) if ca else None)
