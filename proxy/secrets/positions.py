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

from proxy.destination.query import Parameter, compact, words

KEY_HEADERS = frozenset({"x-api-key", "x-goog-api-key"})
"""Hold a key and nothing else; a policy's `credential_headers` are added."""
KEY_PARAMETER = "key"
"""The one query parameter, in this spelling, in which a placeholder is swapped."""
SUBPROTOCOL_PREFIX = "openai-insecure-api-key."
"""How a browser's WebSocket, which cannot set headers, gives OpenAI its key."""
UPLOAD_PARAMETER = "upload_id"
"""Google's resumable uploads: who knows the id may write, under the account that began the upload."""

MIN_CREDENTIAL_CHARS = 8
"""A shorter text under a name that says nothing is no credential, as it is none to the tripwire."""

_OTHER_NAMES = frozenset({"chatgptaccountid", "xgooguserproject"})
"""Name the account that is used, without a word for it."""
_CREDENTIAL_WORDS = frozenset(
    """
    apikeys assertion auth authentication authorization cookies credentials jwt oauth secrets sig
    tokens xsrf
    """.split()  # noqa: SIM905 - a list to read
)
_CREDENTIAL_ENDINGS = (
    *("authorization", "bearer", "cookie", "credential", "passcode", "passphrase", "passwd", "password"),
    *("secret", "signature", "token"),
)
"""Of a word, or of all words of a name together: `apitoken`, `clientsecret`, `pass_word`."""
_WORDS_BEFORE_KEY = (
    *("access", "account", "admin", "api", "app", "application", "auth", "client", "consumer", "developer"),
    *("encryption", "functions", "ingest", "integration", "license", "master", "partner", "private"),
    *("secret", "server", "service", "session", "shared", "signing", "subscription", "user"),
)
_KEY_ENDINGS = tuple(word + "key" for word in _WORDS_BEFORE_KEY)
_CREDENTIAL_PARAMETERS = frozenset({"key", "uploadid"})
_HARMLESS_NAMES = frozenset({"continuationtoken", "nextpagetoken", "nexttoken", "pagetoken"})

_HARMLESS_BASIC = frozenset(
    {"", "api", "apikey", "git", "oauth2", "token", "user", "x-access-token", "x-oauth-basic", "x-token-auth"}
)
"""Other halves of a Basic pair that providers document beside a key, and that are no credential."""
_SCHEME = re.compile(r"(?i:bearer|token|apikey|api-key|key) +")
_BATCH = re.compile(r"(?i)multipart/mixed|application/http")


def is_plain_key(parameter: Parameter) -> bool:
    """Whether it is `key=...` in just this spelling, which every server reads alike."""
    return parameter.text.startswith(KEY_PARAMETER + "=") and parameter.separator != ";"


def is_credential_header(name: str, more: Iterable[str] = ()) -> bool:
    """Whether a header is for credentials, by table or by what its name says."""
    return name.lower() in more or _is_credential_name(name) or compact(name) == "key"


def is_credential_parameter(parameter: Parameter) -> bool:
    """Whether a query parameter is for credentials, in any spelling (`KEY`, `%6bey`, `$key`, `key[]`)."""
    known = parameter.known_as
    return known not in _HARMLESS_NAMES and (
        known in _CREDENTIAL_PARAMETERS or _is_credential_name(parameter.name)
    )


def _is_credential_name(name: str) -> bool:
    parts = words(name)
    known = "".join(parts)
    return (
        known in _OTHER_NAMES
        or not _CREDENTIAL_WORDS.isdisjoint(parts)
        or any(part.endswith((*_CREDENTIAL_ENDINGS, *_KEY_ENDINGS)) for part in (*parts, known))
        or any(end == "key" and start.endswith(_WORDS_BEFORE_KEY) for start, end in itertools.pairwise(parts))
    )


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
    """Whether a WebSocket subprotocol says that it carries a credential, as browsers' clients do."""
    return _is_credential_name(item)


def is_batch(content_type: str) -> bool:
    """Whether the body holds requests with headers of their own (Google's batch interface)."""
    return _BATCH.search(content_type) is not None
