"""The floor of CoreDNS where it is an Amazon EKS add-on: in the add-on's configurationValues, and nowhere else.

Called by the rule coredns-floor, and by what writes the result (outside/eks) or prints the command for it. The
Deployment itself is not written: whatever differs there from the add-on's configuration EKS overwrites.

Two values make the floor. `autoScaling.minReplicas` is how far EKS scales down, where `autoScaling.enabled` is
true. `replicaCount` is the number where it is not; and where it is, every update of the add-on starts with that
number, however many replicas there are (aws/containers-roadmap#2540), so that it must not be the lower one.

EKS takes JSON and YAML. Only JSON is judged and edited, in place; what cannot be read is a problem, never a guess.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from resilience_operator.core.paths import JSON
from resilience_operator.policy import decode
from resilience_operator.policy.common import Problem, Settings
from resilience_operator.targets.workloads.json_text import DuplicateKeyError, NotJSONError, decoded, put

ADDON = "coredns"
DEFAULT_REPLICAS = 2
"""Both minReplicas and replicaCount where nobody says one (schema of the add-on, and the EKS user guide)."""

HIGHEST_MINIMUM = 1000
"""The most that the schema of the add-on allows for minReplicas; replicaCount has no limit."""

NAME_THE_CLUSTER = '"${EKS_CLUSTER:?set EKS_CLUSTER to the name of the EKS cluster}"'
"""In place of a name that is not known: a shell refuses the command until the variable is set."""

_VALUES = "configurationValues"
_INSTEAD = "write it as JSON, or raise replicaCount, and autoScaling.minReplicas if enabled, in it yourself"


class _AutoScaling(Settings, frozen=True):
    open = True

    enabled: bool = False
    min_replicas: int | None = None
    max_replicas: int | None = None


class _Values(Settings, frozen=True):
    open = True

    auto_scaling: _AutoScaling = _AutoScaling()
    replica_count: int | None = None


@dataclass(frozen=True, slots=True)
class AddonScaling:
    """What configurationValues say of the number of replicas; None where they say nothing.

    `enabled`: EKS scales it; false is EKS's default. `problem`: why nothing else here is to be relied on, and what
    to write instead; "" where all was read.
    """

    enabled: bool
    min_replicas: int | None
    max_replicas: int | None
    replica_count: int | None
    problem: str = ""

    @property
    def least(self) -> int:
        """minReplicas as it counts."""
        return DEFAULT_REPLICAS if self.min_replicas is None else self.min_replicas

    @property
    def first(self) -> int:
        """replicaCount as it counts: with how many replicas an update of the add-on starts."""
        return DEFAULT_REPLICAS if self.replica_count is None else self.replica_count


def read(configuration: str | Mapping[str, JSON]) -> AddonScaling:
    """The scaling in configurationValues: JSON, or "" where there are none; or any such text already decoded.

    Whoever has a YAML parser decodes YAML with it, and has it judged; `raised` leaves it alone.
    """
    if isinstance(configuration, Mapping):
        return _of(configuration)
    if not configuration.strip():
        return AddonScaling(enabled=False, min_replicas=None, max_replicas=None, replica_count=None)
    try:
        values = decoded(configuration)
    except DuplicateKeyError as error:
        return _unreadable(f"{_VALUES} have {error.key} twice: write it once")
    except NotJSONError as error:
        return _unreadable(f"{_VALUES} are no JSON, {error}; YAML is not edited: {_INSTEAD}")
    if not isinstance(values, dict):
        return _unreadable(f"{_VALUES} are no object in braces: {_INSTEAD}")
    return _of(values)


def _of(values: Mapping[str, JSON]) -> AddonScaling:
    problems: list[Problem] = []
    said = decode.read(_Values, values, _VALUES, problems)
    if problems:
        return _unreadable("; ".join(map(str, problems)))
    scaling = said.auto_scaling
    return AddonScaling(scaling.enabled, scaling.min_replicas, scaling.max_replicas, said.replica_count)


def _unreadable(problem: str) -> AddonScaling:
    return AddonScaling(
        enabled=False, min_replicas=None, max_replicas=None, replica_count=None, problem=problem
    )


def shortfall(scaling: AddonScaling, floor: int) -> str:
    """What lets CoreDNS go below the floor, as a part of a sentence; "" where nothing does."""
    least, first = _least(scaling, floor), _told(scaling.replica_count)
    found = []
    if scaling.enabled and scaling.least < least:
        found.append(f"autoScaling.minReplicas is {_told(scaling.min_replicas)}, below the floor of {floor}")
    if scaling.first < least and scaling.enabled:
        start = "updates of the add-on start with it"
        found.append(f"replicaCount is {first}, below a minReplicas of {least}: {start}")
    elif scaling.first < least:
        found.append(f"replicaCount is {first}, below the floor of {floor}")
    return "; ".join(found)


def _told(number: int | None) -> str:
    return f"{DEFAULT_REPLICAS} by default" if number is None else str(number)


def _least(scaling: AddonScaling, floor: int) -> int:
    """minReplicas with the floor in it, below which replicaCount must not be either."""
    return max(scaling.least, floor) if scaling.enabled else floor


def blocked(scaling: AddonScaling, floor: int) -> str:
    """Why the floor must not or cannot be written, and what to commit instead; "" where it may be."""
    least, maximum = _least(scaling, floor), scaling.max_replicas
    if scaling.problem:
        return scaling.problem
    if not scaling.enabled:
        return ""
    if floor > HIGHEST_MINIMUM:
        return f"EKS takes no minReplicas above {HIGHEST_MINIMUM}: lower the floor of {floor}"
    if maximum is None or maximum >= least:
        return ""
    below = f"autoScaling.minReplicas {least}" if least > floor else f"the floor of {floor}"
    patch = json.dumps({"autoScaling": {"maxReplicas": least}}, separators=(",", ":"))
    return (
        f"autoScaling.maxReplicas is {maximum}, below {below}, and a maximum is never raised;"
        f" to end it, commit {patch} to the {_VALUES}"
    )


def raised(text: str, floor: int, *, running: int = 0) -> str | None:
    """The configurationValues with the floor in them, every other byte as it is; None where nothing is to be written.

    That is where the floor is there already, or `blocked` says why not. `running`: how many replicas there are now.
    The update would take those above replicaCount away, until EKS scales up again; so it says no lower number.
    """
    scaling = read(text)
    if blocked(scaling, floor) or not shortfall(scaling, floor):
        return None
    least = first = _least(scaling, floor)
    if scaling.enabled:
        kept = running if scaling.max_replicas is None else min(running, scaling.max_replicas)
        first = max(least, kept)
    text = text if text.strip() else "{}"
    if scaling.enabled and scaling.least < least:
        text = put(text, "minReplicas", str(least), inside="autoScaling")
    return put(text, "replicaCount", str(first)) if scaling.first < first else text


def look(cluster: str) -> str:
    """What a person types to see the configurationValues."""
    return (
        f"aws eks describe-addon --cluster-name {_named(cluster)} --addon-name {ADDON}"
        " --query addon.configurationValues --output text"
    )


def _named(cluster: str) -> str:
    return shlex.quote(cluster) if cluster else NAME_THE_CLUSTER


def command(cluster: str, text: str) -> str:
    """What a person types to make `text` the configurationValues; a shell refuses it where no cluster is named.

    It replaces all of them. PRESERVE keeps what others changed in the cluster, beside the configuration.
    """
    return (
        f"aws eks update-addon --cluster-name {_named(cluster)} --addon-name {ADDON}"
        f" --resolve-conflicts PRESERVE --configuration-values {shlex.quote(text)}"
    )
