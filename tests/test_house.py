"""The house: what is of one target stands in its folder, and nowhere else."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_operator.targets import CATALOG
from tests.support import ROOT

PACKAGE = ROOT / "operator/resilience_operator"
NAMES = frozenset({*CATALOG.rules, *CATALOG.targets})
OWN_WORDS = frozenset(name for name in NAMES if not name.islower() or not name.isalpha())
"""Rule ids and section names that mean nothing else, as coredns-floor: they stand in no sentence either."""
NOT_MEANT = {
    ("core/kinds.py", "deployments"): 1,  # the plural of the kind, in the API's paths
    ("core/kinds.py", "services"): 1,  # the same
    ("cli/plan.py", "deployments"): 2,  # a number of the JSON that `plan` prints
    ("cli/output.py", "deployments"): 1,  # a number of the JSON that `check` prints
    ("cli/giving_back.py", "replicas"): 2,  # a field of a Deployment's spec and status
    ("cli/files/manifests.py", "resources"): 1,  # a field of a kustomization
    ("cli/files/rendering.py", "resources"): 1,  # the same
    ("agent/spec.py", "services"): 1,  # a field of a NodeState's spec
    ("cli/files/positions.py", "replicas"): 1,  # the field of a Deployment
}
"""(file, word) -> how often a string that is the name of a rule or of a section is not meant as one."""


def names_in(text: str) -> Iterator[str]:
    """The names of rules and sections in a module: its own words anywhere, English words as a whole string."""
    for name in sorted(OWN_WORDS):
        yield from re.findall(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
    strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    yield from (value for value in strings if value in NAMES - OWN_WORDS)


def test_no_rule_id_and_no_section_name_stands_outside_the_targets() -> None:
    modules = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    others = {str(path): text for path, text in modules.items() if path.parts[0] != "targets"}
    assert Counter((path, name) for path, text in others.items() for name in names_in(text)) == NOT_MEANT


@pytest.mark.parametrize(
    "line",
    [
        'if rule == "coredns-floor": pass',
        'mode = policy.section_mode("deployments")',
        'rules = {"spread"}',
        'sections.get("coreDNS")',
        'message = f"{count} findings of dns-config"',
    ],
)
def test_one_that_is_put_into_the_engine_is_found(line: str) -> None:
    engine = Path(PACKAGE / "engine/decide.py").read_text(encoding="utf-8")
    assert len([*names_in(f"{engine}\n{line}\n")]) == 1
