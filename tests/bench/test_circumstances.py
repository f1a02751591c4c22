"""Circumstances: a machine with units for bfloat16 is another than one without."""

from __future__ import annotations

import json

import pytest
import torch

from autopeft.bench.circumstances import circumstances, hardware


def test_what_is_kept_is_plain_json() -> None:
    found = circumstances()
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("can", "told"),
    [
        ({"avx2": True}, "AVX512"),
        ({"avx512_bf16": True, "amx_bf16": False}, "AVX512 BF16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "AVX512 BF16 AMX"),
    ],
)
def test_units_for_bfloat16_are_told(
    monkeypatch: pytest.MonkeyPatch, can: dict[str, bool], told: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert hardware()["instructions"] == told
