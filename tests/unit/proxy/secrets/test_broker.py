"""The broker's decision: swapped in its place only, nothing else beside it, nothing of it elsewhere."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from proxy.contract.grant import GrantSecret
from proxy.policy.bindings import binding_of
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Decision, Policy, Request, TlsMode
from proxy.policy.passes import Passes
from proxy.policy.reasons import ReasonCode
from proxy.secrets.broker import Brokered, Head, broker, forms_of, watched

R = ReasonCode
TRUE, STAND_IN = "sk-true-0123456789abcdef", "sk-placeholder-0123456789"
OTHER_TRUE, OTHER_STAND_IN = "other-true-+/value", "placeholder-of-the-other"
DB, ACCENTS = "database-password-1", "pässwörd-ŵ-日本"
SECRETS = (
    GrantSecret("KEY", TRUE, STAND_IN),
    GrantSecret("OTHER", OTHER_TRUE, OTHER_STAND_IN),
    GrantSecret("DB", DB),
    GrantSecret("ACCENTS", ACCENTS),
)


def rule(host: str, **more) -> AllowRule:
    """An inspected rule."""
    return AllowRule(**{"id": "t.allow[0]", "host": HostPattern.parse(host), **more})


POLICY = Policy(
    name="t",
    allow=(
        rule(
            "pinned.test",
            ports=frozenset({80, 443}),
            paths=("/v1/*", "/upload/*"),
            methods=frozenset({"GET", "POST"}),
            credential="KEY",
            pin_credential=True,
            credential_headers=frozenset({"x-mine"}),
        ),
        rule("pinned.test", paths=("/free/*",)),
        rule(
            "listed.test",
            credential="KEY",
            pin_credential=True,
            passes=Passes(
                frozenset({"x-told", "x-of-sdk-*"}), frozenset({"pageSize"}), frozenset({"chat.v1"})
            ),
        ),
        rule("bound.test", credential="KEY"),
        rule("other.test", credential="OTHER"),
        rule("free.test"),
        rule("db.test", secrets=frozenset({"DB"}), tls=TlsMode.PASSTHROUGH),
    ),
)


def basic(user: str, password: str) -> str:
    """A Basic pair."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(
    host: str,
    target: str = "/v1/x",
    *headers: tuple[str, str],
    method: str = "POST",
    scheme: str = "https",
    secrets: tuple[GrantSecret, ...] = SECRETS,
    uploads: tuple[str, ...] = (),
) -> Brokered | Decision:
    """The answer to one request that the policy has allowed."""
    port = 443 if scheme == "https" else 80
    binding = binding_of(POLICY, Request(host=host, port=port, scheme=scheme, method=method, path=target))
    return broker(
        Head(target, headers),
        binding,
        secrets,
        forms=watched(forms_of(secrets), binding),
        host=host,
        rule_id="t.allow[0]",
        known_uploads=uploads,
    )


def reason(answer: Brokered | Decision) -> ReasonCode | None:
    """Why it was refused; None where it goes on."""
    return answer.reason_code if isinstance(answer, Decision) else None


SWAPS = {
    "Bearer": ("/v1/x", ("Authorization", f"Bearer {STAND_IN}"), ("Authorization", f"Bearer {TRUE}")),
    "bearer, two spaces": (
        "/v1/x",
        ("authorization", f"bearer  {STAND_IN}"),
        ("authorization", f"bearer  {TRUE}"),
    ),
    "token": ("/v1/x", ("authorization", f"token {STAND_IN}"), ("authorization", f"token {TRUE}")),
    "x-api-key": ("/v1/x", ("X-Api-Key", STAND_IN), ("X-Api-Key", TRUE)),
    "x-goog-api-key": ("/v1/x", ("x-goog-api-key", STAND_IN), ("x-goog-api-key", TRUE)),
    "the policy's header": ("/v1/x", ("X-Mine", STAND_IN), ("X-Mine", TRUE)),
    "Basic, as password": (
        "/v1/x",
        ("authorization", basic("git", STAND_IN)),
        ("authorization", basic("git", TRUE)),
    ),
    "Basic, as user": ("/v1/x", ("authorization", basic(STAND_IN, "")), ("authorization", basic(TRUE, ""))),
    "a subprotocol": (
        "/v1/x",
        ("Sec-WebSocket-Protocol", f"realtime, openai-insecure-api-key.{STAND_IN}, openai-beta.realtime-v1"),
        ("Sec-WebSocket-Protocol", f"realtime, openai-insecure-api-key.{TRUE}, openai-beta.realtime-v1"),
    ),
}


