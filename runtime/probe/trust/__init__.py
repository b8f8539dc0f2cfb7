"""`orch probe --trust`: which common clients trust an inspected host without a flag."""
