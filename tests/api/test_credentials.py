"""What a kubeconfig says is done: who asks, whom the server has to be, by which way; what is amiss is one sentence."""

import asyncio
import base64
import json
import os
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from resilience_operator.api import exec_plugin
from resilience_operator.api.credentials import Credentials
from resilience_operator.api.session import Session
from resilience_operator.core.errors import ConfigurationError, Unreachable
from tests.lab.pki import Authority
from tests.support.api_server import Server

Body = dict[str, Any]

V1 = "client.authentication.k8s.io/v1"


def written(file: Path, cluster: Body, user: Body | None = None, **more: Any) -> Path:
    """A kubeconfig with one context, `c`, of these; `more`: what else stands in it, or instead."""
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {}}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(body | more))
    return file


async def headers(file: Path | str, context: str | None = None) -> dict[str, str]:
    """Who asks, as each request says."""
    return dict((await Credentials(str(file), context, lambda: 0.0).access()).headers)


async def refusal(file: Path | str, context: str | None = None) -> str:
    """What is said of a kubeconfig that cannot be used, between its name and the advice."""
    with pytest.raises(ConfigurationError) as caught:
        await headers(file, context)
    begin, _, end = str(caught.value).partition(" cannot be used: ")
    assert begin.startswith(f"The kubeconfig {file}")
    assert end.endswith(". Give another one with --kubeconfig and --context.")
    return end.removesuffix(". Give another one with --kubeconfig and --context.")


HTTP = {"server": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ({}, {}),
        ({"token": "abc"}, {"Authorization": "Bearer abc"}),
        ({"tokenFile": "token"}, {"Authorization": "Bearer of-the-file"}),
        ({"tokenFile": "token", "token": "abc"}, {"Authorization": "Bearer of-the-file"}),
        ({"username": "ann", "password": "x:y"}, {"Authorization": "Basic YW5uOng6eQ=="}),
        ({"token": "abc", "as": "bob"}, {"Authorization": "Bearer abc", "Impersonate-User": "bob"}),
    ],
)
async def test_who_asks_is_in_the_headers(tmp_path: Path, user: Body, sent: Body) -> None:
    (tmp_path / "token").write_text("of-the-file\n")
    assert await headers(written(tmp_path / "config", HTTP, user)) == sent


@pytest.mark.parametrize("user", [{}, {"token": "abc"}, {"username": "ann", "password": "x"}])
async def test_the_client_library_of_kubernetes_reads_the_same(tmp_path: Path, user: Body) -> None:
    cluster = {"server": "http://127.0.0.1:9/behind/", "proxy-url": "http://127.0.0.1:8"}
    file = written(tmp_path / "config", cluster, user)
    theirs = Configuration()
    await load_kube_config(str(file), None, theirs, persist_config=False)  # type: ignore[no-untyped-call]
    ours = await Credentials(str(file), None, lambda: 0.0).access()
    assert (ours.server, ours.proxy, ours.headers.get("Authorization")) == (
        theirs.host,
        theirs.proxy,
        theirs.api_key.get("BearerToken"),
    )


async def test_several_files_are_one_and_the_first_that_names_a_thing_counts(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "token").write_text("relative to the second")
    first = written(tmp_path / "a" / "config", HTTP, {"token": "first"}, users=[])
    second = written(tmp_path / "b" / "config", {"server": "http://other"}, {"tokenFile": "token"})
    both = os.pathsep.join(map(str, (tmp_path / "missing", first, second)))
    access = await Credentials(both, None, lambda: 0.0).access()
    assert (access.server, access.headers) == (
        "http://127.0.0.1:9",
        {"Authorization": "Bearer relative to the second"},
    )


def contexts(*names: str) -> list[Body]:
    return [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names]


