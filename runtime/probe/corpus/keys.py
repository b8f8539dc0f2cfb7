"""Keys (attacks.md S-06 to S-09, S-14): what carries a brokered key, somebody else's, or a held value.

`keyed.test` is brokered: the sandbox holds `{key}`, a placeholder. `{planted}` is held as it is.
"""

from __future__ import annotations

from typing import Any

from runtime.probe.corpus.build import FIX_REPLACED, refused, sent, tunnelled, works
from runtime.probe.corpus.case import Blocked, Case

FIX_PIN = "proxy/secrets/broker.py, proxy/secrets/positions.py: on a pinned host the sandbox's own key only"
FIX_BOUND = "proxy/secrets/broker.py, proxy/policy/bindings.py: a key is for the host that its rule names"
FIX_TRIPWIRE = (
    "proxy/hooks/handover.py, proxy/secrets/leak_scan.py: the values a sandbox holds, in what it sends"
)
FIX_SCRUB = "proxy/secrets/scrub.py: what the upstream reflects"
_THEIRS = "sk-of-another-account-0123456789"
_SOCKET = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def _keyed(id_: str, title: str, expect: Any, *lines: str, path: str = "/echo/{m}", fix: str, body: str = "") -> Case:  # fmt: skip
    size = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: keyed.test\r\n"
    text = head + "".join(f"{line}\r\n" for line in lines) + f"{size}\r\n{body}"
    return tunnelled(id_, title, text, expect, host="keyed.test", sni="keyed.test", group="secrets", fix=fix)


def _theft(id_: str, title: str, *lines: str, path: str = "/echo/{m}", body: str = "") -> Case:
    return _keyed(id_, title, refused("foreign_credential"), *lines, path=path, fix=FIX_PIN, body=body)


def _leak(id_: str, title: str, head: str, body: str = "", *, upstream: int = 0, reason: str = "secret_leak") -> Case:  # fmt: skip
    return tunnelled(
        id_, title, f"{head}\r\n{body}", refused(reason, upstream=upstream), group="secrets", fix=FIX_TRIPWIRE
    )


def _chunked(*pieces: str) -> str:
    """A body of these chunks; their sizes are filled in inside."""
    return "".join(f"{{chunk:{piece}}}" for piece in pieces) + "0\r\n\r\n"


_POST = "POST /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n"
_OWN = "Authorization: Bearer {key}"

