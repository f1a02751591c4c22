"""Where models run: on the GPU, if this process sees one."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """Return the first visible GPU, or the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
