"""Changes of the EKS add-on: the note in the cluster and the update at AWS, and an end before or after each of them.

The whole path is the operator's, from what AWS shows to what is sent; the API server and AWS are a few lines each.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from resilience_operator.api.client import Clock, NotLeader
from resilience_operator.api.write import Outcome, Writer, Written
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import ADDON_ANNOTATION
from resilience_operator.engine.change import Decision
from resilience_operator.engine.contest import Patience
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.queue import OperatorLimits, Schedule, schedule
from resilience_operator.outside.eks import Addon, Addons, Busy, Denied, Failed
from resilience_operator.outside.feed import AddonFeed
from resilience_operator.outside.updates import carry_out
from resilience_operator.run import events as announce
from resilience_operator.run.apply import Done, Report
from resilience_operator.targets import judge, new_store, parse, project
from resilience_operator.targets.coredns import addon_state as addons
from tests.support.views import NOW

Body = dict[str, Any]
BEFORE = '{ "corefile": ".:53 {}",  "autoScaling": {"enabled": true} }'
AFTER = '{ "corefile": ".:53 {}",  "autoScaling": {"enabled": true, "minReplicas": 3},  "replicaCount": 3 }'
HIGHER = AFTER.replace(": 3", ": 5")
WAITS = "waits: an update of the add-on is in flight"


class CrashError(Exception):
    """The operator died."""


@dataclass
class Aws(Addons):
    """EKS: an update is in flight until `finish`. `crash`: die before or after the next update."""

    configuration: str = BEFORE
    status: str = "ACTIVE"
    modified: int = 1
    updates: list[str] = field(default_factory=list)
    crash: str = ""
    error: Exception | None = None

    def read(self, cluster: str) -> Addon:
        """DescribeAddon."""
        in_flight = self.status == "UPDATING"
        return Addon(
            cluster, "coredns", "v1", self.status, self.configuration, in_flight, (), f"{self.modified}"
        )

    def update(self, addon: Addon, configuration: str, before_send: Callable[[], None] = lambda: None) -> str:
        """UpdateAddon."""
        before_send()
        if self.crash == "before" or self.error is not None:
            raise self.error or CrashError
        if self.status == "UPDATING":
            raise Busy("update", "it is updating")
        self.updates.append(configuration)
        self.status, self.modified = "UPDATING", self.modified + 1
        if self.crash == "after":
            raise CrashError
        return "u-1"

    def finish(self, status: str = "ACTIVE") -> None:
        """The update ends."""
        self.modified += 1
        if status == "ACTIVE":
            self.configuration = self.updates[-1]
        self.status = status

    def set(self, configuration: str) -> None:
        """Somebody else's update, ended."""
        self.modified += 2
        self.configuration, self.status = configuration, "ACTIVE"


