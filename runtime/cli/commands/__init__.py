"""The commands of `orch`, one file each (`orch run` has a package of its own)."""
