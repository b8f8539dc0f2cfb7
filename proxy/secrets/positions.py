"""Where a request can carry a credential: the tables, and how each place is read. Plain values only.

A position that holds the sandbox's placeholder exactly is one to swap; on a pinned host every other
position with anything in it is somebody else's credential.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

KEY_HEADERS = frozenset({"x-api-key", "x-goog-api-key"})
"""Hold a key and nothing else; a policy's `credential_headers` are added."""
KEY_PARAMETER = "key"
"""The one query parameter, in this spelling, in which a placeholder is swapped."""
SUBPROTOCOL_PREFIX = "openai-insecure-api-key."
"""How a browser's WebSocket, which cannot set headers, gives OpenAI its key."""
UPLOAD_PARAMETER = "upload_id"
"""Google's resumable uploads: who knows the id may write, under the account that began the upload."""

_OTHER_HEADERS = frozenset({"chatgpt-account-id", "x-goog-user-project"})
"""Name the account that is used, without a word for it."""
_CREDENTIAL_WORDS = frozenset(
    [
        *("accesskey", "accesstoken", "apikey", "assertion", "auth", "authentication", "authkey"),
        *(
            "authorization",
            "authtoken",
            "bearer",
            "cookie",
            "cookie2",
            "credential",
            "credentials",
            "idtoken",
        ),
        *("jwt", "oauth", "oauthtoken", "passphrase", "passwd", "password", "secret", "sessiontoken", "sig"),
        *("signature", "token", "tokens", "xsrf"),
    ]
)
_WORDS_BEFORE_KEY = frozenset(
    ["access", "admin", "api", "auth", "client", "functions", "private", "secret", "service", "subscription"]
)
_CREDENTIAL_PARAMETERS = frozenset({"key", UPLOAD_PARAMETER})
_HARMLESS_PARAMETERS = frozenset({"continuation_token", "next_page_token", "next_token", "page_token"})

_HARMLESS_BASIC = frozenset(
    {"", "api", "apikey", "git", "oauth2", "token", "user", "x-access-token", "x-oauth-basic", "x-token-auth"}
)
"""Other halves of a Basic pair that providers document beside a key, and that are no credential."""
_SCHEME = re.compile(r"(?i:bearer|token|apikey|api-key|key) +")
_BATCH = re.compile(r"(?i)multipart/mixed|application/http")


class Parameter(NamedTuple):
    """One piece of a query, as it stands there."""

    separator: str
    """`?`, `&` or `;` before it."""
    text: str
    name: str
    """Decoded, in the one spelling that is compared."""
    value: str
    """Decoded."""

    @property
    def is_plain_key(self) -> bool:
        """Whether it is `key=...` in just this spelling, which every server reads alike."""
        return self.text.startswith(KEY_PARAMETER + "=") and self.separator != ";"


def is_credential_header(name: str, more: Iterable[str] = ()) -> bool:
    """Whether a header (in lower case) is for credentials, by table or by what its name says."""
    if name in _OTHER_HEADERS or name in KEY_HEADERS or name in more:
        return True
    words = re.split(r"[-_]", name)
    return any(word in _CREDENTIAL_WORDS for word in words) or any(
        pair[1] == "key" and pair[0] in _WORDS_BEFORE_KEY for pair in itertools.pairwise(words)
    )


def is_credential_parameter(parameter: Parameter) -> bool:
    """Whether a query parameter is for credentials, in any spelling (`KEY`, `%6bey`, `$key`, `key[]`)."""
    if parameter.name in _HARMLESS_PARAMETERS:
        return False
    return parameter.name in _CREDENTIAL_PARAMETERS or is_credential_header(parameter.name)


def parse_query(target: str) -> tuple[str, list[Parameter]]:
    """The path, and the pieces of the query; pieces joined give it again.

    `;` separates too, since some servers let it.
    """
    path, mark, query = target.partition("?")
    if not mark:
        return path, []
    pieces = re.split(r"([&;])", query)
    separators = ["?", *pieces[1::2]]
    return path, [_parameter(*piece) for piece in zip(separators, pieces[::2], strict=True)]


def _parameter(separator: str, text: str) -> Parameter:
    name, _, value = text.partition("=")
    known = _decoded(_decoded(name)).strip().lower().lstrip("$").replace("-", "_").replace(".", "_")
    return Parameter(separator, text, known.partition("[")[0], _decoded(value))


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace")).decode("latin-1")


def authorization_key(value: str) -> tuple[str, str] | None:
    """What stands before the key, and the key, of `Bearer k` and the like, or of a bare key."""
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    key = value[start:].strip(" ")
    return (value[:start], key) if key and " " not in key else None


def basic_pair(value: str) -> tuple[str, str] | None:
    """User and password of `Basic ...`; None for anything else."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def basic_value(user: str, password: str) -> str:
    """The header's value for a pair."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def is_harmless_half(text: str) -> bool:
    """Whether the other half of a Basic pair is one that providers document, and so no second key."""
    return text.lower() in _HARMLESS_BASIC


def subprotocols(value: str) -> Iterator[str]:
    """The items of a `Sec-WebSocket-Protocol` header (RFC 6455 section 11.3.4)."""
    yield from (item.strip() for item in value.split(","))


def is_credential_subprotocol(item: str) -> bool:
    """Whether a WebSocket subprotocol carries a credential, as browsers' clients do."""
    return any(word in _CREDENTIAL_WORDS for word in re.split(r"[-_.]", item.lower())) or (
        "api-key" in item.lower()
    )


def is_batch(content_type: str) -> bool:
    """Whether the body holds requests with headers of their own (Google's batch interface)."""
    return _BATCH.search(content_type) is not None
