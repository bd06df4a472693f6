"""The texts of all rules that `check` may find, and what its findings weigh. Used by the commands of cli."""

from resilience_operator.core.findings import Finding, Severity
from resilience_operator.targets import RULES
from resilience_operator.targets.bottlerocket.texts import TEXTS as LAUNCH_TEXTS

TEXTS = {rule: one.text for rule, one in RULES.items()} | LAUNCH_TEXTS
"""Rule id -> its text."""


def severity(finding: Finding) -> Severity:
    """The weight of one finding: as its rule declares it, else a warning, or info where it is only ever reported."""
    by_default = Severity.INFO if finding.report_only else Severity.WARNING
    return TEXTS[finding.rule].severities.get(finding.reason, by_default)
