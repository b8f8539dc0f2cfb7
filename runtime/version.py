"""The version, in one place (`pyproject.toml` has the same)."""

VERSION = "0.1.0"
