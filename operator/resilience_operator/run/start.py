"""The program `resilience-operator`: starts host, or says in a sentence which extra is not installed."""

import sys
from collections.abc import Sequence
from importlib import import_module

EXTRA = "pip install 'resilience-operator[operator]'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run host's `main`; 2 where a library of the operator is missing."""
    try:
        host = import_module("resilience_operator.run.host")
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed; to run the operator: {EXTRA}", file=sys.stderr)  # noqa: T201
        return 2
    code: int = host.main(argv)
    return code


if __name__ == "__main__":
    sys.exit(main())
