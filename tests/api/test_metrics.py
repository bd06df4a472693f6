"""What /metrics says about policies, the operator and its build: one series a policy and state, and no stale ones."""

import platform
from dataclasses import replace
from typing import cast

from resilience_operator import __version__
from resilience_operator.api.lease import Lease
from resilience_operator.api.metrics import Metrics
from resilience_operator.run.reconcile import Reconciler
from tests.support.passes import Stage

Samples = dict[str, float]
POLICY = ("resilience_policy_condition", "resilience_policy_info", "resilience_findings")


def samples(metrics: Metrics, *names: str) -> Samples:
    """Every sample of these metrics, with its labels, -> value."""
    lines = metrics.exposition().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {head: float(value) for head, _, value in pairs if head.partition("{")[0] in names}


def staged(*, paused: bool = False) -> Stage:
    """One Deployment that a policy finds fault with."""
    stage = Stage("shop/web")
    stage.policy(mode="Audit", suspend=True)
    stage.start()
    stage.services = replace(stage.services, paused=lambda: paused)
    stage.reconciler = Reconciler(stage.services)
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    return stage


async def test_every_condition_of_a_policy_is_one_of_three_and_its_mode_is_told() -> None:
    stage = staged()
    await stage.turns(2)
    found = samples(stage.services.metrics, *POLICY)
    told = {one["type"]: one["status"] for one in stage.told()["conditions"]}
    assert found == {
        'resilience_findings{policy="p",rule="dns-config",state="Drifted"}': 1.0,
        'resilience_policy_info{mode="Audit",policy="p",suspended="true"}': 1.0,
        **{
            f'resilience_policy_condition{{policy="p",status="{status}",type="{kind}"}}': float(
                status == said
            )
            for kind, said in told.items()
            for status in ("True", "False", "Unknown")
        },
    }
    assert (told["Ready"], told["Compliant"]) != ("", "")


async def test_another_mode_takes_the_place_of_the_one_before() -> None:
    stage = staged()
    await stage.turns(2)
    stage.policy(mode="Enforce", suspend=False)
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turns(2)
    assert samples(stage.services.metrics, "resilience_policy_info") == {
        'resilience_policy_info{mode="Enforce",policy="p",suspended="false"}': 1.0
    }


async def test_of_a_policy_that_is_gone_nothing_is_left() -> None:
    stage = staged()
    await stage.turns(2)
    stage.reconciler.policies_replaced([])
    await stage.turns(2)
    assert samples(stage.services.metrics, *POLICY) == {}


async def test_who_leads_no_more_says_nothing_of_policies_and_who_leads_again_does() -> None:
    leads = [True]

    class Elected:
        """Leads while the test says so."""

        def may_write(self) -> bool:
            return leads[0]

    stage = staged()
    stage.services = replace(stage.services, lease=cast(Lease, Elected()))
    stage.reconciler = Reconciler(stage.services)
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turns(2)
    before = samples(stage.services.metrics, *POLICY)
    assert before
    leads[0] = False
    await stage.turn()
    assert samples(stage.services.metrics, *POLICY) == {}
    leads[0] = True
    await stage.turn()
    assert samples(stage.services.metrics, *POLICY) == before


async def test_a_pass_says_when_it_ended_and_one_from_stale_streams_does_not() -> None:
    stage = staged()
    await stage.turn()
    ended = stage.world.cluster.now
    stage.services = replace(stage.services, fresh=lambda: ("pods",))
    stage.reconciler = Reconciler(stage.services)
    before = samples(stage.services.metrics, "resilience_last_pass_timestamp_seconds")
    await stage.turn()
    (seconds,) = before.values()
    assert 0 < ended.timestamp() - seconds < 10
    assert samples(stage.services.metrics, "resilience_last_pass_timestamp_seconds") == before


def test_the_pause_switch_is_asked_at_every_scrape() -> None:
    metrics, paused = Metrics(), [False]
    metrics.paused_is(lambda: paused[0])
    assert samples(metrics, "resilience_paused") == {"resilience_paused": 0.0}
    paused[0] = True
    assert samples(metrics, "resilience_paused") == {"resilience_paused": 1.0}


def test_the_build_and_its_own_use_of_the_machine_are_told() -> None:
    metrics = Metrics()
    python = platform.python_version()
    assert samples(metrics, "resilience_build_info") == {
        f'resilience_build_info{{python="{python}",version="{__version__}"}}': 1.0
    }
    assert set(samples(metrics, "process_cpu_seconds_total", "process_resident_memory_bytes")) == {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    }
