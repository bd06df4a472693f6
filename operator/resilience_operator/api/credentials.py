"""Who we are and where the API server is: kubeconfig or service account, read by the `kubernetes` library.

Used by api/session alone. Everything is read again on a 401 or a refused certificate (rotated tokens,
renewed client certificates, a new CA), and a service account's token at most a minute after its file changed.
"""

import logging
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.plain import plain

log = logging.getLogger(__name__)

TOKEN_PERIOD = 60.0
"""Seconds for which a service account's token is used without a look at its file."""

NO_CONFIGURATION = (
    "There is no kubeconfig: give --kubeconfig, set KUBECONFIG or write ~/.kube/config (and this is no pod)"
)

RELOAD_PERIOD = 5.0
"""Seconds between two re-readings after refusals: an exec plugin is a process."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where requests go and who sends them; `tls` None: plain HTTP, `authorization`: the header, or ""."""

    server: str
    tls: ssl.SSLContext | None
    authorization: str
    proxy: str | None


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
        configuration = Configuration()
        try:
            if self._files:
                await self._load_files(configuration)
            elif "KUBERNETES_SERVICE_HOST" not in os.environ:
                raise ConfigurationError(NO_CONFIGURATION)
            else:
                load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            return _access(configuration)
        except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{self._source()} cannot be used: {error}. {self._advice()}") from error

    async def _load_files(self, configuration: Configuration) -> None:
        """Read the kubeconfig; a credential plugin that fails is only logged by the library, and is an error here."""
        if not _any_file(self._files):
            raise ConfigurationError(f"{self._source()} cannot be used: it is not there. {self._advice()}")
        with _complaints() as said:
            await load_kube_config(  # type: ignore[no-untyped-call]
                self._files, self._context, configuration, persist_config=False
            )
        if said and not configuration.api_key and not configuration.cert_file:
            raise ConfigurationError(
                f"{self._source()} gives no credentials ({plain(said[-1])}): is the credential plugin that it names "
                f"installed, and does it work alone?"
            )

    def _source(self) -> str:
        if not self._files:
            return "The service account of this pod"
        context = f", context {self._context!r}," if self._context else ""
        return f"The kubeconfig {self._files}{context}"

    def _advice(self) -> str:
        if not self._files:
            return "Outside a cluster, give --kubeconfig or set KUBECONFIG."
        return "Give another one with --kubeconfig and --context."


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the library logs as errors meanwhile; nobody else hears of it."""
    said: list[str] = []
    library = logging.getLogger(load_kube_config.__module__)

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            said.append(record.getMessage())
        return record.levelno < logging.ERROR

    library.addFilter(keep)
    try:
        yield said
    finally:
        library.removeFilter(keep)


def _any_file(paths: str) -> bool:
    return any(Path(file).expanduser().is_file() for file in paths.split(os.pathsep) if file)


def _home_config() -> str:
    path = Path.home() / ".kube" / "config"
    return str(path) if path.is_file() else ""


def _access(configuration: Configuration) -> Access:
    tls = None
    if configuration.host.startswith("https"):
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
        if not configuration.verify_ssl:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
    # a token file that ends with a newline would be refused as a header
    authorization = configuration.api_key.get("BearerToken", "").strip()
    return Access(configuration.host.rstrip("/"), tls, authorization, configuration.proxy)
