"""The process and the pass."""
