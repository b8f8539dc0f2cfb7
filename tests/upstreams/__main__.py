"""`python -m tests.upstreams`: the canary program with the vendors' wire shapes on top."""

from __future__ import annotations

from runtime.canary.command import serve
from tests.upstreams.app import build_app

if __name__ == "__main__":
    serve(build_app)
