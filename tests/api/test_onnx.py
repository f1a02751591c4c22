"""What is written as ONNX gives the model's outputs, for batches of any size and length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autopeft.api.onnx import TOLERANCE, export_onnx
from autopeft.delivery import TunedModel
from autopeft.errors import ExportError
from tests.delivered import deliver

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter

TEXTS = ["w1 w2", "w3", "w4 w5 w6 w7 w8 w9 w10 w11", "w2 w2 w2", "w1"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_another_program_gives_the_same_outputs(
    architecture: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    _, _, best, _ = deliver(tmp_path, tiny_folder(architecture))
    file = tmp_path / "model.onnx"
    assert export_onnx(best.parent, file) <= TOLERANCE
    tuned = TunedModel(best)
    session = onnxruntime.InferenceSession(str(file))
    names = [one.name for one in session.get_inputs()]
    inputs = tuned.tokenizer(TEXTS, padding=True, return_tensors="np")
    (found,) = session.run(None, {name: inputs[name].astype(np.int64) for name in names})
    labels = [tuned.about.labels[number] for number in found.argmax(axis=1)]
    assert labels == tuned.predict(TEXTS)


def test_what_cannot_be_merged_is_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    _, _, best, _ = deliver(tmp_path, tiny_folder("bert"), "prefix")
    with pytest.raises(ExportError, match="prefix cannot be merged"):
        export_onnx(best, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
