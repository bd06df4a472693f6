"""Two hundred pairs of Deployment and policy, drawn with a fixed seed, in the hands of one real operator.

What each ends as follows from how it was drawn, in a table of the test's own: what the owner set, and who decides.
"""

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.history import OUTDATED
from tests.e2e.scene import LABEL, Body, Scene, service, settle, workload
from tests.lab import Lab
from tests.lab.audit import Write
from tests.sim.leaves import PUBLISHED, changed

NUMBER = 200
ORIGINS = ("kubectl apply", "kubectl create", "update without annotation", "server-side apply")
SPREAD = ("absent", "strict", "another key", "weaker")
DNS = ("absent", "satisfied", "another option", "nameservers")
GRACE = ("absent", "chosen")
HOOK = ("absent", "runs something", "long sleep", "short sleep")
RULES = {"spread": "spread", "gracefulShutdown": "graceful-shutdown", "dnsConfig": "dns-config"}

REOPEN, NDOTS = {"name": "single-request-reopen"}, {"name": "ndots", "value": "2"}
OWNERS_DNS: dict[str, Body] = {
    "satisfied": {"options": [NDOTS, REOPEN]},
    "another option": {"options": [NDOTS]},
    "nameservers": {"nameservers": ["10.96.0.10"]},
}
OWNERS_HOOK: dict[str, Body] = {
    "runs something": {"exec": {"command": ["/bin/drain"]}},
    "long sleep": {"sleep": {"seconds": 20}},
    "short sleep": {"exec": {"command": ["sleep", "5"]}},
}


@dataclass(frozen=True)
class Pair:
    """A Deployment as its owner made it, and the policy that covers it alone."""

    origin: str
    replicas: int
    spread: str
    dns: str
    grace: str
    hook: str
    exposed: bool
    recreate: bool
    optout: str
    rules: frozenset[str]
    mode: str
    take_over: bool

    @property
    def chosen(self) -> bool:
        """Somebody chose a value that a rule of the policy speaks of."""
        return bool(
            ("spread" in self.rules and self.spread != "absent")
            or ("dnsConfig" in self.rules and self.dns != "absent")
            or ("gracefulShutdown" in self.rules and (self.grace, self.hook) != ("absent", "absent"))
        )


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((*[usual] * 4, *others))


pairs = st.builds(
    Pair,
    origin=st.sampled_from(ORIGINS),
    replicas=mostly(2, 1, 3),
    spread=mostly("absent", *SPREAD[1:]),
    dns=mostly("absent", *DNS[1:]),
    grace=mostly("absent", "chosen"),
    hook=mostly("absent", *HOOK[1:]),
    exposed=mostly(True, False),
    recreate=mostly(False, True),
    optout=mostly("", "all", "spread"),
    rules=st.frozensets(st.sampled_from(sorted(RULES)), min_size=1),
    mode=mostly("Enforce", "Audit"),
    take_over=st.booleans(),
)


def drawn() -> list[Pair]:
    """The same pairs in every run, each another one."""
    found: dict[Pair, None] = {}

    @seed(20261122)
    @settings(
        max_examples=3 * NUMBER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(pairs)
    def draw(pair: Pair) -> None:
        found[pair] = None

    draw()
    return list(found)[:NUMBER]


# What the owner made


def made(namespace: str, name: str, pair: Pair) -> Body:
    pod: Body = {}
    if pair.spread != "absent":
        pod["topologySpreadConstraints"] = [owners_constraint(name, pair.spread)]
    if pair.dns != "absent":
        pod["dnsConfig"] = copy.deepcopy(OWNERS_DNS[pair.dns])
    if pair.grace == "chosen":
        pod["terminationGracePeriodSeconds"] = 60
    body = workload(namespace, name, replicas=pair.replicas, pod=pod)
    if pair.hook != "absent":
        container = body["spec"]["template"]["spec"]["containers"][0]
        container["lifecycle"] = {"preStop": copy.deepcopy(OWNERS_HOOK[pair.hook])}
    if pair.recreate:
        body["spec"]["strategy"] = {"type": "Recreate"}
    body["metadata"]["labels"]["pair"] = name
    if pair.optout:
        body["metadata"]["labels"]["resilience.dev/ignore"] = pair.optout
    return body


def owners_constraint(name: str, kind: str) -> Body:
    key, skew, when = {
        "strict": ("kubernetes.io/hostname", 1, "DoNotSchedule"),
        "another key": ("example.com/rack", 1, "ScheduleAnyway"),
        "weaker": ("kubernetes.io/hostname", 5, "ScheduleAnyway"),
    }[kind]
    selector = {"matchLabels": {"app": name}}
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when, "labelSelector": selector}


