"""Target deployments: the rules of section `deployments`."""
