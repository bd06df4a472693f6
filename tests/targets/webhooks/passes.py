"""A webhook configuration that lives through passes: judged, patched as the API server would, judged again."""

import copy
import json
from datetime import datetime, timedelta
from typing import Any

from resilience_operator.core.kinds import WEBHOOK_CALLS
from resilience_operator.core.target import FailingCall
from resilience_operator.engine.change import Decision, Verb
from resilience_operator.engine.contest import Patience
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.withdrawal import withdraw
from resilience_operator.targets import KIND_BY_NAME, judge, new_store, parse, project_dict
from tests.support.clusters import policy, thing
from tests.support.views import NOW
from tests.targets.webhooks.configurations import EVERYTHING, OWN, Case

Body = dict[str, Any]

STEPS = ["Timeout", "NamespaceSelector", "FailOpenWhileDown"]


class Server:
    """One configuration, its backend and a policy; `now` moves by `wait`."""

    def __init__(self, case: Case | None = None, *, remediation: list[str], **spec: Any) -> None:
        self.name = "guard"
        self.case = case or Case("everything", EVERYTHING, "", 0)
        found = self.case.configuration()
        self.body: Body = {**found, "metadata": {"name": "guard", "uid": "w-1", "resourceVersion": "10"}}
        webhook = self.body["webhooks"][0]
        defaults = {"failurePolicy": "Fail", "timeoutSeconds": 10, "matchPolicy": "Equivalent"}
        self.body["webhooks"][0] = {**defaults, "namespaceSelector": {}, "objectSelector": {}, **webhook}
        self.store = new_store()
        self.now = NOW
        self.version = 10
        reach = {"remediation": remediation, **spec.pop("reach", {})}
        self.policy = parse(policy("safe", webhooks={"reach": reach}, **spec))[0]
        for name in ("kube-system", "kube-node-lease", OWN):
            self._put(thing("Namespace", name, "", labels={}))
        self._put(thing("Service", "guard", OWN, spec={"type": "ClusterIP"}))
        self.ready(1)
        self.put()

    def obey(self, **spec: Any) -> None:
        """The policy is edited: these fields of its spec are others."""
        known = {"webhooks": {"reach": {"remediation": ["FailOpenWhileDown"]}}}
        self.policy = parse(policy("safe", **{**known, **spec}))[0]

    def _put(self, body: Body) -> None:
        self.version += 1
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.version)}
        kind = KIND_BY_NAME[body["kind"]]
        self.store.put(kind, project_dict(kind, body))

    def put(self) -> None:
        """The API server has a new version of the configuration."""
        self._put(self.body)

    def ready(self, count: int) -> None:
        """So many endpoints of the backend are ready."""
        ends = [{"addresses": [f"10.0.0.{n}"], "conditions": {"ready": True}} for n in range(count)]
        labels = {"labels": {"kubernetes.io/service-name": "guard"}}
        self._put(thing("EndpointSlice", "guard-1", OWN, labels, addressType="IPv4", endpoints=ends))

    def refused(self, name: str = "guard.example.dev", since: float = 0) -> None:
        """A write of ours was refused just now, because that webhook could not be called; "" for none any more."""
        call = FailingCall(self.now - timedelta(seconds=since), self.now)
        self.store.put_outside(WEBHOOK_CALLS, {name: call} if name else {})

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    def decide(self) -> Decision:
        """What a pass decides about the configuration now."""
        decision = self.decision()
        assert decision is not None
        return decision

    def decision(self) -> Decision | None:
        """The same; None where no policy asks anything of it, and nothing of us is on it."""
        view = self.store.look(("", self.name, self.body["kind"]), self.now)
        assert view is not None
        return judge(view, [self.policy], Surroundings({self.policy.uid: self.policy}, Patience()))

    def step(self) -> str:
        """One pass, its change carried out; gives the reason of the change, "" where there is none."""
        decision = self.decide()
        change = decision.change
        if change is None:
            return ""
        if change.verb is Verb.APPLY:
            ops = change.patch(self.now)
        else:
            ops = list(withdraw(self.body, change.given_back, change.state).ops)
        self.body = patched(self.body, ops)
        self.put()
        return change.reason

    @property
    def webhook(self) -> Body:
        """The webhook as it is."""
        found: Body = self.body["webhooks"][0]
        return found


def patched(body: Body, ops: list[Body]) -> Body:
    """The object after a JSON patch (RFC 6902); a test that fails is an error."""
    after = copy.deepcopy(body)
    for op in ops:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in op["path"].split("/")[1:]]
        at: Any = after
        for part in way:
            at = at[int(part)] if isinstance(at, list) else at[part]
        key: Any = int(last) if isinstance(at, list) else last
        match op["op"]:
            case "test":
                assert at[key] == op["value"], op
            case "remove":
                del at[key]
            case _:
                at[key] = json.loads(json.dumps(op["value"]))
    return after


def states(decision: Decision) -> list[tuple[str, str]]:
    """(reason, state) of every finding."""
    return [(one.finding.reason, str(one.state)) for one in decision.judged]


def at(decision: Decision) -> datetime | None:
    """When time alone changes the answer."""
    return decision.wake_at
