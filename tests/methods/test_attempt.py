"""ATTEMPT with source prompts: the contract, the count, the artifact and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.errors import ConfigError
from autopeft.methods import METHODS
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.records import BackboneShape, ModuleShape
from autopeft.testing.method_suite import CHECKS, MethodContract

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
QUICK = ("bert", "gpt2")
SLOW = ("roberta", "distilbert", "mpnet", "deberta-v2", "modernbert", "llama")
TOKENS, COUNT = 5, 3

architectures = [
    *QUICK,
    *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
]


def sources(folder: Path, *, tokens: int = TOKENS, width: int = 32, count: int = COUNT) -> Path:
    """Write random source prompts."""
    draw = torch.Generator().manual_seed(0)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        prompt = torch.randn(tokens, width, generator=draw) * 0.2
        save_file({"prompt": prompt}, folder / f"{number}.safetensors")
    return folder


@pytest.fixture(scope="module")
def made(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], MethodContract]:
    folder = sources(tmp_path_factory.mktemp("sources"))
    contracts: dict[str, MethodContract] = {}

    def contract(architecture: str) -> MethodContract:
        if architecture not in contracts:
            backbone = load_backbone(tiny_folder(architecture), **HEAD)
            knobs = {"tokens": TOKENS, "sources": str(folder)}
            contracts[architecture] = MethodContract(backbone, "attempt", knobs=knobs)
        return contracts[architecture]

    return contract


@pytest.mark.parametrize("architecture", architectures)
@pytest.mark.parametrize("check", CHECKS)
def test_contract_with_sources(
    made: Callable[[str], MethodContract], tmp_path: Path, architecture: str, check: str
) -> None:
    getattr(made(architecture), check)(tmp_path)


def test_the_artifact_holds_the_sources_and_does_not_name_their_folder(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(tiny_folder("bert"), **HEAD)
    folder = sources(tmp_path / "sources")
    knobs = {"tokens": TOKENS, "sources": str(folder)}
    contract = MethodContract(backbone, "attempt", knobs=knobs)
    before = contract.logits()
    save_artifact(contract.model, tmp_path / "artifact", contract.candidate)
    kept = [load_file(folder / f"{number}.safetensors")["prompt"] for number in range(COUNT)]
    shutil.rmtree(folder)
    state = load_file(tmp_path / "artifact" / "adapter_model.safetensors")
    (stored,) = [value for name, value in state.items() if name.endswith(".sources")]
    assert torch.equal(stored, torch.stack(kept))
    config = (tmp_path / "artifact" / "adapter_config.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in json.dumps(json.loads(config)["parts"])
    after = contract.logits(load_artifact(backbone, tmp_path / "artifact"))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_the_count_is_the_papers(tmp_path: Path) -> None:
    """The paper's prompt has 100 tokens; of one of 50, as long as ours may be, half is missing."""
    shape = shape_of(width=768)
    folder = sources(tmp_path / "sources", tokens=50, width=768, count=1)
    # prompt 50 · 768 = 38,400; down and up 2 · 100 · 768 = 153,600; norm 2 · 768 = 1,536
    knobs = {"tokens": 50, "sources": str(folder)}
    assert METHODS.get("attempt").count(shape, None, knobs) == 193_536
    assert 193_536 + 50 * 768 == 231_936  # 232 K parameters a task


@pytest.mark.parametrize(
    ("making", "said"),
    [
        ({"count": 0}, "holds no source prompts; name the folder of one model"),
        ({"width": 16}, r"0\.safetensors in .* is of another model: its width is 16, .* 32"),
        ({"tokens": 9}, r"0\.safetensors in .* has 9 tokens; .* tokens: 9, not 5"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    tmp_path: Path, making: dict[str, int], said: str
) -> None:
    folder = sources(tmp_path / "sources", **making)
    with pytest.raises(ConfigError, match=said):
        METHODS.get("attempt").count(shape_of(), None, {"tokens": TOKENS, "sources": str(folder)})


def test_a_file_without_a_prompt_is_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"a\.safetensors holds no source prompt"):
        METHODS.get("attempt").count(shape_of(), None, {"tokens": TOKENS, "sources": str(tmp_path)})


def test_a_backbone_without_one_text_is_excluded() -> None:
    info = METHODS.get("attempt")
    assert info.excluded(shape_of(), 24) is None
    reason = info.excluded(dataclasses.replace(shape_of(), embedding=None), 24)
    assert reason is not None and "no place for a prompt" in reason
    both = dataclasses.replace(shape_of(), kind="encoder-decoder")
    assert info.excluded(both, 24) == reason
    assert "128 positions" in (info.excluded(shape_of(), 79) or "")
    assert info.excluded(shape_of(), 78) is None


def shape_of(width: int = 32) -> BackboneShape:
    """Return the shape of an encoder of no layers, of which only the embedding matters here."""
    embedding = ModuleShape(
        name="bert.embeddings.word_embeddings", site="embed.prompt", layer=-1,
        fan_in=100, fan_out=width, bias=0,
    )  # fmt: skip
    return BackboneShape(
        architecture="bert", kind="encoder", layers=0, hidden=width, heads=4, kv_width=width,
        vocabulary=100, positions=128, modules=(), total_params=0, biases=(), head_params=0,
        embedding=embedding,
    )  # fmt: skip


def test_the_shape_knows_the_embedding(tiny_folder: Callable[[str], Path]) -> None:
    backbone: Backbone = load_backbone(tiny_folder("bert"), **HEAD)
    assert backbone.shape.embedding == shape_of().embedding
    assert BackboneShape.from_json(json.loads(json.dumps(backbone.shape.to_json()))) == (
        backbone.shape
    )
