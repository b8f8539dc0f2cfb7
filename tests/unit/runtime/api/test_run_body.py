"""The API's bodies: strict in, safe out, secrets never repeated."""

from __future__ import annotations

import dataclasses
import json

import pytest

from runtime.api.run_body import CreateRun, check_uploads, read_create_run, to_run_request
from runtime.api.run_json import event_to_json, request_to_json, run_to_json, run_to_summary
from runtime.errors import InvalidInputError
from runtime.model.json_text import JsonText, write_object
from runtime.model.limits import Isolation, Limits
from runtime.model.needs import LlmChain, Needs
from runtime.model.run import Run, RunError, RunRequest, RunState
from runtime.model.secret import Secret

MARKER = "marker-31c-value"
GOOD = {"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}"}


def run(**more) -> Run:
    """A run."""
    base = {"id": "1", "agent_ref": "a", "policy_name": "p", "isolation": Isolation.RUNC, "created_at": 1.0}
    return Run(**{**base, "state": RunState.COMPLETED, **more})


def test_request_is_complete():
    """Every field reaches the service as its own type; secrets are masked on the way."""
    text = json.dumps(
        {
            **GOOD,
            "setup_argv": ["s"],
            "policy": "lab",
            "isolation": "runsc",
            "timeout_s": 5,
            "env": {"LLM_MODEL": "m"},
            "secrets": {"A_KEY": MARKER},
        }
    )

    body = read_create_run(text)
    request = to_run_request(body, b"tar", {"f": b"x"})

    assert (request.argv, request.setup_argv, request.bundle, request.input) == (
        ("x",),
        ("s",),
        b"tar",
        b"{}",
    )
    assert (request.policy_name, request.isolation, request.limits.timeout_s) == ("lab", Isolation.RUNSC, 5.0)
    assert request.uploads == {"f": b"x"}
    assert request.secrets["A_KEY"].reveal() == MARKER
    assert MARKER not in repr(body) + str(body) + body.model_dump_json() + repr(request)


NEEDS = Needs(
    required=("A_KEY",),
    optional=("B_KEY",),
    providers=("openai", "any"),
    provider="gemini",
    model="m",
    default_models={"openai": "gpt"},
    llm=LlmChain("gpt-x", ("claude-y",)),
)


def test_needs_cross_the_wire():
    """What one side writes the other reads; without them nothing is needed."""
    text = json.dumps({**GOOD, "needs": dataclasses.asdict(NEEDS), "workspace": "team-1"})

    request = to_run_request(read_create_run(text), b"", {})
    plain = to_run_request(read_create_run(json.dumps(GOOD)), b"", {})

    assert (request.needs, request.workspace) == (NEEDS, "team-1")
    assert (plain.needs, plain.workspace) == (Needs(), "default")


def test_llm_credentials_are_the_callers_flags():
    """They leave the input, and come before the other secrets and needs; no text form shows them."""
    document = {"q": 1, "llm_credentials": {"api_key": MARKER, "provider": "gemini"}}
    body = read_create_run(
        json.dumps({**GOOD, "input": json.dumps(document), "secrets": {"GEMINI_API_KEY": "old"}})
    )

    request = to_run_request(body, b"", {})

    assert json.loads(request.input) == {"q": 1}
    assert request.needs.provider == "gemini"
    assert request.secrets["GEMINI_API_KEY"].reveal() == MARKER
    assert MARKER not in repr(body) + repr(request)


def test_malformed_llm_credentials_are_refused():
    """Before anything is made of the request."""
    text = json.dumps({**GOOD, "input": json.dumps({"llm_credentials": {"api_key": MARKER}})})

    with pytest.raises(InvalidInputError, match="llm_credentials") as told:
        to_run_request(read_create_run(text), b"", {})

    assert MARKER not in f"{told.value.message}{told.value.hint}"


