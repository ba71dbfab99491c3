"""Benchmarks: each writes its result, with commit and machine, into `results/`."""
