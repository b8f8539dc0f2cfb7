"""Upstream simulators: what a sandbox may reach in tests and in the demo, and what counts what reached it.

`python -m tests.upstreams --help`; `server.py` wires the pieces, `seen.py` is what a test reads back.
"""
