"""Rule `dns-config`: the resolver does not race its own queries (incident dns-five-seconds).

Called by rules.evaluate. dnsConfig.options is one atomic list: what is demanded is the owner's entries in
their order, with the policy's options set in place or put after them.
"""

from fnmatch import fnmatchcase

from resilience_operator.cluster.leaves import DNS_OPTIONS
from resilience_operator.core.findings import Demand, Finding, Verdict
from resilience_operator.core.paths import ABSENT
from resilience_operator.targets.deployments.settings import DNSConfig, DNSOption
from resilience_operator.targets.deployments.texts import DNS_CONFIG
from resilience_operator.targets.workloads.eligibility import held_at, settle
from resilience_operator.targets.workloads.texts import HELD_VALUE_DIFFERS
from resilience_operator.targets.workloads.view import DeploymentView

_CHANGES_SEARCH = "ndots"
_OS_LABEL = "kubernetes.io/os"
_WINDOWS = "windows"

Option = dict[str, str]


def check(settings: DNSConfig, view: DeploymentView) -> Verdict:
    """Findings and demands of the rule on one Deployment."""
    wanted = [
        option
        for option in settings.options
        if option.name != _CHANGES_SEARCH or settings.allow_search_change
    ]
    observed = _observed(view)
    options = observed or []
    merged = _merged(_base(options, view), wanted)
    if not merged:
        return Verdict()
    demand = Demand(DNS_CONFIG, DNS_OPTIONS, merged)
    if merged == options:
        return settle(Verdict(demands=(demand,)), view)
    lacking = [option for option in wanted if option.as_object() not in options]
    finding = Finding(
        rule=DNS_CONFIG,
        reason="MissingOption" if lacking else HELD_VALUE_DIFFERS,
        object=view.ref,
        message=_message(lacking, options),
        observed=observed,
        desired=merged,
        path=DNS_OPTIONS,
    )
    return settle(Verdict((finding,), (demand,)), view, _windows(view) or _musl(settings, view))


def _observed(view: DeploymentView) -> list[Option] | None:
    config = view.deployment.spec.template.spec.dns_config
    if config is None or config.options is None:
        return None
    return [DNSOption(option.name, option.value).as_object() for option in config.options]


def _base(options: list[Option], view: DeploymentView) -> list[Option]:
    """The owner's list: what was there before us while the list is as we wrote it, else what is there."""
    held = held_at(DNS_OPTIONS, view)
    if held is None or held.set != options:
        return options
    if held.was is ABSENT:
        return []
    readable = isinstance(held.was, list) and all(
        isinstance(option, dict) and "name" in option for option in held.was
    )
    return held.was if readable else options


def _merged(base: list[Option], wanted: list[DNSOption]) -> list[Option]:
    values = {option.name: option.as_object() for option in wanted}
    named = {option["name"] for option in base}
    kept = [values.get(option["name"], option) for option in base]
    return kept + [value for name, value in values.items() if name not in named]


def _message(lacking: list[DNSOption], options: list[Option]) -> str:
    if not lacking:
        return "dnsConfig.options was written for an earlier policy"
    present = {option["name"]: _text(option) for option in options}
    parts = [
        f"has {present[option.name]} instead of {_text(option.as_object())}"
        if option.name in present
        else f"lacks {_text(option.as_object())}"
        for option in lacking
    ]
    return f"dnsConfig.options {', '.join(parts)}"


def _text(option: Option) -> str:
    return f"{option['name']}:{option['value']}" if "value" in option else option["name"]


def _windows(view: DeploymentView) -> str:
    """Why no option is of use there: Windows takes servers and search domains alone (kubernetes/kubernetes#63905)."""
    pod = view.deployment.spec.template.spec
    if pod.os is not None and pod.os.name == _WINDOWS:
        return f"os.name is {_WINDOWS}: Windows ignores the option"
    if pod.node_selector.get(_OS_LABEL) == _WINDOWS:
        return f"nodeSelector {_OS_LABEL} is {_WINDOWS}: Windows ignores the option"
    return ""


def _musl(settings: DNSConfig, view: DeploymentView) -> str:
    for container in view.deployment.spec.template.spec.containers:
        name = container.image.rpartition("/")[2]
        for glob in settings.report_only_images:
            if fnmatchcase(container.image, glob) or fnmatchcase(name, glob):
                return f"image {container.image} matches reportOnlyImages {glob}: musl ignores the option"
    return ""
