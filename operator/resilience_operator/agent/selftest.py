"""Whether this process sees the node's own conntrack and may change it. Called once, at the start.

In another network namespace everything seems to work: the values are those of the pod, and no packet is helped.
"""

from resilience_operator.agent import table
from resilience_operator.agent.sysctl_files import SysctlFiles
from resilience_operator.core.sysctls import MAX, PREFIX

_COUNT = PREFIX + "count"
_LOOKS = 5
"""Tries to see the same number of entries in both ways, while flows come and go."""


def refusal(files: SysctlFiles) -> str | None:
    """Why the agent cannot work here, with what to change; None if it can."""
    try:
        table.count()
    except PermissionError as error:
        return f"{error}; run the agent as uid 0 with capabilities drop: [ALL], add: [NET_ADMIN]"
    except OSError as error:
        return f"conntrack does not answer ({error}); load the kernel module nf_conntrack_netlink"
    if files.read(MAX) is None:
        return "nf_conntrack_max cannot be read; load nf_conntrack, and mount the host's /proc/sys/net below --sysctls"
    if not files.writable(MAX):
        return "nf_conntrack_max is read-only here: not the node's network namespace; set hostNetwork: true"
    if not files.mounted_writable(MAX):
        return "the mount of /proc/sys/net is read-only; set readOnly: false on it"
    if not any(_agree(files) for _ in range(_LOOKS)):
        return "the mounted /proc/sys/net is of another network namespace than this process; set hostNetwork: true"
    return None


def _agree(files: SysctlFiles) -> bool:
    """Whether the files and the kernel count the same table, but for flows that come and go."""
    shown, (counted, _) = files.read(_COUNT), table.count()
    return shown is not None and abs(shown - counted) <= 100 + counted // 10
