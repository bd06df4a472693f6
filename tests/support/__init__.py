"""What tests share: clusters, clients, clocks and tables."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The root of the checkout."""
