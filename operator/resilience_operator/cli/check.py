"""`kubectl-resilience check`: the operator's rules over files, standard input or a cluster. Called by cli/main."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime

from resilience_operator.cli import output
from resilience_operator.cli.files import load
from resilience_operator.cli.inventory import Inventory
from resilience_operator.cli.judging import Subject, judge
from resilience_operator.cli.manifests import Problem
from resilience_operator.cli.output import Result
from resilience_operator.cli.policies import load_policy, recommended
from resilience_operator.cli.progress import Bar
from resilience_operator.cli.sarif import as_sarif
from resilience_operator.core.policy import Policy

NOTHING = "holds no object of Kubernetes: nothing was checked"


def run(arguments: Namespace) -> int:
    """Check, print, and give the exit code. Raises OperatorError without access or with a bad policy."""
    policy = load_policy(arguments.policy) if arguments.policy else recommended()
    result = check_cluster(policy, arguments) if arguments.cluster else check_files(policy, arguments)
    if arguments.output == "text":
        for problem in result.problems:
            print(problem, file=sys.stderr)
    for line in _WRITERS[arguments.output](result):
        print(line)
    return result.code


def check_files(policy: Policy, arguments: Namespace) -> Result:
    """Judge what the given paths hold; an input without a single object is bad input, not a clean one."""
    with Bar("files") as bar:
        loaded = load(arguments.paths, arguments.max_size, bar.show)
    judgement = judge(policy, Inventory(loaded.manifests).subjects(datetime.now(UTC)))
    if not loaded.objects and not loaded.problems:
        loaded.problems += [Problem(path, 0, NOTHING) for path in arguments.paths]
    return Result(judgement, loaded.problems, loaded.uncovered, len(loaded.strangers))


def check_cluster(policy: Policy, arguments: Namespace) -> Result:
    """Judge what runs in a cluster. Raises OperatorError."""
    # The client of a cluster takes longer to import than most files take to check.
    from resilience_operator.cli.cluster import Snapshot, Target, connect, snapshot

    async def observed() -> Snapshot:
        async with await connect(Target(arguments.kubeconfig, arguments.context)) as session:
            with Bar("kinds") as bar:
                return await snapshot(session, progress=bar.name)

    views = asyncio.run(observed()).views(datetime.now(UTC))
    return Result(judge(policy, map(Subject, views)), files=False)


_WRITERS: dict[str, Callable[[Result], list[str]]] = {
    "text": lambda result: list(output.text(result)),
    "json": lambda result: [output.as_json(result)],
    "sarif": lambda result: [as_sarif(result)],
}
