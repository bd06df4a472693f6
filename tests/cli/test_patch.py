"""`plan --patch`: what to commit where the operator may not write, and of all else why there is nothing to commit."""

import argparse
import json
from typing import Any

import pytest
import yaml

from resilience_operator.cli import patches, plan
from resilience_operator.cli.patches import as_json, of_cluster, printed, target
from resilience_operator.cli.plan import make, text
from resilience_operator.cli.report import rows
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.paths import ABSENT, replacing
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import (
    ANNOTATION,
    FIELD_MANAGER,
    Apply,
    Held,
    ObjectState,
    Quarantine,
    encode,
)
from resilience_operator.engine.quarantine import ROLLOUT_FAILED
from tests.support.clusters import Body, cluster, hpa, policy, thing, workload
from tests.support.views import NOW

DNS: Body = {"deployments": {"dnsConfig": {}}}
FLOOR: Body = {"deployments": {"replicas": {"min": 2}}}
REOPEN = [{"name": "single-request-reopen"}]
GIT: Body = {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}


def by_git(*path: str, manager: str = "argocd-controller") -> Body:
    """Metadata of an object of which Argo CD applied one field server-side: a value that somebody chose."""
    fields: Body = {}
    for name in reversed(path):
        fields = {f"f:{name}": fields}
    entry = {"manager": manager, "operation": "Apply", "time": "2026-11-22T07:00:00Z", "fieldsV1": fields}
    return {**GIT, "managedFields": [entry]}


def entries(policies: list[Body], objects: list[Body], name: str = "") -> dict[str, Body]:
    """(kind name) -> the patch of the object without its identity, as kustomize would read it."""
    out = printed(of_cluster(cluster(policies, objects), name), "kustomize", name)
    found = {}
    for one in yaml.safe_load(out)["patches"]:
        body = yaml.safe_load(one["patch"])
        identity = [body.pop(key) for key in ("apiVersion", "kind", "metadata")]
        assert identity[2] == {"name": one["target"]["name"], "namespace": "shop"}
        found[f"{identity[1]} {one['target']['name']}"] = body
    return found


def left(policies: list[Body], objects: list[Body], name: str = "") -> list[tuple[str, str, str]]:
    """(policy, rule and state, message) of what has no patch."""
    found = of_cluster(cluster(policies, objects), name).left
    return [(one.policy, f"{one.rule} {one.state}", one.message) for one in found]


def hooked(seconds: int, **more: Any) -> Body:
    hook = {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}
    return {"name": "app", "image": "app:1", "lifecycle": hook, "ports": [{"containerPort": 80}], **more}


def test_what_an_enforcing_policy_does_by_itself_is_no_patch_and_what_git_chose_is() -> None:
    chosen = workload("web", 1, meta=by_git("spec", "replicas"))
    policies = [policy("p", deployments={"dnsConfig": {}, "replicas": {"min": 2}})]
    assert entries(policies, [chosen, workload("api")]) == {"Deployment web": {"spec": {"replicas": 2}}}
    assert left(policies, [chosen, workload("api")]) == []


def test_the_whole_of_stdout_names_who_sets_the_field_and_leaves_the_json_of_the_sentence_out() -> None:
    chosen = workload("web", 1, meta=by_git("spec", "replicas"))
    found = of_cluster(cluster([policy("p", **FLOOR)], [chosen]), "p")
    lines = printed(found, "kustomize", "p").splitlines()
    comments = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert comments.startswith(
        "What policy p asks for and the operator does not write: kubectl resilience plan p --patch "
        "Contested replicas (policy p): 1 of at least 2 replicas; nobody scales it; "
    )
    assert "Argo CD application shop" in comments
    assert "argocd-controller" in comments
    assert "{" not in comments, "the patch itself stands below"
    assert [line for line in lines if not line.startswith("#")] == [
        "patches:",
        "- target:",
        "    group: apps",
        "    kind: Deployment",
        "    namespace: (default|shop)",
        "    name: web",
        "  patch: |",
        "    apiVersion: apps/v1",
        "    kind: Deployment",
        "    metadata:",
        "      name: web",
        "      namespace: shop",
        "    spec:",
        "      replicas: 2",
    ]


