"""The control plane: the host daemon, its API, the run lifecycle and the `orch` command."""
