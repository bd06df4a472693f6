"""`resilience-operator run`: the command line, logging, signals, and Kopf beside the operator.

The program of the container image. The first SIGTERM or SIGINT ends it in order, within ten seconds; the
second ends it at once.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

import kopf

from resilience_operator import __version__
from resilience_operator.api.credentials import Credentials
from resilience_operator.api.policies import Raw
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.run import flags
from resilience_operator.run.embedding import KopfOperator, KopfThread
from resilience_operator.run.logs import set_up_logging
from resilience_operator.run.services import Settings
from resilience_operator.run.serving import Operator, reconciler
from resilience_operator.run.wiring import MakeReconciler

log = logging.getLogger(__name__)

_KOPF_END = 3.0


def main(argv: Sequence[str] | None = None, make_reconciler: MakeReconciler = reconciler) -> int:
    """Run until a signal; the exit code: 0, or 2 where it cannot start as it was configured."""
    settings = flags.parse(sys.argv[1:] if argv is None else argv)
    set_up_logging(settings.log_format, settings.log_level)
    try:
        asyncio.run(serve(settings, make_reconciler))
    except ConfigurationError as error:
        log.critical("%s", error)
        return 2
    return 0


async def serve(
    settings: Settings,
    make_reconciler: MakeReconciler = reconciler,
    stop: asyncio.Event | None = None,
    kopf_operator: KopfOperator = kopf.operator,
) -> None:
    """Run the operator and Kopf until `stop`, or a signal where there is none. Raises ConfigurationError."""
    loop = asyncio.get_running_loop()
    if stop is None:
        stop = asyncio.Event()
        _stop_on_signals(loop, stop)
    operator = Operator(settings, make_reconciler)

    def sink(kind: str | None, raw: Raw) -> None:
        loop.call_soon_threadsafe(operator.policy_event, kind, raw)

    thread = KopfThread(settings, sink, kopf_operator)
    log.info("resilience-operator %s, %s in %s", __version__, settings.identity, settings.namespace)
    # Else Kopf would be the first to find out, and say it with a traceback.
    await Credentials(settings.kubeconfig or None, settings.context or None, time.monotonic).access()
    thread.start()
    try:
        await _until_stopped(operator, thread, stop)
    finally:
        thread.ask_to_stop()
        await asyncio.to_thread(thread.join, _KOPF_END)


async def _until_stopped(operator: Operator, thread: KopfThread, stop: asyncio.Event) -> None:
    """Kopf is asked to stop as soon as the end begins, while the operator ends in order."""
    running = asyncio.create_task(operator.run(stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    thread.ask_to_stop()
    await running


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("%s: ending", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


if __name__ == "__main__":
    sys.exit(main())
