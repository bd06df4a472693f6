"""Random histories of owners, engineers, policies and crashes: what never happens, and how each of them ends."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.sim.leaves import PUBLISHED, Raw, pod_spec
from tests.sim.world import World, key, workload

NAMES = ("a", "b", "c")
ORIGINS = ("kubectl apply", "kubectl create", "server-side apply")
Act = tuple[Any, ...]


def constraint(skew: int, when: str) -> Raw:
    return {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": skew,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"tier": "x"}},
    }


# Values that no policy here demands: who writes what we wrote already leaves no trace of having wished it.
EDITS: dict[str, tuple[Any, ...]] = {
    "terminationGracePeriodSeconds": (31, 61, 91, None),
    "dnsConfig": (None, {"options": [{"name": "ndots", "value": "2"}]}, {}, {"nameservers": ["10.0.0.10"]}),
    "topologySpreadConstraints": (
        None,
        [constraint(5, "ScheduleAnyway")],
        [constraint(1, "DoNotSchedule"), {**constraint(2, "ScheduleAnyway"), "topologyKey": "rack"}],
    ),
    "lifecycle": (
        None,
        {"preStop": {"sleep": {"seconds": 5}}},
        {"preStop": {"exec": {"command": ["/bin/drain"]}}},
        {"postStart": {"exec": {"command": ["/bin/hello"]}}},
    ),
}
edits = st.sampled_from([(field, value) for field, values in EDITS.items() for value in values])
names, managers = st.sampled_from(NAMES), st.sampled_from(["owner", "kubectl-patch"])
sections = st.fixed_dictionaries(
    {},
    optional={
        "spread": st.just({}),
        "dnsConfig": st.sampled_from([{}, {"options": [{"name": "timeout", "value": "2"}]}]),
        "gracefulShutdown": st.sampled_from([{}, {"preStopSleepSeconds": 20}]),
        "conflicts": st.sampled_from(["Report", "TakeOver"]),
        "selector": st.just({"matchLabels": {"team": "x"}}),
    },
)
awake = st.fixed_dictionaries(
    {"deployments": sections},
    optional={"priority": st.sampled_from([0, 5]), "mode": st.just("Audit")},
)
asleep = awake.map(lambda spec: {**spec, "suspend": True})
labels = st.sampled_from(["team", "resilience.dev/ignore"])
acts = st.one_of(
    st.tuples(st.just("edit"), names, managers, edits),
    st.tuples(st.just("push"), names, st.sampled_from(["v1", "v2", "v3"])),
    st.tuples(st.just("scale"), names, st.sampled_from([0, 1, 3, 4])),
    st.tuples(st.just("label"), names, labels, st.sampled_from(["x", "all", "spread", None])),
    st.tuples(st.just("recreate"), names, st.sampled_from(ORIGINS)),
    st.tuples(st.just("policy"), st.sampled_from("pq"), awake),
    st.tuples(st.just("delete policy"), st.sampled_from("pq")),
    st.tuples(st.just("wait"), st.sampled_from([5, 40])),
)
others = st.one_of(
    st.tuples(st.just("policy"), st.sampled_from("pq"), asleep),
    st.tuples(st.just("undo"), names),
    st.tuples(st.just("fail"), st.booleans()),
    st.tuples(st.just("crash"), st.integers(0, 2), st.sampled_from(["before", "after"])),
)
LIMITS = {
    "soakSeconds": 5,
    "maxConcurrent": 2,
    "maxConcurrentPerNamespace": 2,
    "progressDeadlineSeconds": 60,
    "failureThresholdPerNamespace": 50,
}
histories = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)


def act(world: World, one: Act) -> None:
    kind, *told = one
    ACTS[kind](world, *told)


def edit(world: World, name: str, manager: str, what: tuple[str, Any]) -> None:
    field, value = what

    def change(raw: Raw) -> None:
        home = pod_spec(raw)["containers"][0] if field == "lifecycle" else pod_spec(raw)
        if value is None:
            home.pop(field, None)
        else:
            home[field] = copy.deepcopy(value)

    world.cluster.update(key(name), manager, change)


def scale(world: World, name: str, replicas: int) -> None:
    world.cluster.update(key(name), "kubectl-scale", lambda raw: raw["spec"].update(replicas=replicas))


def recreate(world: World, name: str, origin: str) -> None:
    world.cluster.delete(key(name))
    world.cluster.create(workload(name), origin)


def policy(world: World, name: str, spec: dict[str, Any]) -> None:
    world.operator.policy(name, onRelease="Revert", rollout=LIMITS, **copy.deepcopy(spec))


def undo(world: World, name: str) -> None:
    if len(world.cluster.stored[key(name)].replica_sets) > 1:
        world.controller.undo(key(name))


def fail(world: World, fails: bool) -> None:
    world.controller.well = lambda template: not fails or "dnsConfig" not in template["spec"]


def crash(world: World, number: int, moment: str) -> None:
    world.operator.crash = (len(world.operator.writes) + number, moment)


ACTS: dict[str, Callable[..., None]] = {
    "edit": edit,
    "push": World.push,
    "scale": scale,
    "label": lambda world, name, label, value: world.label(name, **{label: value}),
    "recreate": recreate,
    "policy": policy,
    "delete policy": lambda world, name: world.operator.delete_policy(name),
    "wait": lambda world, seconds: world.cluster.tick(seconds),
    "undo": undo,
    "fail": fail,
    "crash": crash,
}


def lived(
    origins: list[str], history: list[tuple[Act, int]], first: int = 0, *, watched: bool = True
) -> World:
    """A world after that history, with as many turns after each act as it says; it begins with a policy."""
    world = World()
    for name, origin in zip(NAMES, origins, strict=True):
        world.cluster.create(workload(name), origin)
    world.controller.settle()
    if watched:
        act(world, ("policy", "p", {"deployments": {"spread": {}, "dnsConfig": {}, "gracefulShutdown": {}}}))
        world.turns(first)
    for one, turns in history:
        act(world, one)
        world.turns(turns)
    return world


def alone(origins: list[str], history: list[tuple[Act, int]]) -> World:
    """The same Deployments in the same hands, without us."""
    return lived(origins, [(one, 0) for one, _ in history if "policy" not in one[0]], watched=False)


def calm(world: World) -> None:
    """All is well, nobody is opted out, nothing crashes: turn until nothing is to be done."""
    world.controller.well = lambda template: True
    world.operator.crash = None
    for name in NAMES:
        world.label(name, **{"resilience.dev/ignore": None})
    world.until(world.quiet)
    world.turns(10)
    world.until(world.quiet)


three_origins = st.lists(st.sampled_from(ORIGINS), min_size=3, max_size=3)


@histories
@given(
    three_origins,
    st.integers(0, 12),
    st.lists(st.tuples(st.one_of(acts, others), st.integers(0, 4)), max_size=14),
)
def test_only_published_leaves_change_the_limit_holds_and_every_history_ends_quiet(
    origins: list[str], first: int, history: list[tuple[Act, int]]
) -> None:
    world = lived(origins, history, first)
    calm(world)
    assert world.operator.touched <= PUBLISHED
    assert world.peak <= 2
    assert world.operator.refused == []
    version, writes = world.cluster.version, len(world.operator.writes)
    world.turns(4)
    assert (world.cluster.version, len(world.operator.writes)) == (version, writes), "quiet once converged"


@histories
@given(three_origins, st.integers(0, 12), st.lists(st.tuples(acts, st.integers(0, 4)), max_size=14))
def test_after_a_release_with_revert_everything_is_as_if_we_had_never_been(
    origins: list[str], first: int, history: list[tuple[Act, int]]
) -> None:
    world, shadow = lived(origins, history, first), alone(origins, history)
    calm(world)
    for name in list(world.operator.policies):
        world.operator.delete_policy(name)
    world.until(lambda: not world.operator.policies)
    world.until(world.quiet)
    assert {name: world.pod(name) for name in NAMES} == {name: shadow.pod(name) for name in NAMES}
    assert {name: world.traces(name) for name in NAMES} == {name: [] for name in NAMES}
