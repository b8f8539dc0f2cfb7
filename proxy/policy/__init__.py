"""The policy core: pure functions and values, standard library only.

No asyncio, sockets, clock, logging or mitmproxy here (import-linter checks it), so that every
decision can be shown by a table of inputs and outputs.
"""
