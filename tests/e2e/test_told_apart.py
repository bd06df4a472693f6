"""Who takes our value back is told apart: a person, a release, a commit, and a controller that does it again and again.

What one act of a kind does to a value that is somebody's own from the start is test_origins.py; here ours was written
before. Undo, and a manager that lets go of its value, are in test_never_worse.py as well.
"""

import copy
import re
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.origins import ORIGINS, send
from tests.e2e.process import OperatorProcess
from tests.e2e.scene import Body, Scene, settle, workload
from tests.lab.audit import Mark, Write

MANY = ("--max-rollouts=1000", "--resync=2", "--lease-duration=60", "--request-timeout=20")
NDOTS, REOPEN = {"name": "ndots", "value": "2"}, {"name": "single-request-reopen"}
PATH = "spec.template.spec.dnsConfig.options"
LACKS = "dnsConfig.options lacks single-request-reopen"
COMMIT = "; kubectl resilience plan --patch prints what to commit"


# One act of one person or release


class Seen(NamedTuple):
    """What became of a Deployment after an act: the options that stand, our writes since, and what is said of it."""

    options: list[Body]
    writes: int = 0
    state: str = ""
    says: str = ""


@dataclass(frozen=True)
class Act:
    """Something that is done once: to what comes from that origin, and what becomes of it under Report / TakeOver."""

    origin: str
    does: Callable[[Scene, Body], None]
    report: Seen
    take_over: Seen


def chosen(who: str, program: str) -> Seen:
    """It stays, is named, and nothing is written."""
    return Seen(
        [NDOTS],
        0,
        "Contested",
        f"{LACKS}; {who} dnsConfig.options ({program}){COMMIT}",
    )


UNTOUCHED = Seen([REOPEN])
REPAIRED, MERGED = Seen([REOPEN], 1), Seen([NDOTS, REOPEN], 1)
REFUSED = Seen(
    [],
    0,
    "Quarantined",
    f"{LACKS}; revision 2 with our change was rolled back to an earlier template (kubectl rollout undo, "
    "or a replace of the whole object); "
    "it is not repeated until the policy or the template changes",
)


def undo(scene: Scene, body: Body) -> None:
    scene.lab.kubectl("-n", scene.namespace, "rollout", "undo", f"deployment/{name_of(body)}")


def edit(scene: Scene, body: Body) -> None:
    """kubectl edit with the editor of the fixture, which goes by the Deployment's name."""
    scene.lab.kubectl("-n", scene.namespace, "edit", f"deployment/{name_of(body)}")


def upgrade_3(scene: Scene, body: Body) -> None:
    """Helm 3: a three-way strategic merge patch of what the charts and the cluster say."""
    changes = {"spec": {"template": {"spec": {"dnsConfig": {"options": [NDOTS]}}}}}
    scene.patch(name_of(body), changes, "--type=strategic", "--field-manager=helm")


def upgrade_image(scene: Scene, body: Body) -> None:
    """Helm 3: an upgrade that has nothing to do with us."""
    container = {"name": "web", "image": "shop/web:1.5"}
    changes = {"spec": {"template": {"spec": {"containers": [container]}}}}
    scene.patch(name_of(body), changes, "--type=strategic", "--field-manager=helm")


def again(scene: Scene, body: Body) -> None:
    """The same command with the same manifest."""
    origin = ORIGINS[body["metadata"]["labels"]["origin"]]
    send(scene, (*origin.words, f"--field-manager={origin.manager}"), [body])


def commits(scene: Scene, body: Body) -> None:
    """The same command with a manifest that sets the options now."""
    again(scene, with_options(body))


def upgrade_4(scene: Scene, body: Body) -> None:
    """Helm 4 without --force-conflicts: what we set has no owner that it could be in conflict with."""
    send(scene, ("apply", "--server-side", "--field-manager=helm"), [with_options(body)])


