"""The API server: one part a module, no decisions."""
