"""All nodes as one value that remembers what was asked of it: ten thousand Deployments ask the same of 5,000 nodes.

Made by the store and by cli, one for each state of the nodes; read by rules. What is remembered follows from the nodes
alone, so that nobody can tell whether an answer is remembered or new.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from resilience_operator.cluster.objects.workloads import Node

T = TypeVar("T")

REMEMBERED = 128
"""Answers that are kept; an answer may hold a reference to every node."""


class Nodes(tuple[Node, ...]):
    """A tuple of nodes with a bounded memory of answers."""

    _answers: dict[Hashable, object]

    def answer(self, question: Hashable, find: Callable[[], T]) -> T:
        """The answer to a question about these nodes; `find` is called where it is not remembered."""
        answers = self.__dict__.setdefault("_answers", {})
        if question not in answers:
            if len(answers) >= REMEMBERED:
                del answers[next(iter(answers))]
            answers[question] = find()
        return cast(T, answers[question])
