"""A change in the vault reaches each running sandbox that has the secret from there, and no other."""

from __future__ import annotations

from structlog.testing import capture_logs

from runtime.errors import NotReadyError
from runtime.keys.live import LiveSecrets
from runtime.model.secret import Secret

AT = {"id-1", "default"}


class Sandbox:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    async def apply(self, name: str, value: Secret | None) -> None:
        """Note it."""
        self.told.append((name, value.reveal() if value else None))


async def test_a_change_reaches_the_runs_that_asked_for_the_secret():
    """By the workspace's id or name; not another workspace's, nor who has it from elsewhere."""
    live = LiveSecrets()
    runs = {name: Sandbox() for name in ("by-name", "by-id", "elsewhere", "own-value")}
    live.watch("by-name", "default", {"KEY", "OTHER"})
    live.watch("by-id", "id-1", {"KEY"})
    live.watch("elsewhere", "team", {"KEY"})
    live.watch("own-value", "default", {"OTHER"})
    for name, sandbox in runs.items():
        await live.attach(name, sandbox.apply)

    await live.changed(AT, "KEY", Secret("new"))
    await live.changed(AT, "KEY", None)

    assert {name: sandbox.told for name, sandbox in runs.items()} == {
        "by-name": [("KEY", "new"), ("KEY", None)],
        "by-id": [("KEY", "new"), ("KEY", None)],
        "elsewhere": [],
        "own-value": [],
    }


async def test_a_change_before_the_sandbox_is_there_is_not_lost():
    """Between the vault's answer and the grant; the newest counts."""
    live, sandbox = LiveSecrets(), Sandbox()
    live.watch("run", "default", {"KEY"})
    await live.changed(AT, "KEY", Secret("newer"))
    await live.changed(AT, "KEY", Secret("newest"))

    await live.attach("run", sandbox.apply)

    assert sandbox.told == [("KEY", "newest")]


async def test_a_run_that_is_over_is_not_told():
    """Nor one that asked the vault for nothing."""
    live, sandbox = LiveSecrets(), Sandbox()
    live.watch("run", "default", {"KEY"})
    await live.attach("run", sandbox.apply)
    live.forget("run")
    await live.attach("unknown", sandbox.apply)

    await live.changed(AT, "KEY", Secret("new"))

    assert sandbox.told == []


async def test_one_that_fails_does_not_keep_the_others_waiting():
    """It is in the log, without the value."""
    live, sandbox = LiveSecrets(), Sandbox()

    async def fail(_name: str, _value: Secret | None) -> None:
        raise NotReadyError("the proxy went away")

    for run_id, apply in (("first", fail), ("second", sandbox.apply)):
        live.watch(run_id, "default", {"KEY"})
        await live.attach(run_id, apply)
    with capture_logs() as logs:
        await live.changed(AT, "KEY", Secret("new-value"))

    assert sandbox.told == [("KEY", "new-value")]
    assert [line["event"] for line in logs] == ["secret-not-renewed"]
    assert "new-value" not in repr(logs)
