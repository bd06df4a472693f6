"""Wherever an object comes from, its owner's wishes are told from what the API server filled in, cell by cell."""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pykube
import pytest

from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.origins import (
    CASES,
    ORIGINS,
    SECTIONS,
    WITHOUT_PODS,
    Made,
    create_all,
    replica_sets,
    with_leaves,
)
from tests.e2e.scene import LABEL, Body, ResiliencePolicy, Scene, settle
from tests.lab import Lab
from tests.lab.audit import Mark
from tests.sim.leaves import changed

MANY = (
    "--max-rollouts=1000",
    "--resync=3",
    "--api-qps=1000",
    "--api-burst=1000",
    "--lease-duration=60",
    "--request-timeout=20",
)
"""All at once, and long times: a busy machine must not take the lease from the only operator."""

CONFLICTS = ("Report", "TakeOver")
TABLE = """
                                           helm-3  create  apply  argo-cd  helm-4  apply-ssa  fleet  flux  argo-cd-ssa
spread: nothing                            W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
spread: another key                        W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
spread: a stricter entry                   W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
spread: a weaker entry                     C/W     C/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
spread: a weaker entry of the other kind   C/C     C/C     C/C    C/C      C/C     C/C        C/C    C/C   C/C
dns-config: nothing                        W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
dns-config: name servers alone             W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
dns-config: another list                   C/W     C/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
graceful-shutdown: nothing                 W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
graceful-shutdown: grace period 30         W/W     W/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
graceful-shutdown: grace period 60         C/W     C/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
graceful-shutdown: a short sleep           C/C     C/C     C/C    C/C      C/C     C/C        C/C    C/C   C/C
graceful-shutdown: a hook that drains      W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
graceful-shutdown: more than demanded      -/-     -/-     -/-    -/-      -/-     -/-        -/-    -/-   -/-
replicas: nothing                          W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
replicas: one replica                      W/W     W/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
replicas: two replicas                     C/W     C/W     C/W    C/W      C/W     C/W        C/W    C/W   C/W
disruption-budget: nothing                 W/W     W/W     W/W    W/W      W/W     W/W        W/W    W/W   W/W
disruption-budget: a budget                -/-     -/-     -/-    -/-      -/-     -/-        -/-    -/-   -/-
disruption-budget: a budget of none        R/R     R/R     R/R    R/R      R/R     R/R        R/R    R/R   R/R
"""
"""Under conflicts Report / TakeOver. W: written once. C: contested, with the owner's name, and nothing is written.
R: reported only. -: nothing to do. Where only a default stands and no manifest is kept (Helm 3, kubectl create), a 30
that was typed cannot be told from one that the API server filled in: it is free.
"""


class Seen(NamedTuple):
    """What became of one cell; `differs`: paths at which it is not as it should be."""

    states: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    differs: frozenset[str] = frozenset()


def letters() -> dict[tuple[str, str, str], str]:
    """The table, by (what the owner says, origin, conflicts)."""
    head, *lines = TABLE.strip("\n").splitlines()
    found: dict[tuple[str, str, str], str] = {}
    for line in lines:
        title, *cells = re.split(r"\s{2,}", line.strip())
        for origin, cell in zip(head.split(), cells, strict=True):
            found |= {(title, origin, how): one for how, one in zip(CONFLICTS, cell.split("/"), strict=True)}
    return found


EVERY = [Made(case, origin, conflicts) for case in CASES for origin in ORIGINS for conflicts in CONFLICTS]
DRAWN = [made for made in EVERY if made.drawn]


def test_the_table_has_every_case_of_every_origin() -> None:
    assert letters().keys() == {made.cell for made in EVERY}
    assert len({made.name for made in EVERY}) == len(EVERY) == 360
    assert {made.origin for made in DRAWN} == ORIGINS.keys()
    assert len(DRAWN) == 2 * 2 * len(CASES) + 2 * 2


@pytest.fixture
def no_pods(own_lab: Callable[..., Lab], tmp_path: Path) -> Iterator[Scene]:
    """A scene in which everything below a ReplicaSet is a stand-in."""
    lab = own_lab(nodes=2, flags=WITHOUT_PODS)
    install_crd(lab)
    scene = make_scene(lab, tmp_path)
    with replica_sets(scene):
        yield scene


