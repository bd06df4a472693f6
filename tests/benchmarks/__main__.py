"""`make bench`: every benchmark, one after the other, each with its bar."""

import sys
from importlib import import_module

PARTS = ("check", "events", "services", "repair", "observe", "agent")


def main() -> int:
    """Run all; the sum of their exit codes."""
    return sum(import_module(f"tests.benchmarks.{part}").main() for part in PARTS)


if __name__ == "__main__":
    sys.exit(main())
