"""`resilience-agent restore`: the sysctls of this node as they were before us, once no NodeState demands them.

For a node whose agent is taken away; a running agent does the same when its NodeState says onRelease: Revert.
"""

import time
from collections.abc import Callable

from resilience_operator.agent import spec, table
from resilience_operator.agent.api import Api
from resilience_operator.agent.node import PATH, identity
from resilience_operator.agent.sysctl_files import SysctlFiles
from resilience_operator.agent.sysctl_loop import SysctlLoop


def restore(api: Api, name: str, files: SysctlFiles, say: Callable[[str], None]) -> int:
    """Give back what the NodeState's status notes as ours. 0 done, 1 something is left, 2 it is still demanded.

    Raises ApiError, OSError.
    """
    body = api.get(f"{PATH}/{name}")
    wanted = spec.read(body).sysctls
    loop = SysctlLoop(files, spec.noted(body, identity()["bootID"]))
    ours = {key: known for key, known in loop.known.items() if known.ours is not None}
    if demanded := sorted(ours.keys() & wanted.keys()):
        say(f"NodeState {name} still demands {', '.join(demanded)}; take them out of its spec first")
        return 2
    if not ours:
        say("nothing of ours is in force since this node booted")
        return 0
    left = 0
    for key, known in ours.items():
        told = loop.restore(key, table.count()[0], time.monotonic())
        say(f"{key}: {told.step.message if told else f'{files.read(key)} (ours was {known.ours})'}")
        left += told is not None
    items = (
        []
        if not left
        else [
            {"name": k, "state": "Waiting", "before": n.before, "set": n.ours} for k, n in loop.known.items()
        ]
    )
    api.patch(f"{PATH}/{name}/status", {"status": {"sysctls": items}})
    return 1 if left else 0
