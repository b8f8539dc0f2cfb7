"""Was it the agent, its set-up, its limits or us? Pure: from how a process ended to a run's outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass

from runtime.engine.protocol import ExitStatus
from runtime.errors import RunTimeoutError, SandboxFailedError
from runtime.keys.redactor import Redactor
from runtime.model.json_text import JsonText
from runtime.model.json_value import is_json_value
from runtime.model.limits import Limits
from runtime.model.run import RunError, RunState
from runtime.sandbox.output import Output
from runtime.sandbox.sandbox_init import BAD_MESSAGE, SETUP_FAILED

OUT_OF_MEMORY = "of memory and was killed"
"""Ends the sentence of a run that met its memory limit."""
ERROR_TEXT_CHARS = 500
"""Of the agent's stderr shown to the caller (orchagent's own bound)."""
SPARE_LEVELS = 50
"""That records, answers and redaction may put around a result."""
AGENT_ERROR_CHARS = 4 << 10
"""Of the error that the agent's result names: it is in every list of runs, and the result has it all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. Raises ValueError for a state that is none of an end."""

    state: RunState
    error: RunError | None = None
    result: JsonText | None = None

    def __post_init__(self) -> None:
        """A run that goes on has no outcome."""
        if not self.state.is_final:
            raise ValueError(f"{self.state.value} is no end of a run")


def judge(status: ExitStatus | None, output: Output, limits: Limits) -> Outcome:
    """The outcome of an agent that exited with this status; None where it was stopped at its time limit.

    Slow for a large result.
    """
    if status is None:
        error = RunError(RunTimeoutError.code, f"the agent was stopped after its {limits.timeout_s:g} s")
        return Outcome(RunState.TIMEOUT, error)
    result = None if output.is_stdout_too_long else parse_result(output.raw_stdout, output.redact)
    failure = classify_exit(status, result=result, stderr=output.stderr, limits=limits)
    if failure is None and output.is_stdout_too_long:
        said = f"the agent's result is longer than {limits.output_bytes} bytes"
        failure = RunError(SandboxFailedError.code, said, "code_error", status.code)
    text = None if result is None else JsonText.of(result)
    return Outcome(RunState.COMPLETED if failure is None else RunState.FAILED, failure, text)


def parse_result(stdout: str, redact: Redactor) -> object:
    """The agent's stdout as JSON, or its text (orchagent prints such output raw); masked either way.

    Masked is what was parsed: before it, a value hides in JSON's escapes, and a mask would be no JSON. Text
    is also what holds NaN, and what is nested so deeply that some reader or writer of it would give up: it
    is read with some levels around it.
    """
    try:
        value = json.loads("[" * SPARE_LEVELS + stdout + "]" * SPARE_LEVELS)
        if is_json_value(value):
            for _ in range(SPARE_LEVELS):
                [value] = value
            return redact.document(value)
    except (ValueError, RecursionError):
        pass
    return redact(stdout)


def classify_exit(status: ExitStatus, *, result: object, stderr: str, limits: Limits) -> RunError | None:
    """Why the run failed, or None for exit status 0."""
    if status.code == 0:
        return None
    said = stderr.strip()[-ERROR_TEXT_CHARS:]
    if status.is_oom_killed:
        text = f"the agent used more than its {limits.memory_bytes >> 20} MiB {OUT_OF_MEMORY}"
        return RunError(SandboxFailedError.code, text, "code_error", status.code)
    if status.code == SETUP_FAILED:
        return RunError(
            SandboxFailedError.code, f"the agent's set-up failed: {said}", "setup_error", status.code
        )
    if status.code == BAD_MESSAGE:
        return RunError(
            SandboxFailedError.code, f"the agent could not be started: {said}", "setup_error", status.code
        )
    if isinstance(result, dict) and isinstance(result.get("error"), str):
        text = f"Agent error: {result['error'][:AGENT_ERROR_CHARS]}"
        return RunError(SandboxFailedError.code, text, "code_error", status.code)
    text = f"the agent exited with status {status.code}" + (f": {said}" if said else "")
    return RunError(SandboxFailedError.code, text, "code_error", status.code)
