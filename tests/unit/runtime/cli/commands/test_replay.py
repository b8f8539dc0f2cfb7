"""`orch policy replay`: of a run and of a file, and by its exit status."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from proxy.contract.decision_line import DecisionLine, decision_line
from proxy.policy.model import Decision, TlsMode, Verdict
from proxy.policy.reasons import ReasonCode
from runtime.cli import main as cli
from runtime.client.connection import Client
from tests.unit.runtime.fake_service import RUN_ID, FakeService, serving

OLD = "version: 1\nname: old\negress: {allow: [{host: a.test, tls: inspect}, {host: b.test}]}\n"
NEW = "version: 1\nname: new\nextends: [old]\negress: {deny: [{host: a.test}]}\n"


def line(host: str, path: str | None, *, rule_id: str | None = None, method: str = "GET") -> DecisionLine:
    """A decision of the policy `old`."""
    verdict = Verdict.ALLOW if rule_id else Verdict.DENY
    tls = TlsMode.INSPECT if path else TlsMode.PASSTHROUGH
    decision = Decision(
        verdict, None if rule_id else ReasonCode.NOT_ALLOWED_HOST, rule_id, tls if rule_id else None
    )
    return decision_line(
        decision,
        at=1.0,
        sandbox_id=RUN_ID,
        policy_name="old",
        entry="explicit",
        client_port=1,
        method=method,
        host=host,
        port=443,
        path=path,
        request_id="1",
    )


GONE = line("a.test", "/x", rule_id="old.allow[0]")
KEPT = line("b.test", None, rule_id="old.allow[1]", method="TLS")
HEADED = {**GONE, "policy": "nope"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both policies, and no daemon."""
    for name, value in (
        ("ORCHBOX_HOME", tmp_path / "home"),
        ("ORCHBOX_RUN_DIR", tmp_path),
        ("ORCHBOX_POLICY_DIR", tmp_path),
    ):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("ORCHBOX_SITE_POLICY", raising=False)
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


def orch(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command; status and stdout."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["policy", "replay", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().out


def written(folder: Path, *lines: object) -> str:
    """A file with these lines."""
    path = folder / "lines.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return str(path)


@pytest.mark.parametrize(
    ("lines", "more", "status"),
    [
        ((KEPT,), ("--policy", "new"), 0),
        ((GONE, KEPT), ("--policy", "new"), 10),
        ((HEADED, KEPT), ("--policy", "old"), 11),
        ((HEADED, GONE, KEPT), ("--policy", "new"), 10),
        ((HEADED, KEPT), ("--policy", "old", "--was", "old"), 0),
        ((), ("--policy", "new"), 0),
    ],
    ids=["nothing changes", "a host goes", "one cannot be told", "both", "told what it was", "no line"],
)
def test_the_exit_status_tells_what_was_found(
    folder: Path, capsys: pytest.CaptureFixture[str], lines: tuple, more: tuple[str, ...], status: int
):
    """So that a pipeline can go by it."""
    assert orch(capsys, written(folder, *lines), *more)[0] == status


def test_a_run_is_replayed_from_the_daemon(folder: Path, capsys: pytest.CaptureFixture[str]):
    """By its id."""
    service = FakeService()
    service.lines = [GONE, KEPT]
    with serving(service, folder / "api.sock"):
        client = Client(folder / "api.sock")
        client.create_run({"agent_ref": "a", "image": "i", "argv": ["x"], "input": "{}"}, b"", {})
        client.close()
        status, out = orch(capsys, RUN_ID, "--policy", str(folder / "new.yaml"), "--json")
    data = json.loads(out)
    assert (status, data["decisions"], data["counts"]["allowed_to_refused"]) == (10, 2, 1)
    assert data["changed"][0]["would_be"]["reason_code"] == "denied_rule"


def test_people_get_a_line_for_each_change(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """And are told what is not replayed."""
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    _, out = orch(capsys, written(folder, GONE, GONE, HEADED), "--policy", "new")
    shown = out.splitlines()
    assert shown[0] == "GET a.test:443/x (2 times): allow old.allow[0] -> deny denied_rule"
    assert "3 decisions under new: 3 allowed to refused" in out
    assert "1 were not made by the policy nope as it stands now" in out
    assert "not replayed: budgets" in out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--policy", "nope"), 4), (("--policy", "nope.yaml"), 4), (("--policy", "new", "--was", "nope"), 4)],
    ids=["no policy", "no file", "none that it was"],
)
def test_what_is_not_there_exits_4(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int
):
    """As everywhere."""
    assert orch(capsys, written(folder, GONE), *arguments, "--json")[0] == status


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_neither_file_nor_daemon_exits_9(capsys: pytest.CaptureFixture[str]):
    """It is taken for a run."""
    assert orch(capsys, "absent.jsonl", "--policy", "new", "--json")[0] == 9
    gc.collect()  # httpcore leaves a socket that never connected to the collector
