"""What each kind of container may do: restrictions, seccomp, isolation, labels, clean-up."""
