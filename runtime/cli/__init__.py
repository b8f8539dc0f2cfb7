"""The `orch` command. Each module holds one group of commands; `output` is how all of them speak."""
