"""Stand-ins: programs that play, in tests, a neighbour that cannot be had where the tests run.

Each is written to the letter from what the neighbour documents and from what was measured on it, calls itself a
stand-in wherever it is used, and has a test of its own against those facts. Where the real program can be built,
the tests run the real one and there is no stand-in.

`cpa`: the cluster-proportional-autoscaler. It decides how many CoreDNS replicas there are, and no proxy of Go modules
serves its module.
`eks`: the add-ons of the EKS API, which moto does not have.
"""
