"""Which objects and rules a command is about: -n, -A, -l and --rule, and what a user may read of them.

Used by the commands that look at a cluster, and by `check`.
"""

import argparse
from dataclasses import dataclass
from typing import Any

from resilience_operator.cli.naming import close
from resilience_operator.cli.rule_texts import TEXTS
from resilience_operator.core.refs import Key
from resilience_operator.core.selectors import LabelSelector, parse_selector


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about; empty parts mean all. `selector` is of an object's own labels."""

    namespace: str = ""
    selector: LabelSelector | None = None
    rules: frozenset[str] = frozenset()

    def about(self, rule: str) -> bool:
        """Whether a rule is asked for."""
        return not self.rules or rule in self.rules

    def takes(self, key: Key, view: Any) -> bool:
        """Whether an object is asked about, by its key and its view."""
        if self.namespace and key[0] != self.namespace:
            return False
        if self.selector is None:
            return True
        return view is not None and self.selector.matches(getattr(view.target.metadata, "labels", {}))


EVERYTHING = Scope()


def add_arguments(parser: argparse.ArgumentParser, *, rules: bool = True) -> None:
    """The flags, as kubectl has them."""
    parser.set_defaults(rule=[])
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-n", "--namespace", default="", metavar="NS", help="only this namespace; rights in it are enough"
    )
    where.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces, as without -n")
    parser.add_argument(
        "-l",
        "--selector",
        type=_selector,
        metavar="LABELS",
        help="only objects with these labels, as for kubectl",
    )
    if rules:
        parser.add_argument(
            "--rule",
            action="append",
            default=[],
            type=_rule,
            metavar="RULE",
            help="only this rule; may be repeated",
        )


def scope_of(options: argparse.Namespace) -> Scope:
    """What the flags ask for."""
    return Scope(options.namespace, options.selector, frozenset(options.rule))


def _selector(text: str) -> LabelSelector:
    try:
        return parse_selector(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _rule(text: str) -> str:
    if text not in TEXTS:
        raise argparse.ArgumentTypeError(
            f"there is no rule {text!r}{close(text, TEXTS)} (kubectl resilience explain lists all)"
        )
    return text
