"""The delivered folder: written, loaded as a user would, checked, merged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from datasets import load_from_disk
from transformers import AutoModel

from autopeft import delivery
from autopeft.delivery import TunedModel, load_code, probabilities, verify, write
from autopeft.errors import DeliveryError, ModelError, RunFolderError
from tests.channel import replies_to
from tests.delivered import Delivered, deliver
from tests.own_code import bring_own_code
from tests.train.toy import table


def ask(**request: Any) -> dict[str, Any]:
    return replies_to(verify, request)[0]


@pytest.fixture(scope="module")
def delivered(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Delivered:
    return deliver(tmp_path_factory.mktemp("delivered"), tiny_folder("bert"))


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "deberta-v2"])
@pytest.mark.parametrize("method", ["lora", "full", "bitfit"])
def test_reloaded_model_gives_the_measured_outputs(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str, method: str
) -> None:
    if (architecture, method) == ("llama", "bitfit"):
        method = "head_only"  # a llama has no biases
    session, artifact, best, _ = deliver(tmp_path, tiny_folder(architecture), method)
    found = TunedModel(best).outputs(load_from_disk(str(tmp_path / "data" / "selection")))
    assert np.abs(found - np.load(artifact / "selection.npy")).max() < 1e-5
    assert session.scores(found, session.selection.targets)["accuracy"] > 0.4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_backbone_that_is_kept_in_low_precision_gives_the_measured_outputs(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    architecture: str,
    method: str,
    dtype: torch.dtype,
) -> None:
    low = shutil.copytree(tiny_folder(architecture), tmp_path / "low")
    AutoModel.from_pretrained(low, dtype=dtype).save_pretrained(low)
    _, artifact, best, _ = deliver(tmp_path, low, method)
    selection, expected = str(tmp_path / "data" / "selection"), str(artifact / "selection.npy")
    reply = ask(op="check", best=str(best), selection=selection, expected=expected)
    assert reply["difference"] < 1e-5


def test_numbers_are_delivered_in_the_users_units(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    _, artifact, best, _ = deliver(tmp_path, tiny_folder("bert"), numeric=True)
    tuned = TunedModel(best)
    predicted = tuned.predict(table(8)["text"])
    assert all(isinstance(value, float) and 2_000 < value < 8_000 for value in predicted)
    with pytest.raises(ValueError, match="no classes"):
        tuned.predict_proba(["good"])
    selection = str(tmp_path / "data" / "selection")
    expected = str(artifact / "selection.npy")
    assert "error" not in ask(op="check", best=str(best), selection=selection, expected=expected)


def test_folder_holds_all_that_a_prediction_needs_and_no_outputs(delivered: Delivered) -> None:
    best = delivered[2]
    names = {path.name for path in best.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json"} <= names
    assert {"autopeft.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not any(name.endswith((".npy", ".bin", ".pkl", ".pt")) for name in names)
    assert json.loads((best / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}


def test_run_folder_is_as_good_as_its_best(delivered: Delivered) -> None:
    best = delivered[2]
    assert TunedModel(best.parent).about == TunedModel(best).about == delivered[3]


def test_predictions_are_label_names_and_probabilities_sum_to_one(delivered: Delivered) -> None:
    tuned = TunedModel(delivered[2])
    texts = table(6)["text"]
    labels, chances = tuned.predict(texts), tuned.predict_proba(texts)
    assert chances.shape == (6, 2)
    assert np.allclose(chances.sum(1), 1.0)
    assert labels == [("bad", "good")[best] for best in chances.argmax(1)]
    assert tuned.predict([]) == []
    assert tuned.predict_proba([]).shape == (0, 2)


def test_pairs_for_a_model_of_single_texts_are_refused(delivered: Delivered) -> None:
    with pytest.raises(ValueError, match="takes one text per row"):
        TunedModel(delivered[2]).predict(["a"], ["b"])


def test_what_is_no_column_of_texts_is_refused(delivered: Delivered) -> None:
    tuned = TunedModel(delivered[2])
    for wrong in ("a fine film", {"text": ["a"]}, pandas.DataFrame({"text": ["a"]}), ["a", 3]):
        with pytest.raises(ValueError, match="a list of texts"):
            tuned.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="text 1 is None"):
        tuned.predict_proba(["a", None])  # type: ignore[list-item]
    series = pandas.Series(["a fine film", "dull"], index=[7, 9])
    assert tuned.predict(series) == tuned.predict(list(series))


def test_probabilities_do_not_overflow() -> None:
    found = probabilities(np.array([[1e4, 0.0], [-1e4, -1e4]], np.float32))
    assert np.allclose(found, [[1.0, 0.0], [0.5, 0.5]])


def test_check_accepts_what_was_measured(delivered: Delivered) -> None:
    _, artifact, best, _ = delivered
    selection = str(best.parent / "data" / "selection")
    expected = str(artifact / "selection.npy")
    reply = ask(op="check", best=str(best), selection=selection, expected=expected)
    assert reply["difference"] < 1e-5


def test_check_refuses_other_outputs(delivered: Delivered, tmp_path: Path) -> None:
    _, artifact, best, _ = delivered
    expected = tmp_path / "selection.npy"
    np.save(expected, np.load(artifact / "selection.npy") + 0.01)
    selection = str(best.parent / "data" / "selection")
    reply = ask(op="check", best=str(best), selection=selection, expected=str(expected))
    assert "differ from the measured ones by 0.01" in reply["error"]


def test_check_refuses_outputs_that_are_no_numbers(delivered: Delivered, tmp_path: Path) -> None:
    _, artifact, best, _ = delivered
    expected = tmp_path / "selection.npy"
    np.save(expected, np.load(artifact / "selection.npy") * np.nan)
    selection = str(best.parent / "data" / "selection")
    reply = ask(op="check", best=str(best), selection=selection, expected=str(expected))
    assert "differ" in reply["error"]


def test_merged_model_is_a_plain_one_with_the_same_outputs(
    delivered: Delivered, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    best = delivered[2]
    selection = str(best.parent / "data" / "selection")
    reply = ask(op="merge", best=str(best), merged=str(tmp_path / "m"), selection=selection)
    assert reply["difference"] < 1e-4
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m")
    assert not any("lora" in name for name, _ in plain.named_parameters())


@pytest.mark.parametrize("method", ["ia3", "vera", "loha", "ln_tuning"])
def test_what_has_a_head_of_several_layers_is_merged(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    best = deliver(tmp_path, tiny_folder("roberta"), method)[2]
    rows = load_from_disk(str(tmp_path / "data" / "selection"))
    measured = TunedModel(best).outputs(rows)
    tuned = TunedModel(best)
    tuned.model = tuned.merged()
    assert np.abs(tuned.outputs(rows) - measured).max() < 1e-4


def test_what_cannot_be_merged_is_left_out_with_the_reason(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    best = deliver(tmp_path, tiny_folder("bert"), "prefix")[2]
    (tmp_path / "m").mkdir()
    selection = str(best.parent / "data" / "selection")
    reply = ask(op="merge", best=str(best), merged=str(tmp_path / "m"), selection=selection)
    assert reply["left_out"].startswith("prefix cannot be merged")
    assert not (tmp_path / "m").exists()


def test_what_merging_changes_is_left_out_and_not_left_there(
    delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = iter([np.zeros((24, 2)), np.full((24, 2), 0.25)])
    monkeypatch.setattr(TunedModel, "outputs", lambda *_: next(outputs))
    best = delivered[2]
    selection = str(best.parent / "data" / "selection")
    reply = ask(op="merge", best=str(best), merged=str(tmp_path / "m"), selection=selection)
    assert "differ by 0.25" in reply["left_out"]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": []}'])
def test_a_damaged_folder_is_told_as_one(tmp_path: Path, text: str) -> None:
    (tmp_path / delivery.ABOUT).write_text(text)
    with pytest.raises(ModelError, match=r"autopeft\.json is damaged"):
        TunedModel(tmp_path)


def test_test_scores_are_those_of_the_saved_outputs(delivered: Delivered, tmp_path: Path) -> None:
    session, artifact, best, _ = delivered
    table(20, seed=9).save_to_disk(str(tmp_path / "test"))
    reply = ask(
        op="test",
        best=str(best),
        test=str(tmp_path / "test"),
        outputs=str(tmp_path / "test.npy"),
        others={"default": str(artifact)},
    )
    targets = np.array(table(20, seed=9)["label"])
    assert reply["scores"]["chosen"] == session.scores(np.load(tmp_path / "test.npy"), targets)
    assert reply["scores"]["default"] == reply["scores"]["chosen"]


def test_writing_again_replaces_the_folder_whole(delivered: Delivered, tmp_path: Path) -> None:
    _, artifact, _, about = delivered
    best = tmp_path / "best"
    write(artifact, best, about)
    (best / "stale").write_text("from before")
    (tmp_path / "best.new").mkdir()
    write(artifact, best, about)
    assert not (best / "stale").exists()
    assert not (tmp_path / "best.new").exists()
    assert TunedModel(best).about == about


def test_a_full_disk_is_said_and_what_was_delivered_stays(
    delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, artifact, _, about = delivered
    best = tmp_path / "best"
    write(artifact, best, about)
    full = [("adapter_model.safetensors", "there", "[Errno 28] No space left on device: 'there'")]

    def copytree(*_: object, **__: object) -> None:
        raise shutil.Error(full)

    monkeypatch.setattr(delivery.shutil, "copytree", copytree)
    with pytest.raises(RunFolderError, match=r"best.new: \[Errno 28\] No space left .* free some"):
        write(artifact, best, about)
    assert TunedModel(best).about == about
    assert not (tmp_path / "best.new").exists()


def test_artifact_that_is_gone_is_said(delivered: Delivered, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="the weights to deliver are gone"):
        write(tmp_path / "nothing", tmp_path / "best", delivered[3])


def test_code_that_comes_with_a_delivered_folder_is_never_run(
    delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # to: run the code of this folder?
    folder, marker = tmp_path / "best", tmp_path / "ran"
    shutil.copytree(delivered[2], folder)
    bring_own_code(folder, marker)
    with pytest.raises(ModelError, match="cannot load model"):
        TunedModel(folder)
    assert not marker.exists()


def test_backbone_that_moved_can_be_named(delivered: Delivered, tmp_path: Path) -> None:
    import shutil

    best, about = delivered[2], delivered[3]
    shutil.copytree(best, tmp_path / "best")
    values = json.loads((best / "autopeft.json").read_text())
    (tmp_path / "best" / "autopeft.json").write_text(json.dumps({**values, "model": "/gone"}))
    with pytest.raises(ModelError, match="/gone"):
        TunedModel(tmp_path / "best")
    moved = TunedModel(tmp_path / "best", model=about.model)
    assert moved.predict(["good"]) == TunedModel(best).predict(["good"])


PREDICT = """
import json, sys, torch
if sys.argv[2] == "plain":
    sys.modules["autopeft"] = None  # transformers and peft, nothing of ours
