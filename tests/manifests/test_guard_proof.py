"""The operator enforces only where the API server is proved to refuse what its user must not do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.api.guard import NOT_YET, GuardProof
from resilience_operator.core.errors import ApiError, Unreachable
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Decision
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.status import Known, status
from resilience_operator.engine.tally import Tally
from resilience_operator.targets import CATALOG, parse

DENIED = "deployments.apps \"own\" is forbidden: ValidatingAdmissionPolicy 'resilience-operator-leaves' denied request"
LACKS = 'deployments.apps "own" is forbidden: User "x" cannot patch resource "deployments"'
LIFT = "install manifests/enforce whole and unrenamed, or run with --allow-unguarded"

Answer = Callable[[], bytes]


def refusal(code: int, message: str) -> Answer:
    def answer() -> bytes:
        raise ApiError(code, "Invalid", message)

    return answer


def lost() -> bytes:
    raise Unreachable("no answer")


class Server:
    """Answers to a budget that is made and to a label that is set; `sent` is what came."""

    def __init__(self, budget: Answer, label: Answer) -> None:
        self.answers = {"POST": budget, "PATCH": label}
        self.sent: list[tuple[str, str, Any, Any]] = []

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        self.sent.append((method, path, options["params"]["dryRun"], json.loads(options["body"])))
        return self.answers[method]()


def passes() -> bytes:
    return b"{}"


DENIES, NO_RIGHT = refusal(422, DENIED), refusal(403, LACKS)


def proof(server: Server) -> GuardProof:
    return GuardProof(server, "home", lambda: [(DEPLOYMENT, "home", "own")], lambda: None)


@pytest.mark.parametrize(
    ("budget", "label", "why"),
    [
        (DENIES, DENIES, ""),
        (NO_RIGHT, NO_RIGHT, ""),
        (DENIES, refusal(404, "not found"), ""),
        (
            passes,
            DENIES,
            f"the API server lets this user make a PodDisruptionBudget that stops every eviction; {LIFT}",
        ),
        (DENIES, passes, f"the API server lets this user label Deployment home/own; {LIFT}"),
        (refusal(422, "spec.maxUnavailable: Invalid"), DENIES, None),
        (lost, DENIES, None),
        (refusal(500, "dead webhook"), DENIES, None),
    ],
)
async def test_the_guard_is_proved_only_by_its_own_refusals(
    budget: Answer, label: Answer, why: str | None
) -> None:
    server = Server(budget, label)
    one = proof(server)
    assert one.unguarded() == NOT_YET
    await one.look()
    assert one.unguarded() == (NOT_YET if why is None else f"unguarded: {why}" if why else "")
    assert {dry for _, _, dry, _ in server.sent} == {"All"}


async def test_a_guard_that_is_taken_away_is_noticed_and_no_answer_changes_nothing() -> None:
    server, woken = Server(DENIES, DENIES), []
    one = GuardProof(server, "home", lambda: [(DEPLOYMENT, "home", "own")], lambda: woken.append(1))
    await one.look()
    server.answers["PATCH"] = lost
    await one.look()
    assert (one.unguarded(), len(woken)) == ("", 1)
    server.answers["PATCH"] = passes
    await one.look()
    assert one.unguarded().startswith("unguarded: the API server lets this user label Deployment home/own")
    assert len(woken) == 2


DEAD = refusal(500, 'Internal error occurred: failed calling webhook "guard.example.dev"')


@pytest.mark.parametrize(
    ("budget", "label", "kinds"),
    [
        (DENIES, DENIES, {"PodDisruptionBudget", "Deployment"}),
        (DEAD, DENIES, {"Deployment"}),
        (passes, DENIES, set()),
        (DEAD, passes, set()),
        (DEAD, DEAD, set()),
    ],
)
async def test_over_a_kind_it_is_proved_where_the_rest_has_no_answer_and_nothing_passes(
    budget: Answer, label: Answer, kinds: set[str]
) -> None:
    """A dead mutating webhook refuses all trials before the guard does, but those of webhook configurations."""
    one = proof(Server(budget, label))
    await one.look()
    assert one.guarded() == kinds


@pytest.mark.parametrize(
    ("mode", "ready"),
    [
        ("Enforce", ("False", "Unguarded", "unguarded: why")),
        ("Audit", ("True", "Accepted", "audits 1 object, writes nothing")),
    ],
)
def test_a_policy_that_enforces_says_that_nothing_guards_it(mode: str, ready: tuple[str, str, str]) -> None:
    meta = {"name": "p", "uid": "u", "generation": 1}
    policy, problems = parse({"metadata": meta, "spec": {"mode": mode, "deployments": {"replicas": {}}}})
    told = status(
        policy,
        problems,
        Tally(
            "p",
            CATALOG.section_of,
            [Decision(ObjectRef("apps/v1", "Deployment", "shop", "web"), evaluated=("p",))],
        ),
        Schedule(),
        Known(unguarded="unguarded: why"),
    )
    found = next(one for one in told["conditions"] if one["type"] == "Ready")
    assert (found["status"], found["reason"], found["message"]) == ready
