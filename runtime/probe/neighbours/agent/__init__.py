"""The programs in the two sandboxes, victim and attacker; standard library only, they judge nothing."""
