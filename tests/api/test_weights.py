"""Weights in the run folder: whole or damaged, kept or left over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from autopeft.api.weights import whole


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    save_file({"w": np.ones((4, 4), np.float32)}, str(tmp_path / "adapter_model.safetensors"))
    (tmp_path / "adapter_config.json").write_text("{}")
    np.save(tmp_path / "selection.npy", np.zeros((3, 2)))
    return tmp_path


def test_complete_weights_are_whole(artifact: Path) -> None:
    assert whole(artifact)
    (artifact / "adapter_config.json").rename(artifact / "config.json")
    assert whole(artifact)


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "adapter_config.json", "selection.npy"]
)
@pytest.mark.parametrize("left", [None, 0, 1, -8])
def test_missing_empty_and_truncated_files_are_damage(
    artifact: Path, name: str, left: int | None
) -> None:
    file = artifact / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    assert not whole(artifact)


def test_missing_folder_is_damage(tmp_path: Path) -> None:
    assert not whole(tmp_path / "nothing")


def test_pickled_outputs_are_damage(artifact: Path) -> None:
    np.save(artifact / "selection.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert not whole(artifact)
