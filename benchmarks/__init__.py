"""Benchmarks: run by hand on a quiet machine, results kept in ``benchmarks/results/``."""
