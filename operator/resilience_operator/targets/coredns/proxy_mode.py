"""Of kube-proxy's and Cilium's ConfigMaps the settings that rule node-local-cache reads. Used by cluster/keep.

kube-proxy keeps a whole configuration file in one key, of which the mode alone is kept.
"""

from collections.abc import Mapping

import yaml

from resilience_operator.targets.coredns.cluster_dns import (
    CILIUM_CONFIG,
    DNS_NAMESPACE,
    MODE,
    PROXY_CONFIGS,
    REDIRECTS,
    REPLACEMENT,
)


def kept(namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
    """The settings of those ConfigMaps; empty for any other, and where nothing can be read."""
    if namespace != DNS_NAMESPACE:
        return {}
    if name == CILIUM_CONFIG:
        return {key: data[key] for key in (REPLACEMENT, REDIRECTS) if key in data}
    return _mode(data.get(PROXY_CONFIGS.get(name, ""), ""))


def _mode(text: str) -> dict[str, str]:
    """The mode of a KubeProxyConfiguration, "" where it says none."""
    try:
        found = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        return {}
    if not isinstance(found, dict):
        return {}
    mode = found.get("mode") or ""
    return {MODE: mode} if isinstance(mode, str) else {}
