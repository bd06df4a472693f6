"""Random objects of a tenant who means harm, or knows no better: decoded, kept, evaluated, planned and written.

`python -m tests.fuzz_objects 1000000` runs a million; tests/cluster/test_hostile_objects.py runs some. Each object is
put into a namespace of its own shape beside an honest twin; whatever raises beside UnreadableObjectError is a fault.
"""

import json
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from resilience_operator.core import kinds
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import Kind
from resilience_operator.engine import records
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.engine.withdrawal import withdraw
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import decode_event, judge, new_store, parse

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
MANAGER = "resilience-operator"
STATE = "resilience.dev/state"
PART = 1000
"""Objects of one seed."""

POD = "spec.template.spec"
Raw = dict[str, Any]

NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**40,
    1.5,
    "",
    "²",
    "1" * 5000,
    "9" * 30,
    "0" * 5000 + "50%",
    "50%",
    "1e400",
    "a\x1b[31m\u202e",
    "x" * 3000,
    [],
    [[]],
    {},
    {"a": {}},
    ["x"],
    {"sleep": []},
    {"sleep": {"seconds": "x"}},
    {"sleep": {"seconds": 5}},
    {"exec": {"command": "x"}},
    "8999-01-01T00:00:00Z",
    "2026-11-22T07:59:00Z",
    "2026-11-22T07:59:00",
    "10000-01-01",
)
HOSTNAME = "topologyKey=kubernetes.io/hostname,whenUnsatisfiable=ScheduleAnyway"
LEAVES: tuple[tuple[str, Any], ...] = (
    ("spec.replicas", 1),
    (f"{POD}.terminationGracePeriodSeconds", 30),
    (f"{POD}.dnsConfig.options", [{"name": "ndots", "value": "2"}]),
    (f"{POD}.containers[name=web].lifecycle.preStop", {"sleep": {"seconds": 5}}),
    (f"{POD}.containers[name=web].args", ["--x=1"]),
    (
        f"{POD}.topologySpreadConstraints[{HOSTNAME}]",
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
    ),
    ("spec.minReplicas", 1),
)
RULES = ("dns-config", "graceful-shutdown", "spread", "replicas")
KINDS = (kinds.DEPLOYMENT, kinds.DEPLOYMENT, kinds.DEPLOYMENT, kinds.HPA, kinds.BUDGET, kinds.REPLICA_SET)

SPEC: Raw = {
    "mode": "Enforce",
    "rollout": {"soakSeconds": 0},
    "deployments": {
        "dnsConfig": {},
        "gracefulShutdown": {"appliesTo": "All"},
        "spread": {},
        "disruptionBudget": {},
        "replicas": {"min": 2},
    },
}


class Dice(random.Random):
    """Chance, and how strange the object at hand is: 0 to 1."""

    strange = 1.0


def nested(dice: Dice) -> Any:
    """A list or an object in itself, some of them deeper than a decoder goes."""
    value: Any = dice.choice(NASTY)
    for _ in range(dice.choice((1, 3, 30, 70, 200))):
        value = [value] if dice.random() < 0.5 else {dice.choice(("a", "sleep", "was", "f:spec")): value}
    return value


def deep(dice: Dice) -> str:
    """Text of JSON that is nested deeper than json.dumps goes."""
    depth = dice.choice((100, 900, 1200, 9000))
    return '{"x":' * depth + "1" + "}" * depth if dice.random() < 0.5 else "[" * depth + "]" * depth


def anything(dice: Dice, usual: Any, strangeness: float = 0.2) -> Any:
    """The usual value, or one that nobody expects."""
    if dice.random() >= strangeness * dice.strange:
        return usual
    return nested(dice) if dice.random() < 0.2 else dice.choice(NASTY)


