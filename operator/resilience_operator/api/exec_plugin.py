"""A kubeconfig's credential plugin (`aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`) run as kubectl runs it.

Called by api/credentials each time that credentials are read. Protocol: "client-go credential plugins" in the
documentation of Kubernetes. What a plugin prints is secret: no error quotes it.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.kubeconfig import KubeconfigError, Section
from resilience_operator.core.plain import QUOTED, plain

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
PATIENCE = 60.0
"""Seconds for a plugin that nobody talks to; with a person before it, as long as that takes."""

_CLUSTER = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
)


@dataclass(frozen=True, slots=True)
class Given:
    """What proves who asks: a token, a certificate with its key as PEM, or both."""

    token: str = ""
    certificate: str = ""
    key: str = ""

    def or_rather(self, newer: "Given") -> "Given":
        """What is newer, and the rest of this."""
        certificate = newer if newer.certificate else self
        return Given(newer.token or self.token, certificate.certificate, certificate.key)


async def run(plugin: Section, cluster: Section) -> Given:
    """Ask the plugin. Raises KubeconfigError with what may be done about it."""
    command, version = plugin.text("command"), plugin.text("apiVersion")
    if not command:
        raise KubeconfigError(f"{plugin.title} names no command")
    if version not in VERSIONS:
        raise KubeconfigError(
            f"the credential plugin {command} is asked for {version or 'no apiVersion'}, which kubectl no longer knows "
            f"either; write the kubeconfig anew with the plugin's own tool, for {VERSIONS[0]}"
        )
    talks = _talks(plugin, command)
    program = command if os.sep not in command else str(plugin.folder / command)
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": _spec(plugin, cluster, talks)}
    environment = {**os.environ, **_environment(plugin), "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    try:
        running = await asyncio.create_subprocess_exec(
            program,
            *_arguments(plugin),
            env=environment,
            stdin=None if talks else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if talks else asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        hint = plain(plugin.text("installHint")).rstrip(".") or "install it, or put its folder on the PATH"
        raise KubeconfigError(f"its credential plugin {command} is not installed: {hint}") from error
    return _given(command, version, await _end(running, command, None if talks else PATIENCE))


def _talks(plugin: Section, command: str) -> bool:
    """Whether it may ask the person at the terminal."""
    mode, terminal = (
        plugin.text("interactiveMode") or "IfAvailable",
        sys.stdin is not None and sys.stdin.isatty(),
    )
    if mode == "Always" and not terminal:
        raise KubeconfigError(
            f"its credential plugin {command} wants a terminal, and there is none: log in first"
        )
    return terminal and mode != "Never"


def _spec(plugin: Section, cluster: Section, talks: bool) -> dict[str, Any]:
    if plugin.values.get("provideClusterInfo") is not True:
        return {"interactive": talks}
    told = {key: cluster.values[key] for key in _CLUSTER if key in cluster.values}
    if authority := cluster.content("certificate-authority"):
        told["certificate-authority-data"] = base64.b64encode(authority).decode()
    for extension in cluster.values.get("extensions") or []:
        if extension.get("name") == f"{GROUP}/exec":
            told["config"] = extension.get("extension")
    return {"interactive": talks, "cluster": told}


def _arguments(plugin: Section) -> list[str]:
    found = plugin.values.get("args") or []
    if not isinstance(found, list):
        raise KubeconfigError(f"args of {plugin.title} is no list")
    return [str(one) for one in found]


def _environment(plugin: Section) -> dict[str, str]:
    found = plugin.values.get("env") or []
    if not isinstance(found, list) or not all(isinstance(one, dict) and "name" in one for one in found):
        raise KubeconfigError(f"env of {plugin.title} is no list of names and values")
    return {str(one["name"]): str(one.get("value") or "") for one in found}


async def _end(running: asyncio.subprocess.Process, command: str, patience: float | None) -> bytes:
    """What it printed. Raises KubeconfigError where it failed."""
    try:
        async with asyncio.timeout(patience):
            out, complaints = await running.communicate()
    except TimeoutError as error:
        raise KubeconfigError(
            f"its credential plugin {command} did not end within {patience:.0f} s"
        ) from error
    finally:
        if running.returncode is None:
            with suppress(ProcessLookupError):
                running.kill()
            await running.wait()
    if running.returncode:
        last = plain((complaints or b"").decode(errors="replace").strip().rpartition("\n")[2], QUOTED)
        raise KubeconfigError(
            f"its credential plugin {command} ended with code {running.returncode}"
            f"{f' ({last})' if last else ''}: log in with it, or try it alone"
        )
    return out


def _given(command: str, version: str, out: bytes) -> Given:
    try:
        body = json.loads(out)
        status: Mapping[str, Any] = body["status"]
        known, token = body["apiVersion"], status.get("token") or ""
        certificate, key = status.get("clientCertificateData") or "", status.get("clientKeyData") or ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KubeconfigError(f"its credential plugin {command} printed no ExecCredential") from error
    if known != version:
        raise KubeconfigError(
            f"its credential plugin {command} answered in {plain(str(known))}, not in {version}"
        )
    if not token and not (certificate and key):
        raise KubeconfigError(
            f"its credential plugin {command} gave neither a token nor a certificate with its key"
        )
    return Given(str(token), str(certificate), str(key))
