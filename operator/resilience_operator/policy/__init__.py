"""The ResiliencePolicy: decoding, inheritance, validation. Knows the cluster not."""
