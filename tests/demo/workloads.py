"""The three incidents of ordinary Deployments: a pile-up, an ingress that loses requests, a slow resolver."""

from __future__ import annotations

from collections import Counter

from tests.demo.stage import Body, Failed, Stage, rolled_out
from tests.e2e.process import OperatorProcess

INCIDENTS = ("one-node-pileup", "ungraceful-ingress", "dns-five-seconds")
TWIN = ("one-node-pileup", "web-twin")

Specs = dict[tuple[str, str], Body]


class Workloads:
    """The steps of the three incidents, each of which prints and checks."""

    def __init__(self, stage: Stage, operator: OperatorProcess) -> None:
        self._stage = stage
        self._operator = operator
        self._before: Specs = {}

    def break_it(self) -> None:
        """Install the custom resource and the broken workloads, and show where their pods run."""
        self._stage.step("The custom resource and the broken workloads of three incidents")
        self._stage.install_crd()
        for incident in INCIDENTS:
            self._stage.apply_broken(incident)
        self._stage.until("all workloads are rolled out", lambda: all(map(rolled_out, self._deployments())))
        self._stage.show_nodes(self._nodes())
        piled = [name for name, nodes in self._nodes().items() if len(nodes) == 1 and sum(nodes.values()) > 1]
        if ("one-node-pileup", "web") not in piled or TWIN not in piled:
            raise Failed("the replicas of one-node-pileup do not share a node")
        self._before = self._specs()

    def audit(self) -> None:
        """Apply the policies in Audit mode: everything is named, nothing is changed."""
        self._stage.step("The operator audits")
        self._operator.start()
        for incident in INCIDENTS:
            self._stage.apply_policy(incident, "Audit")
        self._stage.until(
            "every policy has found its drift",
            lambda: all(self._stage.condition(one, "Compliant") == "False" for one in INCIDENTS),
        )
        self._stage.say(self._stage.kubectl("get", "resiliencepolicies"))
        for incident in INCIDENTS:
            self._stage.say(f"[bold]{incident}[/]")
            self._stage.show_findings(incident)
        if self._specs() != self._before:
            raise Failed("the audit changed a Deployment")

    def enforce(self) -> None:
        """Switch to Enforce and watch one rollout at a time."""
        self._stage.step("The policies say Enforce: one rollout at a time")
        for incident in INCIDENTS:
            self._stage.apply_policy(incident, "Enforce")
        self._stage.kubectl("-n", TWIN[0], "rollout", "restart", f"deployment/{TWIN[1]}")
        self._stage.watch_rollouts(INCIDENTS)
        self._stage.until("the twin is rolled out", lambda: all(map(rolled_out, self._deployments())))
        nodes = self._nodes()
        self._stage.show_nodes(nodes)
        if len(nodes[("one-node-pileup", "web")]) < 3:
            raise Failed("the replicas of web still share a node")
        if len(nodes[TWIN]) != 1:
            raise Failed("the twin was spread without a policy: the scheduler did it, not the operator")
        self._stage.say("[bold]web-twin[/], restarted at the same time without a policy, stays piled up.")

    def describe(self) -> None:
        """What an engineer reads."""
        self._stage.step("kubectl describe rp one-node-pileup")
        self._stage.say(self._stage.kubectl("describe", "rp", INCIDENTS[0]), plain=True)

    def released(self) -> None:
        """The policies are gone: with onRelease Revert the original specs are back."""
        self._stage.until("everything is rolled out again", lambda: all(map(rolled_out, self._deployments())))
        before, after = self._before, self._specs()
        after[TWIN] = before[TWIN]  # restarted by us, which is an annotation on its template
        different = sorted(str(key) for key in before if before[key] != after.get(key))
        if different:
            raise Failed(f"not as before: {', '.join(different)}")
        self._stage.say(f"{len(before)} Deployments have their original spec again, equal as JSON.")

    def _deployments(self) -> list[Body]:
        return [one for incident in INCIDENTS for one in self._stage.deployments(incident)]

    def _specs(self) -> Specs:
        return {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]
            for one in self._deployments()
        }

    def _nodes(self) -> dict[tuple[str, str], Counter[str]]:
        return {
            (one["metadata"]["namespace"], one["metadata"]["name"]): self._stage.nodes_of(one)
            for one in self._deployments()
        }
