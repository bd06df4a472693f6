"""The targets: one folder each, one line each in TARGETS, and what their declarations give the other rooms.

Used by run, cli and tests, which hand it down: no room below knows the name of a rule or of a section.
"""

from resilience_operator.cluster.decode import Decoders
from resilience_operator.cluster.store import Store
from resilience_operator.core.target import Target
from resilience_operator.engine.evaluate import Evaluator
from resilience_operator.targets.coredns.target import TARGET as COREDNS
from resilience_operator.targets.deployments.target import TARGET as DEPLOYMENTS

TARGETS: tuple[Target, ...] = (DEPLOYMENTS, COREDNS)

DECODERS = Decoders(watched for target in TARGETS for watched in target.watched)
"""Decodes every watched kind."""

KINDS, KIND_BY_NAME = DECODERS.kinds, DECODERS.by_name
"""Every watched kind, and each by the word that manifests have for it."""

EVALUATOR = Evaluator(TARGETS)
"""Evaluates the objects of all targets."""

RULES = EVALUATOR.rules
"""Rule id -> rule, in the order of the contract."""


judge, verdict_of, evaluate = EVALUATOR.judge, EVALUATOR.verdict_of, EVALUATOR.evaluate
project, project_dict = DECODERS.project, DECODERS.project_dict
decode_list, decode_event = DECODERS.decode_list, DECODERS.decode_event


def new_store() -> Store:
    """An empty store of all that the targets watch."""
    return Store(TARGETS)
