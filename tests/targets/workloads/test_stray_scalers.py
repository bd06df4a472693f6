"""Who says by a command line that it scales a Deployment is believed only where it may: a floor stands on no word."""

import copy
from typing import Any

import pytest

from resilience_operator.engine.decide import Surroundings
from resilience_operator.targets import judge, parse
from tests.support.clusters import cluster, thing, workload
from tests.support.views import NOW

COMMAND = ["/cluster-proportional-autoscaler", "--target=deployment/coredns", "--configmap=scaler"]


def autoscaler(namespace: str, *flags: str) -> dict[str, Any]:
    body = workload("scaler", 1, namespace, container={"command": [*COMMAND, *flags]})
    body["metadata"]["uid"] = f"uid-{namespace}"
    return body


def written(minimum: int, *objects: dict[str, Any]) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(reason, state, message) of all findings about cluster DNS, and which objects are changed."""
    meta = {"name": "p", "uid": "uid-p", "generation": 1}
    sections = {"coreDNS": {"floor": {"minReplicas": minimum}}}
    policy, problems = parse({"metadata": meta, "spec": {"mode": "Enforce", **sections}})
    assert problems == ()
    labels = {"k8s-app": "kube-dns"}
    coredns = workload("coredns", 1, "kube-system")
    coredns["spec"]["selector"] = {"matchLabels": labels}
    coredns["spec"]["template"]["metadata"] = {"labels": labels}
    service = thing("Service", "kube-dns", "kube-system", spec={"selector": labels})
    store = cluster([], copy.deepcopy([coredns, service, *objects])).store
    found, changed = [], []
    for key in sorted(store.subjects()):
        view = store.look(key, NOW, (1, 36))
        decision = judge(view, (policy,), Surroundings({"uid-p": policy})) if view is not None else None
        if decision is not None:
            found += [(one.finding.reason, str(one.state), one.message) for one in decision.judged]
            changed += [f"{one.object.kind} {one.object}" for one in decision.changes if one.written]
    return found, changed


PARAMETERS = thing("ConfigMap", "scaler", "kube-system", data={"linear": '{"nodesPerReplica":16,"min":1}'})


@pytest.mark.parametrize("real", [False, True], ids=["pinned", "scaled"])
def test_a_command_line_of_another_namespace_is_told_by_its_place_and_the_floor_is_written(
    real: bool,
) -> None:
    stray = autoscaler("evil", "--namespace=kube-system")
    honest = [autoscaler("kube-system"), PARAMETERS] if real else []
    found, changed = written(3, *honest, stray)
    assert changed == ["ConfigMap kube-system/scaler" if real else "Deployment kube-system/coredns"]
    assert [one for one in found if one[0] == "StrayScaler"] == [
        (
            "StrayScaler",
            "ReportOnly",
            (
                "by its command line, Deployment evil/scaler scales kube-system/coredns from another namespace; it"
                " is not believed: an autoscaler counts in its target's namespace and in kube-system; whether it is one"
                " is for people to find out"
            ),
        )
    ]
    assert "SeveralScalers" not in {one[0] for one in found}


def test_two_autoscalers_that_may_be_believed_still_stop_the_floor() -> None:
    other = autoscaler("kube-system")
    other["metadata"] |= {"name": "second", "uid": "uid-second"}
    found, changed = written(3, autoscaler("kube-system"), other, PARAMETERS)
    assert [one[0] for one in found] == ["SeveralScalers"]
    assert changed == []
