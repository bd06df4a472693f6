"""DaemonSets of kube-system: what runs on every node, as structs.

Part of cluster/objects/workloads, which names it for others.

Of most nothing is kept but their names: rules look at the DNS cache of the nodes alone.
"""

from resilience_operator.cluster.objects.meta import Meta, Observed
from resilience_operator.cluster.objects.templates import PodTemplate
from resilience_operator.core.refs import ObjectRef


class DaemonSetSpec(Observed, frozen=True):
    """A DaemonSet's spec; the template of NodeLocal DNSCache alone is kept."""

    template: PodTemplate = PodTemplate()


class DaemonSetStatus(Observed, frozen=True):
    """On how many nodes a pod of it should run, and on how many one is ready."""

    desired_number_scheduled: int = 0
    number_ready: int = 0


class DaemonSet(Observed, frozen=True):
    """apps/v1 DaemonSet, projected."""

    metadata: Meta
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()

    @property
    def ref(self) -> ObjectRef:
        """This DaemonSet as a reference."""
        meta = self.metadata
        return ObjectRef("apps/v1", "DaemonSet", meta.namespace, meta.name, meta.uid)
