"""The program `kubectl-resilience` (`kubectl resilience`): its command line and exit codes.

0: nothing found. 1: findings. 2: bad input or no access, also when there are findings.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from resilience_operator import __version__
from resilience_operator.cli import check, explain
from resilience_operator.cli.files import DEFAULT_MAX_SIZE
from resilience_operator.core.errors import OperatorError

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. `argv`: without the program's name; sys.argv's if None."""
    arguments = parser().parse_args(argv)
    if arguments.run is check.run and not arguments.cluster and not arguments.paths:
        print(
            "kubectl-resilience check: name files, directories or - (standard input), or --cluster",
            file=sys.stderr,
        )
        return BAD_INPUT
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except OperatorError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="kubectl-resilience",
        description="Judge Deployments by the rules of a ResiliencePolicy: the same as the operator's.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _check(commands.add_parser("check", help="findings in files, on standard input, or in a cluster"))
    _explain(commands.add_parser("explain", help="what a rule demands, why, and how to opt out"))
    return top


def _check(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=check.run)
    add = command.add_argument
    add("paths", nargs="*", metavar="PATH", help="files or directories; - is standard input")
    add("--cluster", action="store_true", help="check what runs in a cluster instead")
    add("-p", "--policy", metavar="POLICY.yaml", help="judge by this policy, not by the recommended one")
    add(
        "-o",
        "--output",
        choices=("text", "json", "sarif"),
        default="text",
        help="text (default), json, sarif",
    )
    add(
        "--max-size",
        type=int,
        default=DEFAULT_MAX_SIZE,
        metavar="BYTES",
        help=f"of one file; bigger ones are not read (default {DEFAULT_MAX_SIZE})",
    )
    _where(command)


def _where(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kubeconfig", metavar="FILE", help="else $KUBECONFIG, ~/.kube/config, the service account"
    )
    command.add_argument("--context", metavar="NAME", help="of the kubeconfig, instead of its current one")


def _explain(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=explain.run)
    command.add_argument("rule", nargs="?", metavar="RULE", help="one rule; all of them if left out")
    command.add_argument(
        "--policy", dest="show_policy", action="store_true", help="print the recommended policy"
    )
    command.add_argument("--markdown", action="store_true", help="as docs/rules.md")


if __name__ == "__main__":
    sys.exit(main())
