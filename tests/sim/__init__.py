"""A small cluster in memory, pure and with a clock of its own, against which the real planning runs.

`leaves` knows the published leaves as the API server sees them, `cluster` the server and who owns what,
`controller` the Deployment controller, `operator` a shell around evaluation and planning that may crash at any write.
"""
