"""`python -m runtime.canary`: the canary with its own application."""

from __future__ import annotations

from runtime.canary.command import serve
from runtime.canary.upstreams.application import build_app

if __name__ == "__main__":
    serve(build_app)
