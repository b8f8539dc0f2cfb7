"""What was done and by whom, in files that show every later change to them."""
