"""How want of memory shows, on every device, and of disk; and how memory is given back."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError

_DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in said or "out of memory" in said
    )


def disk_refusal(error: BaseException) -> OSError | None:
    """Return what says that nothing more can be written, None if an error is another.

    safetensors names the system's error in its own, numpy only counts what was written.
    """
    if isinstance(error, OSError):
        if error.errno is None and " requested and " in str(error):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return error if error.errno in _DISK_REFUSES else None
    if isinstance(error, SafetensorError):
        for number in _DISK_REFUSES:
            if f"(os error {number})" in str(error):
                return OSError(number, os.strerror(number))
    return None


def release(device: torch.device) -> None:
    """Give what is no longer used back to the device and to the system.

    A trainer and its model refer to each other, and the C library keeps what it once got; without
    this, a process grows with every training that is larger than those before it.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """Return glibc's ``malloc_trim``, None where the C library has none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
