"""Policies on the lab: the CRD served, and one policy made, as the tests of the host's side need them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from resilience_operator.core.kinds import POLICY
from resilience_operator.core.refs import ObjectRef
from tests.lab import Lab
from tests.lab.api import ApiError

LABEL = "test.resilience.dev/name"


def serve_policies(lab: Lab) -> None:
    """Install the CRD and wait until the API server answers for it."""
    lab.kubectl("apply", "--server-side", "-f", "crds/resiliencepolicies.yaml")
    lab.wait_established("resiliencepolicies.resilience.dev")
    lab.wait(lambda: _served(lab), what="ResiliencePolicy to be served")


def _served(lab: Lab) -> bool:
    try:
        return "items" in lab.api.get(POLICY.path())
    except ApiError:
        return False


def make_policy(lab: Lab, name: str = "") -> ObjectRef:
    """A policy that covers nothing, labelled with its own name."""
    name = name or f"test-{uuid4().hex[:8]}"
    body = {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {"name": name, "labels": {LABEL: name}},
        "spec": {"deployments": {"namespaces": {"include": ["none"]}, "dnsConfig": {}}},
    }
    lab.kubectl("create", "-f", "-", input=json.dumps(body))
    uid = read_policy(lab, name)["metadata"]["uid"]
    return ObjectRef(POLICY.api_version, POLICY.kind, "", name, uid)


def read_policy(lab: Lab, name: str) -> dict[str, Any]:
    """The policy as kubectl sees it."""
    found: dict[str, Any] = json.loads(lab.kubectl("get", "resiliencepolicy", name, "-o", "json"))
    return found
