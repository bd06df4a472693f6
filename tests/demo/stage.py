"""What every part of the demo stands on: the lab, the console, the policies, and waiting with a deadline."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pykube
from rich.console import Console
from rich.table import Table

from tests.e2e.scene import CRD, ROOT, ResiliencePolicy
from tests.lab import Lab

DEADLINE = 300.0

Body = dict[str, Any]


class Failed(Exception):  # noqa: N818 - what did not happen, as a sentence
    """The demo did not show what it should."""


class Stage:
    """One lab, one console: what is printed, what is read, and how long is waited for it."""

    def __init__(self, lab: Lab, console: Console) -> None:
        self.lab = lab
        self.kubectl = lab.kubectl
        self.api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig())), timeout=30)
        self._console = console

    # What is shown

    def step(self, text: str) -> None:
        """A headline."""
        self._console.rule(f"[bold]{text}", align="left")

    def say(self, text: str, *, plain: bool = False) -> None:
        """A line; `plain`: as it is, without markup and colours."""
        self._console.print(text, highlight=not plain, markup=not plain)

    def show_nodes(self, nodes: dict[tuple[str, str], Counter[str]]) -> None:
        """Where the ready pods of Deployments are."""
        table = Table("deployment", "ready pods by node", box=None)
        for (namespace, name), counts in sorted(nodes.items()):
            table.add_row(
                f"{namespace}/{name}", ", ".join(f"{node}: {n}" for node, n in sorted(counts.items()))
            )
        self._console.print(table)

    def show_findings(self, policy: str) -> None:
        """The findings in a policy's status."""
        for finding in self.findings(policy):
            ref = finding["object"]
            kind = "" if ref["kind"] == "Deployment" else f"{ref['kind']} "
            where = f"{kind}{'/'.join(filter(None, (ref.get('namespace'), ref['name'])))}"
            line = f"  {finding['state']}: {finding['rule']} {where}: {finding['message']}"
            self._console.print(line, markup=False)

    def watch_rollouts(self, policies: Iterable[str]) -> None:
        """Print every change of what runs, until every policy is settled; at most one may ever run."""
        shown, policies = "", tuple(policies)
        for _ in ticks():
            running = sorted({line for policy in policies for line in self._running(policy)})
            text = "; ".join(running)
            if text and text != shown:
                self.say(f"  {text}", plain=True)
            shown = text
            if len({line.split(" ", 1)[0] for line in running}) > 1:
                raise Failed(f"more than one rollout at once: {text}")
            if all(self._settled(policy) for policy in policies) and not running:
                return
        raise Failed(f"the policies still wait for something after {DEADLINE:g} s")

    def _running(self, policy: str) -> Iterator[str]:
        for rollout in self.policy(policy).get("status", {}).get("rollouts", []):
            ref = rollout["object"]
            yield f"{ref['namespace']}/{ref['name']} revision {rollout['revision']}: {rollout['phase']}"

    # How it is read

    def policy(self, name: str) -> Body:
        """A policy as it is now."""
        found: Body = ResiliencePolicy.objects(self.api).get_by_name(name).obj
        return found

    def findings(self, name: str) -> list[Body]:
        """The findings in a policy's status."""
        return list(self.policy(name).get("status", {}).get("findings", []))

    def condition(self, name: str, kind: str) -> str:
        """The status of one of a policy's conditions, "" where it is not there yet."""
        conditions = self.policy(name).get("status", {}).get("conditions", [])
        return next((one["status"] for one in conditions if one["type"] == kind), "")

    def _settled(self, name: str) -> bool:
        """True where the newest policy was judged and nothing of it waits; what is only reported may stay."""
        body = self.policy(name)
        status = body.get("status", {})
        numbers = status.get("summary", {})
        waits = [numbers.get(state, 1) for state in ("drifted", "pending", "quarantined")]
        judged = status.get("observedGeneration") == body["metadata"]["generation"]
        return judged and not any(waits) and numbers.get("contested") == 0

    def deployments(self, namespace: str) -> list[Body]:
        """The Deployments of a namespace."""
        return [deployment.obj for deployment in pykube.Deployment.objects(self.api, namespace=namespace)]

    def nodes_of(self, body: Body) -> Counter[str]:
        """Node -> ready pods of a Deployment."""
        meta, selector = body["metadata"], body["spec"]["selector"]["matchLabels"]
        pods = pykube.Pod.objects(self.api, namespace=meta["namespace"]).filter(selector=selector)
        return Counter(pod.obj["spec"].get("nodeName", "") for pod in pods if pod.ready)

    # What is done

    def install_crd(self) -> None:
        """The operator's namespace and our own kind."""
        self.kubectl("create", "namespace", "resilience-system")
        self.kubectl("apply", "--server-side", "-f", str(CRD))
        self.lab.wait_established("resiliencepolicies.resilience.dev")

    def apply_policy(self, incident: str, mode: str, *changes: tuple[str, str]) -> None:
        """Apply an example's policy in that mode; `changes`: (text of it, what stands there instead)."""
        text = (ROOT / "examples" / incident / "policy.yaml").read_text()
        for old, new in (("mode: Enforce", f"mode: {mode}"), *changes):
            text = text.replace(old, new)
        self.kubectl("apply", "-f", "-", input=text)

    def apply_broken(self, incident: str) -> None:
        """Apply what is broken in an example."""
        self.kubectl("apply", "-f", str(ROOT / "examples" / incident / "broken.yaml"))

    def until(self, what: str, probe: Callable[[], Any]) -> None:
        """Wait until a probe is true; Failed where it is not within the deadline."""
        for _ in ticks():
            if probe():
                return
        raise Failed(f"it did not happen within {DEADLINE:g} s that {what}")


def ticks(deadline: float = DEADLINE) -> Iterator[None]:
    """Four looks a second, until the deadline."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        yield
        time.sleep(0.25)


def rolled_out(body: Body) -> bool:
    """True where a Deployment is complete."""
    status, replicas = body.get("status", {}), body["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(
        status.get("observedGeneration", 0) >= body["metadata"]["generation"] and counts == [replicas] * 3
    )
