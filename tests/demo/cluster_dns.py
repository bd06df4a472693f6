"""Incident dns-scale-down: an autoscaler scales cluster DNS down with the nodes, until there is a floor."""

from __future__ import annotations

import difflib
import json
from contextlib import ExitStack
from pathlib import Path

from tests.demo.stage import Body, Failed, Stage, rolled_out
from tests.e2e import dns

INCIDENT = "dns-scale-down"
RULES = {"coredns-floor", "coredns-spread", "coredns-budget"}
FLOOR = 3
ROUNDS = 3
NODE, MORE = "node-5", ("node-6", "node-7")
ZONES = {"node-5": "zone-a", "node-6": "zone-b", "node-7": "zone-a"}
STAND_IN = (
    "The autoscaler is a stand-in (tests/standins/cpa.py): it reads its Deployment's flags and ConfigMap, and scales,\n"
    "as the cluster-proportional-autoscaler does. The pods are simulated: none of them answers a query."
)


class ClusterDNS:
    """The steps of the incident, each of which prints and checks; `stack` ends the stand-in of the autoscaler."""

    def __init__(self, stage: Stage, stack: ExitStack, log: Path) -> None:
        self._stage = stage
        self._stack = stack
        self._log = log
        self._before: dict[str, Body] = {}

    def break_it(self) -> None:
        """Cluster DNS on five nodes; the policy audits; a node goes, and a replica with it."""
        self._stage.step("Cluster DNS and its autoscaler: five nodes, one replica for every two")
        self._stage.say(STAND_IN, plain=True)
        self._add(NODE)
        self._stage.apply_broken(INCIDENT)
        self._stack.enter_context(dns.running_autoscaler(self._stage.lab, self._log))
        self._wait_scaled(FLOOR)
        self._before = self._now()
        self._stage.apply_policy(INCIDENT, "Audit")
        self._stage.until(
            "the audit names it", lambda: {one["rule"] for one in self._stage.findings(INCIDENT)} == RULES
        )
        self._stage.say(f"[bold]{INCIDENT}[/]")
        self._stage.show_findings(INCIDENT)

        self._stage.step(f"{NODE} goes: the autoscaler takes a replica of DNS away")
        self._stage.lab.remove_node(NODE, with_pods=True)
        self._wait_scaled(2)
        self._stage.until("an Event names who did it", self._scale_downs)
        for note in self._scale_downs():
            self._stage.say(f"  Event CoreDNSScaledDown: {note}", plain=True)
        if not all("cluster-proportional-autoscaler" in note for note in self._scale_downs()):
            raise Failed("the Event does not name the autoscaler")
        if self._now()["configmap"] != self._before["configmap"]:
            raise Failed("the audit changed the autoscaler's parameters")

    def enforce(self) -> None:
        """The floor goes into the autoscaler's own parameters, and holds whatever the nodes do."""
        self._stage.step("The policy says Enforce: the floor goes into the autoscaler's own parameters")
        self._stage.apply_policy(INCIDENT, "Enforce")
        self._stage.until("the floor is in the parameters", lambda: parameters(self._now()) != self._was)
        self._stage.say("ConfigMap coredns-autoscaler, linear:", plain=True)
        for line in difflib.ndiff(self._was.splitlines(), parameters(self._now()).splitlines()):
            if not line.startswith("?"):
                self._stage.say(f"  {line}", plain=True)
        self._wait_scaled(FLOOR)
        self._stage.say(f"The autoscaler itself scales back to {FLOOR}. Then the spread, in its turn:")
        # One finding stays: of the autoscaler's --default-params, which are left to their owner.
        self._stage.watch_rollouts((INCIDENT,))
        self._stage.show_findings(INCIDENT)
        budgets = self._stage.kubectl("-n", dns.NAMESPACE, "get", "pdb")
        self._stage.say(budgets, plain=True)
        if "coredns-resilience" not in budgets:
            raise Failed("cluster DNS has no budget")
        if "topologySpreadConstraints" not in self._deployment()["spec"]["template"]["spec"]:
            raise Failed("cluster DNS is not spread")
        self._nodes_come_and_go()

    def _nodes_come_and_go(self) -> None:
        mark = self._stage.lab.audit.mark()
        for _ in range(ROUNDS):
            self._add(NODE, *MORE)
            self._wait_scaled(FLOOR + 1)
            for name in (NODE, *MORE):
                self._stage.lab.remove_node(name, with_pods=True)
            self._wait_scaled(FLOOR)
        self._add(NODE)
        self._wait_scaled(FLOOR)
        told = dns.scaled_to(self._stage.lab, mark)
        self._stage.say(
            f"Four nodes, seven, and back, {ROUNDS} times: DNS was told to have {', '.join(map(str, told))} replicas.\n"
            "The autoscaler goes on above the floor, and never below it: without it, four nodes were worth 2.",
            plain=True,
        )
        self._stage.show_nodes({(dns.NAMESPACE, "coredns"): self._stage.nodes_of(self._deployment())})
        if min(told) != FLOOR or max(told) != FLOOR + 1:
            raise Failed(f"DNS was told to have {told} replicas")

    def released(self) -> None:
        """The policy is gone: nothing of it is left."""
        self._wait_scaled(FLOOR)
        after = self._now()
        different = [kind for kind, was in self._before.items() if after[kind] != was]
        if different:
            raise Failed(f"of cluster DNS not as before: {', '.join(different)}")
        if self._stage.kubectl("-n", dns.NAMESPACE, "get", "pdb", "-o", "name").strip():
            raise Failed("the PodDisruptionBudget is still there")
        self._stage.say(
            "ConfigMap coredns-autoscaler is byte-identical again, CoreDNS has its original spec, the budget is gone."
        )

    # How it is read and changed

    @property
    def _was(self) -> str:
        return parameters(self._before)

    def _now(self) -> dict[str, Body]:
        """What is to be as before in the end: the parameters with who holds them, and both specs."""
        config_map = dns.get(self._stage.lab, "configmap", "coredns-autoscaler")
        meta = config_map["metadata"]
        managers = [one["manager"] for one in meta["managedFields"]]
        autoscaler = dns.get(self._stage.lab, "deployment", "coredns-autoscaler")
        return {
            "configmap": {
                "data": config_map["data"],
                "annotations": meta["annotations"],
                "managers": managers,
            },
            "coredns": self._deployment()["spec"],
            "autoscaler": autoscaler["spec"],
        }

    def _deployment(self) -> Body:
        return dns.get(self._stage.lab, "deployment", "coredns")

    def _wait_scaled(self, replicas: int) -> None:
        def scaled() -> bool:
            body = self._deployment()
            return body["spec"]["replicas"] == replicas and rolled_out(body)

        self._stage.until(f"cluster DNS has {replicas} ready replicas", scaled)

    def _scale_downs(self) -> list[str]:
        text = self._stage.kubectl("-n", dns.NAMESPACE, "get", "events.events.k8s.io", "-o", "json")
        return [
            event["note"] for event in json.loads(text)["items"] if event["reason"] == "CoreDNSScaledDown"
        ]

    def _add(self, *names: str) -> None:
        for name in names:
            self._stage.lab.add_node(name, zone=ZONES[name], wait_ready=False)
        for name in names:
            self._stage.lab.wait_node(name)


def parameters(state: dict[str, Body]) -> str:
    """The text of the autoscaler's parameters."""
    text: str = state["configmap"]["data"]["linear"]
    return text
