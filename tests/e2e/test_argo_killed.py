"""Five Applications, twenty-five Deployments, one policy: a commit and a SIGKILL in the middle of the rollouts.

Everything ends Synced and Compliant, the limits are reached and never exceeded at any revision of the audit log, and
each Deployment was written once.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import make_scene
from tests.e2e.gitops import MODES, PATIENCE, Shop
from tests.e2e.history import Moment, deployment_writes, is_ours, most_in_flight, replay
from tests.e2e.scene import Body, Scene, workload
from tests.lab import Lab
from tests.lab.argocd import ArgoCD

SHOPS = 5
EACH = 5
LIMIT = 4
PER_NAMESPACE = 2
AT_COMMIT = 6
AT_KILL = 12
"""So many Deployments are written when Git changes, and when the operator is killed."""
LONG = 240.0
TIMES = ("--lease-duration=6", "--request-timeout=5", "--max-rollouts=1000")
ROLLOUT: Body = {"maxConcurrent": LIMIT, "maxConcurrentPerNamespace": PER_NAMESPACE, "soakSeconds": 1}
OPTION = {"name": "single-request-reopen"}

pytestmark = pytest.mark.slow


@pytest.fixture
def street(
    lab: Lab, crd: None, argocd: ArgoCD, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Scene, list[Shop]]]:
    """Five shops of one repository; how they are synced and compared differs."""
    home = make_scene(lab, tmp_path)
    repository = argocd.repository(home.name)
    shops = [Shop(argocd, home, MODES[number % len(MODES)], repository) for number in range(SHOPS)]
    yield home, shops
    for shop in shops:
        shop.close()


def names(shops: list[Shop]) -> list[str]:
    """The name of every Deployment, each once in the lab."""
    return [name for shop in shops for name in shop_names(shop)]


def shop_names(shop: Shop) -> list[str]:
    """The names of the Deployments of a shop."""
    return [f"{shop.app}-{number}" for number in range(EACH)]


def files(shop: Shop, image: str, first: int) -> list[Body]:
    """What Git says; the first Deployment has another number of replicas."""
    bodies = [workload(shop.namespace, name, replicas=2) for name in shop_names(shop)]
    bodies[0]["spec"]["replicas"] = first
    for body in bodies[::2]:
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return bodies


def commit(shops: list[Shop], image: str, first: int) -> str:
    """One commit that changes every shop."""
    changed = {shop.file: files(shop, image, first) for shop in shops}
    revision = shops[0].repository.commit(changed, f"{image}, {first} of the first")
    for shop in shops:
        shop.revision = revision
    return revision


def moments(shops: list[Shop]) -> list[Moment]:
    """What happened to the Deployments of these shops."""
    writes = [write for shop in shops for write in deployment_writes(shop.lab, shop.namespace)]
    return replay(sorted(writes, key=lambda write: int(write.resource_version)))


def written(shops: list[Shop]) -> Counter[str]:
    """How often the operator changed each Deployment."""
    return Counter(moment.name for moment in moments(shops) if moment.ours)


def test_a_commit_and_a_kill_in_the_middle_of_the_queue_leave_no_trace(
    street: tuple[Scene, list[Shop]],
) -> None:
    home, shops = street
    commit(shops, "shop/web:1.4", 2)
    for shop in shops:
        shop.join()
    for shop in shops:
        shop.argocd.wait_synced(shop.app, shop.revision, PATIENCE)
        shop.wait_rolled_out(*shop_names(shop))
    section: Body = {"namespaces": {"include": [shop.namespace for shop in shops]}, "dnsConfig": {}}
    first = home.operator(*TIMES).start()
    try:
        home.policy(deployments=section, rollout=ROLLOUT)
        home.wait(lambda: len(written(shops)) >= AT_COMMIT, "rollouts run", PATIENCE)
        commit(shops, "shop/web:1.5", 3)
        for shop in shops:
            shop.argocd.ask(shop.app)
        home.wait(lambda: len(written(shops)) >= AT_KILL, "half is done", PATIENCE)
    finally:
        first.kill()
    killed_at = len(written(shops))
    with home.operator(*TIMES):
        home.wait_compliant(timeout=LONG)
        for shop in shops:
            shop.settle_synced()
            shop.wait_rolled_out(*shop_names(shop))
        home.wait_compliant(timeout=PATIENCE)
    judge(home, shops, killed_at)


def judge(home: Scene, shops: list[Shop], killed_at: int) -> None:
    """What must hold, from the audit log."""
    everything = names(shops)
    assert AT_KILL <= killed_at < len(everything), "it was killed in the middle"
    for shop in shops:
        live, said = shop.deployments(), files(shop, "shop/web:1.5", 3)
        for body in said:
            spec, git = live[body["metadata"]["name"]]["spec"], body["spec"]
            assert spec["replicas"] == git["replicas"]
            pod, wanted = spec["template"]["spec"], git["template"]["spec"]
            assert pod["containers"][0]["image"] == wanted["containers"][0]["image"]
            assert pod["dnsConfig"] == {"options": [OPTION]}
        assert shop.refused() == []
        assert most_in_flight(moments([shop])) <= PER_NAMESPACE
    assert written(shops) == Counter(everything), "each was written once"
    assert most_in_flight(moments(shops)) == LIMIT, "reached, and never exceeded at any revision"
    sent = [
        write
        for shop in shops
        for write in shop.lab.audit.writes(resource="deployments", namespace=shop.namespace)
        if is_ours(write) and not write.asks_the_guard
    ]
    assert len(sent) <= 2 * len(everything), "with those that were refused because Git was faster"
    assert {write.code for write in sent} <= {200, 409}
    records = Counter((one["object"]["name"], one["result"]) for one in home.status()["remediations"])
    assert records == Counter((name, "Applied") for name in everything), "a record for each write"
