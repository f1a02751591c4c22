"""Benchmarks: cells of tasks, backbones, candidates and seeds, trained once and kept."""
