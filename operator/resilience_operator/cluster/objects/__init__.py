"""The observed objects: the few fields of each kind that rules read."""
