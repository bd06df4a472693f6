"""Section `services` of a policy. Declared in target.py."""

from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta

from resilience_operator.policy.common import NamespaceScope, ReportedSettings, SectionSettings


class EveryNamespace(NamespaceScope, frozen=True):
    """Globs over namespace names; those of the system are in scope like any other, for nothing is written there."""

    def covers(self, namespace: str, own_namespace: str = "") -> bool:
        """True where `namespace` is included and not excluded."""
        if any(fnmatchcase(namespace, glob) for glob in self.exclude):
            return False
        return any(fnmatchcase(namespace, glob) for glob in self.include)


class EmptyService(ReportedSettings, frozen=True):
    """Rule `empty-service` (incident empty-service), reported only."""

    namespaces: EveryNamespace = EveryNamespace()
    """Namespaces in scope, as globs; left out: every one, also those of the system, for nothing is written."""
    grace_seconds: Annotated[int, Meta(ge=0, le=86400)] = 120
    """Seconds for which a Service may have no ready endpoint before it is reported; 120 if left out."""


class Services(SectionSettings, frozen=True):
    """What is demanded of Services; left out, they are not looked at."""

    empty: EmptyService | None = None
    """Rule empty-service, reported only: a Service leads to a ready endpoint, and else the cause is named. An
    empty object means the defaults.
    """