def leaf(dice: Dice, uid: str) -> tuple[str, Any]:
    """A path and what our annotation remembers of it, or nearly so."""
    path, usual = LEAVES[-1] if uid == "uid-hpa" else dice.choice(LEAVES[:-1])
    if dice.random() < 0.1 * dice.strange:
        path = dice.choice(("spec.paused", "spec..x", "", "x" * 3000, f"{POD}.containers[name=].command"))
    body = {
        "rule": anything(dice, dice.choice(RULES), 0.1),
        "set": anything(dice, usual),
        "policies": anything(dice, [dice.choice(("p-1", "p-2", "gone"))], 0.1),
        "revision": anything(dice, dice.randrange(4), 0.1),
    }
    body |= {"was": anything(dice, usual)} if dice.random() < 0.6 else {"absent": anything(dice, 4, 0.1)}
    if dice.random() < 0.1 * dice.strange:
        body.pop(dice.choice(list(body)))
    return path, anything(dice, body, 0.05)


def state(dice: Dice, uid: str) -> str:
    """The text of an annotation that looks like ours."""
    stamp = "2026-11-22T07:59:00.000Z"
    quarantine = {
        "reason": anything(dice, "RolloutFailed", 0.1),
        "message": anything(dice, "it failed", 0.1),
        "at": anything(dice, stamp, 0.1),
        "policies": anything(dice, {"p-1": "d"}, 0.1),
        "revision": anything(dice, 1, 0.1),
        "rules": anything(dice, ["dns-config"], 0.1),
    }
    body: Raw = {
        "v": anything(dice, 1, 0.03),
        "uid": anything(dice, uid, 0.03),
        "leaves": dict(leaf(dice, uid) for _ in range(dice.randrange(4))),
        "policies": anything(dice, {"p-1": 1, "p-2": anything(dice, 1, 0.1)}, 0.1),
        "names": anything(dice, {"p-1": "p"}, 0.1),
        "applies": anything(dice, [[anything(dice, stamp, 0.1), anything(dice, 2, 0.1), "dns-config"]], 0.1),
        "contests": anything(dice, 0, 0.05),
        "quarantines": anything(dice, [quarantine] * dice.randrange(3), 0.1),
    }
    if dice.random() < 0.05 * dice.strange:
        body[dice.choice(("x", "intent", "leaves"))] = nested(dice)
    text = json.dumps(body)
    return (
        text
        if dice.random() >= 0.03 * dice.strange
        else dice.choice((deep(dice), text[:-1], " " * 300_000 + text))
    )


def managed(dice: Dice) -> list[Raw]:
    """managedFields, of which the API server takes nearly anything."""
    names = ("", "x" * 2000, "a,b=c]")
    key = json.dumps(
        dice.choice(
            (
                {"name": anything(dice, "web", 0.3)},
                {
                    "topologyKey": anything(dice, "kubernetes.io/hostname", 0.3),
                    "whenUnsatisfiable": anything(dice, "ScheduleAnyway", 0.1),
                },
            )
        )
    )
    if dice.random() < 0.3 * dice.strange:
        key = dice.choice((deep(dice), "{", "null", *(json.dumps({"name": name}) for name in names)))
    entry: Raw = {"f:lifecycle": {"f:preStop": {}}, "f:args": {}, "f:maxSkew": {}}
    pod = {
        "f:containers": {f"k:{key}": entry, ".": {}},
        "f:topologySpreadConstraints": {f"k:{key}": entry},
        "f:dnsConfig": {"f:options": {}},
    }
    fields: Any = {
        "f:metadata": {"f:annotations": {f"f:{STATE}": {}}},
        "f:spec": {"f:replicas": {}, "f:minReplicas": {}, "f:template": {"f:spec": pod}},
    }
    manager = dice.choice((MANAGER, MANAGER, "kubectl", "argocd-controller"))
    ours = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": fields["f:metadata"]}}
    other = {
        "manager": manager,
        "operation": dice.choice(("Apply", "Update")),
        "fieldsV1": anything(dice, fields, 0.1),
    }
    return [ours, other] if dice.random() < 0.8 else [other]


