"""What is known of the cluster, and which views an event touches; no I/O. Filled by adapters, read by rules."""
