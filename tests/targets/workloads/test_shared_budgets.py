"""Budgets that may select the pods of several Deployments: what is said of each, and what makes it be said anew."""

from collections.abc import Iterable
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.cluster.objects.workloads import (
    BudgetSpec,
    ConfigMap,
    HorizontalPodAutoscaler,
    HPASpec,
    Object,
    PodDisruptionBudget,
    ScaledObject,
    ScaledObjectSpec,
    ScaleTarget,
    Selector,
)
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import BUDGET, CONFIG_MAP, DEPLOYMENT, HPA, SCALED_OBJECT, Kind
from resilience_operator.core.refs import Key
from resilience_operator.targets import new_store
from resilience_operator.targets.deployments import disruption_budget
from resilience_operator.targets.workloads.settings import DisruptionBudget
from tests.cluster.test_store import NOW, Cluster, autoscaler, deployment, meta

STABLE, CANARY, OTHER = ("shop", "stable"), ("shop", "canary"), ("shop", "other")
FRONT = {"tier": "front"}
"""All Deployments of test_store bear this label, but for the autoscaler."""
VERSIONS = count(10)


def budget(
    limit: int | str, selector: dict[str, str] | None = None, name: str = "front"
) -> PodDisruptionBudget:
    spec = BudgetSpec(limit, None, Selector(FRONT if selector is None else selector))
    return PodDisruptionBudget(meta(name, 1, uid=f"uid-budget-{name}"), spec)


def hpa(target: str, most: int) -> HorizontalPodAutoscaler:
    spec = HPASpec(ScaleTarget(name=target), 1, most)
    return HorizontalPodAutoscaler(meta(target, 1, uid=f"uid-hpa-{target}"), spec)


def keda(target: str, most: int | None) -> ScaledObject:
    spec = ScaledObjectSpec(ScaleTarget(name=target), 1, most)
    return ScaledObject(meta(target, 1, uid=f"uid-keda-{target}"), spec)


def parameters(most: int) -> ConfigMap:
    text = f'{{"nodesPerReplica": 1, "max": {most}}}'
    return ConfigMap(meta("params", 1, uid="uid-map"), {"linear": text})


def put(store: Store, *objects: tuple[Kind, Object]) -> set[Key]:
    """What has to be judged again after these; all of them are newer than what was there."""
    for kind, found in objects:
        newer = msgspec.structs.replace(found.metadata, resource_version=str(next(VERSIONS)))
        store.put(kind, msgspec.structs.replace(found, metadata=newer))
    return store.take_dirty()


def said(store: Store, *keys: Key) -> list[str]:
    """What is found of budgets that let none go, and what of it is unknown, of each Deployment."""
    told = []
    for key in keys:
        view = store.look((key[0], key[1]), NOW)
        assert view is not None
        verdict = disruption_budget.check(DisruptionBudget(), view)
        told += [one.message for one in verdict.findings if one.reason == "BudgetAllowsNone"]
        told += [one.why for one in verdict.skipped]
    return told


def never(limit: int | str, pods: int) -> str:
    what = f"PodDisruptionBudget front (minAvailable {limit}) never lets any of {pods} pods go"
    return f"{what}: every drain of their nodes blocks"


def unknown(limit: int | str) -> str:
    what = f"PodDisruptionBudget front (minAvailable {limit}) may select pods of others as well"
    return f"{what}: whether it lets any go is unknown"


@pytest.fixture
def store() -> Store:
    """Three stable replicas and one canary, and nothing is dirty."""
    filled = new_store()
    put(filled, (DEPLOYMENT, deployment("stable")), (DEPLOYMENT, deployment("canary", replicas=1)))
    return filled


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0, []),
        (1, [unknown(1)]),
        (2, [unknown(2)]),
        (3, [unknown(3)] * 2),
        ("76%", [unknown("76%")] * 2),
        ("100%", [never("100%", 3), never("100%", 1)]),
    ],
)
def test_a_budget_that_may_select_others_is_judged_only_where_the_own_pods_are_enough_or_none_would_be(
    store: Store, limit: int | str, expected: list[str]
) -> None:
    put(store, (BUDGET, budget(limit)))
    assert said(store, STABLE, CANARY) == expected


