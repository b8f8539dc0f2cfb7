"""The table of places for credentials: every provider's, every spelling; and what no client is refused for."""

from __future__ import annotations

import pytest

from proxy.destination.query import parse_query
from proxy.secrets import positions

CREDENTIAL_HEADERS = """
api-key anthropic-api-key auth-token authorization chatgpt-account-id cookie cookie2 openai-api-key
ocp-apim-subscription-key private-token proxy-authorization x-access-token x-amz-security-token x-api-key
x-auth-key x-auth-token x-authorization x-csrf-token x-functions-key x-gitlab-token
x-goog-api-key x-goog-iam-authorization-token x-goog-user-project x-ms-token-aad-access-token x_api_key
x-client-secret x-jwt-assertion x-key-custom
x-apitoken x.api.key clientSecret secretKey refreshToken xapikey X-ClientSecret APIToken x-user.Password
dd-application-key x-master-key x_pass_word key sessionToken x-myaccesskey
""".split()  # noqa: SIM905 - one list a reader can take in
ORDINARY_HEADERS = """
accept accept-encoding anthropic-beta anthropic-dangerous-direct-browser-access anthropic-version content-type
idempotency-key openai-beta openai-organization openai-project sec-websocket-key user-agent
x-goog-api-client x-goog-request-params x-goog-upload-command x-goog-upload-protocol x-stainless-lang
x-stainless-read-timeout x-stainless-retry-count x-server-timeout
mcp-session-id x-hotkey x-keyboard authority x-turnkey-region x-author
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", CREDENTIAL_HEADERS)
def test_a_credential_header_is_known(name: str) -> None:
    """By table, or by what its name says; a policy adds its own."""
    assert positions.is_credential_header(name, {"x-key-custom"})


@pytest.mark.parametrize("name", ORDINARY_HEADERS)
def test_the_sdks_own_headers_are_no_credentials(name: str) -> None:
    """What the openai, anthropic and google-genai clients send beside their key."""
    assert not positions.is_credential_header(name)


QUERIES = {
    "key=x": True,
    "KEY=x": True,
    "a=1&%6b%65%79=x": True,
    "%256bey=x": True,
    "$key=x": True,
    "key[]=x": True,
    "a=1;key=x": True,
    "+key=x": True,
    "api_key=x": True,
    "api-key=x": True,
    "apiKey=x": True,
    "access_token=x": True,
    "oauth_token=x": True,
    "X-Amz-Signature=x": True,
    "X-Goog-Credential=x": True,
    "upload_id=x": True,
    "auth=x": True,
    "clientSecret=x": True,
    "secretKey=x": True,
    "refreshToken=x": True,
    "apitoken=x": True,
    "x.api.key=x": True,
    "client%53ecret=x": True,
    "%2563lientSecret=x": True,
    "userPassword[a]=x": True,
    "consumer_key=x": True,
    "nextPageToken=x": False,
    "page.token=x": False,
    "a=1&b": False,
    "": False,
    "pageToken=x": False,
    "page_token=x": False,
    "alt=sse&$alt=json": False,
    "monkey=x": False,
    "key2=x": False,
    "uploadType=resumable": False,
}


@pytest.mark.parametrize(("query", "is_credential"), QUERIES.items())
def test_a_credential_parameter_is_known_in_any_spelling(query: str, *, is_credential: bool) -> None:
    """Servers read names decoded, some in any case, some with `;` between them."""
    _, parameters = parse_query("/v1/x?" + query)
    assert is_credential == any(positions.is_credential_parameter(p) for p in parameters)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer k", ("Bearer ", "k")),
        ("bearer  k", ("bearer  ", "k")),
        ("token k", ("token ", "k")),
        ("k", ("", "k")),
        ("Bearer k, Bearer j", None),
        ("Bearer ", None),
        ("Digest a k", None),
        ("", None),
    ],
)
def test_an_authorization_holds_one_key(value: str, expected: tuple[str, str] | None) -> None:
    """Anything else is not a place to swap in."""
    assert expected == positions.authorization_key(value)


def test_basic_pairs_are_read_and_written() -> None:
    """What is no pair is none."""
    assert positions.basic_pair(positions.basic_value("u", "p:q")) == ("u", "p:q")
    assert [positions.basic_pair(v) for v in ("Basic !", "Basic dQ==", "Bearer x", "Basic /w==", "")] == [
        None
    ] * 5


@pytest.mark.parametrize(
    ("item", "is_credential"),
    [
        ("openai-insecure-api-key.sk-x", True),
        ("base64url.bearer.authorization.k8s.io.abc", True),
        ("access_token.x", True),
        ("realtime", False),
        ("openai-beta.realtime-v1", False),
        ("graphql-transport-ws", False),
    ],
)
def test_a_subprotocol_can_carry_a_credential(item: str, *, is_credential: bool) -> None:
    """Browsers' clients put it there, since they cannot set headers."""
    assert is_credential == positions.is_credential_subprotocol(item)
