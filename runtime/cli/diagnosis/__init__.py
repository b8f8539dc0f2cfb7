"""What `orch doctor` looks at, one module for each kind of thing. None of them changes anything."""
