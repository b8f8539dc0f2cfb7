"""What `orch run` is to do: read from the agent's directory, the flags and the caller's environment.

plan = read_plan("./agent", None, options, os.environ)
request = plan.to_request(settings)   # for the daemon's API, and for a daemon in this process
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.agents.bundle import bundle_of
from runtime.agents.folder import agent_folder
from runtime.agents.launch import Launch, launch_of
from runtime.agents.manifest import Manifest, load_manifest, needs_of
from runtime.cli.console.label_option import read_labels
from runtime.cli.run.input import document, read_data, read_upload, stored_name
from runtime.daemon.settings import Settings
from runtime.keys.dotenv import read_dotenv
from runtime.keys.llm_credentials import apply_credentials, take_credentials
from runtime.keys.settle import check_choice, gather
from runtime.model.limits import Isolation, Limits
from runtime.model.needs import Needs
from runtime.model.run import DEFAULT_WORKSPACE, RunRequest
from runtime.model.secret import Secret


class RunPlan(NamedTuple):
    """One run, wherever it will be."""

    folder: Path
    manifest: Manifest
    launch: Launch
    needs: Needs
    given: dict[str, Secret]
    """What the caller has of it."""
    dotenv: dict[str, str]
    """All of the directory's `.env`; only `--local` hands more of it on than is in `given`."""
    data: str
    """The caller's JSON, without `llm_credentials`: they count in `needs` and `given`."""
    files: dict[str, bytes]
    """By original name."""
    limits: Limits
    policy_name: str
    isolation: Isolation
    workspace: str | None
    """None is the caller's own."""
    labels: dict[str, str]

    def to_request(self, settings: Settings) -> RunRequest:
        """The run as a daemon takes it, with its secrets still to be settled.

        Raises InvalidInputError for a directory that cannot be packed.
        """
        return RunRequest(
            agent_ref=self.manifest.name,
            image=settings.image(self.launch.image),
            argv=self.launch.argv,
            setup_argv=self.launch.setup_argv,
            bundle=bundle_of(self.folder, rules=self.manifest.bundle, entry=self.launch.entry),
            input=document(self.data, self.files).encode(),
            policy_name=self.policy_name,
            isolation=self.isolation,
            limits=self.limits,
            secrets=self.given,
            uploads={stored_name(name): content for name, content in self.files.items()},
            needs=self.needs,
            workspace=self.workspace or DEFAULT_WORKSPACE,
            labels=self.labels,
        )


def read_plan(
    agent: str, file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> RunPlan:
    """Read everything. Raises NotFoundError, InvalidInputError."""
    folder = agent_folder(agent)
    manifest = load_manifest(folder)
    launch = launch_of(folder, manifest)
    key = options["key"]
    needs = needs_of(manifest, provider=options["provider"], model=options["model"] or None)
    check_choice(needs, key=key, is_local=options["is_local"] and not options["is_sandboxed"])
    dotenv = read_dotenv(folder / ".env")
    given = gather(needs, key=key, environment=environment, dotenv=dotenv)
    files = {file.name: read_upload(file)} if file is not None else {}
    data, credentials = take_credentials(read_data(options["data"]))
    needs, given = apply_credentials(credentials, needs, given)
    return RunPlan(
        folder=folder,
        manifest=manifest,
        launch=launch,
        needs=needs,
        given=given,
        dotenv=dotenv,
        data=data,
        files=files,
        limits=Limits(timeout_s=options["timeout"] or manifest.timeout_seconds or Limits().timeout_s),
        policy_name=options["policy"],
        isolation=Isolation(options["isolation"]),
        workspace=options["workspace"],
        labels=read_labels(options["labels"]),
    )
