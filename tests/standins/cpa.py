"""A stand-in for the cluster-proportional-autoscaler (CPA): the decision as pure functions, and a loop around it.

Tests start it with `running`, people with `python -m tests.standins.cpa`; `coredns/test_cpa_standin.py` holds both
against the facts. It behaves as CPA's newest sources do: only schedulable nodes that are Ready count, allocatable
cores, `includeUnschedulableNodes` in both modes. It leaves out what the tests have no use for: several targets,
`--nodelabels`, `--max-sync-failures`, the health port, the fall-back to extensions/v1beta1. It lists nodes where CPA
watches them, and its poll period may be a part of a second.

The parameters are JSON as Go reads it into structs: keys in any case, unknown ones ignored, of several the last, null
is "not given", a whole number is written as one, and nothing else passes for a number or a flag.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pykube
import requests

NAME = "cluster-proportional-autoscaler"
ROOT = Path(__file__).resolve().parents[2]

Body = dict[str, Any]
Call = Callable[[str, str, Body | None], Body]


class ParamsError(ValueError):
    """These parameters scale nothing: CPA logs it, and looks again at the next poll."""


class RequestError(Exception):
    """The API server's answer was not a success."""


@dataclass(frozen=True)
class Linear:
    """The parameters under `linear`; 0 is "not given", `minimum` is never below 1."""

    cores_per_replica: float = 0
    nodes_per_replica: float = 0
    minimum: int = 1
    maximum: int = 0
    prevent_single_point_failure: bool = False
    include_unschedulable_nodes: bool = False


@dataclass(frozen=True)
class Ladder:
    """The parameters under `ladder`: steps of (from this count on, this many replicas), by count."""

    cores_to_replicas: tuple[tuple[int, int], ...] = ()
    nodes_to_replicas: tuple[tuple[int, int], ...] = ()
    include_unschedulable_nodes: bool = False


Params = Linear | Ladder


class Count(NamedTuple):
    """What the replicas are in proportion to."""

    nodes: int
    cores: int


# Parameters


def parse_params(data: Mapping[str, str]) -> Params:
    """The parameters in a ConfigMap's data, which must have exactly one key: `linear` or `ladder`."""
    if len(data) != 1:
        raise ParamsError(f"invalid configMap format, expected only one entry, got: {sorted(data)}")
    ((mode, text),) = data.items()
    if mode == "linear":
        return _linear(text)
    if mode == "ladder":
        return _ladder(text)
    raise ParamsError(f"not a supported control mode: {mode}")


def _linear(text: str) -> Linear:
    given = _fields(text, _LINEAR)
    given["minimum"] = given.get("minimum", 0) or 1
    params = Linear(**given)
    if params.minimum < 0:
        raise ParamsError(f"invalid negative value for min: {params.minimum}")
    if params.maximum != 0 and params.maximum < params.minimum:
        raise ParamsError(f"max {params.maximum} should be greater than or equal to min {params.minimum}")
    if params.cores_per_replica == 0 and params.nodes_per_replica == 0:
        raise ParamsError("should at least provide either coresPerReplica or nodesPerReplica")
    if params.cores_per_replica < 0:
        raise ParamsError(f"invalid negative value for coresPerReplica: {params.cores_per_replica}")
    if params.nodes_per_replica < 0:
        raise ParamsError(f"invalid negative value for nodesPerReplica: {params.nodes_per_replica}")
    return params


def _ladder(text: str) -> Ladder:
    params = Ladder(**_fields(text, _LADDER))
    for step in (*params.cores_to_replicas, *params.nodes_to_replicas):
        if min(step) < 0:
            raise ParamsError(f"invalid negative value in step {list(step)}")
    return params


def default_data(text: str) -> dict[str, str]:
    """The data of the ConfigMap that `--default-params` makes: each value as compact JSON with sorted keys.

    Nothing else is checked here: what is wrong with it is found when the ConfigMap is read.
    """
    return {
        key: json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for key, value in _object(text)
    }


# The decision


def counted(nodes: Iterable[Body], params: Params) -> Count:
    """How many nodes count, and their allocatable cores, rounded up as a sum."""
    counting = [node for node in nodes if params.include_unschedulable_nodes or _schedulable(node)]
    return Count(len(counting), math.ceil(sum((_cores(node) for node in counting), start=Fraction())))


def expected(params: Params, nodes: int, cores: int) -> int:
    """How many replicas there should be for so many nodes and cores."""
    replicas = (
        _linearly(params, nodes, cores) if isinstance(params, Linear) else _by_steps(params, nodes, cores)
    )
    return (replicas + 2**31) % 2**32 - 2**31  # cut to 32 bits, as CPA does without a word


def _by_steps(params: Ladder, nodes: int, cores: int) -> int:
    return max(_step(params.cores_to_replicas, cores), _step(params.nodes_to_replicas, nodes))


