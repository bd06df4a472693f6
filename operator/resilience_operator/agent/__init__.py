"""The node agent: sysctls, pressure and stale entries of one node's conntrack; the standard library and core/ alone."""
