"""A PostgreSQL server of the tests' own: in a temporary folder, on a unix socket, never as root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg

from tests.harness.errors import HarnessError

USER = "nobody"
"""Who runs the server where we are root, which initdb refuses."""


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        return None
    return (found[-1] if found else Path(str(on_path)).resolve()).parent


class Postgres:
    """A running cluster."""

    def __init__(self, bin_dir: Path) -> None:
        self._bin = bin_dir
        self.folder = Path(tempfile.mkdtemp(prefix="orchbox-pg-"))
        self._data = self.folder / "data"
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    @classmethod
    def start(cls, bin_dir: Path) -> Self:
        """A new cluster, ready to be connected to."""
        made = cls(bin_dir)
        try:
            made._run(
                "initdb",
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username=postgres",
                "-D",
                str(made._data),
            )
            made.up()
        except BaseException:
            made.close()
            raise
        return made

    def up(self) -> None:
        """Start the server; returns once it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c max_connections=40"
        self._run(
            "pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self.folder / "log"), "-o", options
        )

    def crash(self) -> None:
        """End it without writing anything more, as a loss of power would."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._data))

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        ) as admin:
            admin.execute(f"create database {name}")
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def dump(self, url: str) -> bytes:
        """What somebody gets who copies the database."""
        return self._run("pg_dump", "--inserts", url)

    def close(self) -> None:
        """Stop the server and remove its files."""
        if (self._data / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> bytes:
        with tempfile.TemporaryFile() as output:  # not a pipe: the server would hold it open behind pg_ctl
            done = subprocess.run(
                [*_as_user(), str(self._bin / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60,
                cwd="/",
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                check=False,
            )
            output.seek(0)
            said = output.read()
        if done.returncode != 0:
            raise HarnessError(f"{program} failed: {said.decode(errors='replace')[-2000:]}")
        return said


def _as_user() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    account = pwd.getpwnam(USER)
    return ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
