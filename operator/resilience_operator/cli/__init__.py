"""`kubectl-resilience` (= `kubectl resilience`): the operator's own rules on files or a cluster, for people and CI."""
