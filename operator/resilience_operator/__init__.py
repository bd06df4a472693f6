"""The resilience operator: names every drift from a ResiliencePolicy and, where it says so, ends it safely."""

__version__ = "0.1.0"
