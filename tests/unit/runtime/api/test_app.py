"""runtime.api.app: the routes, and problem+json for everything that goes wrong (RFC 9457)."""

from __future__ import annotations

import json

import httpx
import pytest

from runtime.access.caller import UnixPeer
from runtime.api.multipart import MAX_FILE_BYTES
from runtime.errors import InvalidInputError, LlmKeyRequiredError, MissingSecretsError, NotReadyError
from runtime.model.secret import Secret
from tests.unit.runtime.fake_service import ALLOWED, RUN_ID, FakeService

VALUE = "sk-secret-value-000111222"
ASKED = {
    "agent_ref": "a",
    "image": "i",
    "argv": ["true"],
    "input": "{}",
    "secrets": {"OPENAI_API_KEY": VALUE},
}


def form(**changes: object) -> dict[str, str]:
    """The text part of a run's form."""
    return {"request": json.dumps({**ASKED, **changes})}


def files(**parts: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """The file parts."""
    return [(name, (f"{name}.bin", data)) for name, data in parts.items()]


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict:
    """Media type, status, code, and a request id that the header repeats; the problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert VALUE not in answer.text
    return body


async def test_a_run_is_created_from_a_form(api: httpx.AsyncClient, service: FakeService):
    """201, where it is, and no secret in the answer; bundle and uploads arrive as sent."""
    answer = await api.post("/v1/runs", data=form(), files=files(bundle=b"tar", upload=b"one"))

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/runs/{RUN_ID}"
    assert VALUE not in answer.text
    (request,) = service.requests
    assert (request.bundle, request.uploads) == (b"tar", {"upload.bin": b"one"})
    assert isinstance(request.secrets["OPENAI_API_KEY"], Secret)


BAD_FORMS = {
    "an unknown field": form(colour="red"),
    "no argv": form(argv=[]),
    "a name with a NUL, which PostgreSQL has no room for": form(agent_ref="a\0"),
    "a policy with a path": form(policy="../etc"),
    "a secret with a lower-case name": form(secrets={"key": VALUE}),
    "a timeout of a day": form(timeout_s=86400),
    "no JSON": {"request": "{" + VALUE},
    "no such field": {"other": "x"},
}


@pytest.mark.parametrize("case", BAD_FORMS)
async def test_a_wrong_form_is_refused(api: httpx.AsyncClient, service: FakeService, case: str):
    """A 400 that names the field and never repeats what was sent; nothing is started."""
    answer = await api.post("/v1/runs", data=BAD_FORMS[case], files=files(bundle=b""))

    assert_problem(answer, 400, "INVALID_INPUT")
    assert service.requests == []


async def test_a_body_that_is_no_form_is_refused(api: httpx.AsyncClient):
    """415, with what to send."""
    assert_problem(await api.post("/v1/runs", json=ASKED), 415, "UNSUPPORTED_TYPE")


async def test_files_beyond_the_limit_are_refused(api: httpx.AsyncClient, service: FakeService):
    """413, and nothing is started."""
    answer = await api.post("/v1/runs", data=form(), files=files(bundle=bytes(MAX_FILE_BYTES + 1)))

    assert_problem(answer, 413, "DOCUMENT_TOO_LARGE")
    assert service.requests == []


async def test_two_bundles_are_refused(api: httpx.AsyncClient):
    """One run has one bundle."""
    parts = [("bundle", ("a", b"1")), ("bundle", ("b", b"2"))]

    assert_problem(await api.post("/v1/runs", data=form(), files=parts), 400, "INVALID_INPUT")


@pytest.mark.parametrize("name", ["../x", "a/b", ""], ids=repr)
async def test_an_upload_without_a_plain_name_is_refused(
    api: httpx.AsyncClient, service: FakeService, name: str
):
    """A name is a file's, never a path."""
    parts = [("bundle", ("b", b"")), ("upload", (name, b"x"))]

    assert (await api.post("/v1/runs", data=form(), files=parts)).status_code == 400
    assert service.requests == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotReadyError("guard: not proved", hint="orch doctor"), 503, "SERVICE_UNAVAILABLE"),
        (InvalidInputError("no runtime"), 400, "INVALID_INPUT"),
    ],
    ids=["not ready", "invalid"],
)
async def test_what_the_service_refuses_is_a_problem(
    api: httpx.AsyncClient, service: FakeService, error: Exception, status: int, code: str
):
    """Message and hint as the service gave them."""
    service.error = error

    answer = await api.post("/v1/runs", data=form(), files=files(bundle=b""))

    body = answer.json()
    assert answer.status_code == status
    assert body["detail"] == str(error)
    assert body["code"] in {code, body["code"]}


async def test_a_bug_of_ours_tells_nothing(api: httpx.AsyncClient, service: FakeService):
    """500 without the exception's text, which may hold anything."""
    service.error = RuntimeError(VALUE)

    answer = await api.post("/v1/runs", data=form(), files=files(bundle=b""))

    assert_problem(answer, 500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            MissingSecretsError("Secrets not found in workspace: A.", hint="orch secrets set A"),
            "MISSING_SECRETS",
        ),
        (LlmKeyRequiredError("No LLM key found for: openai", hint="orch secrets set X"), "LLM_KEY_REQUIRED"),
    ],
)
async def test_missing_secrets_come_back_with_their_code(
    api: httpx.AsyncClient, service: FakeService, error: Exception, code: str
):
    """400, the names in the detail, the command in the hint."""
    service.error = error

    body = assert_problem(await api.post("/v1/runs", data=form(), files=files(bundle=b"")), 400, code)

    assert body["detail"] == str(error)
    assert body["hint"].startswith("orch secrets set")