ACTS = {
    "undo": Act("apply", undo, REFUSED, REFUSED),
    "apply-again": Act("apply", again, UNTOUCHED, UNTOUCHED),
    "apply": Act(
        "apply",
        commits,
        chosen("somebody with kubectl apply set", "kubectl-client-side-apply, Update"),
        MERGED,
    ),
    "apply-ssa": Act(
        "apply-ssa",
        commits,
        chosen("somebody with kubectl apply --server-side set", "kubectl, Apply"),
        MERGED,
    ),
    "edit": Act("apply", edit, chosen("somebody with kubectl edit set", "kubectl-edit, Update"), MERGED),
    "edit-removes": Act("apply", edit, REPAIRED, REPAIRED),
    "helm-3": Act("helm-3", upgrade_3, chosen("Helm set", "Helm release shop; helm, Update"), MERGED),
    "helm-3-image": Act("helm-3", upgrade_image, UNTOUCHED, UNTOUCHED),
    "helm-4": Act("helm-4", upgrade_4, chosen("Helm set", "Helm release shop; helm, Apply"), MERGED),
    "helm-4-force": Act("helm-4", commits, chosen("Helm set", "Helm release shop; helm, Apply"), MERGED),
    "argo-cd": Act(
        "argo-cd",
        commits,
        chosen("Git sets", "Argo CD application shop; argocd-controller, Update"),
        MERGED,
    ),
}
CONFLICTS = {"report": "Report", "takeover": "TakeOver"}

EDITOR = """
import sys
import yaml

with open(sys.argv[1]) as file:
    body = yaml.safe_load(file)
pod = body["spec"]["template"]["spec"]
if body["metadata"]["name"].startswith("edit-removes"):
    del pod["dnsConfig"]
else:
    pod["dnsConfig"]["options"] = [{"name": "ndots", "value": "2"}]
with open(sys.argv[1], "w") as file:
    yaml.safe_dump(body, file)
"""


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text(EDITOR)
    monkeypatch.setenv("KUBE_EDITOR", shlex.join([sys.executable, str(script)]))


@pytest.mark.usefixtures("editor")
def test_one_act_of_a_person_or_a_release_is_named_or_mended_and_never_a_contest(scene: Scene) -> None:
    every = {f"{name}-{how}": (act, how) for name, act in ACTS.items() for how in CONFLICTS}
    made = {name: manifest(scene, name, act.origin, how) for name, (act, how) in every.items()}
    expected = {name: act.report if how == "report" else act.take_over for name, (act, how) in every.items()}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda body: again(scene, body), made.values()))
        scene.wait_rolled_out(*made)
        with scene.operator(*MANY):
            for how, conflicts in CONFLICTS.items():
                enforce(scene, how, dnsConfig={}, conflicts=conflicts)
                scene.wait_compliant(how)
            mark = scene.lab.audit.mark()
            list(pool.map(lambda name: every[name][0].does(scene, made[name]), made))
            with suppress(AssertionError):  # said below, with all that was seen
                look(scene, lambda: outcomes(scene, mark, made) == expected, "all is as it should be")
            settle(5)
            found = outcomes(scene, mark, made)
            wrong = {name: (found[name], want) for name, want in expected.items() if found[name] != want}
            assert wrong == {}, "(what was seen, what was expected)"


def look(scene: Scene, probe: Callable[[], Any], what: str) -> None:
    """Wait, and look seldom: the machine has other things to do."""
    scene.lab.wait(probe, 90, what, every=0.7)


