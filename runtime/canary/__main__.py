"""`python -m runtime.canary`: the canary with its own application."""

from __future__ import annotations

from runtime.canary.application import build_app
from runtime.canary.command import serve

if __name__ == "__main__":
    serve(build_app)