def _linearly(params: Linear, nodes: int, cores: int) -> int:
    by_cores = _term(params, cores, params.cores_per_replica)
    by_nodes = _term(params, nodes, params.nodes_per_replica)
    if params.prevent_single_point_failure and nodes > 1:
        by_nodes = max(by_nodes, 2)  # after the maximum: with a maximum of 1 it is still 2
    return max(by_cores, by_nodes)


def _term(params: Linear, count: int, per_replica: float) -> int:
    if per_replica == 0:
        return 1
    replicas = math.ceil(count / per_replica)
    if params.maximum != 0:
        replicas = min(replicas, params.maximum)
    return max(replicas, params.minimum)


def _step(steps: tuple[tuple[int, int], ...], count: int) -> int:
    if not steps:
        return 0
    # Below the lowest step it is still the lowest step: only a step of 0 replicas scales to none.
    place = bisect_right(steps, count, key=lambda step: step[0])
    return steps[max(place - 1, 0)][1]


def _schedulable(node: Body) -> bool:
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in node.get("status", {}).get("conditions", ())
    )
    return ready and not node.get("spec", {}).get("unschedulable", False)


def _cores(node: Body) -> Fraction:
    quantity = str(node.get("status", {}).get("allocatable", {}).get("cpu", "0"))
    power = {"n": -9, "u": -6, "m": -3, "k": 3}.get(quantity[-1], 0)
    return Fraction(quantity[:-1] if power else quantity) * Fraction(10) ** power