@pytest.fixture
def twenty_nodes(own_lab: Callable[..., Lab], tmp_path: Path) -> Scene:
    """A scene in which nothing is a stand-in, with room for all."""
    lab = own_lab(nodes=20)
    install_crd(lab)
    return make_scene(lab, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_each_case_two_origins_keep_their_wishes_and_get_back_what_they_said(no_pods: Scene) -> None:
    judge(no_pods, DRAWN)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_origin_keeps_its_wishes_and_gets_back_what_it_said(twenty_nodes: Scene) -> None:
    judge(twenty_nodes, EVERY)


def judge(scene: Scene, cells: Sequence[Made]) -> None:
    """Make the cells, enforce, compare with the table; then give back, and compare with what was there before."""
    create_all(scene, cells)
    wait_rolled_out(scene)
    before, budgets = scene.deployments(), budgets_of(scene)
    mark = scene.lab.audit.mark()
    with scene.operator(*MANY):
        enforce(scene)
        wait_until_quiet(scene)
        table = letters()
        expected = {made.cell: expectation(table[made.cell], made) for made in cells}
        found = look(scene, cells, before, mark)
        wrong = {cell: (found[cell], want) for cell, want in expected.items() if found[cell] != want}
        assert wrong == {}, "(what was seen, what was expected)"

        scene.lab.kubectl("delete", "rp", "-l", f"{LABEL}={scene.name}", "--timeout=300s")
        wait_rolled_out(scene)
        settle(2)
        after = scene.deployments()
    assert {name: paths for name in before if (paths := restored_but_for(before[name], after[name]))} == {}
    assert {name: left for name, one in after.items() if (left := traces(one))} == {}
    assert {name: one["spec"] for name, one in budgets_of(scene).items()} == {
        name: one["spec"] for name, one in budgets.items()
    }


def restored_but_for(before: Body, after: Body) -> set[str]:
    """Paths of the spec at which it is not what it was."""
    return changed(before["spec"], after["spec"], "spec")


def enforce(scene: Scene) -> None:
    """One policy for each rule and way to deal with conflicts: a status names fifty objects at most."""
    for rule, section in SECTIONS.items():
        for conflicts in CONFLICTS:
            scene.policy(
                f"{rule}-{conflicts.lower()}",
                conflicts=conflicts,
                onRelease="Revert",
                rollout={"soakSeconds": 0, "maxConcurrent": 1000, "maxConcurrentPerNamespace": 1000},
                deployments={"selector": {"matchLabels": {"rule": rule, "conflicts": conflicts}}, **section},
            )


def names() -> list[str]:
    return [f"{rule}-{conflicts.lower()}" for rule in SECTIONS for conflicts in CONFLICTS]


def wait_until_quiet(scene: Scene) -> None:
    """Until nothing rolls out and no policy wants more; then twice the time in which all is evaluated anew."""

    def quiet() -> bool:
        policies = [one.obj.get("status", {}).get("conditions", []) for one in scene.query(ResiliencePolicy)]
        progress = [one["status"] for each in policies for one in each if one["type"] == "Progressing"]
        return progress == ["False"] * len(names())

    scene.lab.wait(quiet, 400, "every policy has done what it can", every=0.5)
    wait_rolled_out(scene)
    settle(6)
    scene.lab.wait(quiet, 30, "and has nothing more to do", every=0.5)


def wait_rolled_out(scene: Scene) -> None:
    scene.lab.wait(lambda: all(scene.settled_all().values()), 400, "all are rolled out", every=1)


def expectation(letter: str, made: Made) -> Seen:
    origin = ORIGINS[made.origin]
    if letter == "C":
        return Seen(("Contested",), (origin.told,))
    write = "create 201" if made.case.rule == "disruption-budget" else "patch 200"
    return {"W": Seen(writes=(write,)), "R": Seen(("ReportOnly",)), "-": Seen()}[letter]


def look(
    scene: Scene, cells: Iterable[Made], before: dict[str, Body], mark: Mark
) -> dict[tuple[str, str, str], Seen]:
    """What became of every cell."""
    findings: dict[str, list[Body]] = {}
    for one in (finding for policy in names() for finding in scene.findings(policy)):
        findings.setdefault(one["object"]["name"], []).append(one)
    writes: dict[str, list[str]] = {}
    for write in scene.changes(mark):
        if write.resource in {"deployments", "poddisruptionbudgets"}:
            name = write.name.removesuffix("-resilience")
            writes.setdefault(name, []).append(f"{write.verb} {write.code}")
    now, budgets, table = scene.deployments(), budgets_of(scene), letters()
    found = {}
    for made in cells:
        mine, name = findings.get(made.name, []), made.name
        enforced = made.case.enforced if table[made.cell] == "W" else {}
        wanted = with_leaves(before[name]["spec"], name, enforced)
        found[made.cell] = Seen(
            tuple(sorted({one["state"] for one in mine})),
            tuple(sorted({owner for one in mine if (owner := named(one["message"]))})),
            tuple(writes.get(name, ())),
            frozenset(changed(now[name]["spec"], wanted, "spec")) | lacking(budgets, name, enforced),
        )
    return found


def lacking(budgets: dict[str, Body], name: str, enforced: Body) -> set[str]:
    """ "budget" where the operator's own budget is not as it should be."""
    ours = budgets.get(f"{name}-resilience")
    spec = copy.deepcopy(ours["spec"]) if ours is not None else None
    if spec is not None:
        assert spec.pop("selector") == {"matchLabels": {"app": name}}
    return set() if spec == enforced.get("budget") else {"budget"}


def named(message: str) -> str:
    """Whom a sentence names, what they do and what stands behind them: "" where it names nobody."""
    found = re.search(r"; ([^;]+ sets?) spec\.[^;]*( \([^()]*\)); to end it, commit \{", message)
    return "".join(found.groups()) if found else ""


def budgets_of(scene: Scene) -> dict[str, Body]:
    """Every PodDisruptionBudget of the namespace, by name."""
    return {one.name: one.obj for one in scene.query(pykube.PodDisruptionBudget, scene.namespace)}


def traces(body: Body) -> Iterable[str]:
    """What is left of the operator on an object."""
    meta = body["metadata"]
    kept = [key for key in meta.get("annotations", {}) if key.startswith("resilience.dev/")]
    return kept + [one["manager"] for one in meta["managedFields"] if one["manager"] == "resilience-operator"]
