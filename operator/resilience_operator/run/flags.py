"""The flags of `resilience-operator run`, read into Settings. Used by host."""

import argparse
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from resilience_operator import __version__
from resilience_operator.api.health import address
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.selectors import parse_selector
from resilience_operator.run.logs import LEVELS
from resilience_operator.run.services import Settings

_IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULTS = Settings()


def parser(name: str = "resilience-operator") -> argparse.ArgumentParser:
    """The command line; `run` is its only command so far."""
    top = argparse.ArgumentParser(prog=name, description="Audits and repairs what ResiliencePolicies demand.")
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    run = top.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser(
        "run",
        help="run the operator, in a cluster or outside",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _where(run)
    _limits(run)
    _times(run)
    return top


def parse(argv: Sequence[str]) -> Settings:
    """Settings from a command line without the program's name; wrong flags end the program with code 2."""
    chosen = vars(parser().parse_args(list(argv)))
    known = {field.name for field in fields(Settings)}
    return Settings(**{name: value for name, value in chosen.items() if name in known})


def home_namespace(file: Path = _IN_CLUSTER_NAMESPACE) -> str:
    """The namespace of our service account, `resilience-system` outside a cluster."""
    try:
        return file.read_text().strip() or _DEFAULTS.namespace
    except OSError:
        return _DEFAULTS.namespace


def new_identity() -> str:
    """Who we are for the Lease: the pod's name where we are in one, never the same twice."""
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4().hex[:12]}"


def _where(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add(
        "--kubeconfig",
        default="",
        metavar="FILE",
        help="else $KUBECONFIG, ~/.kube/config, the service account",
    )
    add("--context", default="", metavar="NAME", help="of the kubeconfig, instead of its current one")
    add("--namespace", default=home_namespace(), help="of the Lease and the pause switch")
    add("--identity", default=new_identity(), help="the holder's name in the Lease")
    add("--metrics-bind", type=_bind, default=_DEFAULTS.metrics_bind, metavar="[HOST]:PORT", help="0: off")
    add("--health-bind", type=_bind, default=_DEFAULTS.health_bind, metavar="[HOST]:PORT", help="0: off")
    add(
        "--policy-selector",
        type=_selector,
        default="",
        metavar="LABELS",
        help="only policies with these labels, a=b,c in (d,e)",
    )
    add("--eks-cluster", default="", metavar="NAME",
        help="name of the EKS cluster, else found by the tags of its nodes' instances")  # fmt: skip
    add("--allow-unguarded", action="store_true",
        help="enforce although the API server does not guard what this user writes (manifests/enforce)")  # fmt: skip
    add("--log-format", choices=("text", "json"), default=_DEFAULTS.log_format, help="of the lines on stderr")
    add("--log-level", choices=LEVELS, default=_DEFAULTS.log_level, help="the least that is logged")


def _limits(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("--max-rollouts", type=_at_least(1), default=_DEFAULTS.max_rollouts, metavar="N",
        help="rollouts of all policies that may run at once")  # fmt: skip
    add("--max-unhealthy-percent", type=_percent, default=_DEFAULTS.max_unhealthy_percent, metavar="N",
        help="share of unhealthy targets above which nothing new starts")  # fmt: skip
    add("--max-restarting-percent", type=_percent, default=_DEFAULTS.max_restarting_percent, metavar="N",
        help="above this share of Deployments (and ten) that others restart at once nothing new starts")  # fmt: skip
    add("--api-qps", type=_positive, default=_DEFAULTS.api_qps, metavar="N", help="writes a second")
    add("--api-burst", type=_at_least(1), default=_DEFAULTS.api_burst, metavar="N", help="writes at once")


def _times(run: argparse.ArgumentParser) -> None:
    texts = {
        "lease-duration": "a Lease that was not renewed for so long may be taken over",
        "request-timeout": "a write is given up after this; a new leader waits for it as well",
        "resync": "everything is evaluated anew, and policies are listed, this often",
        "stall-timeout": "a watch that is silent for so long is dead: its kind is listed anew",
        "contest-window": "time in which another manager's reverts of our value are counted",
        "contest-backoff": "first pause after we gave a value up to another manager",
        "eks-poll": "AWS is asked for the EKS add-on of cluster DNS this often, while a policy asks for its replicas",
    }
    for name, text in texts.items():
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        run.add_argument(f"--{name}", type=_positive, default=default, metavar="SECONDS", help=text)


def _selector(text: str) -> str:
    try:
        parse_selector(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


def _at_least(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return int(text)

    return whole_number


def _percent(text: str) -> int:
    if not 0 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"must be from 0 to 100, not {text}")
    return int(text)


def _bind(text: str) -> str:
    try:
        if text not in ("", "0"):
            address(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
