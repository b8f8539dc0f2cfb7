"""What the soak's sandboxes run; standard library only."""
