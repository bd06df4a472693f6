"""The program `kubectl-resilience` (`kubectl resilience`): its command line and exit codes.

0: nothing found. 1: findings. 2: bad input or no access, also when there are findings. Each command is a module
with `add_arguments` and `run`; only the one that is asked for is imported, for a cluster's client takes longer to
import than most files take to check.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from resilience_operator import __version__
from resilience_operator.cli.pipes import outlive_the_reader
from resilience_operator.core.errors import OperatorError

COMMANDS = {
    "check": "findings in files, on standard input, or in a cluster",
    "plan": "what the operator would change in a cluster, in which order, and what waits for what",
    "explain": "what a rule demands, why, and how to opt out",
    "report": "every finding in a cluster, not only the worst as in a policy's status",
    "node-logs": "fetch the support archive of a Bottlerocket node through the API",
    "retry": "try again what failed, was undone or stopped",
    "revert": "write the values back that were there before the operator",
}
"""Command (and module of this package) -> what it does."""

CLUSTER_TOO = "pip install 'resilience-operator[cluster]'"
BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. `argv`: without the program's name; sys.argv's if None."""
    outlive_the_reader()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except OperatorError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed; to look at a cluster: {CLUSTER_TOO}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; a wrong one ends the program with code 2."""
    top = argparse.ArgumentParser(
        prog="kubectl-resilience",
        description="Judge Deployments by the rules of a ResiliencePolicy: the same as the operator's.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    asked = next((word for word in argv if not word.startswith("-")), "")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if name == asked:
            module = import_module(f"resilience_operator.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return top.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
