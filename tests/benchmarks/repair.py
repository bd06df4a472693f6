"""1,000 drifted Deployments repaired with the limits lifted, against a bare client that sends the same patches.

Bar: at most 1.3 times the bare client. The controller-manager is paused in both halves; the Deployments have no
replicas and the status that it would have given them, so that only the writes are measured.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.bare import each, send, session
from tests.benchmarks.report import Row, show
from tests.e2e.conftest import install_crd
from tests.e2e.process import OperatorProcess
from tests.e2e.scene import workload
from tests.lab import Lab, start

NUMBER = 1000
OPTIONS = {"options": [{"name": "single-request-reopen"}]}

Body = dict[str, Any]


def main() -> int:
    """Run both halves on one control plane and print the ratio."""
    with start(nodes=1) as lab, tempfile.TemporaryDirectory() as logs:
        install_crd(lab)
        lab.pause("kube-controller-manager")
        for namespace in ("bare", "ours"):
            lab.kubectl("create", "namespace", namespace)
            asyncio.run(_fill(lab.kubeconfig(), namespace))
        bare = asyncio.run(_bare(lab.kubeconfig()))
        ours = _operator(lab, Path(logs))
    what = f"repair {NUMBER} Deployments ({ours:.2f} s, bare client {bare:.2f} s), ratio"
    return show("repair", [Row(what, ours / bare, 1.3)])


async def _fill(kubeconfig: Path, namespace: str) -> None:
    """NUMBER Deployments without replicas, with the status of a rollout that is complete."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    status = {"status": {"observedGeneration": 1}}
    async with session(kubeconfig) as client:

        async def one(number: int) -> None:
            await send(client, "POST", path, workload(namespace, f"d{number}", replicas=0))
            await send(client, "PATCH", f"{path}/d{number}/status", status, "merge-patch+json")

        await each(NUMBER, one)


async def _bare(kubeconfig: Path) -> float:
    """Seconds for the same leaf and annotation, by server-side apply."""
    path = "/apis/apps/v1/namespaces/bare/deployments"
    async with session(kubeconfig) as client:

        async def one(number: int) -> None:
            body = {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"d{number}", "annotations": {"resilience.dev/state": "x" * 400}},
                "spec": {"template": {"spec": {"dnsConfig": OPTIONS}}},
            }
            await send(client, "PATCH", f"{path}/d{number}?fieldManager=bare", body, "apply-patch+yaml")

        started = time.monotonic()
        await each(NUMBER, one)
        return time.monotonic() - started


def _operator(lab: Lab, logs: Path) -> float:
    """Seconds from the policy's turn to Enforce to the last apply, read from the audit log."""
    lab.kubectl("create", "namespace", "home")
    flags = ("--namespace=home", "--max-rollouts=100000", "--max-unhealthy-percent=100", "--api-qps=100000",
             "--api-burst=100000")  # fmt: skip
    with OperatorProcess(lab.kubeconfig(), logs / "operator.log", *flags).start():
        _policy(lab, "Audit")
        lab.wait(lambda: _drifted(lab) == NUMBER, timeout=60, what="the audit")
        mark = lab.audit.mark()
        _policy(lab, "Enforce")
        lab.wait(lambda: len(_applies(lab, mark)) == NUMBER, timeout=120, what="the repair", every=1.0)
        time.sleep(2)
        writes = [write for write in lab.audit.writes(since=mark) if write.code < 300]
    policy = next(write for write in writes if write.resource == "resiliencepolicies")
    applies = _applies(lab, mark)
    if len(applies) != NUMBER:
        raise AssertionError(f"{len(applies)} applies for {NUMBER} Deployments")
    return float((max(write.time for write in applies) - policy.time).total_seconds())


def _policy(lab: Lab, mode: str) -> None:
    limits = {"maxConcurrent": 1000, "maxConcurrentPerNamespace": 1000, "soakSeconds": 0}
    section = {"namespaces": {"include": ["ours"]}, "dnsConfig": {}}
    body = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "bench"},
        "spec": {"mode": mode, "rollout": limits, "deployments": section},
    }
    lab.kubectl("apply", "-f", "-", input=json.dumps(body))


def _applies(lab: Lab, mark: Any) -> list[Any]:
    found = lab.audit.writes(since=mark, resource="deployments", namespace="ours")
    return [write for write in found if write.code < 300]


def _drifted(lab: Lab) -> int:
    """Drifted objects, by the policy's own status."""
    text = lab.kubectl("get", "rp", "bench", "-o", "json")
    return int(json.loads(text).get("status", {}).get("summary", {}).get("drifted", -1))


if __name__ == "__main__":
    sys.exit(main())
