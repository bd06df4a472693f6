"""The EKS add-on beside the passes: when AWS is asked, what the store is told, and what a refusal becomes."""

import asyncio
import itertools
import json
import threading
from collections.abc import Sequence
from typing import Any, cast

from resilience_operator.api.client import Clock
from resilience_operator.api.lease import Lease
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.recorder import Recorder
from resilience_operator.api.status import FINALIZER, StatusWriter
from resilience_operator.api.write import Writer
from resilience_operator.cluster.objects.workloads import AddonReading
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import DEPLOYMENT, NODE
from resilience_operator.core.refs import ObjectRef
from resilience_operator.outside.eks import Addon, Denied, Unanswered
from resilience_operator.outside.feed import NO_CLUSTER, TOLERATED, AddonFeed
from resilience_operator.run.reconcile import Reconciler
from resilience_operator.run.services import Services, Settings
from resilience_operator.targets import new_store, project
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.workloads.view import DeploymentView
from tests.run.test_reconcile import Desk
from tests.support.views import NOW
from tests.targets.coredns.test_addon_updates import Aws, Body, World


class Seeker(Aws):
    """An AWS that knows the cluster of some instances; `asked`: each question."""

    def __init__(self, cluster: str = "prod") -> None:
        super().__init__()
        self.cluster, self.asked, self.problem = cluster, list[Any](), cast(Exception | None, None)

    def find_cluster(self, provider_ids: Sequence[str]) -> str:
        """DescribeInstances."""
        self.asked.append(tuple(provider_ids))
        return self.cluster

    def read(self, cluster: str) -> Addon:
        """DescribeAddon."""
        self.asked.append(cluster)
        if self.problem is not None:
            raise self.problem
        return super().read(cluster)


async def cluster_dns(world: World) -> Store:
    store = new_store()
    raw = await world.read(None, ObjectRef("", "", "", "coredns"))
    store.put(DEPLOYMENT, project(DEPLOYMENT, json.dumps(raw).encode()))
    return store


def node(name: str, provider_id: str) -> bytes:
    meta = {"name": name, "resourceVersion": "1"}
    return json.dumps({"metadata": meta, "spec": {"providerID": provider_id}}).encode()


def shown(store: Store) -> AddonReading:
    view = store.look(addons.PLACE, NOW)
    assert view is not None
    assert isinstance(view, DeploymentView)
    assert view.addon is not None
    return view.addon.reading


async def test_the_cluster_is_found_by_its_nodes_once_and_not_by_nodes_of_other_clouds() -> None:
    store, aws = await cluster_dns(World()), Seeker()
    for name, provider_id in {"a": "aws:///eu-west-1a/i-0a", "b": "gce://p/z/n", "c": ""}.items():
        store.put(NODE, project(NODE, node(name, provider_id)))
    feed = AddonFeed(store, lambda: None, Clock(), aws=aws)
    feed.want(True)
    await feed.look()
    await feed.look()
    assert aws.asked == [("aws:///eu-west-1a/i-0a",), "prod", "prod"]
    assert (shown(store).cluster, shown(store).problem) == ("prod", "")


async def test_a_cluster_that_nothing_names_is_a_problem_with_a_way_out() -> None:
    store, aws = await cluster_dns(World()), Seeker(cluster="")
    feed = AddonFeed(store, lambda: None, Clock(), aws=aws)
    feed.want(True)
    await feed.look()
    assert shown(store).problem == NO_CLUSTER


async def test_what_aws_said_counts_for_a_while_when_it_does_not_answer() -> None:
    store, aws = await cluster_dns(World()), Seeker()
    feed = AddonFeed(store, lambda: None, Clock(), cluster="prod", aws=aws)
    feed.want(True)
    await feed.look()
    aws.problem = Unanswered("read it", "timeout")
    for _ in range(TOLERATED - 1):
        await feed.look()
        assert shown(store).problem == ""
    await feed.look()
    assert "cannot read it: timeout" in shown(store).problem
    aws.problem = None
    await feed.look()
    assert shown(store).problem == ""
    aws.problem = Denied("read it", "no")
    await feed.look()
    assert "cannot read it: no" in shown(store).problem, "that is an answer"


async def test_nobody_is_asked_until_it_is_wanted_nor_afterwards() -> None:
    store, aws = await cluster_dns(World()), Seeker()
    feed = AddonFeed(store, lambda: None, Clock(), cluster="prod", every=0.01, aws=aws)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.05)
    assert aws.asked == []
    feed.want(True)
    await asyncio.sleep(0.2)
    assert len(aws.asked) > 1
    feed.want(False)
    await asyncio.sleep(0.05)
    before = len(aws.asked)
    await asyncio.sleep(0.1)
    task.cancel()
    assert len(aws.asked) == before
    assert shown(store).problem == addons.UNANSWERED


async def test_an_aws_that_hangs_keeps_nobody_from_ending() -> None:
    store, hangs = await cluster_dns(World()), threading.Event()

    class Hanging(Seeker):
        def read(self, cluster: str) -> Addon:
            hangs.wait(30)
            return super().read(cluster)

    feed = AddonFeed(store, lambda: None, Clock(), cluster="prod", aws=Hanging())
    feed.want(True)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    assert task.cancelled()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "aws")
    hangs.set()


class Listening(Desk):
    """Keeps the last status."""

    def __init__(self) -> None:
        super().__init__()
        self.status: Body = {}

    async def write(self, policy: ObjectRef, status: Body) -> None:
        """A status."""
        self.status = status


async def test_a_refusal_of_aws_is_shown_with_the_command_and_not_repeated() -> None:
    world, desk, ticks = World(), Listening(), itertools.count()
    world.aws.error = Denied("update it", "AccessDenied")
    store = await cluster_dns(world)
    feed = AddonFeed(store, lambda: None, Clock(), cluster="prod", aws=world.aws)
    services = Services(
        settings=Settings(),
        store=store,
        writer=cast(Writer, world),
        recorder=cast(Recorder, desk),
        status=cast(StatusWriter, desk),
        metrics=Metrics(),
        lease=cast(Lease, desk),
        paused=lambda: False,
        fresh=lambda: (),
        now=lambda: NOW,
        monotonic=lambda: float(next(ticks)),
        server_version=(1, 36),
        addons=feed,
    )
    reconciler = Reconciler(services)
    meta = {"name": "p", "uid": "p-1", "generation": 1, "finalizers": [FINALIZER]}
    reconciler.policy_changed({"metadata": meta, "spec": world.spec}, False)
    await reconciler.one_pass()
    await feed.look()
    for _ in range(4):
        await reconciler.one_pass()
        await asyncio.sleep(0.05)
        raw = await world.read(None, ObjectRef("", "", "", "coredns"))
        store.put(DEPLOYMENT, project(DEPLOYMENT, json.dumps(raw).encode()))
        await feed.look()
    kinds = {one["object"]["kind"]: one for one in desk.status["findings"]}
    assert {kind: one["state"] for kind, one in kinds.items()} == dict.fromkeys(
        ("Addon", "Deployment"), "ReportOnly"
    )
    found = kinds["Addon"]
    assert found["message"].endswith("; kubectl resilience report prints the command")
    refused = [one for one in desk.status["remediations"] if one["result"] == "Refused"]
    assert (len(refused), len(world.notes)) == (1, 1)
    assert {notice.reason for notice in desk.notices} >= {"RemediationFailed"}