def manifest(scene: Scene, name: str, origin: str, policy: str) -> Body:
    """What the origin says: a Deployment without a word about the options."""
    body = workload(scene.namespace, name, replicas=1)
    of = ORIGINS[origin]
    body["metadata"]["labels"] |= {"policy": policy, "origin": origin, **of.labels}
    body["metadata"]["annotations"] = dict(of.annotations)
    if of.tracked:
        tracking = f"shop:apps/Deployment:{scene.namespace}/{name}"
        body["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = tracking
    return body


def with_options(body: Body) -> Body:
    """The manifest as the next commit has it."""
    changed = copy.deepcopy(body)
    changed["spec"]["template"]["spec"]["dnsConfig"] = {"options": [NDOTS]}
    return changed


def name_of(body: Body) -> str:
    name: str = body["metadata"]["name"]
    return name


def enforce(scene: Scene, policy: str, **section: Any) -> None:
    """A policy for the Deployments with its name as label; `conflicts` is the policy's."""
    spec = {"conflicts": conflicts} if (conflicts := section.pop("conflicts", "")) else {}
    scene.policy(
        policy,
        rollout={"soakSeconds": 0, "maxConcurrent": 1000, "maxConcurrentPerNamespace": 1000},
        deployments={"selector": {"matchLabels": {"policy": policy}}, **section},
        **spec,
    )


def outcomes(scene: Scene, mark: Mark, names: Iterable[str]) -> dict[str, Seen]:
    """What is seen of each Deployment now; `writes`: since the mark."""
    said = findings(scene, *CONFLICTS)
    writes = Counter(one.name for one in our_applies(scene, mark))
    now = scene.deployments()
    return {name: Seen(options_of(now[name]), writes[name], *said.get(name, ("", ""))) for name in names}


def options_of(body: Body) -> list[Body]:
    options: list[Body] = body["spec"]["template"]["spec"].get("dnsConfig", {}).get("options", [])
    return options


def findings(scene: Scene, *policies: str) -> dict[str, tuple[str, str]]:
    """Deployment -> (state, why it is in that state)."""
    every = [one for policy in policies for one in scene.findings(policy)]
    return {one["object"]["name"]: (one["state"], one["message"]) for one in every}


def our_applies(scene: Scene, mark: Mark) -> list[Write]:
    return [one for one in scene.changes(mark, resource="deployments") if one.succeeded]


# A controller that does it again and again


@contextmanager
def reapplying(tidy: Callable[[], bool], put_back: Callable[[], None]) -> Iterator[threading.Event]:
    """A controller beside the test: it looks three times a second, as Argo CD does, until its event is set."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.3):
            if not tidy():
                put_back()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield stop
        finally:
            stop.set()
            running.result()


BACKOFF = 15
TOOK = {
    "argo": "Git (Argo CD application shop; argocd-controller, Update) took spec.replicas",
    "flux": f"Git (Flux Kustomization flux-system/apps; kustomize-controller, Apply) took {PATH}",
    "tidy": f"tidy-controller (Update) took {PATH}",
}
"""Three controllers: one whose manifest says replicas, one that applies its own options with force, and one that
removes what it does not know, under conflicts: Report.
"""


class GivenUp(NamedTuple):
    """What the status says of one that we gave up on: who took it, how often, and when we try again."""

    took: str
    times: int
    until: datetime


def given_up(scene: Scene) -> dict[str, GivenUp]:
    """Deployment -> what its sentence says, of those that are contested."""
    found = {}
    for name, (state, message) in findings(scene, *TOOK).items():
        told = re.search(
            r"; ([^;(]+\([^)]*\) took \S+) back (\d+) times within 600 s; left alone until (.+) UTC$",
            message,
        )
        if state == "Contested" and told:
            until = datetime.strptime(f"{told[3]} +0000", "%Y-%m-%d %H:%M:%S %z")
            found[name] = GivenUp(told[1], int(told[2]), until)
    return found


@contextmanager
def three_controllers(scene: Scene) -> Iterator[threading.Event]:
    """They make their Deployments and see to them; the event ends Argo CD's."""
    argo, flux, tidy = (
        manifest(scene, name, origin, name)
        for name, origin in (("argo", "argo-cd"), ("flux", "flux"), ("tidy", "apply"))
    )
    argo["spec"]["replicas"] = 2
    flux = with_options(flux)

    def remove_options() -> None:
        # Who merely removes what it does not own leaves no trace in managedFields; a stamp does.
        stamp = {"annotations": {"tidy-controller/seen": str(time.time_ns())}}
        remove = {"metadata": stamp, "spec": {"template": {"spec": {"dnsConfig": None}}}}
        scene.patch("tidy", remove, "--type=merge", "--field-manager=tidy-controller")

    def says(name: str, options: list[Body]) -> bool:
        return options_of(scene.deployment(name)) == options

    for body in (argo, flux, tidy):
        again(scene, body)
    scene.wait_rolled_out(*TOOK)
    with (
        reapplying(lambda: scene.spec("argo")["replicas"] == 2, lambda: again(scene, argo)) as argo_ends,
        reapplying(lambda: says("flux", [NDOTS]), lambda: again(scene, flux)),
        reapplying(lambda: says("tidy", []), remove_options),
    ):
        yield argo_ends


def is_led_again(scene: Scene, operator: OperatorProcess, twin: str) -> None:
    """A new leader that repairs what drifts: it has seen the contests, too."""
    scene.wait(lambda: operator.metric("resilience_leader").get("") == 1.0, "leads", 60)
    again(scene, manifest(scene, twin, "apply", "tidy"))
    scene.wait(lambda: options_of(scene.deployment(twin)) == [REOPEN], f"{twin} is repaired", 60)


def told(given: dict[str, GivenUp]) -> dict[str, tuple[str, int]]:
    return {name: (one.took, one.times) for name, one in given.items()}


@pytest.mark.slow
def test_a_controller_that_reapplies_is_fought_three_times_whoever_leads_and_left_alone_for_longer_each_time(
    scene: Scene,
) -> None:
    first, second = (scene.operator("--resync=2", f"--contest-backoff={BACKOFF}") for _ in range(2))
    with three_controllers(scene) as argo_ends, ExitStack() as operators:
        mark = scene.lab.audit.mark()
        operators.enter_context(first)
        enforce(scene, "argo", replicas={"min": 3}, conflicts="TakeOver")
        enforce(scene, "flux", dnsConfig={}, conflicts="TakeOver")
        enforce(scene, "tidy", dnsConfig={})
        look(scene, lambda: given_up(scene).keys() == TOOK.keys(), "each is given up")
        before = given_up(scene)
        assert told(before) == {name: (took, 3) for name, took in TOOK.items()}
        assert Counter(one.name for one in our_applies(scene, mark)) == dict.fromkeys(TOOK, 3)

        argo_ends.set()
        first.kill()
        first.start()
        is_led_again(scene, first, "after-the-restart")
        operators.enter_context(second)
        four = {name: (TOOK[name], 4) for name in ("flux", "tidy")}
        look(scene, lambda: told(given_up(scene)) == four, "tried again, but for the one that ended")
        after = given_up(scene)

        first.kill()
        is_led_again(scene, second, "after-the-change")
        settle(3)
        slow = datetime.now(UTC) > min(
            one.until for one in after.values()
        )  # a machine on which the wait is over
        assert slow or given_up(scene) == after, "known to the new leader"
        applies: dict[str, list[datetime]] = {}
        for write in our_applies(scene, mark):
            applies.setdefault(write.name, []).append(write.time)
        for name, (_, _, until) in before.items():
            assert applies[name][3] >= until, "nothing was forgotten with the restart"
        for name, (_, _, until) in after.items():
            assert [at for at in applies[name][4:] if at < until] == [], "nor with the change of leader"
            assert round((until - applies[name][3]).total_seconds() / BACKOFF) == 2, "the wait is doubled"
        assert len(applies["argo"]) == 4
        assert scene.spec("argo")["replicas"] == 3, "what nobody takes back any more stays"
        assert scene.states("argo") == {}
