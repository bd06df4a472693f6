"""Benchmarks: ratios against a bare client in the same run, printed with their bars; `make bench`."""
