"""How a sandbox's end becomes a run's error."""

from __future__ import annotations

import json

import pytest

from runtime.api.run_json import run_to_json
from runtime.cli.console.output import to_json
from runtime.database.json_check import checked
from runtime.engine.protocol import STDOUT, ExitStatus
from runtime.keys.redactor import Redactor
from runtime.model.json_text import JsonText, write_object
from runtime.model.limits import Isolation, Limits
from runtime.model.run import Run, RunError, RunState
from runtime.runs.tables import output_row
from runtime.sandbox.outcome import ERROR_TEXT_CHARS, Outcome, classify_exit, judge, parse_result
from runtime.sandbox.output import Output


def classify(code: int, *, oom: bool = False, result: object = "", stderr: str = "") -> RunError | None:
    """Classify with a memory limit of 64 MiB."""
    status = ExitStatus(code, is_oom_killed=oom)
    return classify_exit(status, result=result, stderr=stderr, limits=Limits(memory_bytes=64 << 20))


CASES = {
    "its own error in JSON": (
        classify(1, result={"error": "no luck"}),
        "code_error",
        "Agent error: no luck",
        1,
    ),
    "an exit status and the end of the log": (
        classify(3, stderr="boom\n"),
        "code_error",
        "the agent exited with status 3: boom",
        3,
    ),
    "an exit status and no log": (classify(3), "code_error", "the agent exited with status 3", 3),
    "an error that is no text is not quoted": (
        classify(1, result={"error": {"a": 1}}),
        "code_error",
        "the agent exited with status 1",
        1,
    ),
    "its set-up": (
        classify(97, stderr="pip failed"),
        "setup_error",
        "the agent's set-up failed: pip failed",
        97,
    ),
    "a message that could not be read": (
        classify(98, stderr="EOFError"),
        "setup_error",
        "the agent could not be started: EOFError",
        98,
    ),
    "its memory": (
        classify(137, oom=True),
        "code_error",
        "the agent used more than its 64 MiB of memory and was killed",
        137,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_failures(case: str):
    """Each way to fail has its class, its sentence and its exit status."""
    error, error_class, message, code = CASES[case]
    assert error == RunError("SANDBOX_ERROR", message, error_class, code)


def test_success_is_no_error_even_where_a_child_ran_out_of_memory():
    """Exit status 0 is success, as the agent contract says."""
    assert classify(0) is None
    assert classify(0, oom=True) is None


def test_the_quoted_log_is_its_end_and_bounded():
    """The last words tell most, and no more than orchagent shows."""
    error = classify(1, stderr="x" * 1000 + "the end")
    assert error is not None
    assert error.message.endswith("the end")
    assert len(error.message) <= ERROR_TEXT_CHARS + 50


@pytest.mark.parametrize(
    ("stdout", "result"), [('{"a": 1}\n', {"a": 1}), ("null", None), ("plain words", "plain words"), ("", "")]
)
def test_parse_result(stdout: str, result: object):
    """JSON is parsed, anything else is kept as it is."""
    assert parse_result(stdout, Redactor(())) == result


SECRET = "k-1/+&<é"


@pytest.mark.parametrize(
    "stdout",
    [
        '{"a": "x k-1\\/+&<\\u00e9 y"}',
        '{"a": "x k-1/\\u002b\\u0026\\u003c\\u00e9 y"}',
        '{"a": "x \\u006b\\u002D1/+&<é y"}',
        json.dumps({"a": f"x {SECRET} y"}),
    ],
    ids=["PHP", "Go", "every way", "Python"],
)
def test_a_value_that_hides_in_jsons_escapes_is_masked_in_what_was_parsed(stdout: str):
    """As the writers of other languages escape it, in texts and keys: the result and the error hold none."""
    redact = Redactor([SECRET])
    assert parse_result(stdout, redact) == {"a": "x *** y"}
    assert parse_result(stdout.replace('"a": "x', '"x').replace('y"', 'y": 1'), redact) == {"x *** y": 1}
    error = classify(1, result=parse_result(stdout.replace('"a"', '"error"'), redact))
    assert error is not None
    assert error.message == "Agent error: x *** y"


def test_a_result_stays_json_whatever_the_values():
    """`DRY_RUN=true` is no secret, and a number that is one becomes a text."""
    assert parse_result('{"ok": true}', Redactor(["true"])) == {"ok": True}
    assert parse_result('{"n": 12345678}', Redactor(["12345678"])) == {"n": "***"}
    assert parse_result('{"a-key": 1}', Redactor(['y": 1}', '{"a-key"'])) == {"a-key": 1}


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_result_that_is_nested_too_deep_is_its_masked_text(depth: int):
    """It is kept, and nothing recurses without end."""
    stdout = "[" * depth + f'"{SECRET}"' + "]" * depth
    assert parse_result(stdout, Redactor([SECRET])) == "[" * depth + '"***"' + "]" * depth


@pytest.mark.parametrize("state", [state for state in RunState if not state.is_final])
def test_a_run_that_goes_on_has_no_outcome(state: RunState):
    """Only an end is an outcome."""
    with pytest.raises(ValueError, match="no end of a run"):
        Outcome(state)


def output_of(stdout: bytes) -> Output:
    """What was collected of an agent that printed this, up to 10 bytes of it."""
    output = Output(Redactor(()), stdout_bytes=10, log_bytes=10)
    output.feed(STDOUT, stdout)
    return output


def test_each_end_has_its_state():
    """Done, failed with what it said, too long for a result, or stopped at its time limit."""
    limits = Limits(timeout_s=2, output_bytes=10)
    done, failed = (ExitStatus(code, is_oom_killed=False) for code in (0, 3))

    assert judge(done, output_of(b"[1]"), limits) == Outcome(RunState.COMPLETED, None, JsonText(b"[1]"))
    assert judge(failed, output_of(b"[1]"), limits) == Outcome(
        RunState.FAILED,
        RunError("SANDBOX_ERROR", "the agent exited with status 3", "code_error", 3),
        JsonText(b"[1]"),
    )
    assert judge(done, output_of(b"x" * 11), limits) == Outcome(
        RunState.FAILED,
        RunError("SANDBOX_ERROR", "the agent's result is longer than 10 bytes", "code_error", 0),
    )
    assert judge(None, output_of(b"[1]"), limits) == Outcome(
        RunState.TIMEOUT, RunError("SANDBOX_TIMEOUT", "the agent was stopped after its 2 s")
    )


def nested(levels: int, kind: str) -> str:
    """A result of so many levels."""
    return {
        "lists": "[" * levels + "]" * levels,
        "objects": '{"a":' * levels + "1" + "}" * levels,
        "both": '[{"a":' * (levels // 2) + "1" + "}]" * (levels // 2),
    }[kind]


@pytest.mark.parametrize("kind", ["lists", "objects", "both"])
@pytest.mark.parametrize("levels", [*range(100, 4000, 130), 100_000])
def test_a_deep_result_is_never_an_error_of_ours(levels: int, kind: str):
    """At each depth it is JSON that everybody can write and read again, or it is text."""
    text = nested(levels, kind)
    result = parse_result(text, Redactor([]))
    written = JsonText.of(result)
    run = Run("r", "a", "p", Isolation.RUNC, RunState.COMPLETED, 0.0, result=written, stdout="cut")

    assert checked(written.data).parse() == result
    for write in (json.dumps, to_json):
        assert json.loads(write({"data": {"result": result}}))["data"]["result"] == result
    assert json.loads(write_object(run_to_json(run)))["result"] == result
    assert output_row(run)[0]["result"] == written
    assert isinstance(result, str) or levels < 4000
    assert not isinstance(result, str) or levels > 400


@pytest.mark.parametrize(
    "text",
    ["", "1,2", "1],[2", "]", "[", "1]" * 50, "],[" * 50, "NaN", "[1e999]", "9" * 5000, '"a" "b"', "\ufeff1"],
)
def test_what_is_no_json_is_text(text: str):
    """Also where it would be a part of some."""
    assert parse_result(text, Redactor([])) == text


@pytest.mark.parametrize("text", ["null", "0", '""', "[]", "[[1],[2]]", ' {"a": [{}]} \n', "[1]", "[[]]"])
def test_json_is_read_as_it_is(text: str):
    """With nothing around it."""
    assert parse_result(text, Redactor([])) == json.loads(text)


def test_an_error_of_any_length_is_cut():
    """It is in every list; the result has all of it."""
    error = classify(1, result={"error": "x" * 1_000_000})

    assert error is not None
    assert len(error.message) < 5000
