"""The HTTP endpoints /healthz, /readyz and /metrics. Made by serving; asked by the kubelet and Prometheus.

Liveness is about this process alone, so that an outage of the API server restarts nothing; readiness says
whether what is known is complete and fresh. A hung event loop answers neither, which is what a probe's
timeout is for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from resilience_operator.api.metrics import CONTENT_TYPE
from resilience_operator.core.errors import ConfigurationError

Question = Callable[[], tuple[str, ...]]
"""Sentences that speak against it; empty: all is well."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes ask: why this process should be restarted, and why it is not ready."""

    broken: Question
    unready: Question


class Endpoints:
    """The servers of one operator; `start` them, and `close` them at the end."""

    def __init__(self, health: Health, exposition: Callable[[], bytes]) -> None:
        self._health = health
        self._exposition = exposition
        self._runners: list[web.AppRunner] = []

    async def start(self, metrics_bind: str, health_bind: str) -> None:
        """Listen on [HOST]:PORT each; "0" switches one off. Raises ConfigurationError where it cannot."""
        routes: dict[str, list[web.RouteDef]] = {}
        routes.setdefault(health_bind, []).append(web.get("/healthz", self._healthz))
        routes.setdefault(health_bind, []).append(web.get("/readyz", self._readyz))
        routes.setdefault(metrics_bind, []).append(web.get("/metrics", self._metrics))
        for bind, served in routes.items():
            if bind not in ("", "0"):
                await self._listen(bind, served)

    async def close(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, bind: str, routes: list[web.RouteDef]) -> None:
        host, port = address(bind)
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {bind}: {error}") from error

    async def _healthz(self, request: web.Request) -> web.Response:
        return _answer(self._health.broken(), 500)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _answer(self._health.unready(), 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._exposition(), headers={"Content-Type": CONTENT_TYPE})


def address(bind: str) -> tuple[str | None, int]:
    """HOST and PORT of `[HOST]:PORT`, host None: every interface. Raises ConfigurationError."""
    host, _, port = bind.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"an address to listen on is written [HOST]:PORT, not {bind!r}")
    return host.strip("[]") or None, int(port)


def _answer(complaints: tuple[str, ...], code: int) -> web.Response:
    if complaints:
        return web.Response(status=code, text="".join(f"{complaint}\n" for complaint in complaints))
    return web.Response(text="ok\n")
