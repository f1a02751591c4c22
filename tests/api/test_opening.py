"""What settings mean for the data, and workers: one per GPU that torch can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.api import opening
from autopeft.api.opening import environments
from autopeft.config import SearchConfig

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has two GPUs, as a container that was given two of eight, and a torch that can use them."""
    for name in ("nvidia3", "nvidia5", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(opening, "DEVICES", tmp_path)
    monkeypatch.setattr(opening, "_torch_has_cuda", lambda: True)
    monkeypatch.delenv(VISIBLE, raising=False)
    return tmp_path


def seen(workers: int | None = None) -> list[str | None]:
    return [environment.get(VISIBLE) for environment in environments(workers)]


def test_each_gpu_has_a_worker_and_is_called_by_its_place_among_them(machine: Path) -> None:
    assert seen() == ["0", "1"]
    assert seen(3) == ["0", "1", "0"]


def test_what_the_user_lets_it_see_is_what_it_uses(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-1a, GPU-2b")
    assert seen() == ["GPU-1a", "GPU-2b"]
    monkeypatch.setenv(VISIBLE, "-1")
    assert seen() == [None]


def test_without_a_gpu_that_torch_can_use_there_is_one_worker(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_torch_has_cuda", lambda: False)
    assert seen() == [None]


def test_whether_torch_was_built_for_cuda_is_known_without_loading_it() -> None:
    import torch

    assert opening._torch_has_cuda() == (torch.version.cuda is not None)


def test_a_demo_has_its_own_space_unless_one_is_named() -> None:
    demo = opening.settle("demo", SearchConfig.build(model="here"))
    assert demo.space == "quick"
    assert opening.settle("demo", SearchConfig.build(model="here", space="default")).space == (
        "default"
    )
    assert opening.settle("rows.csv", SearchConfig.build(model="here")).space == "default"
