"""Systems that are no API server: read, note, update."""
