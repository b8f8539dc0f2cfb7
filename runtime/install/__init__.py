"""`orch install`: prompts exported to Claude Code, Cursor and AGENTS.md."""
