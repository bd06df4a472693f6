"""`kubectl-resilience check`: the operator's rules over files, standard input or a cluster. Called by cli/main."""

import gc
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING

from resilience_operator.cli import launch, output, scope
from resilience_operator.cli.files.files import DEFAULT_MAX_SIZE, load
from resilience_operator.cli.files.inventory import Inventory
from resilience_operator.cli.files.manifests import Problem
from resilience_operator.cli.judging import Subject, judge
from resilience_operator.cli.output import Result
from resilience_operator.cli.policies import load_policy, recommended
from resilience_operator.cli.progress import Bar
from resilience_operator.cli.sarif import as_sarif
from resilience_operator.core.errors import OperatorError
from resilience_operator.core.findings import Severity
from resilience_operator.policy.policy import Policy

if TYPE_CHECKING:
    from resilience_operator.cli.reading import Seen

NOTHING = "holds no object of Kubernetes: nothing was checked"

_WRITERS: dict[str, Callable[[Result], Iterable[str]]] = {
    "text": output.text,
    "json": lambda result: [output.as_json(result)],
    "sarif": lambda result: [as_sarif(result)],
    "github": output.github,
}
_LINES = frozenset({"text", "github"})
"""Forms that are no JSON: a line may name a file whose name is no text."""


class UnusableInputError(OperatorError):
    """The command line asks for nothing, or for two things at once."""


def add_arguments(parser: ArgumentParser) -> None:
    """The command's flags."""
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="files or directories; - is standard input")
    add("--cluster", action="store_true", help="check what runs in a cluster instead")
    add("-p", "--policy", metavar="POLICY.yaml", help="judge by this policy, not by the recommended one")
    add("-o", "--output", choices=tuple(_WRITERS), default="text")
    add(
        "--fail-on",
        choices=[str(each) for each in Severity],
        default=str(Severity.INFO),
        help="exit with 1 only for findings of at least this severity (default info: for any)",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="of a directory, leave out what this matches by its path or its name; may be repeated",
    )
    add(
        "--render",
        action="store_true",
        help="of directories, judge what helm and kustomize (or kubectl) on the PATH make of charts and kustomizations,"
        " and not the files that these are made of",
    )
    add(
        "--complete",
        action="store_true",
        help="the files are all there is: what is in none of them (a PodDisruptionBudget, a Service) is missing",
    )
    add(
        "--max-size",
        type=int,
        default=DEFAULT_MAX_SIZE,
        metavar="BYTES",
        help=f"of one file; bigger ones are not read (default {DEFAULT_MAX_SIZE})",
    )
    scope.add_arguments(parser)
    add("--kubeconfig", default="", metavar="FILE", help="else $KUBECONFIG, ~/.kube/config, the pod's own")
    add("--context", default="", metavar="NAME", help="of the kubeconfig, instead of its current one")


def run(arguments: Namespace) -> int:
    """Check, print, and give the exit code. Raises OperatorError without access or with a bad policy."""
    if bool(arguments.paths) == arguments.cluster:
        raise UnusableInputError("check files or directories (- is standard input), or --cluster; not both")
    if arguments.paths and (arguments.namespace or arguments.all_namespaces or arguments.selector):
        raise UnusableInputError("-n, -A and -l are for --cluster; of files, leave out with --exclude")
    policy = load_policy(arguments.policy) if arguments.policy else recommended()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A file's name may be no text at all.
    result = check_cluster(policy, arguments) if arguments.cluster else check_files(policy, arguments)
    result.judgement.keep(scope.scope_of(arguments).about)
    if arguments.output == "text":
        for problem in result.problems:
            print(output.printable(str(problem)), file=sys.stderr)
    if arguments.output == "text" and sys.stdout.isatty():
        # What draws on a terminal takes longer to import than most files take to check.
        from rich.console import Console

        from resilience_operator.cli.grouped import on_terminal

        on_terminal(result, Console(markup=False, highlight=False))
        return result.code
    for line in _WRITERS[arguments.output](result):
        print(output.printable(line) if arguments.output in _LINES else line)
    return result.code


def check_files(policy: Policy, arguments: Namespace) -> Result:
    """Judge what the given paths hold; an input without a single object is bad input, not a clean one."""
    # Nothing that is read has cycles, and to look for them took a fifth of the time, in the workers too.
    gc.disable()
    with Bar("files") as bar:
        loaded = load(
            arguments.paths, arguments.max_size, bar.show, arguments.exclude, rendering=arguments.render
        )
    inventory = Inventory(
        loaded.manifests,
        loaded.takeovers,
        loaded.beside,
        loaded.makers,
        loaded.kustomizations,
        complete=arguments.complete,
    )
    now = datetime.now(UTC)
    judgement = judge(policy, inventory.subjects(now))
    launch.judge(judgement, loaded.launch, now)
    if not loaded.objects and not loaded.problems:
        loaded.problems += [Problem(path, 0, NOTHING) for path in arguments.paths]
    return Result(
        judgement,
        loaded.problems,
        loaded.uncovered + loaded.incomplete,
        len(loaded.strangers),
        foreign=loaded.foreign,
        fail_on=Severity(arguments.fail_on),
    )


def check_cluster(policy: Policy, arguments: Namespace) -> Result:
    """Judge what runs in a cluster. Raises OperatorError."""
    # The client of a cluster takes longer to import than most files take to check.
    import asyncio

    from resilience_operator.cli.cluster import connect
    from resilience_operator.cli.reading import read_store

    asked = scope.scope_of(arguments)

    async def observed() -> tuple["Seen", tuple[int, int]]:
        async with await connect(arguments.kubeconfig, arguments.context) as session:
            return await read_store(session, asked, whole=False), await session.server_version()

    judgement = judge(policy, _subjects(*asyncio.run(observed()), asked))
    return Result(judgement, files=False, fail_on=Severity(arguments.fail_on))


def _subjects(seen: "Seen", server: tuple[int, int], asked: scope.Scope) -> Iterator[Subject]:
    now = datetime.now(UTC)
    for key in sorted(seen.store.subjects()):
        view = seen.look(key, now, server)
        if view is not None and asked.takes(key, view):
            yield Subject(view)
