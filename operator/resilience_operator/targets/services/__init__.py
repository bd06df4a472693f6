"""Target services: Services that lead nowhere (incident empty-service)."""
