"""transformers, without its chatter and with its faults as errors of ours."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autopeft.errors import ModelError

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate", re.IGNORECASE)


@contextmanager
def explained(model: str | Path) -> Iterator[None]:
    """Turn whatever transformers says about a model into a `ModelError`.

    Want of memory is left as it is: it says nothing about the model's files.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            raise
        first = str(error).strip().splitlines() or [type(error).__name__]
        absent = " There is no such folder; check the name and the connection, or give a folder."
        here = "" if Path(model).exists() else absent
        raise ModelError(f"cannot load model {str(model)!r}: {first[0]}{here}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence load reports, retries, progress bars and warnings for a while."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging as hf

    level, bars, hub_level = hf.get_verbosity(), hf.is_progress_bar_enabled(), hub.get_verbosity()
    hf.set_verbosity(logging.CRITICAL)
    hub.set_verbosity(logging.CRITICAL)
    hf.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hf.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if bars:
            hf.enable_progress_bar()
