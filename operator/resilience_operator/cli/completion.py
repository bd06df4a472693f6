"""`kubectl-resilience completion SHELL`, and what a shell or kubectl asks with each press of Tab.

kubectl (1.26 and newer) asks the program `kubectl_complete-resilience`, which it finds on the PATH, as it asks cobra's
own: a candidate a line, and last a directive. The scripts that `completion` prints ask it too.
"""

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence

from resilience_operator.cli.main import COMMANDS, command_parser
from resilience_operator.cli.rule_texts import TEXTS

FILES, NO_FILES = ":0", ":4"
"""Cobra's directives: complete names of files where nothing else fits; do not."""

SCRIPTS = {
    "bash": """_kubectl_resilience() {
    local IFS=$'\\n'
    COMPREPLY=($(kubectl_complete-resilience "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:'))
}
complete -o default -F _kubectl_resilience kubectl-resilience
""",
    "zsh": """#compdef kubectl-resilience
_kubectl_resilience() {
    local -a found=("${(@f)$(kubectl_complete-resilience "${words[@]:1:$((CURRENT-1))}" 2>/dev/null | grep -v '^:')}")
    compadd -a found || _files
}
compdef _kubectl_resilience kubectl-resilience
""",
    "fish": """function __kubectl_resilience
    kubectl_complete-resilience (commandline -opc)[2..] (commandline -ct) 2>/dev/null | string match -rv "^:"
end
complete -c kubectl-resilience -a '(__kubectl_resilience)'
""",
}


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def run(options: Namespace) -> int:
    """Print the script; 0."""
    print(SCRIPTS[options.shell], end="")
    return 0


def kubectl(argv: Sequence[str] | None = None) -> int:
    """`kubectl_complete-resilience WORD...`: candidates for the last word."""
    words = list(sys.argv[1:] if argv is None else argv) or [""]
    found = list(candidates(words[:-1], words[-1]))
    print(*found, FILES if words[0] == "check" else NO_FILES, sep="\n")
    return 0


def candidates(before: Sequence[str], begun: str) -> Iterator[str]:
    """The words that may follow, and begin so."""
    words = [word for word in before if not word.startswith("-")]
    if not words:
        yield from (name for name in COMMANDS if name.startswith(begun))
    elif words[0] in COMMANDS:
        actions = command_parser(words[0])._actions
        waiting = [one for one in actions if before[-1] in one.option_strings and one.nargs != 0]
        if begun.startswith("-"):
            found = [option for one in actions for option in one.option_strings]
        else:
            found = [word for one in waiting or _positionals(actions) for word in _known(one)]
        yield from (word for word in found if word.startswith(begun))


def _positionals(actions: Sequence[Action]) -> list[Action]:
    return [one for one in actions if not one.option_strings]


def _known(action: Action) -> Iterable[str]:
    return TEXTS if action.dest == "rule" else map(str, action.choices or ())
