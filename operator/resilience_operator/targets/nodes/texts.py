"""What people read about the rules on nodes. Kept beside the rules, away from their logic."""

from typing import Final

from resilience_operator.core.findings import RuleText

SECTION: Final = "conntrack"
SYSCTL: Final = "conntrack-sysctl"
PRESSURE: Final = "conntrack-pressure"
STALE: Final = "conntrack-stale"

NOT_REPORTED: Final = "NotReported"
AGENT_SILENT: Final = "AgentSilent"

_UNKNOWN = {
    NOT_REPORTED: (
        "No agent has reported of the node, or not of what is asked now, so that nobody knows how it stands there. "
        "Nothing is reported before a policy enforces: until then there is no NodeState."
    ),
    AGENT_SILENT: "The agent of the node last reported more than ten minutes ago: how it stands there is not known.",
}
_NEVER = (
    "a node of another system than Linux, or without an agent (Fargate, virtual kubelets): it is not asked",
)

TEXTS: Final[dict[str, RuleText]] = {
    SYSCTL: RuleText(
        rule=SYSCTL,
        section=SECTION,
        incident="conntrack-full",
        opts_out="the Node",
        title="The connection table of a node has room, and forgets in time",
        demands=(
            "Each listed sysctl has its value, or what its formula gives for the node's cores, on every selected "
            "Linux node. Under Enforce a NodeState per node tells its agent, in waves: canary nodes first, then at "
            "most waves.maxUnavailable whose agent has not yet said that it is done. The waves stop while a node goes "
            "NotReady or loses packets after its change. An agent puts a value back within five seconds when "
            "somebody else, such as a kube-proxy that starts, writes another. With onRelease: Revert, nodes that "
            "leave the policy get the values back that were there before, in the same waves; an agent that has been "
            "silent for twenty minutes is not waited for."
        ),
        why=(
            "A service with many short connections filled 192,125 of 262,144 entries of a node's table, most of them "
            "in TIME_WAIT for two minutes. Once it is full every new flow is dropped, whoever owns it."
        ),
        reasons={
            "SysctlDiffers": "The node has another value than the policy demands.",
            "SysctlNotSet": "The agent cannot or may not set the value now; the message has its reason.",
            "SysctlContention": "Somebody else rewrites the value again and again: it is left alone for ten minutes.",
            "KubeProxyRewrites": (
                "kube-proxy writes another value whenever it starts, by its ConfigMap and version; the message says "
                "who wins, and what to write there so that it leaves the sysctl alone."
            ),
            "CoresUnknown": "The node does not say how many cores it has, so the formula has no value.",
            **_UNKNOWN,
        },
        never_enforced=(*_NEVER, "what kube-proxy writes: its ConfigMap is its owner's"),
    ),
    PRESSURE: RuleText(
        rule=PRESSURE,
        section=SECTION,
        incident="conntrack-full",
        opts_out="the Node",
        title="A connection table that fills is named before it drops a packet",
        demands=(
            "The table of every selected node has room: it is below warningPercent, and at its present trend does not "
            "fill within ten minutes. The agent judges it with hysteresis. Under Enforce the Node bears the condition "
            "ConntrackPressure, and an Event tells of every transition."
        ),
        why="A full table looks like a broken network: nothing but a counter on the node says why flows are dropped.",
        reasons={
            "Filling": "More than warningPercent of the table are taken for two minutes.",
            "FullSoon": "At its present trend the table is full within ten minutes.",
            "NearlyFull": "More than criticalPercent of the table are taken.",
            "EntriesLost": "Packets of new flows were dropped, or living entries evicted.",
            "AsExpected": "The agent reports pressure without a reason.",
            **_UNKNOWN,
        },
        never_enforced=(
            *_NEVER,
            "the pressure itself: it ends by room or shorter timeouts (conntrack-sysctl), or by fewer connections",
        ),
    ),
    STALE: RuleText(
        rule=STALE,
        section=SECTION,
        incident="dns-scale-down",
        opts_out="the Node",
        title="No UDP flow of a protected Service leads to an endpoint that is gone",
        demands=(
            "On every selected node, no UDP entry of a protected Service leads to an address that is no endpoint of "
            "it. Under Enforce the agent deletes those that do, after the endpoints changed and past every cache; "
            "never a TCP entry, and never one of a live endpoint. The agent's role must name the Service "
            "(manifests/agent/rights.yaml)."
        ),
        why=(
            "Preply, February 2020: a scale-down of cluster DNS left entries that led to pods that were gone, and each "
            "packet kept them alive: 26 minutes of partial outage. kube-proxy cleans up once, and does not try again."
        ),
        reasons={
            "PurgeHeld": "Nothing is deleted for a Service; the message says what the agent waits for.",
            "StaleEntriesLeft": "The last scan left entries that lead to no endpoint.",
            "KubeProxyRulesStale": (
                "Entries came back after they were deleted: the rules of kube-proxy on the node are old. Deleting "
                "does not help, and is not repeated for ever."
            ),
            **_UNKNOWN,
        },
        never_enforced=(
            *_NEVER,
            "rules of kube-proxy that are old: restart it on that node, and look at its log",
        ),
    ),
}
