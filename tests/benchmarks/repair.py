"""1,000 drifted Deployments repaired with the limits lifted, against a bare client that sends the same patches.

Bar: at most 1.3 times the bare client. The controller-manager is paused in both halves; the Deployments have no
replicas and the status that it would have given them, so that only the writes are measured.
"""

import asyncio
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.e2e.conftest import install_crd
from tests.e2e.process import OperatorProcess
from tests.e2e.scene import workload
from tests.lab import Lab, start

NUMBER = 1000
CONCURRENCY = 32
OPTIONS = {"options": [{"name": "single-request-reopen"}]}

Body = dict[str, Any]


def main() -> int:
    """Run both halves on one control plane and print the ratio."""
    with start(nodes=1) as lab, tempfile.TemporaryDirectory() as logs:
        install_crd(lab)
        lab.pause("kube-controller-manager")
        for namespace in ("bare", "ours"):
            lab.kubectl("create", "namespace", namespace)
            asyncio.run(_fill(lab, namespace))
        bare = asyncio.run(_bare(lab))
        ours = _operator(lab, Path(logs))
    print(f"repair {NUMBER} Deployments: operator {ours:.2f} s, bare client {bare:.2f} s, "
          f"ratio {ours / bare:.2f} (bar 1.3)")  # fmt: skip
    return 0


def session(lab: Lab) -> aiohttp.ClientSession:
    """A client of the lab's administrator."""
    config = yaml.safe_load(lab.kubeconfig().read_text())
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=_file(cluster, "certificate-authority"))
    context.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))
    connector = aiohttp.TCPConnector(ssl=context, limit=CONCURRENCY)
    return aiohttp.ClientSession(base_url=cluster["server"], connector=connector)


def _file(entry: Body, key: str) -> str:
    if key in entry:
        return str(entry[key])
    import base64

    with tempfile.NamedTemporaryFile(delete=False, suffix=".pem") as file:
        file.write(base64.b64decode(entry[f"{key}-data"]))
    return file.name


async def _fill(lab: Lab, namespace: str) -> None:
    """NUMBER Deployments without replicas, with the status of a rollout that is complete."""

    async def one(client: aiohttp.ClientSession, number: int) -> None:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        body = workload(namespace, f"d{number}", replicas=0)
        async with client.post(path, json=body) as answer:
            answer.raise_for_status()
        status = json.dumps({"status": {"observedGeneration": 1}})
        headers = {"Content-Type": "application/merge-patch+json"}
        async with client.patch(f"{path}/d{number}/status", data=status, headers=headers) as answer:
            answer.raise_for_status()

    async with session(lab) as client:
        await _all(one, client)


async def _bare(lab: Lab) -> float:
    """The same leaf and annotation, by server-side apply."""

    async def one(client: aiohttp.ClientSession, number: int) -> None:
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"d{number}", "annotations": {"resilience.dev/state": "x" * 400}},
            "spec": {"template": {"spec": {"dnsConfig": OPTIONS}}},
        }
        path = f"/apis/apps/v1/namespaces/bare/deployments/d{number}?fieldManager=bare"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        async with client.patch(path, data=json.dumps(body), headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()

    async with session(lab) as client:
        started = time.monotonic()
        await _all(one, client)
        return time.monotonic() - started


async def _all(one: Any, client: aiohttp.ClientSession) -> None:
    slots = asyncio.Semaphore(CONCURRENCY)

    async def guarded(number: int) -> None:
        async with slots:
            await one(client, number)

    await asyncio.gather(*(guarded(number) for number in range(NUMBER)))


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