def test_a_budget_of_its_own_pods_is_judged_by_the_least_of_them(store: Store) -> None:
    put(store, (BUDGET, budget(3, {"app": "stable"})))
    assert said(store, STABLE, CANARY) == [never(3, 3)]
    put(store, (HPA, hpa("stable", 9)), (BUDGET, budget(1, {"app": "stable"})))
    assert said(store, STABLE) == [
        (
            "PodDisruptionBudget front (minAvailable 1) lets no pod go while HorizontalPodAutoscaler stable keeps its"
            " minimum of 1: every drain of their nodes blocks then"
        )
    ]
    put(store, (DEPLOYMENT, deployment("twin", app="stable")))
    assert said(store, STABLE) == [unknown(1)], "another Deployment's pods bear the same labels"


def test_in_a_cluster_too_how_far_down_a_scaler_that_was_not_read_goes_is_unknown(store: Store) -> None:
    put(store, (BUDGET, budget(3, {"app": "stable"})), (DEPLOYMENT, autoscaler("stable", "params")))
    why = (
        "how far down cluster-proportional-autoscaler cpa scales it is unknown, and so is whether PodDisruptionBudget"
        " front (minAvailable 3) lets any go"
    )
    assert said(store, STABLE) == [why]
    put(store, (CONFIG_MAP, parameters(4)), (BUDGET, budget(1, {"app": "stable"})))
    assert said(store, STABLE) == [
        (
            "PodDisruptionBudget front (minAvailable 1) lets no pod go while cluster-proportional-autoscaler cpa keeps"
            " its minimum of 1: every drain of their nodes blocks then"
        )
    ]


def test_the_number_of_one_makes_no_other_be_judged_again(store: Store) -> None:
    put(store, (BUDGET, budget(50)))
    assert put(store, (DEPLOYMENT, deployment("stable", replicas=4))) == {STABLE}


names = st.sampled_from(["web", "api"])
limits = st.sampled_from([0, 1, 2, 3, 4, 9, "50%", "76%", "100%"])
selectors = st.sampled_from([FRONT, {}, {"app": "web"}, {"app": "api"}])
counts = st.integers(0, 3)
EVENTS = st.one_of(
    st.builds(lambda n, a, r: (DEPLOYMENT, deployment(n, app=a, replicas=r)), names, names, counts),
    st.builds(lambda limit, s, n: (BUDGET, budget(limit, s, n)), limits, selectors, names),
    st.builds(lambda n, m: (HPA, hpa(n, m)), names, st.integers(1, 9)),
    st.builds(lambda n, m: (SCALED_OBJECT, keda(n, m)), names, st.sampled_from([None, 1, 4])),
    st.builds(lambda n: (DEPLOYMENT, autoscaler(n, "params")), names),
    st.builds(lambda m: (CONFIG_MAP, parameters(m)), st.integers(0, 4)),
)
BEGINNING: list[tuple[tuple[Kind, Object], str]] = [
    ((DEPLOYMENT, deployment("web", replicas=1)), "put"),
    ((DEPLOYMENT, deployment("api", replicas=1)), "put"),
    ((BUDGET, budget(2)), "put"),
]
HISTORIES = st.lists(
    st.tuples(EVENTS, st.sampled_from(["put", "put", "put", "delete", "replace"])), max_size=40
)


def said_of(store: Store, keys: Iterable[Key]) -> dict[Key, list[str]]:
    return {key: said(store, key) if store.look((key[0], key[1]), NOW) is not None else [] for key in keys}


@settings(max_examples=300, deadline=None)
@given(HISTORIES, st.integers(1, 5))
def test_what_is_said_of_a_shared_budget_is_the_same_whether_all_is_judged_again_or_what_was_touched(
    history: list[tuple[tuple[Kind, Object], str]], batch: int
) -> None:
    store, cluster = new_store(), Cluster()
    known: dict[Key, list[str]] = {("shop", name): [] for name in ("web", "api", "cpa")}
    for number, (event, how) in enumerate(BEGINNING + history):
        cluster.change(store, event, how)
        if number % batch:
            continue
        known |= said_of(store, (key for key in store.take_dirty() if key in known))
        assert known == said_of(store, known)
