"""Benchmarks: scripts that measure time and memory, each run as `python -m tests.bench.NAME`."""