CASES: tuple[Case, ...] = (
    works("C-11", "a brokered host with the sandbox's own placeholder", "exchange",
          {"to": ["{proxy}", 8080], "steps": [["connect", "keyed.test:443", "{auth}"], ["tls", {"sni": "keyed.test"}],
           ["send", f"GET /echo/{{m}} HTTP/1.1\r\nHost: keyed.test\r\n{_OWN}\r\n\r\n"]]}),
    _theft("S-06a", "another account's key", f"Authorization: Bearer {_THEIRS}"),
    _theft("S-06b", "another account's key on a file upload", f"Authorization: Bearer {_THEIRS}", path="/v1/files/{m}", body="stolen"),
    _theft("S-06c", "no key at all, though one was given"),
    _theft("S-07a", "another account's key as x-api-key", f"x-api-key: {_THEIRS}"),
    _theft("S-07b", "another account's key as x-goog-api-key", f"x-goog-api-key: {_THEIRS}"),
    _theft("S-07c", "another account's key as api-key", f"api-key: {_THEIRS}"),
    _theft("S-07d", "another account's key in the query", path=f"/echo/{{m}}?key={_THEIRS}"),
    _theft("S-07e", "another account's key in an escaped query", path=f"/echo/{{m}}?a=b&%6b%65y={_THEIRS}"),
    _theft("S-07f", "another account's Basic pair", "Authorization: Basic c2stdGhlaXJzOg=="),
    _theft("S-07g", "another account's cookie beside one's own key", _OWN, f"Cookie: session={_THEIRS}"),
    _theft("S-07h", "another account's key beside one's own", _OWN, f"x-api-key: {_THEIRS}"),
    _theft("S-07i", "one's own key twice", _OWN, _OWN),
    _theft("S-07j", "another account's key as a WebSocket subprotocol", f"{_SOCKET}Sec-WebSocket-Protocol: openai-insecure-api-key.{_THEIRS}",
           path="/ws?{m}"),
    _theft("S-07k", "a resumable upload of another account", _OWN.replace("{key}", _THEIRS), path="/upload/{m}?upload_id=theirs", body="stolen"),
    _theft("S-07l", "a batch of requests with keys of their own", _OWN, "Content-Type: multipart/mixed; boundary=b", body="--b"),
    _theft("S-07m", "another account's secret under a name in camelCase", _OWN, path=f"/echo/{{m}}?clientSecret={_THEIRS}"),
    _theft("S-07n", "another account's token under words run together", _OWN, f"x-apitoken: {_THEIRS}"),
    _theft("S-07o", "another account's key under a name with dots", _OWN, f"x.api.key: {_THEIRS}"),
    _theft("S-07p", "another account's bare key as a WebSocket subprotocol", _OWN, f"{_SOCKET}Sec-WebSocket-Protocol: {_THEIRS}", path="/ws?{m}"),
    _theft("S-07q", "another account's key in headers that the query sets", _OWN,
           path=f"/echo/{{m}}?%24httpHeaders=X-Goog-Api-Key%3A{_THEIRS}%0D%0A"),
    _keyed("S-07r", "another method by header at the key's own host", refused("method"), _OWN, "X-HTTP-Method-Override: DELETE", fix=FIX_REPLACED),
    _keyed("S-08a", "the placeholder in its host's path", refused("credential_host"), _OWN, path="/echo/{m}/{key}", fix=FIX_BOUND),
    _keyed("S-08b", "the placeholder in another header", refused("credential_host"), _OWN, "X-Note: {key}", fix=FIX_BOUND),
    _leak("S-08c", "the placeholder at another allowed host", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nAuthorization: Bearer {key}\r\n",
          reason="credential_host"),
    _leak("S-08d", "the placeholder in base64 at another allowed host",
          "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-Note: {key_base64}\r\n", reason="credential_host"),
    _leak("S-08e", "the placeholder in a body at another allowed host", _POST, _chunked("{key}"), upstream=1, reason="credential_host"),
    Case("S-09", "secrets", "an upstream that echoes the key it was sent", "reflected",
         {"host": "keyed.test", "path": "/echo/{m}", "key": "{key}", "auth": "{auth}", "to": ["{proxy}", 8080]}, Blocked(), FIX_SCRUB),
    _leak("S-14a", "a held value in a header", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-Note: {planted}\r\n"),
    _leak("S-14b", "a held value in the query", "GET /echo/{m}?q={planted} HTTP/1.1\r\nHost: ok.test\r\n"),
    _leak("S-14c", "a held value, escaped, in the path", "GET /echo/{m}/{planted_percent} HTTP/1.1\r\nHost: ok.test\r\n"),
    _leak("S-14d", "a held value as a header's name", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-{planted}: 1\r\n"),
    _leak("S-14e", "a held value in base64", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-Note: {planted_base64}\r\n"),
    _leak("S-14f", "a held value in hex", "GET /echo/{m} HTTP/1.1\r\nHost: ok.test\r\nX-Note: {planted_hex}\r\n"),
    _leak("S-14g", "a held value in a body", _POST, _chunked("{planted}"), upstream=1),
    _leak("S-14h", "a held value over two chunks", _POST, _chunked("{planted_start}", "{planted_end}"), upstream=1),
    _leak("S-14i", "a held value in a body in base64", _POST, _chunked("{planted_base64}"), upstream=1),
    _leak("S-14j", "a held value in a gzip body",
          _POST + "Content-Encoding: gzip\r\n", _chunked("{planted_gzip}"), upstream=1),
    _leak("S-14k", "a body in a coding that cannot be looked into",
          _POST + "Content-Encoding: zstd\r\n", _chunked("x")),
    sent("S-14l", "a held value as a label below an allowed wildcard",
         "CONNECT {planted}.{m}.wild.test:443 HTTP/1.1\r\nHost: {planted}.{m}.wild.test:443\r\n{AUTH}\r\n",
         refused("secret_leak"), group="secrets", fix=FIX_TRIPWIRE),
)  # fmt: skip
