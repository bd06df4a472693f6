"""Target conntrack: the connection tracking of every selected node, kept by its agent (incident conntrack-full)."""
