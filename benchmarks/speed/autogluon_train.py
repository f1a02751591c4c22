"""One training by AutoGluon MultiModal, in an environment of its own: it wants other versions.

    PYTHON benchmarks/speed/autogluon_train.py ORDER.json

ORDER has ``train`` and ``selection`` (JSON lines with text and label), ``model``, ``epochs``,
``batch_size``, ``rate``, ``seed`` and ``out``. Prints how long the training took, with the
evaluations and checkpoints that it makes on its own account, and how many parameters it trained.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import torch

# Where the registry's torchvision is built for another torch it lacks these, which no text needs.
_VISION = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _VISION.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from autogluon.multimodal import MultiModalPredictor  # noqa: E402


def main(file: str) -> None:
    """Train, and print the result as JSON on the last line."""
    order = json.loads(Path(file).read_text(encoding="utf-8"))
    train, selection = (pd.read_json(order[s], lines=True) for s in ("train", "selection"))
    predictor = MultiModalPredictor(
        label="label", eval_metric="accuracy", path=order["out"], verbosity=0
    )
    began = time.monotonic()
    predictor.fit(
        train,
        tuning_data=selection,
        standalone=False,
        seed=order["seed"],
        hyperparameters={
            "model.names": ["hf_text"],
            "model.hf_text.checkpoint_name": order["model"],
            "optim.peft": "lora",
            "optim.lr": order["rate"],
            "optim.max_epochs": order["epochs"],
            "env.batch_size": order["batch_size"],
            "env.per_gpu_batch_size": order["batch_size"],
            "env.num_gpus": int(torch.cuda.is_available()),
            "env.num_workers": 0,
            "env.precision": 32,
        },
    )
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "trained": int(predictor.trainable_parameters)}))


if __name__ == "__main__":
    main(sys.argv[1])
