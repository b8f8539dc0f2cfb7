"""`orch run --local`: an agent as a process on the caller's own machine."""
