"""A pass of the model is one of its adapter, whoever calls it: peft with a task, without, or us."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from autopeft.backbone.outline import backbone_shape
from autopeft.methods import METHODS
from tests.tuner.common import (
    CLOSE,
    adapted,
    apart,
    config,
    inputs,
    loaded_from,
    logits,
    parts,
    randomised,
    tiny,
    wrapped,
)

METHODS_TO_PASS = ("unipelt", "tams", "attempt", "parallel_adapter")
quick = pytest.mark.parametrize("architecture", ["bert", "gpt2"])
to_pass = pytest.mark.parametrize("method", METHODS_TO_PASS)


def hooks(model: nn.Module) -> int:
    return len(model._forward_hooks) + len(model._forward_pre_hooks)


def short() -> dict[str, Tensor]:
    return inputs(rows=3, length=7)


@quick
@to_pass
def test_the_model_inside_may_be_called_itself(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    """Its masks are those of this pass, not of the one before."""
    model = tiny(tiny_folder(architecture))
    tuned = adapted(model, parts(model, method))
    expected = logits(tuned, short())
    logits(tuned)
    assert torch.equal(logits(tuned.get_base_model(), short()), expected)


@quick
@to_pass
def test_peft_without_a_task_sees_padding(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    """Without a task, peft calls the model inside its tuner."""
    folder = tiny_folder(architecture)
    expected = logits(adapted(tiny(folder), parts(tiny(folder), method)), short())
    model = tiny(folder)
    made = config(parts(model, method), model)
    made.task_type = None
    tuned = randomised(wrapped(model, made), 1)
    logits(tuned)
    assert torch.equal(logits(tuned, short()), expected)


@quick
@to_pass
def test_a_copy_has_passes_of_its_own(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    model = tiny(tiny_folder(architecture))
    tuned = adapted(model, parts(model, method))
    expected = logits(tuned)
    again = copy.deepcopy(tuned)
    logits(tuned, short())
    assert torch.equal(logits(again), expected)
    randomised(tuned, 7)
    assert torch.equal(logits(again), expected)
    assert not {id(m) for m in again.modules()} & {id(m) for m in tuned.modules()}


@to_pass
def test_a_whole_model_can_be_kept_in_a_file(
    tiny_folder: Callable[[str], Path], method: str
) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, method))
    file = io.BytesIO()
    torch.save(tuned, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(logits(again), logits(tuned))


def test_a_pass_that_fails_leaves_nothing_behind(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, "attempt"))
    expected = logits(tuned)
    for faulty in ({"position_ids": torch.zeros(4, 9)}, {"labels": torch.full((4,), 5)}):
        with pytest.raises((ValueError, IndexError)):
            tuned(**inputs(), **faulty)
        assert torch.equal(logits(tuned), expected)


@pytest.mark.parametrize("how", ["unload", "merge_and_unload"])
def test_a_model_without_its_adapter_has_no_hooks(
    tiny_folder: Callable[[str], Path], how: str
) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, "kadaptation"))
    assert hooks(model)
    assert not hooks(getattr(tuned, how)())


def test_a_decoder_with_labels_keeps_its_mask(tiny_folder: Callable[[str], Path]) -> None:
    """OPT's only side is called a decoder; tokens to write do not make it one over an encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_folder("opt")).eval()
    info = METHODS.get("unipelt")
    knobs = {name: knob.default for name, knob in info.knobs.items()}
    assert info.recipe is not None
    some = info.recipe(backbone_shape(model, ("lm_head",)), info.placement, knobs)
    made = config(some, model)
    made.modules_to_save, made.task_type = None, "CAUSAL_LM"
    tuned = randomised(wrapped(model, made), 1)
    batch = inputs()
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    assert apart(logits(tuned, {**batch, "labels": labels}), logits(tuned, batch)) <= CLOSE


@pytest.mark.slow
@quick
@pytest.mark.parametrize("method", ["unipelt", "mam", "attempt"])
def test_compiled_models_give_the_same(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    model = tiny(tiny_folder(architecture))
    tuned = adapted(model, parts(model, method))
    expected = logits(tuned)
    torch.compiler.reset()
    compiled: Any = torch.compile(tuned, backend="eager")
    assert apart(logits(compiled), expected) <= CLOSE
    assert apart(logits(compiled, short()), logits(tuned, short())) <= CLOSE


@pytest.mark.parametrize("method", [*METHODS_TO_PASS, "compacter", "dsee"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_without_extra_memory_gives_the_same(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str, dtype: torch.dtype
) -> None:
    folder = tiny_folder("bert")
    model = tiny(folder)
    made = config(parts(model, method), model)
    made.modules_to_save = made.task_type = None
    tuned = randomised(wrapped(model, made), 1)
    tuned.save_pretrained(tmp_path, save_embedding_layers=False)
    plain = loaded_from(tmp_path, tiny(folder).to(dtype))
    lean = loaded_from(tmp_path, tiny(folder).to(dtype), low_cpu_mem_usage=True)
    assert torch.equal(logits(lean), logits(plain))