class World:
    """The Deployment, AWS and one policy; every pass is a restart of the operator."""

    def __init__(self) -> None:
        meta = {"name": "coredns", "namespace": "kube-system", "uid": "d-1", "resourceVersion": "1"}
        labels = {"k8s-app": "kube-dns"}
        spec = {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "coredns"}]}},
        }
        self.raw: Body = {"metadata": meta, "spec": spec}
        self.aws, self.now, self.crash = Aws(), NOW, ""
        self.spec: Body = {"mode": "Enforce", "onRelease": "Revert", "coreDNS": {"floor": {"minReplicas": 3}}}
        self.generation, self.deleting, self.gone = 1, False, False
        self.notes: list[str | None] = []
        self.reports: list[Report] = []

    # The API server, as far as a Writer asks it

    async def read(self, kind: Any, ref: ObjectRef) -> Body:
        """GET."""
        assert ref.name == "coredns"
        eks = {"manager": "eks", "operation": "Apply", "fieldsV1": {}}
        found: Body = json.loads(json.dumps(self.raw))
        found["metadata"]["managedFields"] = [eks]
        return found

    async def json_patch(self, kind: Any, ref: ObjectRef, ops: list[Body]) -> Outcome:
        """PATCH; its first two operations are preconditions."""
        assert [(one["op"], one["path"]) for one in ops[:2]] == [
            ("test", "/metadata/uid"),
            ("test", "/metadata/resourceVersion"),
        ]
        meta = self.raw["metadata"]
        assert [one["value"] for one in ops[:2]] == [meta["uid"], meta["resourceVersion"]]
        if self.crash == "before":
            raise CrashError
        last = ops[2]
        value = last.get("value")
        note = value[ADDON_ANNOTATION] if isinstance(value, dict) else value
        meta["annotations"] = {"other": "kept"} | ({ADDON_ANNOTATION: note} if note else {})
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        self.notes.append(note)
        if self.crash == "after":
            raise CrashError
        return Written(b'{"metadata":{}}', meta["resourceVersion"])

    @property
    def note(self) -> str | None:
        """Our annotation."""
        return cast(Body, self.raw["metadata"].get("annotations", {})).get(ADDON_ANNOTATION)

    # The operator

    async def one_pass(self, fence: Callable[[], None] = lambda: None) -> tuple[Decision | None, Schedule]:
        """Look, decide, write."""
        store = new_store()
        raw = json.dumps(await self.read(None, ObjectRef("", "", "", "coredns"))).encode()
        store.put(DEPLOYMENT, project(DEPLOYMENT, raw))
        feed = AddonFeed(store, fence, Clock(), cluster="prod", aws=self.aws)
        feed.want(True)
        await feed.look()
        meta: Body = {"name": "p", "uid": "p-1", "generation": self.generation}
        meta |= {"deletionTimestamp": "2026-11-22T08:00:00Z"} if self.deleting else {}
        policy, problems = parse({"metadata": meta, "spec": self.spec})
        assert problems == ()
        policies = () if self.gone else (policy,)
        view = store.look(addons.KEY, self.now)
        directory = {one.uid: one for one in policies}
        patience = Patience(timedelta(minutes=10), timedelta(minutes=10))
        decision = judge(view, policies, Surroundings(directory, patience)) if view is not None else None
        plan = schedule([decision] if decision else [], directory, OperatorLimits(), self.now)
        for change in plan.now:
            assert view is not None
            self.reports.append(await carry_out(cast(Writer, self), feed, change, view, self.now))
        self.now += timedelta(seconds=5)
        return decision, plan

    async def settle(self) -> None:
        """Pass after pass, updates ending in between, until nothing is to be done."""
        for _ in range(12):
            _, plan = await self.one_pass()
            if self.aws.status == "UPDATING":
                self.aws.finish()
            elif not plan.now:
                return
        raise AssertionError("it never came to rest")

    async def states(self) -> list[tuple[str, str]]:
        """(state, why) of the findings."""
        decision, _ = await self.one_pass()
        return [(str(one.state), one.why) for one in decision.judged] if decision else []

    def policy(self, **spec: Any) -> None:
        """Change the policy."""
        self.spec, self.generation = {**self.spec, **spec}, self.generation + 1


async def enforced() -> World:
    world = World()
    await world.settle()
    return world


async def test_the_floor_is_noted_first_and_then_written_once() -> None:
    world = World()
    _, plan = await world.one_pass()
    assert [one.reason for one in plan.now] == ["sets configurationValues"]
    assert (world.aws.updates, len(world.notes)) == ([AFTER], 1)
    decision, plan = await world.one_pass()
    assert decision is not None
    assert (plan.now, plan.waiting) == ((), {addons.KEY: WAITS})
    assert [str(one.state) for one in decision.judged] == ["Pending"]
    world.aws.finish()
    for _ in range(3):
        decision, plan = await world.one_pass()
        assert decision is not None
        assert (plan.now, decision.judged) == ((), ())
    assert (world.aws.updates, len(world.notes)) == ([AFTER], 1)
    assert [one.done for one in world.reports] == [Done.DONE]