@pytest.mark.parametrize(("target", "sent", "expected"), SWAPS.values(), ids=SWAPS.keys())
def test_a_placeholder_is_swapped_in_its_place(target: str, sent: tuple, expected: tuple) -> None:
    """The header gets the true value; nothing else of the request changes."""
    answer = ask("pinned.test", target, ("Accept", "*/*"), sent, ("X-A", "b"))

    assert isinstance(answer, Brokered)
    assert answer.head == Head(target, (("Accept", "*/*"), expected, ("X-A", "b")))
    assert (answer.used, answer.is_bound) == ({"KEY"}, True)


def test_a_query_parameter_is_swapped_and_escaped() -> None:
    """`key=` gets the value as a query needs it; the rest of the query stays byte for byte."""
    answer = ask("other.test", f"/v1/x?a=%2f;b&key={OTHER_STAND_IN}&alt=sse")
    assert isinstance(answer, Brokered)
    assert answer.head.target == f"/v1/x?a=%2f;b&key={quote(OTHER_TRUE, safe='')}&alt=sse"


ELSEWHERE = {
    "another host, Bearer": ("free.test", "/v1/x", ("authorization", f"Bearer {STAND_IN}")),
    "another host, x-api-key": ("free.test", "/v1/x", ("x-api-key", STAND_IN)),
    "another host, query": ("free.test", f"/v1/x?key={STAND_IN}", None),
    "another host, escaped": ("free.test", "/v1/x?q=" + quote(quote(STAND_IN)).replace("-", "%2d"), None),
    "another host, Basic": ("free.test", "/v1/x", ("authorization", basic("u", STAND_IN))),
    "another host, base64": ("free.test", "/", ("x-a", base64.b64encode(STAND_IN.encode()).decode())),
    "another host, hex": ("free.test", "/" + STAND_IN.encode().hex(), None),
    "another host, cookie": ("free.test", "/", ("cookie", f"a={STAND_IN}")),
    "another host, a header's name": ("free.test", "/", (STAND_IN, "x")),
    "a host of another secret": ("other.test", "/v1/x", ("authorization", f"Bearer {STAND_IN}")),
    "the path": ("bound.test", f"/v1/{STAND_IN}", None),
    "another header": ("bound.test", "/v1/x", ("x-debug", STAND_IN)),
    "another parameter": ("bound.test", f"/v1/x?token={STAND_IN}", None),
    "key in another spelling": ("bound.test", f"/v1/x?KEY={STAND_IN}", None),
    "key, escaped": ("bound.test", f"/v1/x?%6bey={STAND_IN}", None),
    "key behind ;": ("bound.test", f"/v1/x?a=b;key={STAND_IN}", None),
    "two in one header": ("bound.test", "/v1/x", ("authorization", f"Bearer {STAND_IN}, Bearer x")),
    "inside a longer value": ("bound.test", "/v1/x", ("x-api-key", f"{STAND_IN}x")),
    "another scheme": ("bound.test", "/v1/x", ("authorization", f"Digest username={STAND_IN}")),
    "a subprotocol without its prefix": ("bound.test", "/v1/x", ("sec-websocket-protocol", STAND_IN)),
    "a path that no binding rule allows": ("pinned.test", "/free/x", ("authorization", f"Bearer {STAND_IN}")),
}


