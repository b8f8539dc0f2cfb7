"""Alembic migrations, run in-process when the daemon starts."""