def test_labels_cross_the_wire():
    """As they were given; without them there are none."""
    text = json.dumps({**GOOD, "labels": {"team": "search", "n": ""}})

    assert to_run_request(read_create_run(text), b"", {}).labels == {"team": "search", "n": ""}
    assert to_run_request(read_create_run(json.dumps(GOOD)), b"", {}).labels == {}


BAD = {
    "labels that are no object": json.dumps({**GOOD, "labels": [MARKER]}),
    "a label that is no text": json.dumps({**GOOD, "labels": {"a": 1, "b": [MARKER]}}),
    "a label with a line": json.dumps({**GOOD, "labels": {"a": f"{MARKER}\n"}}),
    "a label as a key": json.dumps({**GOOD, "labels": {f"{MARKER} ": "x"}}),
    "needs that are no object": json.dumps({**GOOD, "needs": MARKER}),
    "an unknown need": json.dumps({**GOOD, "needs": {MARKER: 1}}),
    "a needed secret as a name": json.dumps({**GOOD, "needs": {"required": [MARKER]}}),
    "a number as a name": json.dumps({**GOOD, "needs": {"optional": [1]}}),
    "an unknown provider": json.dumps({**GOOD, "needs": {"providers": [MARKER]}}),
    "any as the choice": json.dumps({**GOOD, "needs": {"provider": "any"}}),
    "a model with a line": json.dumps({**GOOD, "needs": {"model": f"{MARKER}\n"}}),
    "an empty model": json.dumps({**GOOD, "needs": {"model": ""}}),
    "a chain without a primary": json.dumps({**GOOD, "needs": {"llm": {"fallbacks": [MARKER]}}}),
    "a chain of an unknown provider": json.dumps({**GOOD, "needs": {"llm": {"primary": MARKER}}}),
    "a workspace that is a path": json.dumps({**GOOD, "workspace": f"../{MARKER}"}),
    "no JSON": "{" + MARKER,
    "no object": json.dumps([MARKER]),
    "an unknown field": json.dumps({**GOOD, MARKER: 1}),
    "secrets that are no object": json.dumps({**GOOD, "secrets": MARKER}),
    "a secret that is no text": json.dumps({**GOOD, "secrets": {"A_KEY": [MARKER]}}),
    "a secret with a NUL": json.dumps({**GOOD, "secrets": {"A_KEY": f"{MARKER}\0"}}),
    "a secret as a name": json.dumps({**GOOD, "secrets": {MARKER: "x"}}),
    "a variable with a NUL": json.dumps({**GOOD, "env": {"A": f"{MARKER}\0"}}),
    "a variable with =": json.dumps({**GOOD, "env": {f"A={MARKER}": "x"}}),
    "an argument with a NUL": json.dumps({**GOOD, "argv": [f"{MARKER}\0"]}),
    "no command": json.dumps({**GOOD, "argv": []}),
    "an empty set-up": json.dumps({**GOOD, "setup_argv": []}),
    "a policy that is a path": json.dumps({**GOOD, "policy": f"../{MARKER}"}),
    "an unknown isolation": json.dumps({**GOOD, "isolation": MARKER}),
    "a time limit of nothing": json.dumps({**GOOD, "timeout_s": 0}),
    "no end": json.dumps({**GOOD}).replace('"{}"', '"{}", "timeout_s": NaN'),
    "no input": json.dumps({"agent_ref": "a", "image": "i", "argv": ["x"]}),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_request_names_the_field_and_repeats_nothing(case: str):
    """Nothing that was sent is in the error, its causes or its context."""
    with pytest.raises(InvalidInputError) as told:
        read_create_run(BAD[case])

    assert told.value.message.startswith("request: ")
    assert MARKER not in f"{told.value.message} {told.value.hint} {told.value!r}"
    assert told.value.__cause__ is None


def test_validation_error_hides_its_input():
    """Even pydantic's own error, should it get anywhere, does not hold what was sent."""
    with pytest.raises(ValueError, match="secrets") as told:
        CreateRun.model_validate({**GOOD, "secrets": MARKER})

    assert MARKER not in str(told.value)


@pytest.mark.parametrize(
    "names",
    [[""], ["."], [".."], ["a/b"], ["a\nb"], ["a\0"], ["x" * 256], ["é" * 200], ["a", "a"], ["f"] * 101],
)
def test_bad_upload_names_are_refused(names: list[str]):
    """An upload has a plain file name of its own."""
    with pytest.raises(InvalidInputError, match="upload"):
        check_uploads(names)


def test_plain_upload_names_are_taken():
    """Dots, spaces and letters of any language are plain."""
    check_uploads(["a.txt", ".hidden", "two words", "é.pdf"])


@pytest.mark.parametrize(
    "text", [b"[" * 900 + b"]" * 900, b'{"a":"\\ud83d"}', b"1.0", b"12345678901234567890"]
)
def test_a_result_is_answered_as_it_was_written(text: bytes):
    """However deep, and to the byte."""
    shown = write_object(run_to_json(run(result=JsonText(text))))

    assert b'"result":' + text + b"," in shown
    assert json.loads(shown)["result"] == json.loads(text)


def test_summary_is_without_output():
    """A list shows how runs ended, not what they wrote."""
    error = RunError("SANDBOX_ERROR", "m", "code_error", 1)
    shown = run_to_summary(
        run(result=JsonText(b"1"), stdout="o", stderr="e", error=error, state=RunState.FAILED)
    )

    assert {"result", "stdout", "stderr"} & set(shown) == set()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "SANDBOX_ERROR")