def test_the_manifest_form_is_a_document_of_the_leaves_alone() -> None:
    chosen = workload("web", 1, meta=by_git("spec", "replicas"))
    out = printed(of_cluster(cluster([policy("p", **FLOOR)], [chosen]), ""), "manifest", "")
    assert out.startswith(
        "# What the policies ask for and the operator does not write: kubectl resilience plan "
    )
    identity = {"apiVersion": "apps/v1", "kind": "Deployment"}
    meta = {"name": "web", "namespace": "shop"}
    assert [one for one in yaml.safe_load_all(out) if one] == [
        {**identity, "metadata": meta, "spec": {"replicas": 2}}
    ]


def test_of_an_audit_all_is_to_be_committed_and_a_suspended_policy_writes_as_little() -> None:
    for words in ({"mode": "Audit"}, {"suspend": True}):
        assert entries([policy("p", **DNS, **words)], [workload("web")]) == {
            "Deployment web": {"spec": {"template": {"spec": {"dnsConfig": {"options": REOPEN}}}}}
        }


def test_one_entry_per_object_with_the_values_that_hold_for_all_policies() -> None:
    policies = [
        policy("a", mode="Audit", deployments={"replicas": {"min": 3}}),
        policy("b", deployments={"dnsConfig": {}, "replicas": {"min": 2}}),
    ]
    chosen = workload("web", 1, meta=by_git("spec", "replicas"))
    assert entries(policies, [chosen], "b") == {"Deployment web": {"spec": {"replicas": 3}}}
    found = of_cluster(cluster(policies, [chosen]), "").remedies
    assert [[(one.policy, str(one.state)) for one in each.ends] for each in found] == [
        [("a", "Drifted"), ("b", "Contested")]
    ]


def test_of_policies_that_disagree_the_winner_has_the_patch_and_an_audit_never_outranks_one_that_enforces() -> (
    None
):
    def timeout(value: str) -> Body:
        return {"deployments": {"dnsConfig": {"options": [{"name": "timeout", "value": value}]}}}

    asleep = workload("web", dnsConfig={"options": [{"name": "timeout", "value": "9"}]})
    chosen = asleep | {
        "metadata": asleep["metadata"] | by_git("spec", "template", "spec", "dnsConfig", "options")
    }
    audit, enforce = (
        policy("audit", mode="Audit", priority=9, **timeout("1")),
        policy("enforce", **timeout("2")),
    )
    options = [{"name": "timeout", "value": "2"}]
    wanted = {"Deployment web": {"spec": {"template": {"spec": {"dnsConfig": {"options": options}}}}}}
    assert entries([audit, enforce], [chosen]) == wanted
    lost = "policy enforce (priority 0) demands another value of spec.template.spec.dnsConfig.options"
    message = f"dnsConfig.options has timeout:9 instead of timeout:1; {lost}"
    assert left([audit, enforce], [chosen]) == [("audit", "dns-config Drifted", message)]

    equal = policy("equal", mode="Audit", priority=9, **timeout("3"))
    assert entries([audit, equal], [chosen]) == {}
    assert [(name, "nobody writes it" in why) for name, _, why in left([audit, equal], [chosen])] == [
        ("audit", True),
        ("equal", True),
    ]