@pytest.mark.parametrize(
    ("cluster", "user", "more", "said"),
    [
        (HTTP, {}, {"current-context": "x"}, "there is no context 'x' in it, but these: c"),
        (
            HTTP,
            {},
            {"current-context": "", "contexts": contexts("a", "b")},
            "it names no current-context, and has these: a, b",
        ),
        (HTTP, {}, {"clusters": []}, "it has no cluster 'c', which the context names"),
        (HTTP, {}, {"users": None}, "it has no user 'u', which the context names"),
        (HTTP, {}, {"users": {"u": {}}}, "users is no list of mappings"),
        ({}, {}, {}, "server of cluster 'c' is '', and no https://HOST:PORT"),
        ({"server": 7}, {}, {}, "server of cluster 'c' is no string"),
        (
            HTTP | {"proxy-url": "socks5://x"},
            {},
            {},
            "proxy-url of cluster 'c' is 'socks5://x': only http:// and https:// proxies are known",
        ),
        (
            {"server": "https://x", "certificate-authority-data": "?"},
            {},
            {},
            "certificate-authority-data of cluster 'c' is no base64",
        ),
        (
            {"server": "https://x", "certificate-authority-data": "eA=="},
            {},
            {},
            "the certificate authority of the cluster is no certificate as PEM",
        ),
        (
            {"server": "https://x"},
            {"client-certificate-data": "eA==", "client-key-data": "eA=="},
            {},
            "the client certificate of user 'u' does not fit its key, or is no PEM",
        ),
        (
            HTTP,
            {"auth-provider": {"name": "gcp"}},
            {},
            "user 'u' has an auth-provider, which kubectl no longer knows either; log in with a credential plugin",
        ),
        (HTTP, {"as-groups": ["x"]}, {}, "as-groups of user 'u' is not known here; `as` alone is"),
        (HTTP, {"exec": "aws"}, {}, "exec of user 'u' is no mapping"),
    ],
)
async def test_what_is_amiss_is_said(
    tmp_path: Path, cluster: Body, user: Body, more: Body, said: str
) -> None:
    assert await refusal(written(tmp_path / "config", cluster, user, **more)) == said


async def test_a_file_that_cannot_be_read_is_said_with_its_name(tmp_path: Path) -> None:
    missing = written(tmp_path / "config", HTTP, {"tokenFile": "nosuch"})
    assert await refusal(missing) == f"{tmp_path}/nosuch: No such file or directory"
    (tmp_path / "bad").write_text("a: b\n- c\n")
    assert await refusal(tmp_path / "bad") == "it is no YAML (line 2)"
    (tmp_path / "text").write_text("just text")
    assert await refusal(tmp_path / "text") == "it is no mapping of YAML"
    assert await refusal(tmp_path / "nosuch") == "it is not there"


@asynccontextmanager
async def secured(authority: Authority) -> AsyncIterator[str]:
    """A server on TLS that says whose certificate a client has shown; gives its URL."""

    async def who(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown = request.transport.get_extra_info("ssl_object").getpeercert() or {}
        return web.json_response([value for ((_, value),) in shown.get("subject", ())])

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate_file))
    tls.verify_mode = ssl.CERT_OPTIONAL
    # Python 3.13 sets it, and the lab's authority has no key identifiers.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    tls.load_cert_chain(*authority.server("server"))
    app = web.Application()
    app.router.add_get("/{path:.*}", who)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0.05)


async def seen(file: Path) -> list[str]:
    """The names in the client's certificate, as the server sees them."""
    async with await Session.connect(str(file), None, qps=9, burst=9, user_agent="test/1") as session:
        names: list[str] = json.loads(await session.request("GET", "/version", timeout=5))
        return names


def inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


async def test_a_client_certificate_is_shown_from_files_and_from_data_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.client("ann", ["admins"])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    of_files = {"client-certificate": f"pki/{certificate.name}", "client-key": str(key)}
    of_data = {"client-certificate-data": inline(certificate), "client-key-data": inline(key)}
    async with secured(authority) as url:
        by_file = {"server": url, "certificate-authority": "pki/ca.crt"}
        by_data = {"server": url, "certificate-authority-data": inline(authority.certificate_file)}
        shown = [
            await seen(written(tmp_path / f"config-{number}", cluster, user))
            for number, (cluster, user) in enumerate([(by_file, of_files), (by_data, of_data), (by_data, {})])
        ]
    assert shown == [["admins", "ann"], ["admins", "ann"], []]
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_the_server_must_be_whom_the_kubeconfig_says(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "pki"), Authority(tmp_path / "other")
    ca = {"certificate-authority-data": inline(authority.certificate_file)}
    async with secured(authority) as url:
        accepted: list[Body] = [
            {"server": url} | ca,
            {"server": url, "insecure-skip-tls-verify": True},
            {"server": url, "tls-server-name": "kubernetes.default"} | ca,
        ]
        for number, cluster in enumerate(accepted):
            assert await seen(written(tmp_path / f"good-{number}", cluster)) == []
        refused: list[Body] = [
            {"server": url},
            {"server": url, "certificate-authority-data": inline(other.certificate_file)},
            {"server": url, "tls-server-name": "example.com"} | ca,
        ]
        for number, cluster in enumerate(refused):
            with pytest.raises(Unreachable, match="certificate"):
                await seen(written(tmp_path / f"bad-{number}", cluster))


