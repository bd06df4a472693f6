"""Sentences of status and Events: in words, without paths and values, and bounded whatever was said."""

import pytest

from resilience_operator.engine.wording import sentence, several

HOSTNAME = "topologyKey=kubernetes.io/hostname,whenUnsatisfiable=ScheduleAnyway"
ZONE = "topologyKey=topology.kubernetes.io/zone,whenUnsatisfiable=ScheduleAnyway"
POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("3 of 3 ready replicas run on node-1", "3 of 3 ready replicas run on node-1"),
        (
            f"Git sets {POD}.topologySpreadConstraints[{HOSTNAME}].maxSkew: 5 (Argo CD application shop)",
            "Git sets topologySpreadConstraints.maxSkew: 5 (Argo CD application shop)",
        ),
        (
            (
                f'helm sets {POD}.dnsConfig.options: [{{"name":"ndots","value":"2"}}] (helm, Update); to end it,'
                ' commit {"spec":{"template":{"spec":{}}}} (as YAML: kubectl resilience plan --patch)'
            ),
            (
                "helm sets dnsConfig.options (helm, Update);"
                " kubectl resilience plan --patch prints what to commit"
            ),
        ),
        (
            'maxReplicas is 1; to end it, commit {"spec":{"maxReplicas":3}}; a maximum is never raised',
            "maxReplicas is 1; a maximum is never raised; kubectl resilience plan --patch prints what to commit",
        ),
        ('x sets data.linear: "{\\"min\\":1…', 'x sets data.linear: "{\\"min\\":1…'),
        (
            f"{POD}.containers[name=web].lifecycle.preStop is missing",
            "lifecycle.preStop of container web is missing",
        ),
        ('sets spec.x: {"a":[1,2 …', "sets x"),
        (
            "minReplicas is 2; to end it, type: aws eks update-addon --cluster-name a --configuration-values '{}'",
            "minReplicas is 2; kubectl resilience report prints the command",
        ),
        ("a\x1b[2Jb\nc", "a [2Jb c"),
    ],
)
def test_a_message_is_told_in_words(said: str, told: str) -> None:
    assert sentence(said) == told


@pytest.mark.parametrize(
    "said", ["x" * 5000, "[{" * 4000, f"{POD}.{'a' * 900}[{'k=v,' * 200}].b", "[" * 100_000]
)
def test_a_message_has_at_most_300_characters_whatever_was_said(said: str) -> None:
    assert len(sentence(f"{said}; to end it, commit {said}")) <= 300


def test_what_differs_in_a_key_alone_is_one_thing() -> None:
    paths = [f"{POD}.topologySpreadConstraints[{one}]" for one in (HOSTNAME, ZONE)]
    assert several(paths) == "topologySpreadConstraints for hostname and zone"
    assert several([f"spec.{name}" for name in "abcde"]) == "a, b, c and 2 more"
