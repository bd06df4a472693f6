"""Who we are and where the API server is, by a kubeconfig or the pod's service account.

Used by api/session, and by Kopf's session. Everything is read again on a 401 or a refused certificate (rotated tokens,
renewed client certificates, a new CA), and a service account's token at most a minute after its file changed.
"""

import base64
import logging
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resilience_operator.api import exec_plugin, kubeconfig
from resilience_operator.api.exec_plugin import Given
from resilience_operator.api.kubeconfig import KubeconfigError, Section
from resilience_operator.core.errors import ConfigurationError

log = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

TOKEN_PERIOD = 60.0
"""Seconds for which a service account's token is used without a look at its file."""

NO_CONFIGURATION = (
    "There is no kubeconfig: give --kubeconfig, set KUBECONFIG or write ~/.kube/config (and this is no pod)"
)

RELOAD_PERIOD = 5.0
"""Seconds between two re-readings after refusals: an exec plugin is a process."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where requests go and who sends them. `tls` None: plain HTTP; `server_name`: whose certificate is expected."""

    server: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]
    """Of each request: who asks, and as whom."""

    proxy: str | None = None
    server_name: str | None = None


class Credentials:
    """The access that is valid now.

    Without a kubeconfig: $KUBECONFIG, ~/.kube/config, else the pod's service account.
    """

    def __init__(self, kubeconfig: str | None, context: str | None, clock: Callable[[], float]) -> None:
        self._files = kubeconfig or os.environ.get("KUBECONFIG") or _home_config()
        self._context = context
        self._clock = clock
        self._access: Access | None = None
        self._read_at = 0.0

    async def access(self) -> Access:
        """The access to use for the next request. Raises ConfigurationError where there never was one."""
        if self._access is None:
            self._access = await self._read()
        elif not self._files and self._clock() - self._read_at > TOKEN_PERIOD:
            await self.renew()
        return self._access

    async def renew(self) -> bool:
        """Read everything again, after a refusal; False: not possible, or done just now: do not retry."""
        if self._clock() - self._read_at < RELOAD_PERIOD:
            return False
        try:
            self._access = await self._read()
        except ConfigurationError as error:
            # a file that is being replaced must not end a running operator
            log.warning("The previous credentials stay in use: %s", error)
            return False
        return True

    async def _read(self) -> Access:
        self._read_at = self._clock()
        try:
            if self._files:
                cluster, user = kubeconfig.read(self._files, self._context)
                given = _given(user)
                if plugin := user.section("exec"):
                    given = given.or_rather(await exec_plugin.run(plugin, cluster))
                return _access(cluster, user, given)
            if "KUBERNETES_SERVICE_HOST" not in os.environ:
                raise ConfigurationError(NO_CONFIGURATION)
            return _in_cluster()
        except (OSError, ValueError) as error:
            file = (
                f"{error.filename}: {error.strerror}"
                if isinstance(error, OSError) and error.filename
                else error
            )
            raise ConfigurationError(f"{self._source()} cannot be used: {file}. {self._advice()}") from error

    def _source(self) -> str:
        if not self._files:
            return "The service account of this pod"
        context = f", context {self._context!r}," if self._context else ""
        return f"The kubeconfig {self._files}{context}"

    def _advice(self) -> str:
        if not self._files:
            return "Outside a cluster, give --kubeconfig or set KUBECONFIG."
        return "Give another one with --kubeconfig and --context."


def _home_config() -> str:
    path = Path.home() / ".kube" / "config"
    return str(path) if path.is_file() else ""


def _in_cluster() -> Access:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    token = (SERVICE_ACCOUNT / "token").read_text().strip()
    if not token:
        raise ValueError(f"{SERVICE_ACCOUNT}/token is empty")
    tls = _tls((SERVICE_ACCOUNT / "ca.crt").read_bytes())
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(server, tls, {"Authorization": f"Bearer {token}"})


def _given(user: Section) -> Given:
    """What a user without a plugin has; of two tokens that of the file counts, as for kubectl."""
    if "auth-provider" in user.values:
        raise KubeconfigError(
            f"{user.title} has an auth-provider, which kubectl no longer knows either; log in with a credential plugin"
        )
    file = user.path("tokenFile")
    # a token file that ends with a newline would be refused as a header
    token = file.read_text().strip() if file else user.text("token").strip()
    return Given(token, user.content("client-certificate").decode(), user.content("client-key").decode())


def _access(cluster: Section, user: Section, given: Given) -> Access:
    server, proxy = cluster.text("server").rstrip("/"), cluster.text("proxy-url")
    if not server.startswith(("https://", "http://")):
        raise KubeconfigError(f"server of {cluster.title} is {server!r}, and no https://HOST:PORT")
    if proxy and not proxy.startswith(("https://", "http://")):
        raise KubeconfigError(
            f"proxy-url of {cluster.title} is {proxy!r}: only http:// and https:// proxies are known"
        )
    tls = None
    if server.startswith("https:"):
        tls = _tls(cluster.content("certificate-authority"))
        if cluster.values.get("insecure-skip-tls-verify") is True:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if given.certificate:
            _identify(tls, given, user.title)
    return Access(server, tls, _headers(user, given), proxy or None, cluster.text("tls-server-name") or None)


def _tls(authority: bytes) -> ssl.SSLContext:
    """What is trusted: this authority alone; without one, those of the system."""
    try:
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    except ssl.SSLError as error:
        raise KubeconfigError("the certificate authority of the cluster is no certificate as PEM") from error
    # Python 3.13 refuses authorities without key identifiers, which clusters have; kubectl takes them.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls


def _identify(tls: ssl.SSLContext, given: Given, who: str) -> None:
    """Load the client's certificate: ssl reads files alone; nobody else may read this one, and it is gone at once."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(f"{given.certificate}\n{given.key}".encode())
        file.flush()
        try:
            tls.load_cert_chain(file.name, password="")
        except ssl.SSLError as error:
            raise KubeconfigError(
                f"the client certificate of {who} does not fit its key, or is no PEM"
            ) from error


def _headers(user: Section, given: Given) -> dict[str, str]:
    for unknown in ("as-groups", "as-uid", "as-user-extra"):
        if user.values.get(unknown):
            raise KubeconfigError(f"{unknown} of {user.title} is not known here; `as` alone is")
    headers = {"Impersonate-User": user.text("as")} if user.text("as") else {}
    if given.token:
        return headers | {"Authorization": f"Bearer {given.token}"}
    if user.text("username"):
        pair = f"{user.text('username')}:{user.text('password')}"
        return headers | {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return headers
