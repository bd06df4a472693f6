"""What is to be done about verdicts, as values: merged, checked against ownership, limits and windows; no I/O."""
