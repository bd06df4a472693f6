"""Each verdict of configurations.py, held to a real API server: every request of the table is really sent."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from resilience_operator.targets.webhooks.objects import Webhook
from resilience_operator.targets.webhooks.reach import reach
from resilience_operator.targets.webhooks.requests import protected, restart
from tests.lab import Lab, start
from tests.lab.api import ApiError
from tests.targets.webhooks import requests_lab
from tests.targets.webhooks.configurations import CASES, OWN, PROTECTED, Case, rule

pytestmark = pytest.mark.lab

DEAD = "https://127.0.0.1:9/"
"""Nobody listens there: a call fails at once."""

CANARY = {"name": "canary.example.dev", "rules": [rule("probes", "CREATE", "example.dev", "v1")]}
"""Tells when the API server has taken the configuration up, and when it has let go of it."""


@pytest.fixture(scope="module")
def prepared() -> Iterator[Lab]:
    """A control plane with what the requests are about; kube-system bears a label."""
    with start(nodes=1) as lab:
        lab.api.create("/api/v1/namespaces", {"metadata": {"name": OWN}})
        lab.api.patch("/api/v1/namespaces/kube-system", {"metadata": {"labels": {"exempt": "true"}}})
        requests_lab.prepare(lab, (*PROTECTED, OWN))
        yield lab


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_api_server_sends_what_the_table_says(prepared: Lab, case: Case) -> None:
    """What is refused while the backend is dead is what is sent for certain, and of the rest only what may be."""
    found = case.configuration(DEAD)
    common = {"clientConfig": {"url": DEAD}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    found["webhooks"].append(CANARY | common)
    webhook = msgspec.convert(case.webhook(), Webhook)
    namespaces = {
        one["metadata"]["name"]: one["metadata"]["labels"]
        for one in prepared.api.get("/api/v1/namespaces")["items"]
    }
    requests = (*protected(PROTECTED), *restart(OWN))
    verdicts = {one: reach(webhook, one, namespaces).sent for one in requests}
    prepared.kubectl("apply", "-f", "-", input=json.dumps(found))
    try:
        prepared.wait(lambda: canary(prepared), what="configuration in force", every=0.05)
        answers = {one: requests_lab.refused(prepared, one) for one in requests}
    finally:
        prepared.kubectl("delete", found["kind"], "guard")
        prepared.wait(lambda: not canary(prepared), what="configuration gone", every=0.05)
    certain = {one for one, sent in verdicts.items() if sent and webhook.fails_closed}
    possible = {one for one, sent in verdicts.items() if sent is None}
    blocked = {one for one, is_refused in answers.items() if is_refused}
    assert (certain - blocked, blocked - certain - possible) == (set(), set())


def canary(lab: Lab) -> bool:
    """True while the configuration is in force."""
    body = {"apiVersion": "example.dev/v1", "kind": "Probe", "metadata": {"name": "canary"}}
    try:
        lab.api.create("/apis/example.dev/v1/probes?dryRun=All", body)
    except ApiError as error:
        return ".example.dev" in str(error)
    return False
