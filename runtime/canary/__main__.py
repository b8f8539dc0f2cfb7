"""`python -m runtime.canary`: simulated upstreams, a name server and canaries, in one process."""

from __future__ import annotations

from runtime.canary.command import serve

if __name__ == "__main__":
    serve()
