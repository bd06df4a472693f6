"""Fixtures of every test: the lab."""

pytest_plugins = ["tests.lab.fixtures"]
