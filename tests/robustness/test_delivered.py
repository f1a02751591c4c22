"""What a search hands over is what it says it is. (robustness.md 12, 18–20)"""

from __future__ import annotations

import contextlib
import html
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna_dashboard
import pytest
from datasets import Dataset
from safetensors.numpy import load_file

from autopeft.api import handover
from autopeft.delivery import About
from autopeft.errors import DeliveryError
from autopeft.records import TrialState
from autopeft.search import standing
from autopeft.search.bootstrap import Replicate
from autopeft.search.finalist import Finalist
from tests.robustness.conftest import Done, Settings, run
from tests.robustness.run import states_in
from tests.tiny import tiny_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("robustness")]

FRESH = """
import json, sys, torch
sys.modules["autopeft"] = None  # plain transformers and peft, nothing of ours
exec(sys.stdin.read())
model.eval()
batch = tokenizer(json.loads(sys.argv[1]), padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(**batch).logits
print(json.dumps([[model.config.id2label[i] for i in logits.argmax(1).tolist()],
                  logits.softmax(1).max(1).values.tolist()]))
"""


def test_rows(done: Done) -> Dataset:
    return Dataset.load_from_disk(str(done.result.folder / "data" / "test"))


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_fresh_process_with_plain_peft_gives_the_reported_predictions(done: Done) -> None:
    rows = test_rows(done)
    process = subprocess.run(
        [sys.executable, "-c", FRESH, json.dumps(list(rows["text"]))],
        input=done.result.load_code(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    labels, chances = json.loads(process.stdout.splitlines()[-1])
    told = Dataset.from_parquet(str(done.result.folder / "predictions.parquet"))
    assert labels == list(told["prediction"])
    assert np.allclose(chances, told["probability"], atol=1e-4)
    names = ("bad", "good")
    right = [names[y] == label for y, label in zip(rows["label"], labels, strict=True)]
    assert done.result.choice.test_scores["accuracy"] == pytest.approx(np.mean(right))


def test_parameters_are_those_of_the_file_and_the_head_is_apart(done: Done) -> None:
    weights = load_file(str(done.result.best / "adapter_model.safetensors"))
    head = sum(value.size for name, value in weights.items() if "classifier" in name)
    whole = sum(value.size for value in weights.values())
    chosen = next(r for r in done.result.records if r.number == done.result.choice.number)
    assert head == chosen.costs.head_params == 32 * 2 + 2
    assert done.result.choice.trainable_params == chosen.costs.trainable_params == whole - head


def test_a_training_of_another_fold_is_checked_on_its_own_rows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(finalist: Finalist, _: bool) -> Replicate:
        return finalist.replicates[-1]

    monkeypatch.setattr(standing, "to_deliver", last)
    result, heard = run(settings, trials=3)
    data, seed = result.folder / "data", result.choice.seed
    assert seed == 2, "of the third fold, counted from 0"
    rows = Dataset.load_from_disk(str(data / "fold-2" / "selection"))
    assert set(rows["row"]).isdisjoint(Dataset.load_from_disk(str(data / "selection"))["row"])
    (kept,) = (result.folder / "trials").glob(f"{result.choice.number}-{seed}/selection.npy")
    assert len(np.load(kept)) == len(rows)
    assert "reloaded in a fresh process" in heard.text
    right = [
        label == ("bad", "good")[y]
        for label, y in zip(result.predict(list(rows["text"])), rows["label"], strict=True)
    ]
    assert result.choice.selection_score == pytest.approx(np.mean(right))


def test_bytes_are_those_of_the_files(done: Done) -> None:
    final = {row.number for row in done.result.choice.finalists}
    for record in done.result.records:
        if record.number in final:
            folder = done.result.folder / "trials" / f"{record.number}-{record.seed}"
            size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
            assert record.costs.artifact_bytes == size


def test_every_finished_trial_has_all_its_prices(done: Done) -> None:
    complete = [r for r in done.result.records if r.state is TrialState.COMPLETE]
    assert len(complete) >= 2
    for record in complete:
        costs = record.costs
        assert costs.train_seconds is not None
        assert costs.train_seconds > 0
        assert costs.latency_seconds is not None
        assert costs.latency_seconds > 0
        assert costs.peak_memory_bytes is not None


def test_references_are_trained_to_the_end_and_told_of(done: Done) -> None:
    origins = {r.origin: r for r in done.result.records}
    for origin in ("default", "head"):
        assert origins[origin].state is TrialState.COMPLETE
        assert origins[origin].curve[-1].share == 1.0
    assert "default LoRA" in done.result.choice.reason


def test_card_and_leaderboard_tell_the_same_scores(done: Done) -> None:
    card = (done.result.best / "README.md").read_text()
    assert f"| accuracy | {done.result.choice.test_scores['accuracy']:.4f} |" in card
    assert done.result.choice.reason in card
    assert len((done.result.folder / "leaderboard.csv").read_text().splitlines()) == 7


def test_a_notebook_shows_the_choice_and_the_front(done: Done) -> None:
    shown = done.result._repr_html_()
    assert html.escape(done.result.choice.reason) in shown
    assert shown.count("<tr>") == 1 + len(done.result.choice.finalists)
    names = [trace.name for trace in done.result.plot_front().data]
    assert {"front", "the choice"} <= set(names)


@pytest.mark.filterwarnings("ignore")  # of the dashboard's own
def test_the_study_opens_in_optuna_dashboard(done: Done) -> None:
    app = optuna_dashboard.wsgi(f"sqlite:///{done.result.folder / 'study.db'}")

    def get(path: str) -> Any:
        environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
        setup_testing_defaults(environ)
        said: list[str] = []
        body = b"".join(app(environ, lambda status, *_: said.append(status)))
        assert said == ["200 OK"], body
        return json.loads(body)

    (study,) = get("/api/studies")["study_summaries"]
    trials = get(f"/api/studies/{study['study_id']}")["trials"]
    shown = [trial["values"][0] for trial in trials if trial["state"] == "Complete"]
    finished = [r.score for r in done.result.records if r.state is TrialState.COMPLETE]
    assert sorted(shown) == pytest.approx(sorted(finished))


def test_no_pickle_is_written(done: Done) -> None:
    names = [path.name for path in done.result.folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".pickle"))]