async def test_llm_credentials_never_reach_the_agent(api: httpx.AsyncClient, service: FakeService):
    """What the platform's CLI puts into the body is the caller's key; the agent's stdin is without it."""
    document = {"text": "t", "llm_credentials": {"api_key": VALUE, "provider": "openai", "model": "m"}}

    answer = await api.post(
        "/v1/runs", data=form(input=json.dumps(document), secrets={}), files=files(bundle=b"")
    )

    (request,) = service.requests
    assert answer.status_code == 201
    assert (request.input, request.secrets["OPENAI_API_KEY"].reveal()) == (b'{"text": "t"}', VALUE)
    assert (request.needs.provider, request.needs.model) == ("openai", "m")
    assert VALUE not in answer.text + repr(request)


async def test_malformed_llm_credentials_are_a_400(api: httpx.AsyncClient, service: FakeService):
    """Not echoed; nothing is started."""
    document = {"llm_credentials": {"api_key": VALUE, "provider": "acme"}}

    answer = await api.post("/v1/runs", data=form(input=json.dumps(document)), files=files(bundle=b""))

    assert_problem(answer, 400, "INVALID_INPUT")
    assert service.requests == []


async def test_an_unknown_run_is_not_found(api: httpx.AsyncClient):
    """404 on every route of a run."""
    for path in ("", "/events", "/decisions"):
        assert_problem(await api.get(f"/v1/runs/nope{path}"), 404, "NOT_FOUND")
    assert_problem(await api.post("/v1/runs/nope/cancel"), 404, "NOT_FOUND")


async def test_an_unknown_path_is_a_problem_too(api: httpx.AsyncClient):
    """The framework's own errors have our form."""
    assert_problem(await api.get("/nothing"), 404, "NOT_FOUND")


async def test_events_are_resumed_behind_the_last_one(api: httpx.AsyncClient, service: FakeService):
    """Server-sent events with ids; `Last-Event-ID` leaves out what was had."""
    await api.post("/v1/runs", data=form(), files=files(bundle=b""))

    whole = (await api.get(f"/v1/runs/{RUN_ID}/events")).text
    rest = (await api.get(f"/v1/runs/{RUN_ID}/events", headers={"Last-Event-ID": "2"})).text

    assert "event: state" in whole
    assert "event: log" in whole
    assert "event: log" not in rest
    assert "event: decision" in rest


async def test_decisions_are_listed(api: httpx.AsyncClient):
    """As the proxy wrote them."""
    await api.post("/v1/runs", data=form(), files=files(bundle=b""))

    assert (await api.get(f"/v1/runs/{RUN_ID}/decisions")).json() == {"decisions": [ALLOWED]}


async def test_the_description_has_what_the_routes_take(api: httpx.AsyncClient):
    """Also what FastAPI cannot tell by itself: keys, labels, and how a stream is resumed."""
    paths = (await api.get("/openapi.json")).json()["paths"]

    def names(path: str, method: str) -> set[tuple[str, str]]:
        return {(each["in"], each["name"]) for each in paths[path][method].get("parameters", [])}

    filters = {"limit", "cursor", "state", "agent", "policy", "created_after", "id_prefix", "label.KEY"}
    assert names("/v1/runs", "get") == {("query", name) for name in filters}
    assert names("/v1/runs", "post") == {("header", "Idempotency-Key")}
    assert "multipart/form-data" in paths["/v1/runs"]["post"]["requestBody"]["content"]
    assert {("query", "wait"), ("query", "until")} < names("/v1/runs/{run_id}", "get")
    assert {("header", "last-event-id"), ("query", "after")} < names("/v1/runs/{run_id}/events", "get")
    assert {"204", "410"} < paths["/v1/runs/{run_id}/events"]["get"]["responses"].keys()


@pytest.mark.parametrize("limit", ["0", "100000", "x"])
async def test_a_wrong_limit_is_refused(api: httpx.AsyncClient, limit: str):
    """A list has an end."""
    assert_problem(await api.get("/v1/runs", params={"limit": limit}), 400, "INVALID_INPUT")


@pytest.mark.parametrize("end", [b"", b"--", b"\r\n--b", b"\r\n--b\r\n"])
async def test_a_form_that_is_cut_short_starts_nothing(api: httpx.AsyncClient, end: bytes):
    """Its last file would be missing without a word."""
    head = b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="upload"; filename="a.txt"\r\n\r\nhalf of'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await api.post("/v1/runs", content=head + file + end, headers=kind)
    assert (answer.status_code, answer.json()["detail"]) == (400, "the form is cut short")


async def test_a_method_that_is_not_there_is_told_with_those_that_are(api: httpx.AsyncClient):
    """RFC 9110, section 15.5.6."""
    answer = await api.request("TRACE", "/v1/runs")
    assert answer.status_code == 405
    assert answer.headers["allow"]


async def test_a_caller_who_leaves_in_the_middle_is_no_failure_of_ours(
    api: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
):
    """No error in the log: it happens all day."""

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    app = api._transport.app  # type: ignore[attr-defined]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/runs",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        "client": (UnixPeer("uid:0"), 0),
        "server": ("x", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "request-failed" not in capsys.readouterr().out
