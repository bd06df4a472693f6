"""`make demo`: the three incidents, broken, named, repaired and given back, on a real control plane.

Everything that it shows it also checks, and it ends with an error where something did not happen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pykube
from rich.console import Console
from rich.table import Table

from tests.e2e.process import OperatorProcess
from tests.e2e.scene import CRD, ROOT, ResiliencePolicy
from tests.lab import Lab, start
from tests.lab.errors import LabError

INCIDENTS = ("one-node-pileup", "ungraceful-ingress", "dns-five-seconds")
TWIN = ("one-node-pileup", "web-twin")
DEADLINE = 300.0

Body = dict[str, Any]
Specs = dict[tuple[str, str], Body]


class Failed(Exception):  # noqa: N818 - what did not happen, as a sentence
    """The demo did not show what it should."""


class Demo:
    """The steps of the demo, each of which prints and checks."""

    def __init__(self, lab: Lab, operator: OperatorProcess, console: Console) -> None:
        self._lab = lab
        self._operator = operator
        self._console = console
        self._api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig())), timeout=30)

    def break_it(self) -> Specs:
        """Install the CRD and the broken workloads, and show where their pods run."""
        self._step("The custom resource and the broken workloads of three incidents")
        self._kubectl("create", "namespace", "resilience-system")
        self._kubectl("apply", "--server-side", "-f", str(CRD))
        self._kubectl("wait", "--for=condition=Established", "crd/resiliencepolicies.resilience.dev")
        for incident in INCIDENTS:
            self._kubectl("apply", "-f", str(ROOT / "examples" / incident / "broken.yaml"))
        self._until("all workloads are rolled out", lambda: all(map(rolled_out, self._deployments())))
        self._show_nodes()
        piled = [name for name, nodes in self._nodes().items() if len(nodes) == 1 and sum(nodes.values()) > 1]
        if ("one-node-pileup", "web") not in piled or TWIN not in piled:
            raise Failed("the replicas of one-node-pileup do not share a node")
        return self._specs()

    def audit(self, before: Specs) -> None:
        """Apply the policies in Audit mode: everything is named, nothing is changed."""
        self._step("The operator audits")
        self._operator.start()
        for incident in INCIDENTS:
            self._apply_policy(incident, "Audit")
        self._until("every policy has found its drift", lambda: all(self._condition(one, "Compliant") == "False"
                                                                    for one in INCIDENTS))  # fmt: skip
        self._console.print(self._kubectl("get", "resiliencepolicies"))
        self._show_findings()
        if self._specs() != before:
            raise Failed("the audit changed a Deployment")

    def enforce(self) -> None:
        """Switch to Enforce and watch one rollout at a time."""
        self._step("The policies say Enforce: one rollout at a time")
        for incident in INCIDENTS:
            self._apply_policy(incident, "Enforce")
        self._kubectl("-n", TWIN[0], "rollout", "restart", f"deployment/{TWIN[1]}")
        self._watch_rollouts()
        self._until("the twin is rolled out", lambda: all(map(rolled_out, self._deployments())))
        self._show_nodes()
        nodes = self._nodes()
        if len(nodes[("one-node-pileup", "web")]) < 3:
            raise Failed("the replicas of web still share a node")
        if len(nodes[TWIN]) != 1:
            raise Failed("the twin was spread without a policy: the scheduler did it, not the operator")
        self._console.print("[bold]web-twin[/], restarted at the same time without a policy, stays piled up.")

    def describe(self) -> None:
        """What an engineer reads."""
        self._step("kubectl describe rp one-node-pileup")
        self._console.print(self._kubectl("describe", "rp", INCIDENTS[0]), highlight=False, markup=False)

    def release(self, before: Specs) -> None:
        """Delete the policies: with onRelease Revert the original specs come back."""
        self._step("The policies are deleted; onRelease: Revert gives the original specs back")
        self._kubectl("delete", "rp", *INCIDENTS, "--timeout=240s")
        self._until("everything is rolled out again", lambda: all(map(rolled_out, self._deployments())))
        after = self._specs()
        after[TWIN] = before[TWIN]  # restarted by us, which is an annotation on its template
        different = sorted(str(key) for key in before if before[key] != after.get(key))
        if different:
            raise Failed(f"not as before: {', '.join(different)}")
        self._console.print(f"{len(before)} Deployments have their original spec again, equal as JSON.")

    # What is shown

    def _step(self, text: str) -> None:
        self._console.rule(f"[bold]{text}", align="left")

    def _show_nodes(self) -> None:
        table = Table("deployment", "ready pods by node", box=None)
        for (namespace, name), nodes in sorted(self._nodes().items()):
            table.add_row(
                f"{namespace}/{name}", ", ".join(f"{node}: {n}" for node, n in sorted(nodes.items()))
            )
        self._console.print(table)

    def _show_findings(self) -> None:
        for incident in INCIDENTS:
            self._console.print(f"[bold]{incident}[/]")
            for finding in self._policy(incident).get("status", {}).get("findings", []):
                where = f"{finding['object']['namespace']}/{finding['object']['name']}"
                line = f"  {finding['state']}: {finding['rule']} {where}: {finding['message']}"
                self._console.print(line, markup=False)

    def _watch_rollouts(self) -> None:
        """Print every change of what runs, until every policy is compliant; at most one may ever run."""
        shown = ""
        for _ in ticks():
            running = sorted({line for incident in INCIDENTS for line in self._running(incident)})
            text = "; ".join(running)
            if text and text != shown:
                self._console.print(f"  {text}", highlight=False, markup=False)
            shown = text
            if len({line.split(" ", 1)[0] for line in running}) > 1:
                raise Failed(f"more than one rollout at once: {text}")
            if all(map(self._settled, INCIDENTS)) and not running:
                return
        raise Failed(f"the policies still wait for something after {DEADLINE:g} s")

    def _running(self, incident: str) -> Iterator[str]:
        for rollout in self._policy(incident).get("status", {}).get("rollouts", []):
            ref = rollout["object"]
            yield f"{ref['namespace']}/{ref['name']} revision {rollout['revision']}: {rollout['phase']}"

    # How it is read

    def _policy(self, name: str) -> Body:
        found: Body = ResiliencePolicy.objects(self._api).get_by_name(name).obj
        return found

    def _settled(self, name: str) -> bool:
        """True where the newest policy was judged and nothing of it waits; what is only reported may stay."""
        body = self._policy(name)
        status = body.get("status", {})
        numbers = status.get("summary", {})
        waits = [numbers.get(state, 1) for state in ("drifted", "pending", "contested", "quarantined")]
        return status.get("observedGeneration") == body["metadata"]["generation"] and not any(waits)

    def _condition(self, name: str, kind: str) -> str:
        body = self._policy(name)
        conditions = body.get("status", {}).get("conditions", [])
        return next((one["status"] for one in conditions if one["type"] == kind), "")

    def _deployments(self) -> list[Body]:
        return [
            deployment.obj
            for incident in INCIDENTS
            for deployment in pykube.Deployment.objects(self._api, namespace=incident)
        ]

    def _specs(self) -> Specs:
        return {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]
            for one in self._deployments()
        }

    def _nodes(self) -> dict[tuple[str, str], Counter[str]]:
        found: dict[tuple[str, str], Counter[str]] = {}
        for body in self._deployments():
            meta, selector = body["metadata"], body["spec"]["selector"]["matchLabels"]
            pods = pykube.Pod.objects(self._api, namespace=meta["namespace"]).filter(selector=selector)
            ready = Counter(pod.obj["spec"].get("nodeName", "") for pod in pods if pod.ready)
            found[(meta["namespace"], meta["name"])] = ready
        return found

    def _apply_policy(self, incident: str, mode: str) -> None:
        text = (ROOT / "examples" / incident / "policy.yaml").read_text()
        self._lab.kubectl("apply", "-f", "-", input=text.replace("mode: Enforce", f"mode: {mode}"))

    def _kubectl(self, *arguments: str) -> str:
        return self._lab.kubectl(*arguments)

    def _until(self, what: str, probe: Any) -> None:
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


def keep(lab: Lab, console: Console) -> None:
    """Leave everything up until somebody has seen enough."""
    console.rule("[bold]The cluster and the operator stay up", align="left")
    console.print(f"In another terminal:\n  export KUBECONFIG={lab.kubeconfig()}")
    console.print(f"  {lab.kubectl_program} get deployments -A\nCtrl-C here ends and removes everything.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("ending")


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 1 where it did not show what it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave cluster and operator up until Ctrl-C")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    with ExitStack() as stack:
        console.rule("[bold]A control plane with four simulated nodes", align="left")
        lab = stack.enter_context(start(nodes=4))
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        operator = OperatorProcess(lab.kubeconfig(), logs / "operator.log", "--lease-duration=5")
        stack.callback(operator.stop)
        demo = Demo(lab, operator, console)
        try:
            before = demo.break_it()
            demo.audit(before)
            demo.enforce()
            demo.describe()
            if options.keep:
                keep(lab, console)
                return 0
            demo.release(before)
        except (Failed, LabError) as error:
            console.print("[bold red]The demo failed:[/]", end=" ")
            console.print(f"{error}\n{operator.tail()}", markup=False)
            return 1
    console.rule("[bold]Done; everything that was started is stopped", align="left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
