"""`plan --patch` against a control plane: what it prints is committed and synced, and the findings are gone.

The repository is examples/gitops, applied as Argo CD does it: its field manager and its tracking annotation.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e.process import OperatorProcess
from tests.e2e.scene import Body, Scene
from tests.e2e.test_command_line import resilience
from tests.support.gitops import POLICY, SHOP, append, merge, rendered, repository

GOLDEN = Path(__file__).parents[1] / "patches" / "enforced.yaml"
MANAGER = "argocd-controller"
WAYS = {"client-side": (), "server-side": ("--server-side", "--force-conflicts")}
LEFT = [("Deployment", name, "resources") for name in ("api", "search", "web", "web", "worker")]
"""(kind, name, rule) of what no commit is advised for, once for each container: a comment says why."""


@pytest.fixture(params=[pytest.param("client-side", marks=pytest.mark.slow), "server-side"])
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How Argo CD applies: with or without ServerSideApply=true."""
    return WAYS[request.param]


@pytest.fixture
def repo(scene: Scene, tmp_path: Path) -> Iterator[Path]:
    """The example repository; what was applied of it goes afterwards."""
    yield repository(tmp_path)
    # No operator runs any more that would take its finalizer off.
    policies = scene.lab.kubectl("get", "rp", "production", "--ignore-not-found", "-o", "name").split()
    for name in policies:
        scene.lab.kubectl("patch", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        scene.lab.kubectl("delete", name, "--timeout=60s")
    scene.lab.kubectl("delete", "namespace", "shop", "--ignore-not-found", "--timeout=120s")


def sync(scene: Scene, documents: list[Body], way: tuple[str, ...]) -> None:
    """Apply as Application `shop` does."""
    items = []
    for body in documents:
        meta = body["metadata"]
        place = f"{body['apiVersion'].rpartition('/')[0]}/{body['kind']}:{meta.get('namespace', '')}/{meta['name']}"
        tracking = {"argocd.argoproj.io/tracking-id": f"shop:{place}"}
        items.append(body | {"metadata": meta | {"annotations": tracking}})
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    scene.lab.kubectl("apply", f"--field-manager={MANAGER}", *way, "-f", "-", input=json.dumps(body))


def apply_policy(scene: Scene, repo: Path, mode: str) -> None:
    body = yaml.safe_load((repo / POLICY).read_text())
    body["spec"] |= {
        "mode": mode,
        "rollout": {"soakSeconds": 1, "maxConcurrent": 5, "maxConcurrentPerNamespace": 5},
    }
    body["spec"]["deployments"]["resources"] = {}  # Which limits are right its owner alone knows.
    scene.apply(body)


@contextmanager
def operator(scene: Scene) -> Iterator[OperatorProcess]:
    """An operator that sees the example's policy alone."""
    with scene.operator("--policy-selector=app.kubernetes.io/part-of=platform") as running:
        yield running


def complaints(stderr: str) -> list[str]:
    """What is said beside the answer, but for the operators of other tests on the same cluster, which are gone."""
    return [
        line for line in stderr.splitlines() if not line.startswith("Nobody can tell whether the operator")
    ]


def findings(scene: Scene) -> list[tuple[str, str, str, str]]:
    """(kind, name, rule, state) of all that is found now."""
    told = resilience(scene, "report", "production", "-o", "json")
    assert complaints(told.stderr) == []
    return sorted(
        (row["object"]["kind"], row["object"]["name"], row["rule"], row["state"])
        for row in json.loads(told.stdout)["findings"]
    )


def to_commit(scene: Scene, flag: str = "--patch") -> str:
    told = resilience(scene, "plan", "production", flag)
    assert (told.returncode, complaints(told.stderr)) == (0, [])
    return told.stdout


def settled(scene: Scene) -> bool:
    """True where the operator has done all that it may: nothing waits, and nothing rolls out."""
    return not {state for *_, state in findings(scene)} & {"Pending", "RollingOut"}


def test_what_git_chose_is_contested_until_the_patch_is_committed_and_synced(
    scene: Scene, repo: Path, way: tuple[str, ...]
) -> None:
    shop = repo / SHOP
    sync(scene, rendered(shop), way)
    apply_policy(scene, repo, "Enforce")
    with operator(scene):
        scene.wait(lambda: settled(scene), "all that the operator may do is done", 90)
        before = findings(scene)
        expected = [
            ("Deployment", "api", "spread", "Contested"),
            ("Deployment", "api", "spread", "Contested"),
            ("Deployment", "search", "replicas", "ReportOnly"),
            ("Deployment", "web", "dns-config", "Contested"),
            ("Deployment", "web", "graceful-shutdown", "Contested"),
            ("Deployment", "web", "graceful-shutdown", "Contested"),
            ("Deployment", "web", "replicas", "Contested"),
            ("Deployment", "worker", "dns-config", "ReportOnly"),
            *((*one, "ReportOnly") for one in LEFT),
            ("HorizontalPodAutoscaler", "search", "replicas", "Contested"),
        ]
        assert before == sorted(expected)
        patch = to_commit(scene)
        lines = patch.splitlines()
        assert [line for line in lines if not line.startswith("#")] == GOLDEN.read_text().splitlines()
        comments = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
        assert comments.count("Argo CD application shop") == comments.count(" Contested ") == 7
        assert comments.count(MANAGER) >= 7

        append(patch, shop)
        sync(scene, rendered(shop), way)
        left = [(*one, "ReportOnly") for one in LEFT]
        scene.wait(lambda: findings(scene) == left, "what no commit is advised for is left alone", 90)
        again = to_commit(scene)
        assert yaml.safe_load(again) == {"patches": []}
        assert all(f"# ReportOnly shop/{name} {rule} " in again for _, name, rule in LEFT)


@pytest.mark.slow
def test_of_an_audit_the_manifests_end_all_in_two_commits(
    scene: Scene, repo: Path, way: tuple[str, ...]
) -> None:
    documents = rendered(repo / SHOP)
    sync(scene, documents, way)
    apply_policy(scene, repo, "Audit")
    left = [(*one, "Drifted") for one in LEFT]
    for _ in range(2):  # With two replicas, more is asked of web and search.
        assert [one for one in findings(scene) if one not in left]
        mark = scene.lab.audit.mark()
        documents = merge(to_commit(scene, "--patch=manifest"), documents, repo)
        assert scene.lab.audit.writes(since=mark, user_agent="resilience") == [], "read-only"
        sync(scene, documents, way)
        scene.wait(lambda: rolled_out(scene), "rolled out")
    scene.wait(lambda: findings(scene) == left, "what no commit is advised for is left alone", 30)
    assert [one for one in yaml.safe_load_all(to_commit(scene, "--patch=manifest")) if one] == []


def rolled_out(scene: Scene) -> bool:
    found = json.loads(scene.lab.kubectl("-n", "shop", "get", "deployments", "-o", "json"))["items"]
    return len(found) == 4 and all(map(_complete, found))


def _complete(body: Body) -> bool:
    """True where all pods are of the newest template, as many as there shall be once the autoscaler has looked."""
    status, least = body.get("status", {}), 1 if body["metadata"]["name"] == "worker" else 2
    seen = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    wanted = max(body["spec"]["replicas"], least)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return seen and counts == [wanted] * 3
