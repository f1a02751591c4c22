"""Writing a delivered model as ONNX, for whoever predicts without Python."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.delivery import TunedModel
from autopeft.errors import ExportError

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4
"""Largest accepted difference of an output, relative to the largest output."""

SAMPLES = ("a", "one two three", "a somewhat longer text, with more words in it than the others")
_INSTALL = 'it needs further packages, the extra "onnx": pip install -e ".[onnx]" in a checkout'
_NUMBERS = ("input_ids", "token_type_ids", "attention_mask")


def export_onnx(run: Path, file: Path, *, model: str | None = None) -> float:
    """Write the delivered model, merged, as one ONNX file that takes batches of any size.

    Its inputs are the tokenizer's, (B, L) in int64; its output is ``logits`` (B, C). What was
    written is run beside the model it was made from, on texts of several lengths.

    Args:
        run: a run folder or a delivered one.
        file: what to write.
        model: where the backbone is now, if it moved.

    Returns:
        The largest difference of the outputs.

    Raises:
        ModelError: there is no tuned model.
        ExportError: packages or the file's folder are missing, the method cannot be merged, the
            model cannot be written, or it gives other outputs.
    """
    if not file.absolute().parent.is_dir():
        raise ExportError(f"cannot write {file}: there is no folder {file.parent}")
    tuned = TunedModel(run, model=model)
    tuned.model.cpu()
    whole = tuned.merged()
    batches = [_inputs(tuned, texts) for texts in (SAMPLES, SAMPLES[:1], SAMPLES[1:])]
    _write(whole, batches[0], file)
    difference = _difference(whole, batches, file)
    if not difference <= TOLERANCE:  # nor NaN
        file.unlink()
        raise ExportError(f"the outputs of what was written differ by {difference:.2g}")
    return difference


def _inputs(tuned: TunedModel, texts: tuple[str, ...]) -> dict[str, torch.Tensor]:
    pairs = texts if tuned.about.text_pair is not None else None
    found = tuned.tokenizer(list(texts), pairs, padding=True, return_tensors="pt")
    return {name: found[name] for name in _NUMBERS if name in found}


def _write(whole: torch.nn.Module, inputs: dict[str, torch.Tensor], file: Path) -> None:
    import torch

    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(f"{error}: {_INSTALL}") from error

    class Logits(torch.nn.Module):
        """The model with its inputs in order and its logits alone."""

        def __init__(self) -> None:
            super().__init__()
            self.whole = whole

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.whole(**dict(zip(inputs, values, strict=True))).logits
            return found

    sizes: dict[int, Any] = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Logits().eval(),
                tuple(inputs.values()),
                str(file),
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=(tuple(sizes for _ in inputs),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        said = str(error).strip().splitlines()[0]
        raise ExportError(f"torch cannot write this model as ONNX: {said}") from error


def _difference(
    whole: torch.nn.Module, batches: list[dict[str, torch.Tensor]], file: Path
) -> float:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    worst = []
    for inputs in batches:
        with torch.no_grad():
            expected = whole(**inputs).logits.float().numpy()
        (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        scale = max(1.0, float(np.abs(expected).max()))
        worst.append(float(np.abs(found - expected).max()) / scale)
    return float(np.max(worst))