def create(scene: Scene, named: dict[str, Pair]) -> None:
    by_origin: dict[str, list[Body]] = {origin: [] for origin in ORIGINS}
    for name, pair in named.items():
        by_origin[pair.origin].append(made(scene.namespace, name, pair))
    lists: dict[str, Body] = {
        origin: {"apiVersion": "v1", "kind": "List", "items": items} for origin, items in by_origin.items()
    }
    scene.apply(lists["kubectl apply"])
    scene.create(lists["kubectl create"])
    scene.apply(lists["server-side apply"], "--server-side", "--field-manager=fleet")
    plain = lists["update without annotation"]
    bare = copy.deepcopy(plain)
    for item in bare["items"]:
        item["spec"]["template"]["spec"] = {"containers": [{"name": "web", "image": "shop/web:0"}]}
    scene.lab.pause("kube-controller-manager")  # its status writes would make the replacement stale
    scene.create(bare)
    scene.lab.kubectl("replace", "-f", "-", input=json.dumps(plain))
    scene.lab.resume("kube-controller-manager")
    services = [service(scene.namespace, name) for name, pair in named.items() if pair.exposed]
    scene.apply({"apiVersion": "v1", "kind": "List", "items": services})


def policies(scene: Scene, named: dict[str, Pair]) -> list[Body]:
    return [
        {
            "apiVersion": "resilience.dev/v1alpha1",
            "kind": "ResiliencePolicy",
            "metadata": {"name": f"{scene.name}-{name}", "labels": {LABEL: scene.name}},
            "spec": {
                "mode": pair.mode,
                "conflicts": "TakeOver" if pair.take_over else "Report",
                "onRelease": "Revert",
                "rollout": {"soakSeconds": 0},
                "deployments": {
                    "namespaces": {"include": [scene.namespace]},
                    "selector": {"matchLabels": {"pair": name}},
                    **{rule: {} for rule in sorted(pair.rules)},
                },
            },
        }
        for name, pair in named.items()
    ]


# What must become of it: a table, and no rule of the product


def expected(name: str, pair: Pair, before: Body) -> Body:
    """The pod spec as it must be once the policy is enforced."""
    after = copy.deepcopy(before)
    if pair.mode == "Audit" or pair.recreate or pair.optout == "all":
        return after
    if "spread" in pair.rules and pair.optout != "spread" and pair.replicas > 1:
        spread(name, pair, after)
    if "dnsConfig" in pair.rules:
        options = dns_options(pair)
        if options is not None:
            after.setdefault("dnsConfig", {})["options"] = options
    if "gracefulShutdown" in pair.rules and pair.exposed:
        shutdown(pair, after)
    return after


