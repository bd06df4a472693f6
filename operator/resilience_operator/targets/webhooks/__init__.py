"""Target webhooks: which admission webhooks can stop the API server, its nodes or leases. Section `webhooks`."""
