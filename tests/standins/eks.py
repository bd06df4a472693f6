"""A stand-in for the add-on part of the Amazon EKS API: one HTTP server in a thread, spoken to by the real boto3.

Started with `serving` and AWS_ENDPOINT_URL_EKS; `coredns/test_eks_addon.py` holds it against the facts. moto,
which plays EC2 there, has clusters and node groups but no add-ons.

From the API reference (DescribeAddon, UpdateAddon): the paths, the shapes, the error codes and their HTTP status; an
update is accepted (InProgress) and ends later, all the while UPDATING and every other update a ResourceInUseException;
the same clientRequestToken is the same update; configurationValues replace all former ones, without them the former
stay; PRESERVE keeps what others changed in the cluster, OVERWRITE undoes it, NONE lets the update fail on it. From
aws/containers-roadmap: the schema of the add-on and what is answered where values break it (#1458, #2785), and an
update starts with replicaCount replicas, whatever the autoscaler had (#2540). Its texts are not to the letter.

Not documented, and chosen here: DescribeAddon shows the new values when the update has ended, not before.
"""

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

Body = dict[str, Any]

DEFAULT_REPLICAS = 2
ROOT_KEYS: Mapping[str, str] = {
    "affinity": "object",
    "autoScaling": "object",
    "computeType": "string",
    "corefile": "string",
    "nodeSelector": "object",
    "podAnnotations": "object",
    "podDisruptionBudget": "object",
    "podLabels": "object",
    "replicaCount": "integer",
    "resources": "object",
    "tolerations": "array",
    "topologySpreadConstraints": "array",
}
SCALING_KEYS: Mapping[str, str] = {"enabled": "boolean", "maxReplicas": "integer", "minReplicas": "integer"}
LOWEST, HIGHEST = 2, 1000
TYPES: Mapping[type, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}


def broken(configuration: str) -> list[str]:
    """What of the add-on's schema (v1.10.1-eksbuild.11) the values do not keep to; YAML and JSON alike."""
    try:
        values = yaml.safe_load(configuration)
    except yaml.YAMLError:
        return ["$: is neither JSON nor YAML"]
    if not isinstance(values, dict):
        return [f"$: {TYPES[type(values)]} found, object expected"]
    found = _mistyped("$", values, ROOT_KEYS)
    scaling = values.get("autoScaling")
    if not isinstance(scaling, dict):
        return found
    if "enabled" not in scaling:
        found.append("$.autoScaling.enabled: is missing but it is required")
    found += _mistyped("$.autoScaling", scaling, SCALING_KEYS)
    for key in ("minReplicas", "maxReplicas"):
        if isinstance(number := scaling.get(key, LOWEST), int) and not LOWEST <= number <= HIGHEST:
            bound = f"minimum value of {LOWEST}" if number < LOWEST else f"maximum value of {HIGHEST}"
            found.append(f"$.autoScaling.{key}: must have a {bound}")
    return found


def _mistyped(path: str, values: Body, keys: Mapping[str, str]) -> list[str]:
    found = []
    for key, value in values.items():
        given = TYPES[type(value)]
        if key not in keys:
            found.append(
                f"{path}.{key}: is not defined in the schema and the schema does not allow additional properties"
            )
        elif given != keys[key]:
            found.append(f"{path}.{key}: {given} found, {keys[key]} expected")
    return found