# JSON as Go reads it


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, also those that it has twice."""


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _object(text: str) -> _Pairs:
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_json)
    except ValueError as error:
        raise ParamsError(f"could not parse parameters ({error})") from error
    if value is None:
        return _Pairs()
    if not isinstance(value, _Pairs):
        raise ParamsError(f"could not parse parameters (not an object: {text})")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = _number(
        "number", value
    )  # Go has floats only, and writes one without a fraction as a whole number
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


_Reader = Callable[[str, Any], Any]


def _fields(text: str, known: Mapping[str, tuple[str, _Reader]]) -> Body:
    folded = {name.casefold(): field for name, field in known.items()}
    given: Body = {}
    for key, value in _object(text):
        field = folded.get(key.casefold())
        if field is not None and value is not None:
            name, read = field
            given[name] = read(key, value)
    return given


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ParamsError(f"could not parse parameters ({key}: {value!r} is no whole number)")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParamsError(f"could not parse parameters ({key}: {value!r} is no number)")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ParamsError(f"could not parse parameters ({key} is out of range)")
    return number


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ParamsError(f"could not parse parameters ({key}: {value!r} is not true or false)")
    return value


def _steps(key: str, value: Any) -> tuple[tuple[int, int], ...]:
    if isinstance(value, _Pairs) or not isinstance(value, list):
        raise ParamsError(f"could not parse parameters ({key}: {value!r} is no list)")
    return tuple(sorted((_one_step(key, entry) for entry in value), key=lambda step: step[0]))


def _one_step(key: str, entry: Any) -> tuple[int, int]:
    # Go reads it into an array of two: what is missing is 0, what is too much is not looked at.
    if entry is None:
        return 0, 0
    if isinstance(entry, _Pairs) or not isinstance(entry, list):
        raise ParamsError(f"could not parse parameters ({key}: {entry!r} is no pair)")
    count, replicas = [0 if one is None else _whole(key, one) for one in [*entry[:2], None, None][:2]]
    return count, replicas


_LINEAR: dict[str, tuple[str, _Reader]] = {
    "coresPerReplica": ("cores_per_replica", _number),
    "nodesPerReplica": ("nodes_per_replica", _number),
    "min": ("minimum", _whole),
    "max": ("maximum", _whole),
    "preventSinglePointFailure": ("prevent_single_point_failure", _flag),
    "includeUnschedulableNodes": ("include_unschedulable_nodes", _flag),
}
_LADDER: dict[str, tuple[str, _Reader]] = {
    "coresToReplicas": ("cores_to_replicas", _steps),
    "nodesToReplicas": ("nodes_to_replicas", _steps),
    "includeUnschedulableNodes": ("include_unschedulable_nodes", _flag),
}


# The loop


_RESOURCES = {
    "deployment": "/apis/apps/v1/namespaces/{}/deployments/{}/scale",
    "replicaset": "/apis/apps/v1/namespaces/{}/replicasets/{}/scale",
    "statefulset": "/apis/apps/v1/namespaces/{}/statefulsets/{}/scale",
    "replicationcontroller": "/api/v1/namespaces/{}/replicationcontrollers/{}/scale",
}


def scale_path(namespace: str, target: str) -> str:
    """Where the scale of a target such as `deployment/coredns` is; ValueError where there is none."""
    kind, slash, name = target.lower().partition("/")
    resource = _RESOURCES.get(kind.removesuffix("s"))
    if not slash or not name or "/" in name or resource is None:
        raise ValueError(f"target format error: {target}")
    return resource.format(namespace, name)


@dataclass
class Autoscaler:
    """What one CPA does, poll by poll; `call` sends a request and raises where it had no success."""

    call: Call
    namespace: str
    config_map: str
    target: str
    default: Mapping[str, str] | None = None
    _params: Params | None = None
    _version: str = ""

    def poll(self) -> str:
        """Look once and scale where it is needed; returns what was decided."""
        scale_at = scale_path(self.namespace, self.target)
        nodes = self.call("GET", "/api/v1/nodes", None)["items"]
        params = self._read()
        count = counted(nodes, params)
        wanted = expected(params, *count)
        scale = self.call("GET", scale_at, None)
        now = scale["spec"].get("replicas", 0)
        seen = f"{count.nodes} of {len(nodes)} nodes count, {count.cores} cores"
        if now == wanted:
            return f"{self.target} stays at {now}: {seen}"
        self.call("PUT", scale_at, {**scale, "spec": {"replicas": wanted}})
        return f"{self.target} from {now} to {wanted}: {seen}"

    def _read(self) -> Params:
        body = self._fetch()
        version = body["metadata"]["resourceVersion"]
        if self._params is None or version != self._version:
            self._params = parse_params(body.get("data", {}))
            self._version = version
        return self._params

    def _fetch(self) -> Body:
        collection = f"/api/v1/namespaces/{self.namespace}/configmaps"
        try:
            return self.call("GET", f"{collection}/{self.config_map}", None)
        except (RequestError, requests.RequestException):
            # As CPA does: whatever the reason, it takes the ConfigMap for missing.
            if self.default is None:
                raise
        metadata = {"name": self.config_map, "namespace": self.namespace}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(self.default)}
        return self.call("POST", collection, body)


def connect(kubeconfig: Path) -> Call:
    """Requests as the user of a kubeconfig. The API server names the field manager after the user agent."""
    client = pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)))
    client.session.headers["User-Agent"] = NAME

    def call(method: str, path: str, body: Body | None) -> Body:
        answer = client.session.request(method, client.url + path, json=body, timeout=10)
        if not answer.ok:
            raise RequestError(f"{method} {path}: {answer.status_code} {answer.text.strip()}")
        found: Body = answer.json()
        return found

    return call


@contextmanager
def running(
    kubeconfig: Path,
    namespace: str,
    config_map: str,
    target: str,
    default_params: str = "",
    poll_seconds: float = 0.5,
    log: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the stand-in as a process for as long as the body runs; the process may be signalled.

    Without `default_params` a missing ConfigMap is not created. A failing body is told the end of the log.
    """
    argv = [
        *(sys.executable, "-m", "tests.standins.cpa", f"--kubeconfig={kubeconfig.absolute()}"),
        *(f"--namespace={namespace}", f"--configmap={config_map}", f"--target={target}"),
        *([f"--default-params={default_params}"] if default_params else []),
        *(f"--poll-period-seconds={poll_seconds:g}", f"--parent={os.getpid()}"),
    ]
    with (log or Path(os.devnull)).open("ab") as stream:
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        yield process
    except BaseException as error:
        error.add_note(f"the end of the log of the {NAME} stand-in:\n{_tail(log)}")
        raise
    finally:
        _end(process)
    if process.returncode > 0:
        raise AssertionError(f"the {NAME} stand-in ended by itself:\n{_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)  # a test may have stopped it in its tracks
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path | None, lines: int = 20) -> str:
    return (
        "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log else "(no log was asked for)"
    )


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S.%f} {' '.join(text.split())}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Poll for ever, at once for the first time; SIGTERM ends it, as it ends CPA, by doing what it always does."""
    parser = argparse.ArgumentParser(prog="tests.standins.cpa", description=f"a stand-in for the {NAME}")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--configmap", required=True)
    parser.add_argument("--target", required=True, help="deployment/NAME")
    parser.add_argument(
        "--default-params", type=default_data, help='{"linear": {...}}: creates the ConfigMap'
    )
    parser.add_argument("--poll-period-seconds", type=float, default=10.0)
    parser.add_argument("--parent", type=int, default=0, help="end when this process is no longer the parent")
    options = parser.parse_args(arguments)
    try:
        scale_path(options.namespace, options.target)
    except ValueError as error:
        parser.error(str(error))
    call = connect(options.kubeconfig)
    autoscaler = Autoscaler(
        call, options.namespace, options.configmap, options.target.lower(), options.default_params
    )
    while options.parent in (0, os.getppid()):
        began = time.monotonic()
        try:
            _say(autoscaler.poll())
        except (ParamsError, RequestError, requests.RequestException) as error:
            _say(f"nothing is scaled: {error}")
        time.sleep(max(0.0, began + options.poll_period_seconds - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
