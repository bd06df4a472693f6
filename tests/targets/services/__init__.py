"""Target services."""
