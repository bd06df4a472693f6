"""The targets: one folder each, one line each in TARGETS, and what their declarations give the other rooms.

Used by run, cli and tests, which hand it down: no room below knows the name of a rule or of a section.
"""

from collections.abc import Mapping
from typing import Any

from resilience_operator.cluster.decode import Decoders
from resilience_operator.cluster.store import Store
from resilience_operator.core.paths import JSON
from resilience_operator.core.target import Catalog, Target
from resilience_operator.engine.evaluate import Evaluator
from resilience_operator.policy import crd as printer
from resilience_operator.policy import decode
from resilience_operator.policy.common import Problem
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.coredns.target import TARGET as COREDNS
from resilience_operator.targets.deployments.target import TARGET as DEPLOYMENTS
from resilience_operator.targets.nodes.target import TARGET as CONNTRACK
from resilience_operator.targets.services.target import TARGET as SERVICES
from resilience_operator.targets.webhooks.target import TARGET as WEBHOOKS

TARGETS: tuple[Target, ...] = (DEPLOYMENTS, COREDNS, CONNTRACK, WEBHOOKS, SERVICES)

DECODERS = Decoders(watched for target in TARGETS for watched in target.watched)
"""Decodes every watched kind."""

KINDS, KIND_BY_NAME = DECODERS.kinds, DECODERS.by_name
"""Every watched kind, and each by the word that manifests have for it."""

CATALOG = Catalog(TARGETS)
"""What the targets declare of their sections and rules."""

EVALUATOR = Evaluator(CATALOG)
"""Evaluates the objects of all targets."""

RULES = CATALOG.rules
"""Rule id -> rule, in the order of the contract."""


judge, verdict_of, evaluate = EVALUATOR.judge, EVALUATOR.verdict_of, EVALUATOR.evaluate
project, project_dict = DECODERS.project, DECODERS.project_dict
decode_list, decode_event = DECODERS.decode_list, DECODERS.decode_event


def new_store() -> Store:
    """An empty store of all that the targets watch."""
    return Store(TARGETS)


def parse(raw: Mapping[str, Any]) -> tuple[Policy, tuple[Problem, ...]]:
    """A decoded ResiliencePolicy as a value, and what of it cannot be honoured (policy/decode)."""
    return decode.parse(raw, CATALOG)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition of a policy with a section for each target, decoded."""
    return printer.crd(CATALOG)


def validate(raw: JSON) -> tuple[Problem, ...]:
    """Every reason for which an API server would refuse a decoded document as a policy; empty where it would not."""
    # Checking CEL rules takes a parser that takes half a second to import.
    from resilience_operator.policy.validate import validate as validated

    return validated(raw, printer.spec_schema(CATALOG))
