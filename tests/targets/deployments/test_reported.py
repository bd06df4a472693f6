"""Rules `probes` and `resources`: what a container lacks, by its name, and never enforced."""

from typing import Any

import pytest

from resilience_operator.core.findings import EMPTY, Finding, State, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.common import Mode
from resilience_operator.targets import judge
from resilience_operator.targets.deployments import probes, resources
from resilience_operator.targets.deployments.containers import ONLY_THE_OWNER
from resilience_operator.targets.deployments.settings import Deployments, Probes, Resources
from tests.support.policies import asking
from tests.support.views import deployment, view

ASKS = {"httpGet": {"path": "/", "port": 80}}


def subject(**container: Any) -> Any:
    return view(deployment(pod={"containers": [{"name": "web", "image": "web:1", **container}]}))


def finding(rule: str, reason: str, message: str, field: str) -> Finding:
    path = Path.parse(f"spec.template.spec.containers[name=web].{field}")
    return Finding(rule, reason, subject().deployment.ref, message, path=path, report_only=ONLY_THE_OWNER)


@pytest.mark.parametrize(
    ("container", "require", "lacking"),
    [
        ({}, ("readiness",), "readinessProbe"),
        ({"livenessProbe": ASKS}, ("readiness",), "readinessProbe"),
        ({"livenessProbe": ASKS}, ("readiness", "liveness", "startup"), "readinessProbe and startupProbe"),
        ({}, ("readiness", "liveness", "startup"), "readinessProbe, livenessProbe and startupProbe"),
    ],
)
def test_a_probe_that_is_missing_is_named(
    container: dict[str, Any], require: tuple[str, ...], lacking: str
) -> None:
    expected = finding(
        "probes", "MissingProbe", f"container web has no {lacking}", lacking.split(",")[0].split()[0]
    )
    assert probes.check(Probes(require=require), subject(**container)) == Verdict((expected,))


def test_a_container_with_every_demanded_probe_is_as_it_should_be() -> None:
    everything = subject(readinessProbe=ASKS, livenessProbe=ASKS, startupProbe=ASKS)
    assert probes.check(Probes(require=("readiness", "liveness", "startup")), everything) == EMPTY
    assert probes.check(Probes(), subject(readinessProbe={})) == EMPTY


REQUESTS, LIMITS = {"cpu": "50m", "memory": "64Mi"}, {"memory": "64Mi"}


@pytest.mark.parametrize(
    ("stated", "require", "lacking"),
    [
        (
            None,
            Resources().require,
            "resources.requests.cpu, resources.requests.memory and resources.limits.memory",
        ),
        ({"requests": REQUESTS}, Resources().require, "resources.limits.memory"),
        ({"requests": REQUESTS, "limits": LIMITS}, Resources().require, ""),
        ({"limits": {"cpu": 1, "memory": 1e9}}, Resources().require, ""),
        ({"limits": LIMITS}, Resources().require, "resources.requests.cpu"),
        ({"requests": {"cpu": 0.5}}, ("cpuRequest",), ""),
        ({"requests": REQUESTS, "limits": LIMITS}, ("cpuLimit",), "resources.limits.cpu"),
    ],
)
def test_what_a_container_does_not_state_is_named(
    stated: dict[str, Any] | None, require: tuple[str, ...], lacking: str
) -> None:
    given = subject(**({"resources": stated} if stated is not None else {}))
    message, first = f"container web has no {lacking}", lacking.split(",")[0].split()[0] if lacking else ""
    expected = (finding("resources", "MissingResources", message, first),) if lacking else ()
    assert resources.check(Resources(require=require), given) == Verdict(expected)


CONTAINERS_LACK = [f"container {name} has no resources.limits.memory" for name in ("web", "proxy")]


@pytest.mark.parametrize(
    ("pod", "lacking"),
    [
        ({"requests": REQUESTS, "limits": LIMITS}, []),
        ({"limits": {"cpu": 2, "memory": "1Gi"}}, []),
        ({"requests": REQUESTS}, CONTAINERS_LACK),
        ({"limits": LIMITS}, ["container proxy has no resources.requests.cpu"]),
    ],
)
def test_what_the_pod_states_is_stated_for_all_of_its_containers(
    pod: dict[str, Any], lacking: list[str]
) -> None:
    web = {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "50m"}}}
    containers = [web, {"name": "proxy", "image": "proxy:1"}]
    given = view(deployment(pod={"containers": containers, "resources": pod}))
    found = resources.check(Resources(), given).findings
    assert [one.message for one in found] == lacking
    assert len(probes.check(Probes(), given).findings) == 2


def test_every_container_is_judged_and_no_init_container() -> None:
    bare = [{"name": name, "image": "x"} for name in ("web", "proxy")]
    given = view(deployment(pod={"containers": bare, "initContainers": [{"name": "init", "image": "x"}]}))
    assert [one.message for one in probes.check(Probes(), given).findings] == [
        "container web has no readinessProbe",
        "container proxy has no readinessProbe",
    ]


@pytest.mark.parametrize(("mode", "state"), [(Mode.ENFORCE, State.REPORT_ONLY), (Mode.AUDIT, State.DRIFTED)])
def test_in_no_mode_is_anything_written(mode: Mode, state: State) -> None:
    policy = asking("p", "p-1", mode=mode, deployments=Deployments(probes=Probes(), resources=Resources()))
    decision = judge(subject(), (policy,), Surroundings({"p-1": policy}))
    assert decision is not None
    assert (decision.change, {one.state for one in decision.judged}) == (None, {state})