exec(sys.stdin.read())
model.eval()
batch = tokenizer(json.loads(sys.argv[1]), padding=True, return_tensors="pt")
with torch.no_grad():
    chosen = model(**batch).logits.argmax(1).tolist()
print(json.dumps([model.config.id2label[index] for index in chosen]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "needs"), [("lora", "plain"), ("full", "plain"), ("unipelt", "ours")]
)
def test_code_of_the_card_loads_the_model_in_a_fresh_process(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str, needs: str
) -> None:
    odd = tmp_path / 'a "quoted" folder'
    odd.mkdir()
    _, _, best, about = deliver(odd, tiny_folder("bert"), method)
    texts = table(12, seed=3)["text"]
    process = subprocess.run(
        [sys.executable, "-c", PREDICT, json.dumps(list(texts)), needs],
        input=load_code(best, about),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.splitlines()[-1]) == TunedModel(best).predict(texts)


def test_tolerance_is_relative_to_the_outputs(
    delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices of thousands may differ by cents."""
    _, artifact, best, _ = delivered
    measured = np.load(artifact / "selection.npy") * 1e4
    np.save(tmp_path / "expected.npy", measured)
    monkeypatch.setattr(delivery.TunedModel, "outputs", lambda *_: measured + 0.5)
    selection = str(best.parent / "data" / "selection")
    request = {"op": "check", "best": str(best), "selection": selection}
    assert "error" not in ask(**request, expected=str(tmp_path / "expected.npy"))
