"""The caller's side of the runner API."""