class Refused(Exception):  # noqa: N818
    """An answer that is an error: the HTTP status, the code and the message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Installed:
    """One add-on of a cluster, and of the Deployment behind it what a test looks at.

    `edits`: fields that others changed in the cluster. `replicas`: how many the autoscaler has made of it.
    """

    configuration: str = ""
    version: str = "v1.11.4-eksbuild.2"
    status: str = "ACTIVE"
    issues: list[Body] = field(default_factory=list)
    edits: dict[str, str] = field(default_factory=dict)
    replicas: int = DEFAULT_REPLICAS
    modified: int = 1_764_000_000
    updates: list[Body] = field(default_factory=list)


@dataclass
class Eks:
    """The service: add-ons by (cluster, name).

    `answers` are given first; as many answers as `lost` says to an update that was accepted never arrive. `regions`:
    for which requests were signed.
    """

    addons: dict[tuple[str, str], Installed] = field(default_factory=dict)
    answers: list[Refused] = field(default_factory=list)
    lost: int = 0
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    regions: set[str] = field(default_factory=set)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, method: str, path: str, body: Body) -> Body:
        """The answer to one request; raises Refused."""
        self.requests.append(f"{method} {path}")
        if self.answers:
            raise self.answers.pop(0)
        match method, path.strip("/").split("/"):
            case "GET", ["clusters", cluster, "addons", name]:
                return {"addon": self._shown(cluster, name)}
            case "POST", ["clusters", cluster, "addons", name, "update"]:
                return {"update": self._update(cluster, name, body)}
        raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")

    def _found(self, cluster: str, name: str) -> Installed:
        if not any(cluster == known for known, _ in self.addons):
            raise Refused(404, "ResourceNotFoundException", f"No cluster found for name: {cluster}.")
        if (cluster, name) not in self.addons:
            message = f"No addon: {name} found in cluster: {cluster}"
            raise Refused(404, "ResourceNotFoundException", message)
        return self.addons[cluster, name]

    def _shown(self, cluster: str, name: str) -> Body:
        addon = self._found(cluster, name)
        values = {"configurationValues": addon.configuration} if addon.configuration else {}
        return {
            "addonName": name,
            "clusterName": cluster,
            "addonVersion": addon.version,
            "status": addon.status,
            "health": {"issues": addon.issues},
            "modifiedAt": addon.modified,
            **values,
        }

    def _update(self, cluster: str, name: str, body: Body) -> Body:
        addon = self._found(cluster, name)
        token = body["clientRequestToken"]
        self.tokens.append(token)
        known = next((update for update in addon.updates if update["token"] == token), None)
        if known is not None:
            return _public(known)
        if addon.status not in {"ACTIVE", "DEGRADED", "UPDATE_FAILED"}:
            message = f"Addon {name} cannot be updated as it is currently in {addon.status} state"
            raise Refused(409, "ResourceInUseException", message)
        values = body.get("configurationValues", addon.configuration)
        if values and (problems := broken(values)):
            message = f"Json schema validation failed with error: [{', '.join(problems)}]"
            supported = "ConfigurationValue provided in request is not supported"
            raise Refused(400, "InvalidParameterException", f"{supported}: {message}")
        params = {
            "ConfigurationValues": values,
            "ResolveConflicts": body.get("resolveConflicts", "NONE"),
        }
        update = {"id": str(uuid.uuid4()), "status": "InProgress", "token": token, "params": params}
        addon.updates.append(update)
        addon.status, addon.modified = "UPDATING", addon.modified + 1
        return _public(update)

    def finish(self, cluster: str, name: str = "coredns") -> None:
        """Let the update in flight end."""
        addon = self.addons[cluster, name]
        update = addon.updates[-1]
        addon.modified += 1
        if addon.edits and update["params"]["ResolveConflicts"] == "NONE":
            update["status"], addon.status = "Failed", "UPDATE_FAILED"
            message = "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode."
            addon.issues = [
                {"code": "ConfigurationConflict", "message": message, "resourceIds": sorted(addon.edits)}
            ]
            return
        if update["params"]["ResolveConflicts"] == "OVERWRITE":
            addon.edits.clear()
        update["status"], addon.status, addon.issues = "Successful", "ACTIVE", []
        addon.configuration = update["params"]["ConfigurationValues"]
        values = yaml.safe_load(addon.configuration) or {}
        addon.replicas = values.get("replicaCount", DEFAULT_REPLICAS)


def _public(update: Body) -> Body:
    params = [{"type": key, "value": value} for key, value in update["params"].items()]
    return {"id": update["id"], "status": update["status"], "type": "AddonUpdate", "params": params}


@contextmanager
def serving() -> Iterator[Eks]:
    """The service on a free port of 127.0.0.1, at `url`, for as long as the block lasts."""
    eks = Eks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            signed = self.headers.get("Authorization", "").partition("Credential=")[2].split("/")
            with eks.lock:
                eks.regions.add(signed[2])
                try:
                    status, kind = 200, ""
                    answer = eks.handle(self.command, self.path, json.loads(content or "{}"))
                except Refused as refused:
                    status, kind, answer = refused.status, refused.code, {"message": refused.message}
                lost = eks.lost > 0 and self.command == "POST"
                eks.lost -= lost
            if lost:
                self.close_connection = True
                return
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if kind:
                self.send_header("x-amzn-ErrorType", kind)
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    eks.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield eks
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
