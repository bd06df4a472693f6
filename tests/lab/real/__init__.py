"""Real nodes for the lab: kubelet, containerd, runc and kube-proxy, in namespaces of the lab's own making."""
