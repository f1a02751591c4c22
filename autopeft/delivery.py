"""The delivered folder: written, reloaded in a fresh process, scored again, and loaded by users.

`best/` holds the adapter in peft's own format (a plain transformers folder after full
fine-tuning), the tokenizer, the backbone's configuration with the label names, `autopeft.json`
with what a prediction needs, and the model card. `TunedModel` loads it with plain transformers and
peft, the way a user would, so a check that passes here is a check of what the user gets.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.errors import AutoPeftError, DeliveryError, ExportError, ModelError
from autopeft.methods import METHODS
from autopeft.store.write import disk_errors
from autopeft.tasks import TASKS
from autopeft.tuner.register import PEFT_TYPE

if TYPE_CHECKING:
    import datasets
    import torch

    from autopeft.supervisor import Channel

ABOUT = "autopeft.json"
TOLERANCE = 1e-3
"""Largest accepted difference between a logit as measured and as reloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a prediction needs to know besides the weights.

    Args:
        model: folder or hub name of the backbone.
        task: name of the task.
        labels: class names in the order of the outputs; empty for numbers.
        text: column of the first text.
        text_pair: column of the second text, if any.
        max_length: longest input in tokens.
        method: name of the method.
    """

    model: str
    task: str
    labels: tuple[str, ...]
    text: str
    text_pair: str | None
    max_length: int
    method: str


class TunedModel:
    """A delivered model, ready to predict.

    Attributes:
        about: what it was made for.
        model: the peft model (a transformers model after full fine-tuning), in eval mode, on the
            GPU where there is one.
        tokenizer: its tokenizer.
    """

    def __init__(self, folder: Path, *, model: str | None = None) -> None:
        """Load a delivered folder, or the run folder around it.

        Args:
            folder: as printed at the end of a search.
            model: where the backbone is now, if it moved.

        Raises:
            ModelError: the folder or the backbone is not there.
        """
        from autopeft.train.device import default_device

        folder, self.about = about_of(folder)
        found, self.tokenizer = _load(folder, self.about, model or self.about.model)
        self.model: torch.nn.Module = found.to(default_device())

    def outputs(self, rows: datasets.Dataset) -> np.ndarray:
        """Return the logits (N, C) for rows with the canonical columns text and text_pair."""
        from autopeft.tasks.encode import encode
        from autopeft.train.evaluate import outputs
        from autopeft.train.padding import Padding

        encoded = encode(rows, self.tokenizer, max_length=self.about.max_length)
        device = next(self.model.parameters()).device
        return outputs(
            self.model, encoded, padding=Padding.of(self.tokenizer, self.model), device=device
        )

    def merged(self) -> torch.nn.Module:
        """Return a plain model with what was trained merged into it; this one is of no use then.

        Raises:
            ExportError: the method cannot be merged.
        """
        from autopeft.methods.artifact import merge_in_place

        if not hasattr(self.model, "merge_and_unload"):
            return self.model
        if not METHODS.get(self.about.method).mergeable:
            raise ExportError(
                f"{self.about.method} cannot be merged into the backbone, so there is no single "
                "model to write; `autopeft methods --format json` tells which methods are mergeable"
            )
        return merge_in_place(self.model)

    def predict(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None
    ) -> list[str] | list[float]:
        """Return a label name, or a number, per text.

        Raises:
            ValueError: the task needs pairs and got none, or the other way round; or what is given
                is no list of texts.
        """
        values = TASKS.get(self.about.task).predictions(self._outputs_of(texts, text_pairs))
        if not self.about.labels:
            return [float(value) for value in values]
        return [self.about.labels[int(value)] for value in values]

    def predict_proba(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return the probabilities (N, C) of the classes in the order of ``about.labels``.

        Raises:
            ValueError: the task has no classes; otherwise as of `predict`.
        """
        if not self.about.labels:
            raise ValueError(f"{self.about.task} has no classes, so no probabilities")
        return probabilities(self._outputs_of(texts, text_pairs))

    def _outputs_of(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> np.ndarray:
        from datasets import Dataset

        if (text_pairs is None) != (self.about.text_pair is None):
            needs = "pairs of texts" if self.about.text_pair else "one text per row"
            raise ValueError(f"this model takes {needs}")
        columns: dict[str, list[str]] = {"text": _as_texts(texts)}
        if text_pairs is not None:
            columns["text_pair"] = _as_texts(text_pairs)
        if not columns["text"]:
            return np.zeros((0, max(1, len(self.about.labels))), dtype=np.float32)
        return self.outputs(Dataset.from_dict(columns))


def _as_texts(given: Sequence[str]) -> list[str]:
    needed = "what is needed is a list of texts"
    if isinstance(given, (str, bytes, Mapping)) or hasattr(given, "columns"):
        raise ValueError(f"{type(given).__name__} as texts; {needed}")
    texts = list(given)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {place} is {text!r}; {needed}")
    return texts


def about_of(folder: Path) -> tuple[Path, About]:
    """Return the delivered folder and what it says of itself.

    Args:
        folder: a delivered folder, or the run folder around it.

    Raises:
        ModelError: there is no tuned model, or what it says of itself is damaged.
    """
    best = folder if (folder / ABOUT).is_file() else folder / "best"
    file = best / ABOUT
    if not file.is_file():
        raise ModelError(f"{folder} holds no tuned model; expected {file}")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return best, About(**{**values, "labels": tuple(values["labels"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (N, C)."""
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    result: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def write(artifact: Path, best: Path, about: About) -> None:
    """Make the delivered folder from a trained artifact; an earlier one is replaced whole.

    Raises:
        DeliveryError: the artifact is gone.
    """
    with written(artifact, best, about):
        pass


@contextlib.contextmanager
def written(artifact: Path, best: Path, about: About) -> Iterator[Path]:
    """Yield a delivered folder that takes the place of `best` if what is done with it succeeds.

    Raises:
        DeliveryError: the artifact is gone.
        RunFolderError: the disk refuses it.
    """
    from autopeft.backbone.load import read_config
    from autopeft.backbone.token import load_tokenizer

    if not artifact.is_dir():
        raise DeliveryError(f"the weights to deliver are gone: {artifact}")
    fresh = best.with_name(best.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = TASKS.get(about.task).model_options(about.labels)
    config = read_config(about.model, options)
    tokenizer, _ = load_tokenizer(about.model, config)  # agree on the token to pad with
    config.dtype = "float32"  # as it was scored, whatever the checkpoint is kept in
    try:
        with disk_errors(fresh):
            shutil.copytree(artifact, fresh, ignore=shutil.ignore_patterns("*.npy"))
            config.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
            (fresh / ABOUT).write_text(json.dumps(asdict(about), indent=2), encoding="utf-8")
            # peft's empty card; ours follows the scores
            (fresh / "README.md").unlink(missing_ok=True)
        yield fresh
        shutil.rmtree(best, ignore_errors=True)
        with disk_errors(best):
            fresh.rename(best)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_code(best: Path, about: About) -> str:
    """Return Python that loads the delivered model: transformers, peft, and us where needed."""
    auto_class = TASKS.get(about.task).auto_class
    head = f"from transformers import AutoConfig, AutoTokenizer, {auto_class}\n"
    folder, backbone = json.dumps(str(best)), json.dumps(about.model)
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({folder})"
    if not (best / "adapter_config.json").is_file():
        return f"{head}\nmodel = {auto_class}.from_pretrained({folder})\n{tokenizer}"
    kind = json.loads((best / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    ours = "import autopeft  # makes this adapter known to peft\n" if kind == PEFT_TYPE else ""
    return (
        f"{ours}{head}from peft import PeftModel\n\n"
        f"config = AutoConfig.from_pretrained({folder})\n"
        f"model = {auto_class}.from_pretrained(\n    {backbone}, config=config, "
        f"ignore_mismatched_sizes=True\n)\n"
        f"model = PeftModel.from_pretrained(model, {folder})\n{tokenizer}"
    )


def verify(channel: Channel) -> None:
    """Serve the checks of a delivered folder in a fresh process; see `_check` and `_test`."""
    while True:
        order = channel.receive()
        try:
            reply = {"check": _check, "test": _test, "merge": _merge}[order["op"]](order)
        except AutoPeftError as error:
            reply = {"error": str(error)}
        channel.send(reply)


def _check(order: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the delivered model's outputs on the selection split with the recorded ones."""
    from datasets import load_from_disk

    tuned = TunedModel(Path(order["best"]))
    found = tuned.outputs(load_from_disk(order["selection"]))
    expected = np.load(order["expected"], allow_pickle=False)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):  # nor NaN
        raise DeliveryError(
            f"the reloaded model's outputs differ from the measured ones by {difference:.2g}"
        )
    return {"difference": difference}


def _test(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return test scores and outputs of the delivered model, and scores of those beside it."""
    import torch
    from datasets import load_from_disk

    from autopeft.backbone.load import load_backbone
    from autopeft.methods.artifact import load_artifact
    from autopeft.tasks import metric
    from autopeft.tasks.encode import encode
    from autopeft.train.device import default_device
    from autopeft.train.evaluate import outputs
    from autopeft.train.padding import Padding

    tuned = TunedModel(Path(order["best"]))
    task = TASKS.get(tuned.about.task)
    rows = load_from_disk(order["test"])
    encoded = encode(rows, tuned.tokenizer, max_length=tuned.about.max_length)

    def scores(values: np.ndarray) -> dict[str, float]:
        predicted = task.predictions(values)
        return {name: metric.score(name, encoded.targets, predicted) for name in task.metrics}

    own = tuned.outputs(rows)
    np.save(order["outputs"], own, allow_pickle=False)
    result = {"chosen": scores(own)}
    backbone = load_backbone(
        tuned.about.model,
        auto_class=task.auto_class,
        model_options=task.model_options(tuned.about.labels),
        dtype=torch.float32,
    )
    backbone.model.to(default_device())
    for name, artifact in order["others"].items():
        model = load_artifact(backbone, Path(artifact))
        padding = Padding.of(tuned.tokenizer, model)
        device = next(model.parameters()).device
        result[name] = scores(outputs(model, encoded, padding=padding, device=device))
    return {"scores": result}


def _merge(order: Mapping[str, Any]) -> dict[str, Any]:
    """Write the merged model and compare its outputs with the unmerged ones.

    Nothing is left of a method that cannot be merged, or of what gives other outputs; the reply
    says so.
    """
    import transformers
    from datasets import load_from_disk

    best, merged = Path(order["best"]), Path(order["merged"])
    tuned = TunedModel(best)
    device = next(tuned.model.parameters()).device
    rows = load_from_disk(order["selection"])
    expected = tuned.outputs(rows)
    shutil.rmtree(merged, ignore_errors=True)
    try:
        whole: Any = tuned.merged()
    except ExportError as error:
        return {"left_out": str(error)}
    whole.save_pretrained(merged)
    tuned.tokenizer.save_pretrained(merged)
    auto = getattr(transformers, TASKS.get(tuned.about.task).auto_class)
    tuned.model = auto.from_pretrained(str(merged)).eval().to(device)
    difference = float(np.abs(tuned.outputs(rows) - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        shutil.rmtree(merged)
        return {"left_out": f"its outputs differ by {difference:.2g} from the unmerged model's"}
    return {"difference": difference}


def _load(folder: Path, about: About, model: str) -> tuple[torch.nn.Module, Any]:
    import transformers

    from autopeft.backbone.load import find_folder
    from autopeft.backbone.quiet import explained, quiet

    auto = getattr(transformers, TASKS.get(about.task).auto_class)
    plainly = {"trust_remote_code": False}
    with quiet(), explained(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **plainly)
        if not (folder / "adapter_config.json").is_file():
            return auto.from_pretrained(str(folder), **plainly).eval(), tokenizer
        config = transformers.AutoConfig.from_pretrained(str(folder), **plainly)
    with quiet(), explained(model):
        from peft import PeftModel

        try:
            find_folder(model)
        except ModelError as error:
            raise ModelError(
                f"the backbone that {folder} adapts is not there: {error}; "
                "say with --model where it is now"
            ) from error
        plain = auto.from_pretrained(
            str(model), config=config, ignore_mismatched_sizes=True, **plainly
        )
        return PeftModel.from_pretrained(plain, str(folder)).eval(), tokenizer
