"""`orch probe --neighbours`: what one sandbox's attacks cost another one."""
