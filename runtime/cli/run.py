"""`orch run AGENT`: pack, hand over the caller's keys, follow the log, print the result."""

from __future__ import annotations

import json
import mimetypes
import os
import sys
from pathlib import Path
from typing import Any

import click

from runtime.bundle import bundle_of
from runtime.cli.daemon import settings
from runtime.cli.output import fail, is_json, json_option
from runtime.client import Client
from runtime.config import Settings
from runtime.errors import InvalidInputError, NotFoundError, OrchError, RunTimeoutError, SandboxFailedError
from runtime.keys import KEY_NAMES, providers_of, resolve_secrets
from runtime.manifest import Launch, Manifest, launch_of, load_manifest
from runtime.model import Isolation, Limits, RunState

MAX_INPUT_BYTES = 16 << 20


@click.command()
@click.argument("agent")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--data", "--input", "data", help="The input: JSON, @FILE, or @- for stdin.")
@click.option("--key", help="An LLM key for this run; needs --provider.")
@click.option("--provider", type=click.Choice([*KEY_NAMES, "ollama"]), help="Which provider the key is for.")
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
    """Run AGENT (a directory with orchagent.json) in a sandbox, with FILE as its upload."""
    folder = _folder_of(agent)
    manifest = load_manifest(folder)
    launch = launch_of(folder, manifest)
    uploads = _uploads(file)
    request = _request(manifest, launch, folder, uploads, options)
    client = Client(settings().api_socket)
    try:
        created = client.create_run(request, bundle_of(folder), uploads)
        return _follow(client, created["id"], is_quiet=no_stream)
    finally:
        client.close()


def _folder_of(agent: str) -> Path:
    path = Path(agent).expanduser()
    if path.is_dir():
        return path
    raise NotFoundError(
        f"{agent} is no directory",
        hint="give the directory that holds orchagent.json (installed agents, org/name, come later)",
    )


def _uploads(file: Path | None) -> dict[str, bytes]:
    if file is None:
        return {}
    try:
        return {file.name: file.read_bytes()}
    except OSError as exc:
        raise InvalidInputError(f"{file}: {exc.strerror}", hint="name a file that can be read") from None


def _request(
    manifest: Manifest, launch: Launch, folder: Path, uploads: dict[str, bytes], options: dict[str, Any]
) -> dict[str, Any]:
    found: Settings = settings()
    secrets = resolve_secrets(
        manifest, key=options["key"], provider=options["provider"], environment=os.environ, folder=folder
    )
    return {
        "agent_ref": manifest.name,
        "image": found.image(launch.image),
        "argv": list(launch.argv),
        "setup_argv": list(launch.setup_argv) if launch.setup_argv else None,
        "input": _document(options["data"], uploads),
        "policy": options["policy"],
        "isolation": options["isolation"],
        "timeout_s": options["timeout"] or manifest.timeout_seconds or Limits().timeout_s,
        "env": _llm_environment(manifest, options),
        "secrets": {name: secret.reveal() for name, secret in secrets.items()},
    }


def _document(data: str | None, uploads: dict[str, bytes]) -> str:
    """The agent's stdin: the input as it is, or the platform's document of uploaded files around it."""
    text = _read_data(data)
    try:
        document = json.loads(text) if text else {}
    except json.JSONDecodeError as exc:
        raise InvalidInputError(
            f"--data: line {exc.lineno}, column {exc.colno}: not JSON: {exc.msg}",
            hint='quote it for the shell, as in --data \'{"text": "hello"}\'',
        ) from None
    if not uploads:
        return json.dumps(document)
    files = [
        {
            "path": f"/tmp/uploads/{name}",  # noqa: S108 - the agent contract's path, inside the sandbox
            "original_name": name,
            "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "size_bytes": len(content),
        }
        for name, content in uploads.items()
    ]
    return json.dumps({"files": files, "metadata": document})


def _read_data(data: str | None) -> str:
    if data is None or not data.startswith("@"):
        return data or ""
    try:
        content = sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
        text = content.decode()
    except OSError as exc:
        raise InvalidInputError(
            f"--data {data}: {exc.strerror}", hint="name a file that can be read"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"--data {data}: not UTF-8 text", hint="give it as FILE instead") from None
    if len(text) > MAX_INPUT_BYTES:
        raise InvalidInputError("--data: more than 16 MiB", hint="give it as FILE instead")
    return text


def _llm_environment(manifest: Manifest, options: dict[str, Any]) -> dict[str, str]:
    providers = providers_of(manifest)
    provider = options["provider"] or (providers[0] if providers else None)
    model = options["model"] or (manifest.default_models.get(provider) if provider else None)
    named = {"LLM_PROVIDER": provider, "LLM_MODEL": model}
    return {name: value for name, value in named.items() if value}


def _follow(client: Client, run_id: str, *, is_quiet: bool) -> int:
    """Show the log on stderr until the run ends; Ctrl-C cancels it."""
    try:
        for event in client.events(run_id):
            if event.kind == "log" and not is_quiet:
                sys.stderr.write(str(event.data["text"]))
                sys.stderr.flush()
    except KeyboardInterrupt:
        client.cancel_run(run_id)
        sys.stderr.write(f"cancelled {run_id}\n")
        return 130
    return _report(client.get_run(run_id))


def _report(done: dict[str, Any]) -> int:
    took = (done["finished_at"] or 0) - done["created_at"]
    footer = f"{done['state']} in {took:.1f} s - run {done['id']} - orch egress {done['id']}\n"
    if not is_json():
        sys.stderr.write(footer)
    if done["state"] != RunState.COMPLETED.value:
        return fail(_error_of(done))
    if is_json():
        keys = ("id", "agent_ref", "policy_name", "isolation", "state", "created_at", "finished_at", "result")
        click.echo(json.dumps({key: done[key] for key in keys}, indent=2))
    else:
        result = done["result"]
        click.echo(result if isinstance(result, str) else json.dumps(result, indent=2))
    return 0


def _error_of(done: dict[str, Any]) -> OrchError:
    error = done["error"] or {"code": "GENERAL_ERROR", "message": f"the run is {done['state']}"}
    kind = RunTimeoutError if done["state"] == RunState.TIMEOUT.value else SandboxFailedError
    return kind(error["message"], hint=f"orch logs {done['id']}", code=error["code"])
