"""`orch run AGENT`: pack, hand over the caller's keys, follow the log, print the result."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from runtime.bundle import bundle_of
from runtime.cli.daemon import settings
from runtime.cli.follow import Interrupts, follow
from runtime.cli.output import json_option
from runtime.cli.run_input import document, read_upload, stored_name
from runtime.client import Client
from runtime.errors import NotFoundError
from runtime.keys import KEY_NAMES, provider_of, resolve_secrets
from runtime.launch import Launch, launch_of
from runtime.manifest import Manifest, load_manifest
from runtime.model import Isolation, Limits, Secret


@click.command()
@click.argument("agent")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--data", "--input", "data", help="The input: JSON, @FILE, or - for stdin.")
@click.option("--key", help="An LLM key for this run; needs --provider. Others see a command's arguments.")
@click.option("--provider", type=click.Choice([*KEY_NAMES, "ollama"]), help="Which provider to use.")
@click.option("--model", help="The model, as LLM_MODEL.")
@click.option("--policy", default="llm-only", show_default=True, help="The egress policy.")
@click.option(
    "--isolation",
    type=click.Choice([i.value for i in Isolation]),
    default=Isolation.RUNC.value,
    show_default=True,
)
@click.option("--timeout", type=click.FloatRange(min=0.1, max=3600), help="Time limit in seconds.")
@click.option("--no-stream", is_flag=True, help="Do not show the agent's log while it runs.")
@json_option
def run(agent: str, file: Path | None, no_stream: bool, **options: Any) -> int:  # noqa: FBT001 - click's call
    """Run AGENT (a directory with orchagent.json) in a sandbox, with FILE as its upload.

    The log and a closing line go to stderr, the result to stdout. Ctrl-C cancels the run. An agent with
    requirements.txt or package.json is set up in its sandbox: the policy has to allow the registry.
    """
    folder = _folder_of(agent)
    manifest = load_manifest(folder)
    launch = launch_of(folder, manifest)
    secrets = resolve_secrets(
        manifest, key=options["key"], provider=options["provider"], environment=os.environ, folder=folder
    )
    files = {file.name: read_upload(file)} if file is not None else {}
    request = _request(manifest, launch, secrets, options) | {"input": document(options["data"], files)}
    bundle = bundle_of(folder, rules=manifest.bundle, entry=launch.entry)
    uploads = {stored_name(name): content for name, content in files.items()}
    with closing(Client(settings().api_socket)) as client, Interrupts() as interrupts:
        created = client.create_run(request, bundle, uploads)
        return follow(client, created["id"], interrupts, is_quiet=no_stream)


def _folder_of(agent: str) -> Path:
    path = Path(agent).expanduser()
    if path.is_dir():
        return path
    raise NotFoundError(
        f"{agent} is no directory, and there is no agent registry yet: it comes with a later version",
        hint="give the directory that holds orchagent.json",
    )


def _request(
    manifest: Manifest, launch: Launch, secrets: dict[str, Secret], options: dict[str, Any]
) -> dict[str, Any]:
    return {
        "agent_ref": manifest.name,
        "image": settings().image(launch.image),
        "argv": list(launch.argv),
        "setup_argv": list(launch.setup_argv) if launch.setup_argv else None,
        "policy": options["policy"],
        "isolation": options["isolation"],
        "timeout_s": options["timeout"] or manifest.timeout_seconds or Limits().timeout_s,
        "env": _llm_environment(manifest, secrets, options),
        "secrets": {name: secret.reveal() for name, secret in secrets.items()},
    }


def _llm_environment(
    manifest: Manifest, secrets: dict[str, Secret], options: dict[str, Any]
) -> dict[str, str]:
    """LLM_PROVIDER and LLM_MODEL: the caller's, else the first provider with a key and its default model."""
    provider = provider_of(manifest, options["provider"], secrets)
    model = options["model"] or (manifest.default_models.get(provider) if provider else None)
    named = {"LLM_PROVIDER": provider, "LLM_MODEL": model}
    return {name: value for name, value in named.items() if value}
