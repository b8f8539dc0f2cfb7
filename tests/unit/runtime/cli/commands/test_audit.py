"""`orch audit`: verify, checkpoint and export, over files that a daemon has written."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.audit.chain import Head, seal
from runtime.audit.files import AuditFolder
from runtime.audit.log import AuditLog
from runtime.cli.main import main
from runtime.daemon import installation
from runtime.daemon.settings import Settings

Orch = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a home of its own."""
    monkeypatch.setenv("ORCHBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHAGENT_OUTPUT", "text")
    settings = Settings.from_env({"HOME": str(tmp_path), "ORCHBOX_HOME": str(tmp_path / "home")})
    settings.home.mkdir(parents=True)
    return settings


@pytest.fixture
def orch(capsys: pytest.CaptureFixture[str]) -> Orch:
    """The command: its exit status and what it prints."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
async def folder(settings: Settings) -> AuditFolder:
    """Ten lines, and a checkpoint."""
    folder = AuditFolder.of(settings.home, settings.instance)
    log = AuditLog.open(folder, installation.identify(settings))
    for number in range(10):
        kind = "decision" if number % 2 else "api.answer"
        await log.add(kind, who="uid:0", data={"n": number, "verdict": "deny", "host": "h", "path": "/"})
    await log.close()
    return folder


def test_what_is_whole_is_told(folder: AuditFolder, orch: Orch):
    """With how much there is."""
    code, out, _ = orch("audit", "verify", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"is_whole": True, "lines": 11, "checkpoints": 1, "last": 11, "broken": [], "more": 0},
    )


def test_a_changed_line_is_named(folder: AuditFolder, orch: Orch):
    """And the command exits with 1."""
    path = folder.file(1)
    path.write_bytes(path.read_bytes().replace(b'"n":4', b'"n":5'))
    code, out, _ = orch("audit", "verify", "--json")
    assert code == 1
    assert json.loads(out)["broken"] == [{"place": "000001.jsonl:5", "what": "the line was changed"}]


def test_what_is_pruned_meanwhile_is_looked_at_again(
    folder: AuditFolder, orch: Orch, monkeypatch: pytest.MonkeyPatch
):
    """And once it is too much, the command says so."""
    lines, attempts = AuditFolder.lines, iter([True, True])

    def pruned(self: AuditFolder) -> Iterator[tuple[str, bytes]]:
        if next(attempts, False):
            raise FileNotFoundError(2, "No such file or directory", str(folder.file(1)))
        return lines(self)

    monkeypatch.setattr(AuditFolder, "lines", pruned)
    assert orch("audit", "verify", "--json")[0] == 0
    attempts = iter([True] * 100)
    code, out, _ = orch("audit", "verify", "--json")
    assert (code, json.loads(out)["hint"]) == (8, "try again")


@pytest.mark.parametrize("head", [None, b"", b"\xff" * 300, b"1:00:AA"])
def test_a_head_that_is_gone_or_none_is_a_fault(folder: AuditFolder, orch: Orch, head: bytes | None):
    """Without it nobody knows that the end is missing."""
    folder.head.unlink()
    if head is not None:
        folder.head.write_bytes(head)
    code, out, _ = orch("audit", "verify", "--json")
    assert code == 1
    assert [broken["place"] for broken in json.loads(out)["broken"]] == ["head"]
    assert orch("audit", "checkpoint", "--json")[0] != 0


async def test_a_checkpoint_that_was_kept_tells_of_an_older_copy(
    folder: AuditFolder, settings: Settings, orch: Orch
):
    """All files were put back to what they had been."""
    earlier = {path: path.read_bytes() for path in folder.path.iterdir()}
    log = AuditLog.open(folder, installation.identify(settings))
    await log.add("api.call", who="uid:0", data={})
    await log.close()
    code, out, _ = orch("audit", "checkpoint", "--json")
    kept = json.loads(out)["checkpoint"]
    assert (code, json.loads(out)["seq"]) == (0, 13)
    assert orch("audit", "verify", "--checkpoint", kept, "--json")[0] == 0
    for path, data in earlier.items():
        path.write_bytes(data)
    assert orch("audit", "verify", "--json")[0] == 0
    code, out, _ = orch("audit", "verify", "--checkpoint", kept, "--json")
    assert (code, "line 13" in out) == (1, True)


def test_a_copy_elsewhere_is_judged_by_a_key_that_was_kept(
    folder: AuditFolder, settings: Settings, orch: Orch, tmp_path: Path
):
    """With the installation's id; another id or key judges nothing of it as whole."""
    copy = folder.path.rename(tmp_path / "copy")
    owner = installation.identify(settings)
    words = ("audit", "verify", "--json", "--folder", str(copy), "--public-key", str(copy / "public.pem"))
    assert orch(*words, "--installation", owner)[0] == 0
    code, out, _ = orch(*words, "--installation", "another")
    assert (code, "another installation's" in json.loads(out)["broken"][0]["what"]) == (1, True)
    _, out, _ = orch("audit", "checkpoint", "--json", *words[3:], "--installation", owner)
    kept = json.loads(out)
    assert kept["installation"] == owner
    for text in (out, kept["checkpoint"], kept["checkpoint"] + "\n"):
        assert orch(*words, "--installation", owner, "--checkpoint", text)[0] == 0
    (tmp_path / "x.pem").write_text("x")
    code, out, _ = orch(
        "audit", "verify", "--json", "--folder", str(copy), "--public-key", str(tmp_path / "x.pem")
    )
    assert code == 5
    assert "x.pem: not an Ed25519 public key" in json.loads(out)["message"]


