module resilience.dev/lab/traffic

go 1.26.0
