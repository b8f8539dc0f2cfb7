"""The program that `orch probe --trust` runs in a sandbox."""
