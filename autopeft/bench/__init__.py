"""Benchmarks: cells of tasks, backbones, candidates and seeds, trained once and kept."""

from pathlib import Path

RESULTS = Path("benchmarks/results/cells")
"""Where cells are kept unless another folder is named."""
