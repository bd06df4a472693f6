"""A process that runs for a Lease and prints the monotonic time whenever it may write; of test_lease."""

from __future__ import annotations

import asyncio
import sys
import time

from resilience_operator.api.lease import Lease, LeaseSettings
from resilience_operator.api.session import Session


async def run(kubeconfig: str, namespace: str, name: str) -> None:
    """Until killed."""
    session = await Session.connect(kubeconfig, None, qps=50, burst=100, user_agent="elector")
    async with session:
        lease = Lease(session, LeaseSettings(namespace, name, duration=4, request_timeout=1))
        task = asyncio.create_task(lease.run())
        while not task.done():
            if lease.may_write():
                print(time.monotonic(), flush=True)
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