def test_saved_copy_stands_alone(done: Done, tmp_path: Path) -> None:
    from autopeft.api import load

    copy = done.result.save(tmp_path / "copy")
    texts = ["good w1", "bad w2 w3"]
    assert load(copy).predict(texts) == done.result.predict(texts)
    assert len(tiny_tokenizer("bert")(texts)["input_ids"]) == 2
    with pytest.raises(FileExistsError):
        done.result.save(tmp_path / "copy")


def test_test_split_is_read_only_after_the_choice_and_the_check(
    copied: Settings, done: Done
) -> None:
    """A finished run, whose result is taken away and whose test split is a trap."""
    folder = Path(copied["output"])
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "best")
    trap = folder / "data" / "test"
    for file in trap.glob("*.arrow"):
        file.write_bytes(b"a trap")
    with pytest.raises(DeliveryError):
        run(copied, trials=7)
    assert (folder / "best" / "adapter_model.safetensors").is_file(), "chosen and written"
    assert not (folder / "result.json").exists()
    assert len([state for state in states_in(folder) if state != "FAIL"]) >= 7
    assert "RUNNING" not in states_in(folder)


def test_delivered_model_that_differs_is_an_error(
    copied: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(copied["output"])
    (folder / "result.json").unlink()
    before = sorted((file, file.stat().st_mtime_ns) for file in (folder / "best").iterdir())
    real = handover.delivery.written

    @contextlib.contextmanager
    def written(artifact: Path, best: Path, about: About) -> Iterator[Path]:
        with real(artifact, best, about) as new:
            outputs = artifact / "selection.npy"
            np.save(outputs, np.load(outputs) + 0.1)
            yield new

    monkeypatch.setattr(handover.delivery, "written", written)
    with pytest.raises(DeliveryError, match=r"differ from the measured ones by 0\.\d"):
        run(copied)
    assert not (folder / "result.json").exists()
    after = sorted((file, file.stat().st_mtime_ns) for file in (folder / "best").iterdir())
    assert after == before, "what was checked before is still there"
    assert not (folder / "best.new").exists()


def test_what_is_told_of_an_earlier_choice_goes_with_its_model(copied: Settings) -> None:
    """Stopped between the second delivery and its scores, the first command does not answer."""
    folder = Path(copied["output"])
    for file in (folder / "data" / "test").glob("*.arrow"):
        file.write_bytes(b"a trap")
    with pytest.raises(DeliveryError):
        run(copied, trials=7)
    assert not (folder / "result.json").exists()


def test_a_merged_model_of_an_earlier_choice_does_not_stay(copied: Settings) -> None:
    folder = Path(copied["output"])
    _, heard = run(copied, merge=True)
    assert (folder / "merged").is_dir() or "left out" in heard.text
    (folder / "merged").mkdir(exist_ok=True)
    run(copied, trials=7)
    assert not (folder / "merged").exists()
