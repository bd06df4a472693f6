"""The offline verdict on policies: the table of tests.support.policies, and what surrounds spec."""

from typing import Any

import pytest

from resilience_operator.policy.common import Problem
from resilience_operator.policy.validate import KEYWORDS
from resilience_operator.targets import crd, validate
from tests.support.policies import BAD, GOOD, Bad, document


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_policy_is_refused_once_at_the_field_with_what_to_write(bad: Bad) -> None:
    (problem,) = validate(bad.document)
    assert problem.path == bad.path
    assert bad.says in problem.message


@pytest.mark.parametrize("name", GOOD)
def test_a_good_policy_is_accepted(name: str) -> None:
    assert validate(document(name, GOOD[name])) == ()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"apiVersion": "resilience.dev/v1"},
            "apiVersion: write resilience.dev/v1alpha1, not 'resilience.dev/v1'",
        ),
        ({"kind": "Policy"}, "kind: write ResiliencePolicy, not 'Policy'"),
        ({"mode": "Enforce"}, "mode: unknown field: remove it, or move it into spec"),
        ({"metadata": None}, "metadata: write an object with a name"),
        (
            {"metadata": {"name": "Shop"}},
            "metadata.name: write a name of lower case letters, digits, '-' and '.'",
        ),
        ({"metadata": {"name": "shop", "label": {}}}, "metadata.label: unknown field: remove it"),
        ({"spec": None}, "spec: is required"),
    ],
)
def test_what_surrounds_spec_is_judged_as_well(change: dict[str, Any], problem: str) -> None:
    assert [str(found) for found in validate(document("shop", {}) | change)] == [problem]


def test_what_is_no_object_is_no_policy() -> None:
    assert validate(["shop"]) == (Problem("", "write an object of kind ResiliencePolicy, not ['shop']"),)


def test_one_wrong_field_does_not_hide_another() -> None:
    constraint = {"topologyKey": "a", "maxSkew": 0}
    both = document("shop", {"priority": 5000, "deployments": {"spread": {"constraints": [constraint]}}})
    assert validate(both) == (
        Problem("spec.priority", "write a whole number from -1000 to 1000, not 5000"),
        Problem(
            "spec.deployments.spread.constraints[0].maxSkew", "write a whole number from 1 to 100, not 0"
        ),
    )


def test_the_crd_uses_no_keyword_that_the_offline_verdict_would_pass_over() -> None:
    def keywords(schema: dict[str, Any]) -> set[str]:
        nested = [*schema.get("properties", {}).values()]
        nested += [schema[name] for name in ("items", "additionalProperties") if name in schema]
        return set(schema).union(*(keywords(each) for each in nested))

    root = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert keywords(root) == KEYWORDS