def meta(dice: Dice, name: str, uid: str) -> Raw:
    """metadata: what the API server itself keeps in order, and what it leaves to its users."""
    notes: Raw = {
        "deployment.kubernetes.io/revision": dice.choice(
            ("1", "2", *dice.sample(("²", "9" * 4300, "9" * 30, "x", ""), round(5 * dice.strange)))
        ),
        "resilience.dev/ignore": dice.choice(("dns-config", "", "," * 2000, "all")),
        "resilience.dev/ignore-until": dice.choice(("", "9999-12-31T23:59:59Z", "x", "2026-11-23T00:00:00Z")),
        "kubectl.kubernetes.io/last-applied-configuration": dice.choice(
            (
                deep(dice) if dice.random() < dice.strange else "{}",
                json.dumps({"spec": {"replicas": nested(dice), "template": {"spec": nested(dice)}}}),
                json.dumps(
                    {
                        "spec": {
                            "replicas": anything(dice, 3),
                            "template": {"spec": {"topologySpreadConstraints": [{"topologyKey": ["x"]}]}},
                        }
                    }
                ),
            )
        ),
        STATE: state(dice, uid),
    }
    kept = {key: text for key, text in notes.items() if dice.random() < 0.3}
    if dice.random() < 0.6:
        kept[STATE] = notes[STATE]
    labels = {"app": "web"}
    if dice.random() < 0.02 * dice.strange:
        labels |= {f"l{number}": "x" * 60 for number in range(6000)}
    return {
        "name": name,
        "namespace": "evil",
        "uid": uid,
        "resourceVersion": str(dice.randrange(10, 10_000_000)),
        "generation": 2,
        "creationTimestamp": "2026-11-22T07:00:00Z",
        "labels": labels,
        "annotations": kept,
        "managedFields": managed(dice),
    }


def deployment(dice: Dice, name: str = "web") -> Raw:
    """A Deployment that the API server would take, of which the text fields say anything."""
    container: Raw = {"name": "web", "image": "x", "ports": [{"containerPort": 80}]}
    if dice.random() < 0.4:
        container["lifecycle"] = {
            "preStop": dice.choice(({"sleep": {"seconds": 5}}, {"exec": {"command": ["x"]}}, {}))
        }
    if dice.random() < 0.3:
        container["args"] = ["--x=" + dice.choice(("1", "cluster-proportional-autoscaler", "²"))]
    pod: Raw = {"containers": [container], "terminationGracePeriodSeconds": dice.choice((0, 30, 2**40))}
    if dice.random() < 0.4:
        pod["dnsConfig"] = {"options": [{"name": "ndots", "value": dice.choice(("2", "²", "9" * 5000, ""))}]}
    if dice.random() < 0.3:
        pod["topologySpreadConstraints"] = [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ]
    limit = dice.choice(("25%", 1, 0, "0" * 5000 + "50%", "1" * 5000 + "%", "²%"))
    return {
        "metadata": meta(dice, name, f"uid-{name}"),
        "spec": {
            "replicas": dice.choice((0, 1, 3, 2**31 - 1)),
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": limit, "maxUnavailable": limit},
            },
            "minReadySeconds": dice.choice((0, 0, 2**31 - 2)),
        },
        "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
    }


