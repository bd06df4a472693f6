"""Prints docs/bottlerocket.md from the code: `kubectl-resilience explain --bottlerocket`. Used by cli/explain."""

from collections.abc import Iterator

from resilience_operator.targets.bottlerocket.across import HARD_DEFAULTS, PROTECTED
from resilience_operator.targets.bottlerocket.nodeclass import KUBELET
from resilience_operator.targets.bottlerocket.presets import PRESETS, Instance, Value, reservations
from resilience_operator.targets.bottlerocket.table import Setting, settings
from resilience_operator.targets.bottlerocket.texts import WHOLE

SIZES = (Instance(2, 8192, 29), Instance(4, 16384, 58), Instance(16, 65536, 234), Instance(96, 393216, 737))
"""Examples: cores, MiB and pods of m5.large, m5.xlarge, m5.4xlarge and m5.24xlarge."""
_HEAD = f"""# Bottlerocket: launch settings

Printed by `kubectl-resilience explain --bottlerocket`; do not edit.

**{WHOLE}** Settings are read once, at the first boot: to change them is to replace nodes, and Karpenter replaces \
every node of a class when a single byte of its user data changes, be it in a comment.

    kubectl-resilience check nodes.toml nodeclass.yaml nodepool.yaml

judges user data (`*.toml`), EC2NodeClass and NodePool manifests, with the line of each mistake. The exit code is 1 \
where it finds something. Render templates first: a placeholder such as `${{...}}` is no TOML, and within quotes it \
reaches the node as it stands. The rules are [`launch-settings` and `data-volume`](rules.md).

Of a `*.toml` file it is not known who reads it. What only Karpenter or EKS minds is reported with that sentence; in \
an EC2NodeClass Karpenter reads it. A release pinned by `bottlerocket@v1.57.0` in `amiSelectorTerms` is the one by \
which keys are judged; without one, the newest.

Two forms that everybody reads:

- a key with dots in quotes, below a plain header: `[settings.kernel.sysctl]` and then `"net.core.somaxconn" = "1024"`;\
 EKS does not read `[settings."a.b"]`, quotes inside quoted keys, `\\"` in values, and lists of several types;
- the thresholds of image garbage collection as strings: Karpenter launches nothing with `85`, and all take `"85"`.

A node's support archive comes in one step with `kubectl resilience node-logs NODE`, if the admin container was \
enabled **before** (`host-containers.admin.enabled = true`): to enable it later replaces the node, and its logs \
go with it.
"""
_NUMBERS = {
    "percent": "integer, or a string of one",
    "dns-ip": "IP address, or a list",
    "list boot": "list of strings",
}


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_presets(), *_reservations(), _placing(), _kept(), *_table()]).rstrip()


def _presets() -> Iterator[str]:
    yield "## Recommended values\n"
    for name, values in PRESETS.items():
        yield f"### `{name}`\n\n{_values(values)}\n"
    defaults = ", ".join(f"`{signal}` {value}" for signal, value in HARD_DEFAULTS.items())
    yield (
        "`eviction-hard` is always written whole: before release 1.69.0 a partial map switches off what it lacks of "
        f"the kubelet's own ({defaults}).\n"
    )


def _values(values: tuple[Value, ...]) -> str:
    rows = [f"| `{'.'.join(one.path)}` | `{one.value}` | {one.source} | {one.why} |" for one in values]
    return "\n".join(["| setting | value | source | why |", "|---|---|---|---|", *rows])


def _reservations() -> Iterator[str]:
    yield "### Reservations, by the size of the instance\n"
    sizes = " | ".join(f"{one.cores} cores, {one.memory // 1024} GiB, {one.max_pods} pods" for one in SIZES)
    yield f"| setting | {sizes} | source | why |\n{'|---' * (len(SIZES) + 3)}|"
    for number, one in enumerate(reservations(SIZES[0])):
        values = " | ".join(f"`{reservations(size)[number].value}`" for size in SIZES)
        yield f"| `{'.'.join(one.path)}` | {values} | {one.source} | {one.why} |"
    yield ""


def _placing() -> str:
    rows = "\n".join(f"| `kubernetes.{key}` | `{field}` |" for key, field in KUBELET.items())
    return f"""## What belongs into spec.kubelet of an EC2NodeClass

Karpenter reckons what fits on a node by these fields and never by userData; a map here replaces the one there, whole.

| setting | spec.kubelet |
|---|---|
{rows}

Both disks are always given in `blockDeviceMappings`: `/dev/xvda` is the OS, `/dev/xvdb` holds images, logs and \
emptyDir. A list with one of them takes away Karpenter's default for the other.
"""


def _kept() -> str:
    rows = "\n".join(f"| `{key}` | `{value}` |" for key, value in PROTECTED.items())
    return f"""## Kernel parameters that must stay

The kubelet checks them at its start, and does not start with other values (`protectKernelDefaults`).

| `kernel.sysctl` | value |
|---|---|
{rows}
"""


def _table() -> Iterator[str]:
    yield "## All settings\n"
    yield "`since` is Bottlerocket's release; `dropped` is a key that Karpenter leaves out of what nodes get.\n"
    yield "| setting | type | since | Karpenter |\n|---|---|---|---|"
    yield from map(_row, settings())


def _row(one: Setting) -> str:
    kind = (
        _NUMBERS.get(one.kind, one.kind)
        .replace("|", ", ")
        .replace("enum ", "one of ")
        .replace("int ", "integer ")
    )
    kept = f"kept since v{'.'.join(map(str, one.kept_since))}" if one.kept_since > (0, 14, 0) else "kept"
    kept = "dropped" if one.karpenter == "dropped" else kept
    return f"| `{one.key}` | {kind} | {'.'.join(map(str, one.since))} | {kept} |"
