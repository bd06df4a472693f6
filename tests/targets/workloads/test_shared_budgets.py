"""Budgets that several Deployments of a cluster share: what is said of each, and what makes it be said anew."""

from collections.abc import Iterable, Mapping
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
from resilience_operator.cluster.selection import selects
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import BUDGET, CONFIG_MAP, DEPLOYMENT, HPA, SCALED_OBJECT, Kind
from resilience_operator.core.refs import Key
from resilience_operator.policy.policy import DisruptionBudget
from resilience_operator.targets import new_store
from resilience_operator.targets.deployments import disruption_budget
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


def blocked(store: Store, *keys: Key) -> list[str]:
    """How many pods of the budget never go, by what is said of each Deployment."""
    said = []
    for key in keys:
        view = store.look((key[0], key[1]), NOW)
        assert view is not None
        found = disruption_budget.check(DisruptionBudget(), view).findings
        said += [one.message for one in found if one.reason == "BudgetAllowsNone"]
    return said


def never(limit: int | str, pods: int) -> str:
    what = f"PodDisruptionBudget front (minAvailable {limit}) never lets any of {pods} pods go"
    return f"{what}: every drain of their nodes blocks"


@pytest.fixture
def store() -> Store:
    """Three stable replicas and one canary, and nothing is dirty."""
    filled = new_store()
    put(filled, (DEPLOYMENT, deployment("stable")), (DEPLOYMENT, deployment("canary", replicas=1)))
    return filled


def test_a_budget_of_two_deployments_blocks_where_it_wants_all_pods_of_both(store: Store) -> None:
    def said(limit: int | str, *more: tuple[Kind, Object]) -> list[str]:
        put(store, (BUDGET, budget(limit)), *more)
        return blocked(store, STABLE, CANARY)

    assert [said(limit) for limit in (2, 3, "75%", "76%")] == [[], [], [], [never("76%", 4)] * 2]
    assert said(4) == [never(4, 4)] * 2
    assert said(4, (HPA, hpa("canary", 3))) == []
    assert said(6) == [never(6, 6)] * 2
    assert said(6, (SCALED_OBJECT, keda("stable", None))) == []
    store.delete(SCALED_OBJECT, "shop", "stable", "")
    assert said(6, (DEPLOYMENT, autoscaler("stable", "params")), (CONFIG_MAP, parameters(4))) == []
    assert said(7, (DEPLOYMENT, deployment("canary", replicas=0))) == [never(7, 4)]


def test_one_that_has_no_replicas_counts_as_many_as_keda_may_wake(store: Store) -> None:
    put(store, (DEPLOYMENT, deployment("canary", replicas=0)), (BUDGET, budget(3)))
    assert blocked(store, STABLE, CANARY) == [never(3, 3)]
    put(store, (HPA, hpa("canary", 5)))
    assert blocked(store, STABLE, CANARY) == [never(3, 3)], "an HPA leaves 0 alone"
    put(store, (SCALED_OBJECT, keda("canary", 5)))
    assert blocked(store, STABLE, CANARY) == []


def test_the_number_of_one_makes_the_other_be_judged_again_only_where_it_matters_to_a_budget_of_both(
    store: Store,
) -> None:
    put(store, (DEPLOYMENT, deployment("other", app="shop")))
    more, again = (DEPLOYMENT, deployment("stable", replicas=4)), (DEPLOYMENT, deployment("stable"))
    assert put(store, more) == {STABLE}, "there is no budget"
    put(store, again, (BUDGET, budget(4, {"app": "stable"})))
    assert put(store, more) == {STABLE}, "the budget is of one alone"
    put(store, again, (BUDGET, budget(50)))
    assert put(store, more) == {STABLE, CANARY, OTHER}
    assert put(store, more) == {STABLE}, "the number is the same"
    assert put(store, (HPA, hpa("canary", 60))) == {STABLE, CANARY, OTHER, ("shop", "canary", HPA.kind)}
    put(store, (BUDGET, budget(3)))
    assert put(store, again) == {STABLE}, "the others are enough, whatever this one has"
    put(store, (BUDGET, budget("100%")))
    assert put(store, more) == {STABLE}, "none may go, whatever there is"
    put(store, (BUDGET, budget(50)))
    store.delete(DEPLOYMENT, "shop", "other", "")
    assert store.take_dirty() == {STABLE, CANARY, OTHER, ("shop", "canary", HPA.kind)}


def test_of_ten_thousand_that_share_a_budget_few_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = new_store()
    crowd.replace(DEPLOYMENT, [deployment(f"web-{number}", replicas=1) for number in range(10_000)], "9")
    put(crowd, (BUDGET, budget(2)))
    asked: list[None] = []

    def counted(selector: Selector | None, labels: Mapping[str, str]) -> bool:
        asked.append(None)
        return selects(selector, labels)

    monkeypatch.setattr("resilience_operator.targets.workloads.together.selects", counted)
    assert blocked(crowd, *(("shop", f"web-{number}") for number in range(100))) == []
    assert put(crowd, (DEPLOYMENT, deployment("web-7", 11, replicas=2))) == {("shop", "web-7")}
    assert len(asked) < 400, "three are enough to know for each"


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
    return {key: blocked(store, key) if store.look((key[0], key[1]), NOW) is not None else [] for key in keys}


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