def test_no_audit_and_no_checkpoint_are_told(settings: Settings, orch: Orch):
    """With what to do."""
    code, out, _ = orch("audit", "verify", "--json")
    assert (code, json.loads(out)["hint"]) == (4, "orch up, or --folder")


@pytest.mark.parametrize(
    "text", ["12:xyz", '{"checkpoint":"xyz"}', '{"checkpoint":["xyz"]}', "[" * 100_000 + "xyz"]
)
def test_a_text_that_is_no_checkpoint_is_told(folder: AuditFolder, orch: Orch, text: str):
    """Its value is not repeated."""
    code, out, _ = orch("audit", "verify", "--checkpoint", text, "--json")
    assert (code, "xyz" in out) == (5, False)


def test_a_copy_of_nobody_knows_whom_is_told(settings: Settings, orch: Orch, tmp_path: Path):
    """A machine without a daemon of its own cannot know whose it is."""
    code, out, _ = orch("audit", "verify", "--folder", str(tmp_path), "--json")
    assert (code, "--installation" in json.loads(out)["message"]) == (5, True)


def test_lines_are_exported_as_they_are(folder: AuditFolder, orch: Orch):
    """All, or some."""
    code, out, _ = orch("audit", "export")
    assert (code, out.encode()) == (0, folder.file(1).read_bytes())
    _, out, _ = orch("audit", "export", "--kind", "decision", "--after", "5")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [6, 8, 10]


def test_lines_are_exported_as_ocsf(folder: AuditFolder, orch: Orch):
    """An event a line; a broken one is left out, which is told on stderr."""
    path = folder.file(1)
    path.write_bytes(path.read_bytes().replace(b'"n":4', b'"n":5'))
    code, out, err = orch("audit", "export", "--format", "ocsf")
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, len(events)) == (1, 10)
    assert {event["class_uid"] for event in events} == {4002, 6003}
    assert "000001.jsonl:5: the line was changed; it is left out" in err


def test_a_line_outside_the_chain_is_told(folder: AuditFolder, orch: Orch):
    """It is no less a line, and whoever takes it for one of the daemon's has been told."""
    line, _ = seal(
        {"at": 1.0, "kind": "api.call", "who": "uid:0", "data": {"n": "forged"}}, Head(11, "ab" * 32)
    )
    with folder.file(1).open("ab") as file:
        file.write(line)
    code, _, err = orch("audit", "export")
    assert code == 1
    assert "000001.jsonl:12: line 12 does not continue the line before it" in err
    code, _, err = orch("audit", "export", "--kind", "decision")
    assert (code, "000001.jsonl:12" in err) == (1, True)


def test_an_export_of_what_was_pruned_is_whole(folder: AuditFolder, orch: Orch):
    """It begins where the audit does."""
    path = folder.file(1)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[4:]))
    code, out, err = orch("audit", "export")
    assert (code, len(out.splitlines()), err) == (0, 7, "")


@pytest.mark.parametrize("value", ["NaN", "-Infinity"])
def test_what_is_no_json_is_never_printed(folder: AuditFolder, orch: Orch, value: str):
    """Python reads and writes more than there is (RFC 8259)."""
    front = f'{{"seq":12,"at":{value},"kind":"k","who":"w","data":{{}},"prev":"x"'.encode()
    digest = hashlib.sha256(front).hexdigest()
    with folder.file(1).open("ab") as file:
        file.write(front + f',"hash":"{digest}"}}\n'.encode())
    for form in ("jsonl", "ocsf"):
        code, out, err = orch("audit", "export", "--format", form)
        assert (code, value in out) == (1, False)
        assert "000001.jsonl:12: no line of an audit; it is left out" in err


def test_an_export_that_a_prune_overtakes_is_told(
    folder: AuditFolder, orch: Orch, monkeypatch: pytest.MonkeyPatch
):
    """With how to go on."""
    lines = AuditFolder.lines

    def pruned(self: AuditFolder) -> Iterator[tuple[str, bytes]]:
        yield from itertools.islice(lines(self), 4)
        raise FileNotFoundError(2, "No such file or directory", str(folder.file(2)))

    monkeypatch.setattr(AuditFolder, "lines", pruned)
    code, out, err = orch("audit", "export")
    assert (code, len(out.splitlines()), "go on with --after 4" in err) == (8, 4, True)
