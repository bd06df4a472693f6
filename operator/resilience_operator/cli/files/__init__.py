"""Manifests of files: loaded, decoded, placed."""
