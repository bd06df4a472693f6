"""What a policy asks of each rule, read from its section. Used by policy/decode."""

from resilience_operator.policy.asked import (
    PROBES,
    RESOURCES,
    DisruptionBudget,
    DNSConfig,
    DNSOption,
    Floor,
    GracefulShutdown,
    Mode,
    NodeLocalCache,
    Probes,
    Replicas,
    Resources,
    Spread,
    SpreadConstraint,
)
from resilience_operator.policy.reading import Reader


def spread(section: Reader) -> Spread | None:
    """`spread`, in either section."""
    reader = section.child("spread")
    if reader is None:
        return None
    mode, entries = reader.choice("mode", Mode), reader.children("constraints")
    reader.done()
    if entries is None:
        return Spread(mode)
    constraints = [_constraint(entry) for entry in entries]
    return Spread(mode, tuple(found for found in constraints if found is not None))


def _constraint(entry: Reader) -> SpreadConstraint | None:
    complete = entry.required("topologyKey")
    key, skew = entry.text("topologyKey"), entry.whole("maxSkew")
    unsatisfiable = entry.one_of("whenUnsatisfiable", ("ScheduleAnyway", "DoNotSchedule"))
    entry.done()
    if not complete or key is None:
        return None
    return SpreadConstraint(key, 1 if skew is None else skew, unsatisfiable or "ScheduleAnyway")


def graceful_shutdown(section: Reader) -> GracefulShutdown | None:
    """`gracefulShutdown`."""
    reader = section.child("gracefulShutdown")
    if reader is None:
        return None
    default = GracefulShutdown()
    sleep = reader.whole("preStopSleepSeconds")
    grace = reader.whole("minTerminationGracePeriodSeconds")
    result = GracefulShutdown(
        mode=reader.choice("mode", Mode),
        pre_stop_sleep_seconds=default.pre_stop_sleep_seconds if sleep is None else sleep,
        min_termination_grace_period_seconds=(
            default.min_termination_grace_period_seconds if grace is None else grace
        ),
        applies_to=reader.one_of("appliesTo", ("Exposed", "All")) or default.applies_to,
    )
    reader.done()
    return result


def dns_config(section: Reader) -> DNSConfig | None:
    """`dnsConfig`."""
    reader = section.child("dnsConfig")
    if reader is None:
        return None
    default = DNSConfig()
    entries, images = reader.children("options"), reader.texts("reportOnlyImages")
    options = default.options
    if entries is not None:
        options = tuple(option for option in map(_option, entries) if option is not None)
    result = DNSConfig(
        mode=reader.choice("mode", Mode),
        options=options,
        allow_search_change=reader.flag("allowSearchChange") or False,
        report_only_images=default.report_only_images if images is None else images,
    )
    reader.done()
    return result


def probes(section: Reader) -> Probes | None:
    """`probes`."""
    reader = section.child("probes")
    if reader is None:
        return None
    mode, require = reader.choice("mode", Mode), _required(reader, PROBES)
    reader.done()
    return Probes(mode) if require is None else Probes(mode, require)


def resources(section: Reader) -> Resources | None:
    """`resources`."""
    reader = section.child("resources")
    if reader is None:
        return None
    mode, require = reader.choice("mode", Mode), _required(reader, RESOURCES)
    reader.done()
    return Resources(mode) if require is None else Resources(mode, require)


def _required(reader: Reader, known: tuple[str, ...]) -> tuple[str, ...] | None:
    names = reader.texts("require")
    for index, name in enumerate(names or ()):
        if name not in known:
            reader.refuse(f"require[{index}]", f"write one of {', '.join(known)}, not {name!r}")
    return names if names is None else tuple(name for name in names if name in known)


def _option(entry: Reader) -> DNSOption | None:
    complete = entry.required("name")
    name, value = entry.text("name"), entry.text("value")
    entry.done()
    return DNSOption(name, value) if complete and name is not None else None


def replicas(section: Reader) -> Replicas | None:
    """`replicas`."""
    reader = section.child("replicas")
    if reader is None:
        return None
    mode, least = reader.choice("mode", Mode), reader.whole("min")
    reader.done()
    return Replicas(mode) if least is None else Replicas(mode, least)


def disruption_budget(section: Reader) -> DisruptionBudget | None:
    """`disruptionBudget`, in either section."""
    reader = section.child("disruptionBudget")
    if reader is None:
        return None
    mode, most = reader.choice("mode", Mode), reader.amount("maxUnavailable")
    reader.done()
    return DisruptionBudget(mode) if most is None else DisruptionBudget(mode, most)


def floor(section: Reader) -> Floor | None:
    """`floor` of section coreDNS."""
    reader = section.child("floor")
    if reader is None:
        return None
    default = Floor()
    least, prevent = reader.whole("minReplicas"), reader.flag("preventSinglePointFailure")
    result = Floor(
        mode=reader.choice("mode", Mode),
        min_replicas=default.min_replicas if least is None else least,
        prevent_single_point_failure=default.prevent_single_point_failure if prevent is None else prevent,
    )
    reader.done()
    return result


def node_local_cache(section: Reader) -> NodeLocalCache | None:
    """`nodeLocalCache` of section coreDNS."""
    reader = section.child("nodeLocalCache")
    if reader is None:
        return None
    mode = reader.choice("mode", Mode)
    reader.done()
    return NodeLocalCache(mode)
