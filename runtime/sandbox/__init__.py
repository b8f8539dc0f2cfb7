"""One sandbox from its start to its removal, and the program that runs in it before the agent."""
