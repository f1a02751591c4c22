"""Memory that is given back."""

from __future__ import annotations

import errno
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from autopeft.train.shortage import disk_refusal, release

FULL = Path("/dev/full")


class _Pair:
    other: _Pair


def test_what_refers_to_itself_is_given_back() -> None:
    one, two = _Pair(), _Pair()
    one.other, two.other = two, one
    seen = weakref.ref(one)
    del one, two
    release(torch.device("cpu"))
    assert seen() is None


def test_a_disk_that_refuses_is_known_by_what_safetensors_says(tmp_path: Path) -> None:
    """A folder that is not there stands for a full disk: the system's error is told in one way."""
    with pytest.raises(SafetensorError, match=rf"os error {errno.ENOENT}\)") as caught:
        save_file({"w": torch.zeros(3)}, tmp_path / "nowhere" / "w.safetensors")
    assert disk_refusal(caught.value) is None
    said = str(caught.value).replace(f"os error {errno.ENOENT})", f"os error {errno.ENOSPC})")
    refusal = disk_refusal(SafetensorError(said))
    assert refusal is not None
    assert (refusal.errno, refusal.strerror) == (errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_known_by_what_numpy_says() -> None:
    with FULL.open("wb") as file, pytest.raises(OSError, match="requested") as caught:
        np.zeros(1_000_000).tofile(file)
    refusal = disk_refusal(caught.value)
    assert refusal is not None and refusal.errno == errno.ENOSPC


def test_other_errors_are_no_refusals_of_the_disk() -> None:
    assert disk_refusal(SafetensorError("Error while deserializing header")) is None
    assert disk_refusal(FileNotFoundError(errno.ENOENT, "No such file")) is None
    assert disk_refusal(ValueError("(os error 28)")) is None
    refused = PermissionError(errno.EACCES, "Permission denied")
    assert disk_refusal(refused) is refused
