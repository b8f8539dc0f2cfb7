"""The LLM router: `http://llm.internal/v1` of every sandbox, answered here with the run's keys.

`app` is the ASGI app, `session` a run's place in it. The SDKs of the providers are imported at the first
call, never at the daemon's start.
"""
