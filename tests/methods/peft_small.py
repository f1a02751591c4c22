"""Knobs that fit models of width 32, for the tuners of peft whose defaults need wider ones."""

from __future__ import annotations

from collections.abc import Mapping

from autopeft.records import Scalar

SMALL: Mapping[str, Mapping[str, Scalar]] = {
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 100},
    "glora": {"config_D_E": "none"},  # a factor of the biases, which are zero in a fresh model
    "miss": {"r": 8},
    "psoft": {"r": 8},
    "randlora": {"randlora_alpha": 64},
    "road": {"group_size": 8},
    "shira": {"r": 4},
    "vblora": {"vector_length": 16, "num_vectors": 16},
    "waveft": {"n_frequency": 100},
}