def test_a_hook_is_replaced_and_not_joined_and_containers_keep_their_order() -> None:
    containers = [{"name": "metrics", "image": "m"}, hooked(2), {"name": "last", "image": "l"}]
    web = workload("web", dnsPolicy="ClusterFirst")
    web["spec"]["template"]["spec"]["containers"] = containers
    all_of_it = {"deployments": {"gracefulShutdown": {"appliesTo": "All"}}}
    found = entries([policy("p", mode="Audit", **all_of_it)], [web])
    sleep = {"sleep": {"seconds": 15}}
    assert found["Deployment web"]["spec"]["template"]["spec"]["containers"] == [
        {"name": "metrics", "lifecycle": {"preStop": sleep}},
        {"name": "app", "lifecycle": {"preStop": {"exec": None, **sleep}}},
        {"name": "last", "lifecycle": {"preStop": sleep}},
    ]
    one = entries([policy("p", mode="Audit", deployments={"gracefulShutdown": {}})], [web, _service("web")])
    assert one["Deployment web"]["spec"]["template"]["spec"] == {
        "containers": [
            {"name": "metrics"},
            {"name": "app", "lifecycle": {"preStop": {"exec": None, **sleep}}},
        ],
        "terminationGracePeriodSeconds": 45,
    }


def _service(name: str) -> Body:
    return thing("Service", name, spec={"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 80}]})


@pytest.mark.parametrize(
    ("observed", "value", "patch"),
    [
        (ABSENT, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": {"c": 1}}, {"b": {"d": 2}}, {"a": None, "b": {"c": None, "d": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        (3, 4, 4),
    ],
)
def test_a_merge_patch_leaves_nothing_of_what_was_there(observed: Any, value: Any, patch: Any) -> None:
    assert replacing(observed, value) == patch


def test_what_scales_is_patched_where_it_is_told() -> None:
    cron = {"scaleTargetRef": {"name": "worker"}, "minReplicaCount": 1, "triggers": []}
    objects = [
        workload("web"),
        hpa("web"),
        workload("worker"),
        thing("ScaledObject", "worker", spec=cron),
    ]
    assert entries([policy("p", mode="Audit", **FLOOR)], objects) == {
        "HorizontalPodAutoscaler web": {"spec": {"minReplicas": 2}},
        "ScaledObject worker": {"spec": {"minReplicaCount": 2}},
    }


def test_the_parameters_of_an_autoscaler_are_one_text_with_all_that_its_owner_wrote() -> None:
    argv = ["/cluster-proportional-autoscaler", "--configmap=scale-dns", "--target=deployment/coredns"]
    dns = workload("coredns", 3, "kube-system")
    dns["spec"]["template"]["metadata"]["labels"]["k8s-app"] = "kube-dns"
    linear = '{\n  "nodesPerReplica": 8,\n  "min": 2\n}\n'
    objects = [
        dns,
        workload("scaler", 1, "kube-system", container={"command": argv}),
        thing("ConfigMap", "scale-dns", "kube-system", data={"linear": linear}),
    ]
    found = of_cluster(
        cluster([policy("p", mode="Audit", coreDNS={"floor": {"minReplicas": 3}})], objects), "p"
    )
    (one,) = yaml.safe_load(printed(found, "kustomize", "p"))["patches"]
    assert one["target"] == {"kind": "ConfigMap", "namespace": "(default|kube-system)", "name": "scale-dns"}
    data = yaml.safe_load(one["patch"])["data"]
    assert data == {"linear": found.remedies[0].body["data"]["linear"]}
    assert json.loads(data["linear"])["min"] == 3
    assert data["linear"].startswith('{\n  "nodesPerReplica": 8,\n'), "as it was, line by line"


def test_what_a_commit_would_not_end_is_named_and_not_advised() -> None:
    owner = {"apiVersion": "x/v1", "kind": "Operator", "name": "olm", "uid": "o", "controller": True}
    recreate = workload("recreate", 1)
    recreate["spec"]["strategy"] = {"type": "Recreate"}
    cases: dict[str, Body] = {
        "controlled": workload("controlled", meta={"ownerReferences": [owner]}),
        "musl": workload("musl", container={"image": "app:1-alpine"}),
        "recreate": recreate,
    }
    both = {"deployments": {"dnsConfig": {}, "replicas": {"min": 2}}}
    for mode, prefix, state in (
        ("Enforce", "", "ReportOnly"),
        ("Audit", "not enforced in any mode: ", "Drifted"),
    ):
        policies = [policy("p", mode=mode, **both)]
        assert list(entries(policies, list(cases.values()))) == ["Deployment recreate"]
        lacks = "dnsConfig.options lacks single-request-reopen"
        musl = "image app:1-alpine matches reportOnlyImages *alpine*: musl ignores the option"
        assert left(policies, list(cases.values())) == [
            (
                "p",
                f"dns-config {state}",
                f"{lacks}; {prefix}it is controlled by Operator olm, which would revert the change",
            ),
            ("p", f"dns-config {state}", f"{lacks}; {prefix}{musl}"),
        ]


def test_what_only_its_owner_knows_is_a_comment_and_so_is_a_hook_that_nobody_can_judge() -> None:
    unknown = {"lifecycle": {"preStop": {"exec": {"command": ["/drain"]}}}, "ports": [{"containerPort": 80}]}
    asked = {"deployments": {"probes": {}, "gracefulShutdown": {"minTerminationGracePeriodSeconds": 30}}}
    objects = [workload("web", container=unknown), _service("web")]
    out = printed(of_cluster(cluster([policy("p", **asked)], objects), "p"), "kustomize", "p")
    assert out.splitlines() == [
        "# What policy p asks for and the operator does not write: kubectl resilience plan p --patch",
        "patches: []",
        "# ReportOnly shop/web probes (policy p): container app has no readinessProbe; only its owner knows the right",
        "# value",
        "# Skipped shop/web graceful-shutdown (policy p): the preStop hook of container app runs something whose",
        "# duration is unknown",
    ]


def test_a_change_that_failed_its_rollout_is_not_advised_to_anybody() -> None:
    enforce, audit = policy("p", **DNS), policy("q", mode="Audit", **DNS)
    parsed = cluster([enforce], []).policies["p"]
    message = "its rollout failed and was withdrawn: no progress"
    failed = Quarantine(ROLLOUT_FAILED, message, NOW, {parsed.uid: parsed.digest}, 3, ("dns-config",))
    state = ObjectState("d-web", quarantines=(failed,), applies=(Apply(NOW, 3),))
    fields: Body = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    web = workload("web", meta={"annotations": {ANNOTATION: encode(state)}, "managedFields": [entry]})
    lacks = "dnsConfig.options lacks single-request-reopen"
    assert entries([enforce, audit], [web]) == {}
    assert left([enforce, audit], [web]) == [
        ("p", "dns-config Quarantined", f"{lacks}; {message}"),
        ("q", "dns-config Drifted", f"{lacks}; the same change is quarantined on this object"),
    ]


def test_a_budget_that_an_audit_wants_is_a_manifest_of_its_own_and_no_patch_can_make_it() -> None:
    found = of_cluster(
        cluster([policy("p", mode="Audit", deployments={"disruptionBudget": {}})], [workload("web")]), "p"
    )
    why = "no PodDisruptionBudget selects the pods of its 3 replicas"
    assert printed(found, "kustomize", "p").splitlines()[1:] == [
        "patches: []",
        f"# Drifted disruption-budget (policy p): {why}",
        "# PodDisruptionBudget shop/web-resilience is to be made: kubectl resilience plan --patch=manifest prints it,",
        "# for a file under resources",
    ]
    out = printed(found, "manifest", "p")
    assert [one for one in yaml.safe_load_all(out) if one] == [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web-resilience", "namespace": "shop"},
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    ]


def test_nothing_to_commit_is_valid_yaml_in_both_forms() -> None:
    found = of_cluster(cluster([policy("p", **DNS)], [workload("web")]), "p")
    assert yaml.safe_load(printed(found, "kustomize", "p")) == {"patches": []}
    assert list(yaml.safe_load_all(printed(found, "manifest", "p"))) == []


def test_a_target_is_an_expression_that_finds_files_without_a_namespace_and_no_neighbour() -> None:
    assert target(ObjectRef("apps/v1", "Deployment", "shop", "web.v2")) == {
        "group": "apps",
        "kind": "Deployment",
        "namespace": "(default|shop)",
        "name": r"web\.v2",
    }
    assert target(ObjectRef("v1", "ConfigMap", "default", "web"))["namespace"] == "default"


def test_where_default_has_one_of_that_name_too_the_patch_does_not_hit_it() -> None:
    meta = {"namespace": "default", "uid": "d-other"}
    objects = [workload("web", 1, meta=by_git("spec", "replicas")), workload("web", 7, meta=meta)]
    out = printed(of_cluster(cluster([policy("p", **FLOOR)], objects), "p"), "kustomize", "p")
    (one,) = yaml.safe_load(out)["patches"]
    assert one["target"]["namespace"] == "shop"
    assert (
        "# needs namespace: shop in the file itself, for namespace default has one of that name, too" in out
    )


@pytest.mark.parametrize(
    "text", ["1e3", "7e10", "0o17", "+12e03", "1e+3", "y", "N", ".inf", "2", "null", "a"]
)
def test_a_text_is_a_text_for_every_reader_of_yaml(text: str) -> None:
    web = workload("web", dnsConfig={"options": [{"name": "timeout", "value": text}]})
    out = printed(of_cluster(cluster([policy("p", mode="Audit", **DNS)], [web]), "p"), "manifest", "p")
    assert (f"value: {text}" if text == "a" else f"value: '{text}'") in out
    assert (
        list(yaml.safe_load_all(out))[-1]["spec"]["template"]["spec"]["dnsConfig"]["options"][0]["value"]
        == text
    )


def test_of_an_owners_constraint_nothing_goes_that_the_policy_does_not_speak_of() -> None:
    theirs = {
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "maxSkew": 2,
        "minDomains": 3,
        "nodeTaintsPolicy": "Honor",
        "matchLabelKeys": ["version"],
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    wanted = {"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
    web = workload("web", topologySpreadConstraints=[theirs])
    labels = [{"labels": {"kubernetes.io/hostname": f"n{number}"}} for number in range(3)]
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [
        thing("Node", f"n{number}", "", meta, spec={}, status=ready) for number, meta in enumerate(labels)
    ]
    asked = {"deployments": {"spread": {"constraints": [wanted]}}}
    found = entries([policy("p", mode="Audit", **asked)], [web, *nodes])
    (entry,) = found["Deployment web"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert entry == {**wanted, "labelSelector": {"matchLabels": {"app": "web"}}}


def test_the_operators_own_value_that_stays_is_not_to_be_committed_lower() -> None:
    held = {"spec.replicas": Held("replicas", 5, 1, policies=("uid-p",))}
    fields: Body = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}, "f:spec": {"f:replicas": {}}}
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    state = encode(ObjectState("d-web", held, applies=(Apply(NOW),)))
    web = workload("web", 5, meta={"annotations": {ANNOTATION: state}, "managedFields": [entry]})
    resting = policy("p", mode="Audit", deployments={"replicas": {"min": 3}})
    assert entries([resting], [web]) == {}


def test_what_an_enforcing_policy_makes_or_a_deleted_one_asks_for_is_not_to_be_committed() -> None:
    budget: Body = {"deployments": {"disruptionBudget": {}}}
    half: Body = {"deployments": {"disruptionBudget": {"maxUnavailable": "50%"}}}
    policies = [policy("p", mode="Audit", **budget), policy("q", **half)]
    lacks = "no PodDisruptionBudget selects the pods of its 3 replicas"
    assert of_cluster(cluster(policies, [workload("web")]), "").remedies == ()
    assert left(policies, [workload("web")], "p") == [
        ("p", "disruption-budget Drifted", f"{lacks}; policy q has it made")
    ]
    differ = [policy("p", mode="Audit", **budget), policy("q", mode="Audit", **half)]
    assert left(differ, [workload("web")], "p") == [
        ("p", "disruption-budget Drifted", f"{lacks}; the policies differ in its limit")
    ]
    leaving = policy("r", mode="Audit", **FLOOR)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T07:00:00Z"
    assert entries([leaving], [workload("web", 1)]) == {}


def test_nothing_that_stands_in_an_object_ends_a_comment() -> None:
    nasty = {"annotations": {"argocd.argoproj.io/tracking-id": "shop\nresources: [evil.yaml]\n# :a"}}
    chosen = workload("web", 1, meta={**by_git("spec", "replicas"), **nasty})
    out = printed(of_cluster(cluster([policy("p", **FLOOR)], [chosen]), "p"), "kustomize", "p")
    assert list(yaml.safe_load(out)) == ["patches"]


def test_json_has_the_patches_what_they_end_and_what_is_left() -> None:
    chosen = workload("web", 1, meta=by_git("spec", "replicas"), container={"ports": [{"containerPort": 80}]})
    both = {"deployments": {"probes": {}, "replicas": {"min": 2}}}
    body = json.loads(as_json(of_cluster(cluster([policy("p", **both)], [chosen]), "p")))
    message = body["patches"][0]["ends"][0].pop("message")
    assert message.startswith("1 of at least 2 replicas; nobody scales it; ")
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"}
    assert body == {
        "version": 1,
        "patches": [
            {
                "target": {
                    "group": "apps",
                    "kind": "Deployment",
                    "namespace": "(default|shop)",
                    "name": "web",
                },
                "patch": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {"name": "web", "namespace": "shop"},
                    "spec": {"replicas": 2},
                },
                "new": False,
                "ends": [{"policy": "p", "rule": "replicas", "state": "Contested"}],
            }
        ],
        "left": [
            {
                "object": web,
                "policy": "p",
                "rule": "probes",
                "state": "ReportOnly",
                "message": "container app has no readinessProbe; only its owner knows the right value",
            }
        ],
    }


def test_plan_and_report_say_once_that_there_is_something_to_commit() -> None:
    chosen = workload("web", 1, meta=by_git("spec", "replicas"), container={"ports": [{"containerPort": 80}]})
    probes: Body = {"deployments": {"probes": {}}}
    hint = "kubectl resilience plan p --patch prints what to commit."
    told = text(make(cluster([policy("p", **FLOOR)], [chosen]), "p", 1)).splitlines()
    assert (told[-1], told.count(hint)) == (hint, 1)
    unnamed = text(make(cluster([policy("p", **FLOOR)], [chosen]), "", 1)).splitlines()
    assert unnamed[-1] == "kubectl resilience plan --patch prints what to commit."
    silent = [policy("p", **probes), policy("q", **DNS)]
    for name in ("", "p", "q"):
        assert "--patch" not in text(make(cluster(silent, [workload("web")]), name, 1))
    found = rows(cluster([policy("p", deployments={"probes": {}, "replicas": {"min": 2}})], [chosen]), "p")
    assert [(row["rule"], row["committable"]) for row in found] == [("replicas", True), ("probes", False)]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], ("", "")),
        (["p"], ("p", "")),
        (["p", "--patch"], ("p", "kustomize")),
        (["--patch", "p"], ("p", "kustomize")),
        (["--patch"], ("", "kustomize")),
        (["--patch=manifest", "p"], ("p", "manifest")),
        (["p", "--patch", "manifest"], ("p", "manifest")),
    ],
)
def test_the_form_may_be_left_out_wherever_the_policy_stands(
    words: list[str], asked: tuple[str, str]
) -> None:
    parser = argparse.ArgumentParser()
    plan.add_arguments(parser)
    options = parser.parse_args(words)
    assert plan.patch_asked(options.policy or "", options.patch or "") == asked


def test_an_unknown_form_is_bad_input_with_what_may_be_written() -> None:
    with pytest.raises(ConfigurationError, match="--patch=helm is not known: write kustomize or manifest"):
        plan.patch_asked("p", "helm")
    with pytest.raises(ConfigurationError, match=r"there is no policy q in the cluster \(there are: p\)"):
        patches.of_cluster(cluster([policy("p", **DNS)], []), "q")
