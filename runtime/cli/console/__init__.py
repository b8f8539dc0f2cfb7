"""How every command reads its settings and speaks to the terminal."""
