"""`orch run`: from the command line to a plan, to a run on the daemon or on this machine."""
