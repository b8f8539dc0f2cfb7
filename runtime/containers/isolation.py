"""Starting a sandbox under the runtime that was asked for, or not at all.

An engine lists a runtime whose program is missing or broken just the same, so a start that fails names the
isolation, and one that succeeds counts only when the engine's own record says which runtime it is. Nothing
of the agent's is handed over before that.
"""

from __future__ import annotations

import json

from runtime.containers.helper import helper_config, run_helper, under
from runtime.containers.labels import labels
from runtime.engine.protocol import Engine
from runtime.errors import InvalidInputError, NotReadyError, OrchError
from runtime.model.limits import Isolation

GVISOR_ARGUMENTS = ("--platform=systrap", "--network=host", "--oci-seccomp", "--overlay2=none")
"""As scripts/runsc.py registers it; why is said there."""
GVISOR_VERSION = "Linux version 4.4.0 "
"""What gVisor says it is, in /proc/version."""
_ASK_VERSION = ("python3", "-I", "-S", "-c", "print(open('/proc/version').read())")


async def start_isolated(engine: Engine, container: str, isolation: Isolation) -> None:
    """Start a created container. Raises NotReadyError where it does not run under this isolation."""
    try:
        await engine.start(container)
    except InvalidInputError as exc:
        raise NotReadyError(
            f"isolation {isolation.value} did not start, see 'orch doctor': {exc.message}", hint="orch doctor"
        ) from exc
    runtime = (await engine.inspect(container)).get("HostConfig", {}).get("Runtime")
    if runtime != isolation.value:
        raise NotReadyError(
            f"isolation {isolation.value} was asked for and the engine started {runtime}: see 'orch doctor'",
            hint="orch doctor",
        )


async def gvisor_fault(engine: Engine, image: str, *, instance: str) -> str | None:
    """Run one container under runsc: why it cannot be used, or None. The engine lists it already."""
    marks = labels(instance, "probe")
    config = under(Isolation.RUNSC, helper_config(image, list(_ASK_VERSION), labels=marks, network="none"))
    try:
        result = await run_helper(engine, config, name=f"orchbox-{instance}-runsc")
    except (OrchError, TimeoutError) as exc:
        return str(exc) or "it did not end"
    if result.code != 0:
        return f"a container ended with status {result.code}: {result.stderr.strip()[-200:]}"
    if not result.stdout.startswith(GVISOR_VERSION):
        return f"what is registered as runsc is no gVisor: {result.stdout.strip()[:60]}"
    return None


def how_to_register(path: str = "/usr/bin/runsc") -> str:
    """What an operator adds to the engine, on one line."""
    runtime = {"runsc": {"path": path, "runtimeArgs": list(GVISOR_ARGUMENTS)}}
    return f'"runtimes": {json.dumps(runtime)} in /etc/docker/daemon.json; systemctl reload docker'
