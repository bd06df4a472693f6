"""The operator as a whole, as a process of its own, on the lab; the cluster is read back through pykube-ng."""