def test_event_data_is_writable():
    """An event with NaN is sent as text."""
    assert event_to_json({"y": float("nan"), "x": 1}, 2.0) == {"y": "", "x": 1, "at": 2.0}


WHOLE = RunRequest(
    agent_ref="acme/agent",
    image="orchbox/agent-node:local",
    argv=("node", "main.js"),
    bundle=b"<tar>",
    input='{"q": "\u00fc"}'.encode(),
    policy_name="lab",
    isolation=Isolation.RUNSC,
    limits=Limits(timeout_s=7.5),
    env={"LLM_MODEL": "m"},
    secrets={"A_KEY": Secret(MARKER)},
    uploads={"a.txt": b"<upload>"},
    setup_argv=("npm", "ci"),
    needs=NEEDS,
    workspace="team-1",
    labels={"team": "search"},
)
"""A request in which no field has its default."""


def shown(request: RunRequest) -> dict[str, object]:
    """Its fields by name, with the secrets' values, which no comparison of secrets sees."""
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(RunRequest)}
    return {**values, "secrets": {name: secret.reveal() for name, secret in request.secrets.items()}}


@pytest.mark.parametrize("field", dataclasses.fields(RunRequest), ids=lambda field: field.name)
def test_every_field_of_a_request_crosses_the_wire(field: dataclasses.Field[object]):
    """What the caller's side writes the daemon reads; a field that is added to one must be added to both."""
    if field.default_factory is not dataclasses.MISSING:
        default: object = field.default_factory()
    else:
        default = field.default
    assert getattr(WHOLE, field.name) != default, "give it another value in WHOLE"

    text = json.dumps(request_to_json(WHOLE))
    read = to_run_request(read_create_run(text), WHOLE.bundle, WHOLE.uploads)

    assert shown(read)[field.name] == shown(WHOLE)[field.name]


def test_every_field_of_the_body_is_written():
    """The reader knows nothing that the writer does not say."""
    assert request_to_json(WHOLE).keys() == CreateRun.model_fields.keys()


def test_a_request_with_its_defaults_crosses_too():
    """What is absent on one side is absent on the other."""
    plain = RunRequest("a", "i", ("x",), b"", b"{}", "llm-only")

    assert to_run_request(read_create_run(json.dumps(request_to_json(plain))), b"", {}) == plain


def test_a_limit_that_the_api_does_not_take_is_not_dropped():
    """It is refused: a run would have had more than its caller allowed."""
    with pytest.raises(ValueError, match="only the time limit"):
        request_to_json(dataclasses.replace(WHOLE, limits=Limits(memory_bytes=1 << 20)))
