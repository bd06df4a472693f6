"""The program `kubectl-resilience` (`kubectl resilience`): its command line and exit codes.

0: nothing found. 1: findings. 2: bad input or no access, also when there are findings. Each command is a module
with `add_arguments` and `run`; only the one that is asked for is imported, for a cluster's client takes longer to
import than most files take to check.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from resilience_operator import __version__
from resilience_operator.cli.naming import close
from resilience_operator.cli.pipes import outlive_the_reader
from resilience_operator.core.errors import OperatorError

PROGRAM = "kubectl-resilience"
COMMANDS = {
    "check": "findings in files, on standard input, or in a cluster",
    "plan": "what the operator would change in a cluster, in which order, and what waits for what",
    "explain": "what a rule demands, why, and how to opt out",
    "report": "every finding in a cluster, not only the worst as in a policy's status",
    "node-logs": "fetch the support archive of a Bottlerocket node through the API",
    "retry": "try again what failed, was undone or stopped",
    "revert": "write the values back that were there before the operator",
    "uninstall": "look what the operator holds, and say what to do in which order",
    "completion": "print the script by which a shell completes this command line",
}
"""Command (and module of this package) -> what it does."""

CODES = "exit code: 0 %s, 2 bad input or no access"
FINDINGS = CODES % "nothing found, 1 findings"
DONE = CODES % "done, 1 declined or not complete"
SHOWN = CODES % "shown"
EXAMPLES = {
    "check": (
        "check deploy/ --complete",
        "check --cluster -n shop",
        "check . -o sarif > found.sarif",
        FINDINGS,
    ),
    "plan": ("plan", "plan production", "plan production --patch > patches.yaml", SHOWN),
    "explain": ("explain", "explain --policy > policy.yaml", SHOWN),
    "report": ("report", "report production -n shop", "report -o json | jq .findings", FINDINGS),
    "node-logs": ("node-logs ip-10-0-1-2.internal -o logs.tar.gz", DONE),
    "retry": ("retry production", "retry production shop/web", CODES % "done"),
    "revert": ("revert production --yes", "revert production shop/web", DONE),
    "uninstall": ("uninstall", CODES % "nothing is held, 1 something is"),
    "completion": ("completion bash > /etc/bash_completion.d/kubectl-resilience", SHOWN),
}
"""Command -> examples, and what its exit code says."""

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
    words = list(argv)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    top = Parser(
        prog=PROGRAM,
        description="Judge what runs, or is about to, by the rules of a ResiliencePolicy: the same as the operator's.",
        epilog=f"{PROGRAM} help COMMAND says more. On the PATH it is `kubectl resilience` as well.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    asked = next((word for word in words if not word.startswith("-")), "")
    if asked and asked not in COMMANDS:
        top.error(f"there is no command {asked!r}{close(asked, COMMANDS)} ({PROGRAM} help lists all)")
    for name, about in COMMANDS.items():
        parents = [command_parser(name)] if name == asked else []
        commands.add_parser(name, help=about, parents=parents, **_described(name), add_help=not parents)
    return top.parse_args(words)


def command_parser(name: str) -> "Parser":
    """The parser of one command."""
    module = import_module(f"resilience_operator.cli.{name.replace('-', '_')}")
    parser = Parser(prog=f"{PROGRAM} {name}", **_described(name))
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def _described(name: str) -> dict[str, Any]:
    *lines, codes = EXAMPLES[name]
    about = COMMANDS[name]
    return {
        "description": f"{about[0].upper()}{about[1:]}.",
        "epilog": "\n".join(("examples:", *(f"  kubectl resilience {one}" for one in lines), "", codes)),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


class Parser(argparse.ArgumentParser):
    """Says which flag may have been meant."""

    def error(self, message: str) -> NoReturn:
        """End with 2, and one sentence."""
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        parsers = [
            self,
            *(one for each in self._actions if isinstance(each, Commands) for one in each.choices.values()),
        ]
        known = [option for one in parsers for each in one._actions for option in each.option_strings]
        near = close(unknown, known) if message.startswith("unrecognized") else ""
        self.exit(BAD_INPUT, f"{self.prog}: {message}{near}\n")


Commands = argparse._SubParsersAction


if __name__ == "__main__":
    sys.exit(main())
