"""The operator and the agents on real nodes, as people install them: images of the Dockerfiles, the manifests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.scene import ROOT, Body
from tests.lab import Lab
from tests.lab.real import builder

IMAGES = {"Dockerfile": "resilience-operator:0.1.0", "Dockerfile.agent": "resilience-agent:0.1.0"}
OPERATOR, AGENT = "resilience-system", "resilience-agent"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR}:resilience-operator"
AGENT_USER = f"system:serviceaccount:{AGENT}:resilience-agent"
TRACKING = "/proc/sys/net/netfilter/nf_conntrack_"


def build(folder: Path) -> list[Path]:
    """The images' archives."""
    return [
        builder.write(dockerfile, name, folder / f"{name.partition(':')[0]}.tar")
        for dockerfile, name in IMAGES.items()
    ]


def install(lab: Lab, archives: Sequence[Path]) -> None:
    """Bring the images to the nodes, apply the manifests, and wait until everything runs."""
    for archive in archives:
        lab.real.load(archive)
    lab.kubectl("apply", "-k", str(ROOT / "manifests/setup"))
    for kind in ("resiliencepolicies", "nodestates"):
        lab.wait_established(f"{kind}.resilience.dev")
    for part in ("enforce", "agent"):
        lab.kubectl("apply", "-k", str(ROOT / "manifests" / part))
    for namespace, what in (
        (OPERATOR, "deployment/resilience-operator"),
        (AGENT, "daemonset/resilience-agent"),
    ):
        try:
            lab.kubectl("-n", namespace, "rollout", "status", what, "--timeout=120s")
        except Exception as error:
            error.add_note(told(lab, namespace))
            raise


def told(lab: Lab, namespace: str) -> str:
    """What the pods of a namespace are and say, for an error."""
    shown = lab.kubectl("-n", namespace, "get", "pods,events", "-o", "wide")
    said = [
        lab.kubectl("-n", namespace, "logs", pod["metadata"]["name"], "--tail=20", "--ignore-errors")
        for pod in pods(lab, namespace)
    ]
    return "\n".join((shown, *said))


def pods(lab: Lab, namespace: str) -> list[Body]:
    """The pods of a namespace, as the API server has them."""
    found: list[Body] = json.loads(lab.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
    return found


def restarts(lab: Lab, namespace: str) -> list[int]:
    """How often each container of a namespace was started again."""
    return [one["restartCount"] for pod in pods(lab, namespace) for one in pod["status"]["containerStatuses"]]


def states(lab: Lab) -> dict[str, Body]:
    """The NodeStates, by node."""
    items = json.loads(lab.kubectl("get", "nodestates", "-o", "json"))["items"]
    return {one["metadata"]["name"]: one for one in items}


def policy(lab: Lab, name: str, **spec: Any) -> None:
    """Apply a policy that enforces without long waits between its steps."""
    quick = {"soakSeconds": 1, "maxConcurrent": 5, "maxConcurrentPerNamespace": 5}
    body = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": name},
        "spec": {"mode": "Enforce", "rollout": quick, **spec},
    }
    lab.kubectl("apply", "-f", "-", input=json.dumps(body))


def conditions(lab: Lab, name: str) -> dict[str, str]:
    """The conditions of a policy that were said of its newest generation."""
    body = json.loads(lab.kubectl("get", "rp", name, "-o", "json"))
    status = body.get("status", {})
    if status.get("observedGeneration") != body["metadata"]["generation"]:
        return {}
    return {one["type"]: one["status"] for one in status.get("conditions", ())}


def wait_compliant(lab: Lab, name: str, timeout: float = 120.0) -> None:
    """Wait until a policy is compliant and nothing runs; what it says is the error where it is not."""

    def compliant() -> bool:
        found = conditions(lab, name)
        return (found.get("Compliant"), found.get("Progressing")) == ("True", "False")

    explained(lab, name, compliant, timeout, f"policy {name} is compliant")


def explained(lab: Lab, name: str, probe: Callable[[], bool], timeout: float, what: str) -> None:
    """Wait, and add a policy's status to the error."""
    try:
        lab.wait(probe, timeout, what)
    except AssertionError as error:
        error.add_note(lab.kubectl("get", "rp", name, "-o", "yaml"))
        raise


def sysctl(lab: Lab, node: str, key: str) -> int:
    """A sysctl of connection tracking as a node's own programs see it."""
    return int(lab.real.inside(node, "cat", f"{TRACKING}{key}"))


def set_sysctl(lab: Lab, node: str, key: str, value: int) -> None:
    """Set one by hand, as an engineer or a tuning daemon does."""
    lab.real.inside(node, "sh", "-c", f"echo {value} > {TRACKING}{key}")