async def test_requests_go_through_the_proxy_that_is_named(tmp_path: Path) -> None:
    async with Server() as proxy:
        cluster = {"server": "http://cluster.invalid", "proxy-url": proxy.url}
        file = written(tmp_path / "config", cluster, {"token": "abc"})
        async with await Session.connect(str(file), None, qps=9, burst=9, user_agent="test/1") as session:
            await session.request("GET", "/version")
    assert [(one.headers["Host"], one.headers["Authorization"]) for one in proxy.asked] == [
        ("cluster.invalid", "Bearer abc")
    ]


def plugin(file: Path, script: str) -> Path:
    """An executable."""
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(stat.S_IRWXU)
    return file


def answer(version: str = V1, **status: str) -> str:
    body = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(body)}\nEND"


async def test_a_plugin_is_asked_as_kubectl_asks_it(tmp_path: Path) -> None:
    plugin(
        tmp_path / "login",
        f'echo "$KUBERNETES_EXEC_INFO" > asked; echo "$1 $EXTRA" >> asked; {answer(token="t")}',
    )
    spec = {
        "apiVersion": V1,
        "command": "./login",
        "args": ["get-token"],
        "env": [{"name": "EXTRA", "value": "more"}],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    cluster = HTTP | {"tls-server-name": "api", "extensions": [extension]}
    file = written(tmp_path / "config", cluster, {"exec": spec, "as": "bob"})
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        sent = await headers(file)
    finally:
        os.chdir(before)
    asked, told = (tmp_path / "asked").read_text().splitlines()
    assert sent == {"Authorization": "Bearer t", "Impersonate-User": "bob"}
    assert (json.loads(asked), told) == (
        {
            "apiVersion": V1,
            "kind": "ExecCredential",
            "spec": {
                "interactive": False,
                "cluster": {"server": HTTP["server"], "tls-server-name": "api", "config": {"audience": "x"}},
            },
        },
        "get-token more",
    )


async def test_a_plugin_may_give_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.client("ann")
    told = {"clientCertificateData": certificate.read_text(), "clientKeyData": key.read_text()}
    plugin(tmp_path / "login", answer("client.authentication.k8s.io/v1beta1", **told))
    spec = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(tmp_path / "login")}
    async with secured(authority) as url:
        cluster = {"server": url, "certificate-authority": "pki/ca.crt"}
        assert await seen(written(tmp_path / "config", cluster, {"exec": spec})) == ["ann"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo hush; echo no session >&2; exit 3",
            "ended with code 3 (no session): log in with it, or try it alone",
        ),
        ("echo secret", "printed no ExecCredential"),
        ("echo '{}'", "printed no ExecCredential"),
        ("echo '[]'", "printed no ExecCredential"),
        (answer("other/v1", token="t"), f"answered in other/v1, not in {V1}"),
        (answer(clientCertificateData="x"), "gave neither a token nor a certificate with its key"),
        ("exec sleep 9", "did not end within 1 s"),
    ],
)
async def test_a_plugin_that_fails_is_said_and_its_output_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr(exec_plugin, "PATIENCE", 1.0)
    command = plugin(tmp_path / "login", script)
    spec = {"apiVersion": V1, "command": str(command), "interactiveMode": "Never"}
    file = written(tmp_path / "config", HTTP, {"exec": spec})
    assert await refusal(file) == f"its credential plugin {command} {said}"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"command": "no-such", "installHint": "See the wiki of your team.\nOr ask."},
            "its credential plugin no-such is not installed: See the wiki of your team. Or ask",
        ),
        (
            {"command": "no-such"},
            "its credential plugin no-such is not installed: install it, or put its folder on the PATH",
        ),
        (
            {"command": "true", "interactiveMode": "Always"},
            "its credential plugin true wants a terminal, and there is none: log in first",
        ),
        ({}, "exec of user 'u' names no command"),
        (
            {"command": "aws", "apiVersion": "client.authentication.k8s.io/v1alpha1"},
            (
                "the credential plugin aws is asked for client.authentication.k8s.io/v1alpha1, which kubectl no "
                f"longer knows either; write the kubeconfig anew with the plugin's own tool, for {V1}"
            ),
        ),
        ({"command": "true", "args": "x"}, "args of exec of user 'u' is no list"),
        ({"command": "true", "env": ["x"]}, "env of exec of user 'u' is no list of names and values"),
    ],
)
async def test_a_plugin_that_cannot_be_asked_is_said(tmp_path: Path, spec: Body, said: str) -> None:
    file = written(tmp_path / "config", HTTP, {"exec": {"apiVersion": V1} | spec})
    assert await refusal(file) == said