def spread(name: str, pair: Pair, after: Body) -> None:
    host, zone = (
        {
            "topologyKey": key,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": name}},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    )
    owners = after.get("topologySpreadConstraints", [])
    written = {
        "absent": [host, zone],
        "strict": [*owners, zone],
        "another key": [*owners, host, zone],
        "weaker": [host, zone] if pair.take_over else owners,
    }[pair.spread]
    after["topologySpreadConstraints"] = written


def dns_options(pair: Pair) -> list[Body] | None:
    return {
        "absent": [REOPEN],
        "satisfied": None,
        "another option": [NDOTS, REOPEN] if pair.take_over else None,
        "nameservers": [REOPEN],
    }[pair.dns]


def shutdown(pair: Pair, after: Body) -> None:
    ours = {"preStop": {"sleep": {"seconds": 15}}}
    grace, hook = {
        ("absent", "absent"): (45, True),
        ("absent", "runs something"): (45, False),
        ("absent", "long sleep"): (45, False),
        ("absent", "short sleep"): (None, False),
        ("chosen", "absent"): (75, True) if pair.take_over else (None, False),
        ("chosen", "runs something"): (None, False),
        ("chosen", "long sleep"): (None, False),
        ("chosen", "short sleep"): (None, False),
    }[pair.grace, pair.hook]
    if hook:
        after["containers"][0]["lifecycle"] = ours
    if grace is not None:
        after["terminationGracePeriodSeconds"] = grace


@pytest.fixture(scope="module")
def named() -> dict[str, Pair]:
    return {f"p{number}": pair for number, pair in enumerate(drawn())}


def test_the_pairs_are_drawn_widely(named: dict[str, Pair]) -> None:
    assert len(named) == NUMBER
    assert len(set(named.values())) == NUMBER
    assert sum(pair.chosen for pair in named.values()) >= 0.2 * NUMBER
    assert set(Counter(pair.origin for pair in named.values())) == set(ORIGINS)


@pytest.mark.timeout(600)
def test_each_ends_as_drawn_after_one_write_and_as_it_was_after_its_release(
    own_lab: Callable[..., Lab], tmp_path: Path, named: dict[str, Pair]
) -> None:
    lab = own_lab(nodes=10)
    install_crd(lab)
    scene = make_scene(lab, tmp_path)
    create(scene, named)
    scene.wait(lambda: all(scene.settled_all().values()), "all are rolled out", 240)
    before = scene.deployments()
    wanted = {
        name: expected(name, pair, before[name]["spec"]["template"]["spec"]) for name, pair in named.items()
    }
    drifted = {name for name in named if wanted[name] != before[name]["spec"]["template"]["spec"]}
    assert len(drifted) >= 0.3 * NUMBER
    mark = scene.lab.audit.mark()
    with scene.operator("--max-rollouts=1000", "--resync=3", "--max-unhealthy-percent=100") as operator:
        scene.apply({"apiVersion": "v1", "kind": "List", "items": policies(scene, named)})

        def written() -> set[str]:
            return {write.name for write in scene.writes(mark, resource="deployments")}

        scene.wait(lambda: written() >= drifted, "every drift is repaired", 240)
        scene.wait(lambda: all(scene.settled_all().values()), "every rollout is complete", 240)
        settle(7)
        writes = accepted(scene.changes(mark, resource="deployments"))
        assert Counter(write.name for write in writes) == Counter(drifted), "one write each, and no other"
        after = scene.deployments()
        assert {name: body["spec"]["template"]["spec"] for name, body in after.items()} == wanted
        paths = {path for name in named for path in changed(clean(before[name]), clean(after[name]))}
        assert paths == PUBLISHED
        passes, mark = operator.passes(), scene.lab.audit.mark()
        settle(10)
        assert operator.passes() > passes
        assert scene.writes(mark, resource="deployments") == [], "a second pass changes nothing"

        ours = ("rp", "-l", f"{LABEL}={scene.name}")
        # kubectl would wait for each in its turn with a watch of its own, and slow what it waits for.
        scene.lab.kubectl("delete", *ours, "--wait=false")
        scene.wait(lambda: not scene.lab.kubectl("get", *ours, "-o", "name"), "every policy is gone", 240)
        scene.wait(lambda: all(scene.settled_all().values()), "what is given back is rolled out", 240)
        settle(2)
        released = scene.deployments()
    assert {name: body["spec"] for name, body in released.items()} == {
        name: body["spec"] for name, body in before.items()
    }
    assert traces(released) == []
    assert accepted(scene.writes(mark, resource="deployments"))


def accepted(writes: list[Write]) -> list[Write]:
    """Those that changed something; a write may come too late (decided on an older object), none may be bad."""
    refused = {(write.response_object or {}).get("message") for write in writes if not write.succeeded}
    assert refused <= {OUTDATED}, "the API server accepts every patch"
    return [write for write in writes if write.succeeded]


def clean(body: Body) -> Body:
    """Without what the API server and the Deployment controller write."""
    kept = copy.deepcopy({key: value for key, value in body.items() if key != "status"})
    kept["metadata"].pop("managedFields", None)
    kept["metadata"]["annotations"].pop("deployment.kubernetes.io/revision", None)
    return kept


def traces(bodies: dict[str, Body]) -> list[str]:
    """Names of those that still bear our annotation or an entry of ours in managedFields."""
    return [
        name
        for name, body in bodies.items()
        if "resilience.dev/state" in body["metadata"].get("annotations", {})
        or any(entry["manager"] == "resilience-operator" for entry in body["metadata"]["managedFields"])
    ]