@pytest.mark.parametrize(("host", "target", "header"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_placeholder_elsewhere_is_refused(host: str, target: str, header: tuple | None) -> None:
    """Not the host, not the rule, or not the place: `credential_host`, and it is never swapped."""
    assert reason(ask(host, target, *([header] if header else []))) is R.CREDENTIAL_HOST


def test_clear_text_never_carries_a_credential() -> None:
    """A bound host over http is another host."""
    header = ("authorization", f"Bearer {STAND_IN}")
    assert reason(ask("pinned.test", "/v1/x", header, scheme="http")) is R.CREDENTIAL_HOST


def test_another_method_is_another_place() -> None:
    """The rule's methods bind too."""
    assert reason(ask("pinned.test", "/v1/x", ("x-api-key", STAND_IN), method="PUT")) is R.CREDENTIAL_HOST


DUPLICATES = {
    "two headers": ("/v1/x", [("x-api-key", STAND_IN), ("X-API-Key", STAND_IN)]),
    "two parameters": (f"/v1/x?key={STAND_IN}&key={STAND_IN}", []),
    "a parameter and its other spelling": (f"/v1/x?key={STAND_IN}&KEY=x", []),
    "two authorizations": ("/v1/x", [("authorization", f"Bearer {STAND_IN}"), ("authorization", "Bearer x")]),
}


@pytest.mark.parametrize(("target", "headers"), DUPLICATES.values(), ids=DUPLICATES.keys())
@pytest.mark.parametrize("host", ["bound.test", "pinned.test"])
def test_duplicates_are_refused(host: str, target: str, headers: list) -> None:
    """Which of two counts is the server's choice, so neither goes on."""
    expected = R.FOREIGN_CREDENTIAL if host == "pinned.test" else R.CREDENTIAL_HOST
    assert expected is reason(ask(host, target, *headers))


THIEF = "sk-ant-THIEF-0123456789"
OWN = ("authorization", f"Bearer {STAND_IN}")
THEFT = {
    "Bearer": ("/v1/files", [("authorization", f"Bearer {THIEF}")]),
    "a bare authorization": ("/v1/files", [("authorization", THIEF)]),
    "Basic": ("/v1/files", [("authorization", basic("user", THIEF))]),
    "Basic, as user": ("/v1/files", [("authorization", basic(THIEF, ""))]),
    "Basic beside the placeholder": ("/v1/files", [("authorization", basic(THIEF, STAND_IN))]),
    "Basic behind the placeholder": ("/v1/files", [("authorization", basic(STAND_IN, THIEF))]),
    "Digest": ("/v1/files", [("authorization", 'Digest username="x"')]),
    "x-api-key": ("/v1/messages", [("x-api-key", THIEF)]),
    "x-api-key beside one's own": ("/v1/messages", [OWN, ("x-api-key", THIEF)]),
    "x_api_key beside one's own": ("/v1/messages", [OWN, ("x_api_key", THIEF)]),
    "api-key beside one's own": ("/v1/messages", [OWN, ("api-key", THIEF)]),
    "x-goog-api-key": ("/upload/v1beta/files", [("x-goog-api-key", THIEF)]),
    "x-goog-api-key beside one's own": ("/upload/v1beta/files", [OWN, ("X-Goog-Api-Key", THIEF)]),
    "an identity token beside one's own": ("/v1/x", [OWN, ("x-goog-iam-authorization-token", THIEF)]),
    "another project": ("/v1/x", [OWN, ("x-goog-user-project", "theirs")]),
    "the policy's header": ("/v1/x", [("x-mine", THIEF)]),
    "cookie": ("/v1/x", [OWN, ("cookie", "session=theirs")]),
    "key": (f"/v1/x?key={THIEF}", []),
    "key beside one's own": (f"/v1/x?key={THIEF}", [OWN]),
    "KEY beside one's own": (f"/v1/x?KEY={THIEF}", [OWN]),
    "an escaped key": (f"/v1/x?a=b&%6B%65y={THIEF}", [OWN]),
    "$key": (f"/v1/x?$key={THIEF}", [OWN]),
    "key behind ;": (f"/v1/x?a=b;key={THIEF}", [OWN]),
    "api_key": (f"/v1/x?api_key={THIEF}", [OWN]),
    "access_token": (f"/v1/x?access_token={THIEF}", [OWN]),
    "oauth_token": (f"/v1/x?oauth_token={THIEF}", [OWN]),
    "a signed address": ("/v1/x?X-Goog-Credential=a&X-Goog-Signature=b", [OWN]),
    "another account's upload": ("/upload/v1beta/files?upload_id=theirs&upload_protocol=resumable", []),
    "another account's upload, own key": ("/upload/v1beta/files?upload_id=theirs", [OWN]),
    "another spelling of an upload": ("/upload/v1beta/files?Upload-Id=theirs", [OWN]),
    "a subprotocol": (
        "/v1/realtime",
        [("sec-websocket-protocol", f"realtime, openai-insecure-api-key.{THIEF}")],
    ),
    "a subprotocol beside one's own": ("/v1/realtime", [OWN, ("sec-websocket-protocol", f"bearer.{THIEF}")]),
    "a bare key as a subprotocol": (
        "/v1/realtime",
        [OWN, ("sec-websocket-protocol", "sk-ant-THIEF-0123456789")],
    ),
    "a bare key behind a subprotocol": (
        "/v1/realtime",
        [OWN, ("sec-websocket-protocol", "realtime, THIEF0123")],
    ),
    "a camel's parameter": (f"/v1/x?clientSecret={THIEF}", [OWN]),
    "a header in dots": ("/v1/x", [OWN, ("x.api.key", THIEF)]),
    "words run together": ("/v1/x", [OWN, ("x-apitoken", THIEF)]),
    "a batch": ("/v1/batch", [OWN, ("content-type", "multipart/mixed; boundary=b")]),
    "a batch's part": ("/v1/batch", [OWN, ("content-type", "Application/HTTP")]),
    "a path without the binding rule": ("/free/x", [("authorization", f"Bearer {THIEF}")]),
    "nothing at all": ("/v1/files", []),
    "an empty one": ("/v1/files", [("authorization", "")]),
}


@pytest.mark.parametrize(("target", "headers"), THEFT.values(), ids=THEFT.keys())
def test_theft_another_accounts_credential_is_refused_in_every_place(target: str, headers: list) -> None:
    """An allowed host is no drop box: 0 of these go on, and the refusal repeats nothing of the key."""
    answer = ask("pinned.test", target, *headers)

    assert reason(answer) is R.FOREIGN_CREDENTIAL
    assert isinstance(answer, Decision)
    assert "THIEF" not in answer.detail


LONG = "0123456789abcdef"
UNLISTED = {
    "a header": ("/v1/x", ("x-debug", LONG), False),
    "a header in another spelling": ("/v1/x", ("x_told", LONG), False),
    "a listed header": ("/v1/x", ("X-Told", LONG), True),
    "the beginning of a listed header": ("/v1/x", ("x-of-sdk-version", LONG), True),
    "a listed beginning with a word for a key": ("/v1/x", ("x-of-sdk-token", "x"), False),
    "a short header": ("/v1/x", ("x-debug", "1"), True),
    "what every client sends": ("/v1/x", ("traceparent", LONG), True),
    "a parameter": (f"/v1/x?debug={LONG}", None, False),
    "a parameter without a value": (f"/v1/x?{LONG}", None, False),
    "a parameter in another case": (f"/v1/x?pagesize={LONG}", None, False),
    "a listed parameter": (f"/v1/x?pageSize={LONG}&$pageSize=1&page%53ize=2", None, True),
    "a short parameter": ("/v1/x?debug=1", None, True),
    "a subprotocol": ("/v1/x", ("sec-websocket-protocol", "chat.v2"), False),
    "a listed subprotocol": ("/v1/x", ("sec-websocket-protocol", "chat.v1, realtime"), True),
}


@pytest.mark.parametrize(("target", "header", "passes"), UNLISTED.values(), ids=UNLISTED.keys())
def test_a_host_with_a_list_takes_nothing_else(
    target: str, header: tuple[str, str] | None, *, passes: bool
) -> None:
    """Whatever could be a credential under a name that nobody thought of is refused there."""
    answer = ask("listed.test", target, OWN, *([header] if header else []))
    assert reason(answer) is (None if passes else R.FOREIGN_CREDENTIAL)


@pytest.mark.parametrize("case", [c for c in THEFT if c not in {"nothing at all", "an empty one"}])
def test_theft_is_refused_where_the_sandbox_has_no_key(case: str) -> None:
    """A pin holds for a sandbox that was given no key: theirs is still theirs."""
    target, headers = THEFT[case]
    answer = ask("pinned.test", target, *(h for h in headers if h != OWN), secrets=())
    assert reason(answer) is R.FOREIGN_CREDENTIAL


def test_without_a_key_an_anonymous_request_goes_on() -> None:
    """The upstream says what it wants; there is nothing to pin."""
    assert reason(ask("pinned.test", "/v1/x", secrets=())) is None


def test_an_upload_that_the_sandbox_began_goes_on_without_the_key() -> None:
    """Google's clients send the pieces to the address they were given."""
    target = "/upload/v1beta/files?upload_id=mine&upload_protocol=resumable"
    assert reason(ask("pinned.test", target, uploads=("mine",))) is None
    assert reason(ask("pinned.test", target + f"&key={THIEF}", uploads=("mine",))) is R.FOREIGN_CREDENTIAL
    assert reason(ask("pinned.test", target + "&upload_id=theirs", uploads=("mine",))) is R.FOREIGN_CREDENTIAL


def test_a_host_that_is_not_pinned_takes_other_credentials() -> None:
    """`pin_credential: false` is the operator's word."""
    answer = ask("bound.test", "/v1/x?access_token=x", ("cookie", "a=b"), ("x-api-key", STAND_IN))
    assert isinstance(answer, Brokered)
    assert answer.used == {"KEY"}


LEAKS = {
    "target": ("free.test", f"/v1/{DB}", None),
    "query": ("free.test", f"/v1/x?q={DB}", None),
    "header": ("free.test", "/v1/x", ("x-a", base64.b64encode(b"x" + DB.encode()).decode())),
    "a header's name": ("free.test", "/v1/x", (DB, "x")),
    "in JSON": ("free.test", "/v1/x", ("x-a", json.dumps({"a": DB.replace("-", "\\u002d")}))),
    "a brokered value that came round": ("bound.test", "/v1/x", ("authorization", f"Bearer {TRUE}")),
    "the same beside the placeholder": ("pinned.test", f"/v1/x?q={TRUE}", OWN),
    "beside the placeholder in Basic": ("bound.test", "/v1/x", ("authorization", basic(DB, STAND_IN))),
    "the same with letters beyond ASCII": (
        "bound.test",
        "/v1/x",
        ("authorization", basic(ACCENTS, STAND_IN)),
    ),
    "a value on another's host": ("db.test", f"/{OTHER_TRUE}", None),
}


@pytest.mark.parametrize(("host", "target", "header"), LEAKS.values(), ids=LEAKS.keys())
def test_a_value_in_a_head_is_a_leak(host: str, target: str, header: tuple | None) -> None:
    """In the target and in headers, in any shape; the refusal does not repeat it."""
    answer = ask(host, target, *([header] if header else []))

    assert reason(answer) is R.SECRET_LEAK
    assert isinstance(answer, Decision)
    assert not any(value in answer.detail for value in (TRUE, OTHER_TRUE, DB, ACCENTS))


def test_a_secret_goes_where_a_rule_says_so() -> None:
    """`secrets:` opens a host for a value of the sandbox's environment."""
    assert reason(ask("db.test", f"/v1/x?password={DB}", ("authorization", basic("u", DB)))) is None


def test_nothing_of_a_head_is_in_its_text_form() -> None:
    """A logged head or answer gives nothing away."""
    answer = ask("bound.test", f"/v1/x?key={STAND_IN}", OWN)
    assert isinstance(answer, Brokered)
    assert TRUE not in f"{answer!r} {answer.head!r} {SECRETS!r} {forms_of(SECRETS)!r}"