async def test_it_is_given_back_byte_for_byte_and_nothing_is_left() -> None:
    world = await enforced()
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)
    assert world.aws.updates == [AFTER, BEFORE]
    assert [one.done for one in world.reports] == [Done.DONE, Done.UNDERWAY, Done.DONE]
    (told,) = announce.outcomes(world.reports[-1], 0)
    assert (told.reason, told.note) == (
        "Reverted",
        (
            "policy p, rule coredns-floor: gave back configurationValues; no pod restarts."
            " Opt out: label resilience.dev/ignore=coredns-floor"
        ),
    )


async def test_no_configuration_is_given_back_as_an_empty_one() -> None:
    world = World()
    world.aws.configuration = ""
    await world.settle()
    assert world.aws.configuration == '{"replicaCount":3}'
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == ("{}", None)


MOMENTS = [("note", "before"), ("note", "after"), ("aws", "before"), ("aws", "after")]


async def crashing(world: World, where: str, moment: str) -> None:
    """One pass that dies."""
    target: Any = world if where == "note" else world.aws
    target.crash = moment
    with pytest.raises(CrashError):
        await world.one_pass()
    target.crash = ""


@pytest.mark.parametrize(("where", "moment"), MOMENTS)
async def test_an_end_while_enforcing_loses_nothing(where: str, moment: str) -> None:
    world = World()
    await crashing(world, where, moment)
    await world.settle()
    assert (world.aws.configuration, world.aws.updates) == (AFTER, [AFTER])
    assert await world.states() == []
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)


@pytest.mark.parametrize(("where", "moment"), MOMENTS)
async def test_an_end_while_raising_further_keeps_what_was_there_before_us(where: str, moment: str) -> None:
    world = await enforced()
    world.policy(coreDNS={"floor": {"minReplicas": 5}})
    await crashing(world, where, moment)
    await world.settle()
    assert world.aws.configuration == HIGHER
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)


async def test_what_was_noted_and_not_sent_survives_a_change_of_the_add_on_beside_its_configuration() -> None:
    world = await enforced()
    world.policy(coreDNS={"floor": {"minReplicas": 5}})
    await crashing(world, "note", "after")
    world.aws.set(AFTER)  # An upgrade, say: it was changed, and its configuration is the same.
    await world.settle()
    assert world.aws.configuration == HIGHER
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)


async def test_what_was_noted_and_not_sent_is_not_told_as_done() -> None:
    world = World()
    await crashing(world, "aws", "before")
    world.policy(suspend=True)
    decision, _ = await world.one_pass()
    assert decision is not None
    assert decision.state.applies == ()


@pytest.mark.parametrize(("where", "moment"), MOMENTS)
async def test_an_end_while_raising_and_then_the_policy_goes(where: str, moment: str) -> None:
    world = await enforced()
    world.policy(coreDNS={"floor": {"minReplicas": 5}})
    await crashing(world, where, moment)
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)


@pytest.mark.parametrize(("where", "moment"), MOMENTS)
async def test_an_end_while_giving_back_gives_back(where: str, moment: str) -> None:
    world = await enforced()
    world.deleting = True
    await crashing(world, where, moment)
    decision, _ = await world.one_pass()
    assert decision is not None
    assert decision.change is not None, "the policy is held until all is given back"
    if world.aws.status == "UPDATING":
        world.aws.finish()
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)
    assert world.aws.updates == [AFTER, BEFORE]


async def test_attempts_that_are_refused_note_the_same_once_and_say_what_to_type() -> None:
    world = World()
    world.aws.error = Denied("update it", "AccessDenied")
    for _ in range(3):
        await world.one_pass()
    assert (len(world.notes), world.aws.updates) == (1, [])
    assert {one.done for one in world.reports} == {Done.REFUSED}
    report = world.reports[-1]
    assert report.until is not None
    assert f"--configuration-values '{AFTER}'" in report.message
    world.aws.error = Failed("update it", "InvalidParameter")
    await world.one_pass()
    assert world.reports[-1].until is None
    world.deleting = True
    world.aws.error = None
    await world.settle()
    assert (world.aws.updates, world.note) == ([], None)


