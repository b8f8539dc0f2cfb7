"""What `orch run` was asked for, read from the agent's directory, the flags and the caller's environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.agents.folder import agent_folder
from runtime.agents.launch import Launch, launch_of
from runtime.agents.manifest import Manifest, load_manifest, needs_of
from runtime.cli.run.input import read_data, read_upload
from runtime.keys.dotenv import read_dotenv
from runtime.keys.llm_credentials import apply_credentials, take_credentials
from runtime.keys.settle import check_choice, gather
from runtime.model.limits import Limits
from runtime.model.needs import Needs
from runtime.model.secret import Secret


class Asked(NamedTuple):
    """One run, before it is decided where."""

    folder: Path
    manifest: Manifest
    launch: Launch
    needs: Needs
    given: dict[str, Secret]
    """What the caller has of it."""
    dotenv: dict[str, str]
    """All of the directory's `.env`; only `--local` hands more of it on than is in `given`."""
    data: str
    files: dict[str, bytes]
    """By original name."""
    timeout_s: float

    def without_credentials(self) -> Asked:
        """With `llm_credentials` taken out of the data, for a run that passes no daemon's API."""
        data, credentials = take_credentials(self.data)
        needs, given = apply_credentials(credentials, self.needs, self.given)
        return self._replace(data=data, needs=needs, given=given)


def read_asked(
    agent: str, file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> Asked:
    """Read everything. Raises NotFoundError, InvalidInputError."""
    folder = agent_folder(agent)
    manifest = load_manifest(folder)
    launch = launch_of(folder, manifest)
    key = options["key"]
    needs = needs_of(manifest, provider=options["provider"], model=options["model"] or None)
    check_choice(needs, key=key, is_local=options["is_local"] and not options["is_sandboxed"])
    dotenv = read_dotenv(folder / ".env")
    return Asked(
        folder=folder,
        manifest=manifest,
        launch=launch,
        needs=needs,
        given=gather(needs, key=key, environment=environment, dotenv=dotenv),
        dotenv=dotenv,
        files={file.name: read_upload(file)} if file is not None else {},
        data=read_data(options["data"]),
        timeout_s=options["timeout"] or manifest.timeout_seconds or Limits().timeout_s,
    )