def hostile(dice: Dice) -> tuple[Kind, bytes]:
    """An object of some kind, as the API server would send it."""
    kind = dice.choice(KINDS)
    dice.strange = dice.choice((0.0, 0.1, 0.3, 1.0))
    body = deployment(dice)
    if kind == kinds.HPA:
        target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
        body = {
            "metadata": meta(dice, "web", "uid-hpa"),
            "spec": {"minReplicas": 1, "maxReplicas": 2**31 - 1, "scaleTargetRef": target},
        }
    if kind == kinds.BUDGET:
        limit = dice.choice(("50%", "0" * 5000 + "50%", "9" * 5000 + "%", "²%", "%", 1, -1))
        body = {
            "metadata": meta(dice, "web", "uid-pdb"),
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                dice.choice(("minAvailable", "maxUnavailable")): limit,
            },
        }
        if dice.random() < 0.5:
            body["metadata"]["labels"] |= {
                "app.kubernetes.io/managed-by": MANAGER,
                "resilience.dev/policy": "p-1",
            }
            body["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "web", "uid": "uid-web"}]
    if kind == kinds.REPLICA_SET:
        body = {"metadata": meta(dice, "web-1", "uid-rs"), "spec": {"replicas": 1}}
        owner = {"kind": "Deployment", "name": "web", "uid": "uid-web", "controller": True}
        body["metadata"]["ownerReferences"] = [owner]
    text = json.dumps(body)
    if dice.random() < 0.05 * dice.strange:
        text = text.replace('"fieldsV1": {', '"fieldsV1": {"f:deep": ' + deep(dice) + '}, "x": {', 1)
    return kind, text.encode(errors="surrogatepass")


def policies() -> tuple[Policy, ...]:
    """One that enforces, and one that is deleted and gives back."""
    going = {"name": "q", "uid": "p-2", "generation": 1, "deletionTimestamp": "2026-11-22T08:00:00Z"}
    found = []
    for metadata in ({"name": "p", "uid": "p-1", "generation": 1}, going):
        policy, problems = parse({"metadata": metadata, "spec": SPEC | {"onRelease": "Revert"}})
        assert problems == ()
        found.append(policy)
    return tuple(found)


class Fuzz:
    """The operator's way of one object after the other, without a cluster."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice(seed)
        self.seen: Counter[str] = Counter()
        self._policies = policies()
        self._directory = {policy.uid: policy for policy in self._policies}
        self._store = new_store()
        self._raw: dict[str, Raw] = {}

    def step(self) -> None:
        """One object, and all that follows from it."""
        if self.dice.random() < 0.02:
            self._store = new_store()
        kind, text = hostile(self.dice)
        event = decode_event(kind, b'{"type":"MODIFIED","object":' + text + b"}")
        assert event.object is not None
        readable = hasattr(event.object, "spec")
        self.seen["readable" if readable else "unreadable"] += 1
        if readable and kind in (kinds.DEPLOYMENT, kinds.HPA):
            self._raw[kind.kind] = json.loads(text)
        self._store.put(kind, event.object)
        decisions = [found for key in self._store.take_dirty() if (found := self._decide(key)) is not None]
        self.seen["decided"] += len(decisions)
        plan = schedule(decisions, self._directory, OperatorLimits(max_rollouts=10), NOW)
        for decision in decisions:
            for policy in self._policies:
                json.dumps(records.rebuilt([decision], policy))
            for change in decision.changes:
                self._write(change)
        self.seen["planned"] += len(plan.now)

    def _decide(self, key: tuple[str, ...]) -> Decision | None:
        try:
            view = self._store.look(key, NOW)
        except UnreadableObjectError:
            self.seen["undecidable"] += 1
            return None
        if view is None:
            return None
        self.seen["distrusted" if view.distrust else "believed"] += bool(view.state or view.distrust)
        return judge(view, self._policies[:1], Surroundings(self._directory))

    def _write(self, change: Change) -> None:
        self.seen[f"written {change.verb}"] += 1
        if change.verb is Verb.APPLY:
            json.dumps(change.patch(NOW))
        elif change.verb is Verb.WITHDRAW and change.object.kind in self._raw:
            json.dumps(withdraw(self._raw[change.object.kind], change.given_back, change.state).ops)


def run(number: int, seed: int) -> Fuzz:
    """Raises what the first fault raises, with the seed and number that make it again."""
    fuzz = Fuzz(seed)
    for step in range(number):
        try:
            fuzz.step()
        except Exception as error:
            raise AssertionError(f"object {step} of seed {seed}") from error
    return fuzz


def main(asked: int, first: int) -> int:
    """Run so many, say what was seen, also when it is interrupted, and give the exit code."""
    began, done = time.monotonic(), 0
    faults, total = Counter[str](), Counter[str]()
    with suppress(KeyboardInterrupt):
        while done < asked:
            fuzz = Fuzz(first * 1_000_000 + done // PART)
            for _ in range(min(PART, asked - done)):
                try:
                    fuzz.step()
                except Exception:  # noqa: BLE001 - all of them are wanted
                    faults[traceback.format_exc().rstrip()[-1500:]] += 1
                done += 1
            total += fuzz.seen
    print(f"{done} objects in {time.monotonic() - began:.0f} s: {dict(total)}; {sum(faults.values())} faults")
    for what, count in faults.most_common(5):
        print(count, what, sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
