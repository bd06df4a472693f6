"""The command `resilience-agent`: `run` on a node, `restore` before the agent leaves it."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from resilience_operator.agent import metrics, selftest
from resilience_operator.agent.api import Access, Api, ApiError
from resilience_operator.agent.node import Node
from resilience_operator.agent.restore import restore
from resilience_operator.agent.sysctl_files import SysctlFiles

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 where it refuses to work here, with the reason on stderr."""
    options = _parser().parse_args(arguments)
    files = SysctlFiles(options.sysctls)
    if reason := selftest.refusal(files):
        return _refuse(reason)
    try:
        api = Api(Access(options.server, options.token, options.certificate_authority))
    except (OSError, ValueError) as error:
        return _refuse(f"the API server cannot be asked: {error}")
    if not options.node:
        return _refuse("the node's name is missing; set NODE_NAME from spec.nodeName, or --node")
    if options.command == "restore":
        return _restored(api, options.node, files)
    return _run(Node(api, options.node, files), options.metrics_bind)


def _run(node: Node, bind: str) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.stop())
    stop = None
    if bind:
        try:
            stop = metrics.serve(bind, lambda: metrics.render(node.series()))
        except (OSError, ValueError) as error:
            return _refuse(f"--metrics-bind {bind}: {error}")
    code = node.run()
    if stop:
        stop()
    return code


def _restored(api: Api, name: str, files: SysctlFiles) -> int:
    try:
        return restore(api, name, files, lambda text: print(text, flush=True))  # noqa: T201  - the command's answer
    except (ApiError, OSError) as error:
        return _refuse(f"the NodeState cannot be read or written: {error}")


def _refuse(reason: str) -> int:
    sys.stderr.write(f"resilience-agent: {reason}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="resilience-agent", description=__doc__)
    parser.add_argument("command", choices=["run", "restore"], help="work, or give the node's values back")
    parser.add_argument(
        "--node", default=os.environ.get("NODE_NAME", ""), help="name of the node (NODE_NAME)"
    )
    parser.add_argument(
        "--sysctls", type=Path, default=Path("/host/proc/sys"), help="where the host's /proc/sys is"
    )
    parser.add_argument("--server", default=_server(), help="https://HOST:PORT of the API server")
    parser.add_argument("--token", type=Path, default=_ACCOUNT / "token", help="file with the token")
    parser.add_argument("--certificate-authority", type=Path, default=_ACCOUNT / "ca.crt", help="PEM file")
    parser.add_argument("--metrics-bind", default="", help="HOST:PORT of /metrics; none if left out")
    return parser


def _server() -> str:
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST", ""),
        os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
