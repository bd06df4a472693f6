"""What files alone say of a Service: whether a workload of the input has its labels, and declares its ports. Pure."""

from resilience_operator.core.findings import EMPTY, Finding, Skipped, Verdict
from resilience_operator.targets.services.causes import declared_ports, in_words, listed
from resilience_operator.targets.services.nearness import nearest
from resilience_operator.targets.services.pods import MAX_MESSAGE, shortened
from resilience_operator.targets.services.texts import (
    EMPTY_SERVICE,
    NEVER_CHANGED,
    PORT_MISSING,
    SELECTS_NOTHING,
)
from resilience_operator.targets.services.view import ServiceView

NO_WORKLOAD = "no workload of its Namespace was read: whether its selector matches one is unknown"

MAY_MAKE = "its selector matches no workload of the input; {} may make such pods"


def cause_in_files(view: ServiceView) -> Verdict:
    """The finding on a Service of a file."""
    if not view.deployments and not view.workloads:
        return _selects_nothing(view)
    if view.workloads:
        return EMPTY  # Of workloads of other kinds the ports are not read.
    declared = declared_ports(view.deployments)
    named = [port for port in view.service.spec.ports if isinstance(port.target_port, str)]
    missing = [port for port in named if port.target_port not in declared]
    if not missing:
        return EMPTY
    they = f" (they declare {listed(declared)})" if declared else ""
    names = listed(sorted({str(port.target_port) for port in missing}))
    where = listed(sorted(one.metadata.name for one in view.deployments))
    plural = "s" if len(view.deployments) > 1 else ""
    message = f"no container of Deployment{plural} {where} declares a port {names}{they}"
    every = listed(sorted(str(port.port) for port in missing))
    return _found(view, PORT_MISSING, f"port {every} leads nowhere: {message}")


def _selects_nothing(view: ServiceView) -> Verdict:
    selector = view.service.spec.selector
    near = nearest(selector, view.nearby)
    if not near and (view.doubtful or not (view.nearby or view.complete)):
        why = MAY_MAKE.format(shortened(view.doubtful[0])) if view.doubtful else NO_WORKLOAD
        return Verdict(skipped=(Skipped(EMPTY_SERVICE, view.ref, why),))
    message = f"its selector {in_words(selector)} matches no workload of the input"
    return _found(view, SELECTS_NOTHING, f"{message}; {near}" if near else message)


def _found(view: ServiceView, reason: str, message: str) -> Verdict:
    message = shortened(message, MAX_MESSAGE)
    return Verdict((Finding(EMPTY_SERVICE, reason, view.ref, message, report_only=NEVER_CHANGED),))
