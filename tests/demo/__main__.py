"""The order of the demo, and its command line."""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

import tests.demo
from tests.demo.cluster_dns import INCIDENT, ClusterDNS
from tests.demo.page import AUDITED, ENFORCED, HEAD, pages
from tests.demo.stage import Failed, Stage
from tests.demo.webhooks import INCIDENT as WEBHOOKS
from tests.demo.webhooks import Webhooks
from tests.demo.workloads import INCIDENTS, Workloads
from tests.e2e.process import OperatorProcess
from tests.lab import Lab, start
from tests.lab.errors import LabError
from tests.targets.webhooks.scene import REACHABLE


def play(workloads: Workloads, dns: ClusterDNS, webhooks: Webhooks) -> None:
    """Everything up to where all is repaired."""
    workloads.break_it()
    workloads.audit()
    workloads.enforce()
    workloads.describe()
    dns.break_it()
    dns.enforce()
    webhooks.break_it()
    webhooks.enforce()


def print_page(lab: Lab, workloads: Workloads, file: Path) -> None:
    """What people see before and after, and nothing else of the demo."""
    workloads.break_it()
    workloads.audit()
    sections = [*pages(lab, AUDITED)]
    workloads.enforce()
    sections += pages(lab, ENFORCED)
    file.write_text("\n".join((HEAD, *sections)))


def release(stage: Stage, workloads: Workloads, dns: ClusterDNS, webhooks: Webhooks) -> None:
    """Delete the policies, and look what is left of them."""
    stage.step("The policies are deleted; onRelease: Revert gives the original specs back")
    stage.kubectl("delete", "rp", *INCIDENTS, INCIDENT, WEBHOOKS, "--timeout=240s")
    workloads.released()
    dns.released()
    webhooks.released()


def keep(lab: Lab, console: Console) -> None:
    """Leave everything up until somebody has seen enough."""
    console.rule("[bold]The cluster, the operator and the stand-in of the autoscaler stay up", align="left")
    console.print(f"In another terminal:\n  export KUBECONFIG={lab.kubeconfig()}")
    console.print(f"  {lab.kubectl_program} get deployments -A\nCtrl-C here ends and removes everything.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("ending")


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 1 where it did not show what it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=tests.demo.__doc__)
    parser.add_argument("--keep", action="store_true", help="leave cluster and operator up until Ctrl-C")
    parser.add_argument("--page", type=Path, metavar="FILE", help="print docs/what-you-see.md, and end")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    with ExitStack() as stack:
        console.rule("[bold]A control plane with four simulated nodes", align="left")
        lab = stack.enter_context(start(nodes=4, flags=REACHABLE))
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        operator = OperatorProcess(lab.kubeconfig(), logs / "operator.log", "--lease-duration=5")
        stack.callback(operator.stop)
        stage = Stage(lab, console)
        workloads, dns = Workloads(stage, operator), ClusterDNS(stage, stack, logs / "cpa.log")
        webhooks = Webhooks(stage, stack, logs / "webhook")
        try:
            if options.page:
                print_page(lab, workloads, options.page)
                return 0
            play(workloads, dns, webhooks)
            if options.keep:
                keep(lab, console)
                return 0
            release(stage, workloads, dns, webhooks)
        except (Failed, LabError) as error:
            console.print("[bold red]The demo failed:[/]", end=" ")
            console.print(f"{error}\n{operator.tail()}", markup=False)
            return 1
    console.rule("[bold]Done; everything that was started is stopped", align="left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