async def test_a_replica_that_does_not_lead_sends_nothing() -> None:
    def fence() -> None:
        raise NotLeader("not the holder")

    world = World()
    await world.one_pass(fence)
    assert ([one.done for one in world.reports], world.aws.updates) == ([Done.AGAIN], [])


async def test_an_update_that_eks_does_not_take_is_not_repeated_until_something_changes() -> None:
    world = World()
    await world.one_pass()
    world.aws.finish("UPDATE_FAILED")
    for _ in range(3):
        (state,) = await world.states()
        assert state[0] == "Quarantined"
        assert "EKS did not take the update: the add-on is UPDATE_FAILED" in state[1]
    assert world.aws.updates == [AFTER]
    world.policy(coreDNS={"floor": {"minReplicas": 5}})
    await world.one_pass()
    assert world.aws.updates == [AFTER, HIGHER]
    world.aws.finish("UPDATE_FAILED")
    world.aws.set("{}")
    await world.settle()
    assert world.aws.configuration == '{"replicaCount":5}'
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == ("{}", None)


async def test_a_failed_update_leaves_nothing_to_give_back() -> None:
    world = World()
    await world.one_pass()
    world.aws.finish("UPDATE_FAILED")
    world.deleting = True
    await world.settle()
    assert (world.aws.updates, world.note) == ([AFTER], None)


async def test_what_is_not_taken_back_waits_for_a_person() -> None:
    world = await enforced()
    world.deleting = True
    await world.one_pass()
    world.aws.finish("UPDATE_FAILED")
    for _ in range(3):
        decision, plan = await world.one_pass()
        assert decision is not None
        assert decision.change is not None
        assert "the former configuration was written, and is not there" in plan.waiting[addons.KEY]
    assert world.aws.updates == [AFTER, BEFORE]
    world.aws.set(BEFORE)
    await world.settle()
    assert world.note is None


async def test_what_somebody_sets_back_is_repaired_twice_and_then_left_alone() -> None:
    world = await enforced()
    for _ in range(2):
        world.aws.set(BEFORE)
        await world.settle()
        assert world.aws.configuration == AFTER
    world.aws.set(BEFORE)
    ((state, why),) = await world.states()
    assert state == "Contested"
    assert "somebody at AWS (UpdateAddon) took configurationValues back 3 times" in why
    assert world.aws.updates == [AFTER] * 3
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == (BEFORE, None)


async def test_what_somebody_changes_is_floored_as_well_and_given_back_as_they_left_it() -> None:
    world = await enforced()
    world.aws.set('{"corefile":"new","replicaCount":4}')
    await world.settle()
    assert (len(world.aws.updates), await world.states()) == (1, []), "4 is above the floor: theirs"
    world.aws.set('{"corefile":"new"}')
    await world.settle()
    assert world.aws.configuration == '{"corefile":"new","replicaCount":3}'
    world.deleting = True
    await world.settle()
    assert (world.aws.configuration, world.note) == ('{"corefile":"new"}', None)


@pytest.mark.parametrize(
    ("spec", "label"),
    [({"mode": "Audit"}, ""), ({"suspend": True}, ""), ({}, "coredns-floor"), ({"conflicts": "Report"}, "")],
)
async def test_nothing_is_written_where_somebody_says_no(spec: Body, label: str) -> None:
    world = World()
    world.policy(**spec)
    world.raw["metadata"]["labels"] = {"resilience.dev/ignore": label}
    await world.settle()
    assert (world.aws.updates, world.notes) == ([], [])


async def test_a_policy_that_retains_leaves_the_floor_and_the_record() -> None:
    world = World()
    world.policy(onRelease="Retain")
    await world.settle()
    world.deleting = True
    await world.settle()
    world.gone = True
    await world.settle()
    assert world.aws.configuration == AFTER
    assert world.note is not None


async def test_a_note_that_was_copied_is_not_believed() -> None:
    world = await enforced()
    world.raw["metadata"]["uid"] = "d-2"
    decision, _ = await world.one_pass()
    assert decision is not None
    assert "is not believed" in decision.distrust
