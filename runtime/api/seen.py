"""The run that a path names, where its caller sees it."""

from __future__ import annotations

from fastapi import Request

from runtime.access.caller import caller_of
from runtime.model.run import RunSummary
from runtime.runs.ports import RunServicePort
from runtime.runs.records import no_run


async def seen(request: Request, service: RunServicePort, ref: str) -> RunSummary:
    """The run of an id, or of the first seven digits or more of one, among those that the caller sees.

    Raises NotFoundError, and InvalidInputError where several of them begin so.
    """
    caller = caller_of(request)
    run = await service.find(ref, caller.workspace)
    if not caller.sees(run.workspace):
        raise no_run(ref)
    return run
