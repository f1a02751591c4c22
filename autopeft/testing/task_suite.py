"""The contract that every task keeps, from its columns to its metrics.

Third parties run it on a task of theirs:

    contract = TaskContract(TASKS.get("my-task"), model_folder)
    for check in CHECKS:
        getattr(contract, check)(tmp_path)

Each check raises AssertionError with a sentence. The model should be tiny, with a tokenizer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.data.columns import profile
from autopeft.data.load import load
from autopeft.tasks import TASKS, Columns, Fit, TaskInfo
from autopeft.tasks.class_label import class_name, class_names
from autopeft.tasks.encode import encode
from autopeft.tasks.metric import METRICS, score
from autopeft.tasks.prepare import Prepared, prepare
from autopeft.tasks.problem import Problem

if TYPE_CHECKING:
    import torch

    from autopeft.backbone.load import Backbone

Table = Mapping[str, Sequence[Any]]

LABELS = ("10", "9", "très bien", "否")
"""Class names in natural order: numbers, spaces and other scripts among them."""

ROWS = 48
STEPS = 60
FALL = 0.5
LONGEST = 24


class TaskContract:
    """One task, its own toy data, and one tiny model.

    Args:
        task: a registered record.
        model: folder of a tiny pretrained model with a tokenizer.
        tables: rows with columns that the task should recognise; by default made from the record:
            one table with one text, one with two, as the record allows.
        reference: from logits (B, C) and targets (B,), the mean loss, written independently of the
            task; by default cross-entropy for classes and squared error for numbers.
    """

    def __init__(
        self,
        task: TaskInfo,
        model: Path,
        *,
        tables: Sequence[Table] | None = None,
        reference: Callable[[np.ndarray, np.ndarray], float] | None = None,
    ) -> None:
        self.info, self.folder = task, model
        self.tables = toy_tables(task) if tables is None else tuple(tables)
        self.labels = self._labels(self.tables[0])
        self.reference = reference or (_cross_entropy if task.categorical else _squared_error)
        draw = np.random.default_rng(0)
        self.targets = (
            np.arange(ROWS) % len(self.labels) if task.categorical else draw.normal(size=ROWS)
        )
        self.perfect = self._outputs_for(self.targets)

    def check_described(self, folder: Path) -> None:
        """It says what it is, and its metrics exist and suit its targets."""
        del folder
        assert self.info.description and self.info.recognise.__doc__
        assert self.info.metrics, "no metric"
        needs = "categorical" if self.info.categorical else "numeric"
        wrong = [name for name in self.info.metrics if METRICS.get(name).needs != needs]
        assert not wrong, f"{wrong} are not metrics of {needs} targets"

    def check_recognises_its_own_columns(self, folder: Path) -> None:
        """No other task fits its data better, and it says why it fits."""
        del folder
        for table in self.tables:
            fit = self._fit(table)
            assert fit is not None, f"{self.info.name} does not recognise {list(table)}"
            assert 0 <= fit.confidence <= 1 and fit.reason
            roles = [fit.columns.text, fit.columns.text_pair, fit.columns.label]
            used = [name for name in roles if name is not None]
            assert len(set(used)) == len(used) and set(used) <= set(table), used
            for other in TASKS:
                rival = None if other.name == self.info.name else _recognise(other, table)
                better = rival is not None and rival.confidence > fit.confidence
                assert not better, f"{other.name} fits {list(table)} better"

    def check_leaves_other_tasks_their_columns(self, folder: Path) -> None:
        """It does not fit another task's data better than that task does."""
        del folder
        for other in TASKS:
            for table in toy_tables(other) if other.name != self.info.name else ():
                theirs, ours = _recognise(other, table), self._fit(table)
                if theirs is not None and ours is not None:
                    assert ours.confidence < theirs.confidence, f"{list(table)} is {other.name}'s"

    def check_leaves_what_is_no_data(self, folder: Path) -> None:
        """Without texts, without labels or without columns it says no, and raises nothing."""
        del folder
        assert self.info.recognise([]) is None, "recognises no columns at all"
        for table in self.tables:
            label = self._columns(table).label
            others = {name: cells for name, cells in table.items() if name != label}
            assert self._fit({label: table[label]}) is None, "recognises data without texts"
            assert self._fit(others) is None, "recognises data without labels"

    def check_head_has_the_right_size(self, folder: Path) -> None:
        """A model loaded with its options gives one output per class, or one for numbers."""
        del folder
        outputs = self._model_outputs(self._prepared(self.tables[0]))
        assert outputs.shape == (ROWS, self._width), outputs.shape

    def check_label_names_come_back(self, folder: Path) -> None:
        """Class numbers lead back to the names in the data, also from a saved configuration."""
        from transformers import AutoConfig

        from autopeft.backbone.load import read_config

        for table in self.tables:
            prepared = self._prepared(table)
            names = prepared.problem.labels
            assert bool(names) == self.info.categorical, names
            cells = table[prepared.problem.columns.label]
            for row in (row for part in _parts(prepared) for row in part):
                given, kept = cells[row["row"]], row["label"]
                same = names[kept] == str(given) if names else kept == float(given)
                assert same, f"row {row['row']}: {given!r} became {kept!r}"
            read_config(self.folder, self.info.model_options(names)).save_pretrained(folder)
            again = AutoConfig.from_pretrained(folder)
            found = tuple(again.id2label[number] for number in range(len(names)))
            assert found == tuple(names), found
            assert not names or again.label2id == {n: number for number, n in enumerate(names)}

    def check_loss_equals_a_reference(self, folder: Path) -> None:
        """In 32 bit exactly, in 16 bit nearly, always a scalar of 32 bit."""
        import torch

        del folder
        logits = np.random.default_rng(1).normal(size=(ROWS, self._width))
        expected = self.reference(logits, self.targets)
        targets = torch.from_numpy(self.targets)
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
            loss = self.info.loss(torch.from_numpy(logits).to(dtype), targets)
            assert loss.shape == () and loss.dtype == torch.float32, loss
            apart = abs(loss.item() - expected)
            assert apart <= tolerance * max(1.0, expected), f"loss off by {apart:.1e} in {dtype}"

    def check_loss_falls_and_predictions_follow(self, folder: Path) -> None:
        """A linear model learns what is separable, and then predicts better than at the start."""
        import torch

        del folder
        inputs = torch.from_numpy(self.perfect).float()
        targets = torch.from_numpy(self.targets)
        weights = torch.zeros(self._width, self._width, requires_grad=True)
        optimizer = torch.optim.Adam([weights], lr=0.1)
        losses, scores = [], []
        for _ in range(STEPS):
            outputs = inputs @ weights
            loss = self.info.loss(outputs, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            predicted = self.info.predictions(outputs.detach().numpy())
            scores.append(self._score(self.info.metrics[0], predicted))
        assert losses[-1] < FALL * losses[0], f"loss went from {losses[0]} to {losses[-1]}"
        gained = self._gain(self.info.metrics[0], scores[-1], scores[0])
        assert gained > 0, f"{self.info.metrics[0]} went from {scores[0]} to {scores[-1]}"

    def check_predictions_have_the_targets_form(self, folder: Path) -> None:
        """One per row: class numbers or finite floats; outputs that are right give the targets."""
        del folder
        outputs = self.perfect.copy()
        predicted = self.info.predictions(outputs)
        assert np.array_equal(outputs, self.perfect), "predictions changed the outputs"
        assert predicted.shape == (ROWS,), predicted.shape
        kind = "iu" if self.info.categorical else "f"
        assert predicted.dtype.kind in kind, predicted.dtype
        assert np.allclose(predicted, self.targets), "outputs that are right are read wrongly"
        none = self.info.predictions(np.zeros((0, self._width), np.float32))
        assert none.shape == (0,), none.shape

    def check_metrics_stay_in_their_range(self, folder: Path) -> None:
        """Finite and within bounds, for the best, the worst, the constant and the single row."""
        del folder
        draw = np.random.default_rng(2)
        guesses = {
            "perfect": self.targets,
            "shuffled": draw.permutation(self.targets),
            "constant": np.full_like(self.targets, self.targets[0]),
            "reversed": self.targets.max() - self.targets,
        }
        for name in self.info.metrics:
            info = METRICS.get(name)
            for what, guess in guesses.items():
                for rows in (ROWS, 1):
                    found = score(name, self.targets[:rows], guess[:rows])
                    assert np.isfinite(found), f"{name} of {what} predictions is {found}"
                    inside = info.low - 1e-9 <= found <= info.high + 1e-9
                    assert inside, f"{name} of {what} predictions is {found}"

    def check_perfect_predictions_score_best(self, folder: Path) -> None:
        """In the direction that each metric declares; the more is wrong, the worse."""
        del folder
        for name in self.info.metrics:
            best = self._score(name, self.targets)
            some, many = (self._score(name, self._spoilt(rows)) for rows in (4, ROWS // 2))
            assert self._gain(name, best, some) > 0, f"{name}: {best} perfect, {some} with faults"
            assert self._gain(name, some, many) > 0, f"{name}: {some} few faults, {many} with more"
            info = METRICS.get(name)
            bound = info.high if info.higher_is_better else info.low
            assert abs(best - bound) < 1e-9, f"{name}: perfect is {best}, the bound {bound}"

    def check_data_to_loss(self, folder: Path) -> None:
        """Rows are read, split, encoded and scored by a model without losing one on the way."""
        import torch

        del folder
        for table in self.tables:
            prepared = self._prepared(table)
            rows = sorted(row for part in _parts(prepared) for row in part["row"])
            assert rows == list(range(ROWS)), "a row was lost or doubled"
            outputs = self._model_outputs(prepared)
            targets = np.concatenate([np.asarray(part["label"]) for part in _parts(prepared)])
            loss = self.info.loss(torch.from_numpy(outputs), torch.from_numpy(targets)).item()
            expected = self.reference(outputs.astype(np.float64), targets)
            assert abs(loss - expected) <= 1e-4 * max(1.0, expected), (loss, expected)

    @property
    def _width(self) -> int:
        """Outputs of the head."""
        return max(1, len(self.labels))

    def _prepared(self, table: Table) -> Prepared:
        source = load({name: list(cells) for name, cells in table.items()})
        problem = Problem(
            task=self.info.name,
            columns=self._columns(table),
            labels=self._labels(table),
            metric=self.info.metrics[0],
            confidence=1.0,
            reasons=(),
        )
        return prepare(source, problem, seed=0)

    def _labels(self, table: Table) -> tuple[str, ...]:
        """Return the class names of a table; none for numbers."""
        if not self.info.categorical:
            return ()
        return class_names(class_name(cell) for cell in table[self._columns(table).label])

    def _columns(self, table: Table) -> Columns:
        fit = self._fit(table)
        assert fit is not None, f"{self.info.name} does not recognise {list(table)}"
        return fit.columns

    def _fit(self, table: Table) -> Fit | None:
        return _recognise(self.info, table)

    def _model_outputs(self, prepared: Prepared) -> np.ndarray:
        """Return what a model with a fresh head gives for all rows."""
        from autopeft.backbone.load import load_backbone
        from autopeft.train.evaluate import outputs
        from autopeft.train.padding import Padding

        backbone: Backbone = load_backbone(
            self.folder,
            auto_class=self.info.auto_class,
            model_options=self.info.model_options(prepared.problem.labels),
        )
        found = []
        for part in _parts(prepared):
            encoded = encode(part, backbone.tokenizer, max_length=LONGEST)
            wanted = np.int64 if self.info.categorical else np.float32
            assert encoded.targets.dtype == wanted, encoded.targets.dtype
            model: torch.nn.Module = backbone.model
            padding = Padding.of(backbone.tokenizer, model)
            found.append(outputs(model, encoded, padding=padding, device=backbone.model.device))
        return np.concatenate(found)

    def _outputs_for(self, targets: np.ndarray) -> np.ndarray:
        """Return outputs (N, C) that mean exactly these targets."""
        if not self.info.categorical:
            return np.asarray(targets[:, None])
        return np.asarray(np.eye(self._width)[targets])

    def _spoilt(self, rows: int) -> np.ndarray:
        """Return the targets with the first rows wrong."""
        spoilt = self.targets.copy()
        if self.info.categorical:
            spoilt[:rows] = (spoilt[:rows] + 1) % self._width
        else:
            spoilt[:rows] = -3 * spoilt[:rows]
        return np.asarray(spoilt)

    def _score(self, name: str, predicted: np.ndarray) -> float:
        return score(name, self.targets, predicted)

    def _gain(self, name: str, one: float, other: float) -> float:
        """Return how much better `one` is than `other`."""
        return one - other if METRICS.get(name).higher_is_better else other - one


CHECKS = tuple(name for name in vars(TaskContract) if name.startswith("check_"))
"""Names of all checks of the contract, in the order of the file."""


def toy_tables(task: TaskInfo) -> tuple[dict[str, list[Any]], ...]:
    """Return small tables that a task of this record should recognise."""
    texts = {"never": (1,), "optional": (1, 2), "always": (2,)}[task.paired]
    return tuple(_toy_table(count, categorical=task.categorical) for count in texts)


def _toy_table(texts: int, *, categorical: bool) -> dict[str, list[Any]]:
    draw = random.Random(0)
    names = ("text",) if texts == 1 else ("text_a", "text_b")
    table: dict[str, list[Any]] = {
        name: [" ".join(f"w{draw.randrange(90)}" for _ in range(6)) for _ in range(ROWS)]
        for name in names
    }
    labels = [LABELS[row % len(LABELS)] for row in range(ROWS)]
    table["label"] = labels if categorical else [row / 7 for row in range(ROWS)]
    return table


def _recognise(info: TaskInfo, table: Table) -> Fit | None:
    source = load({name: list(cells) for name, cells in table.items()})
    return info.recognise(profile(source.splits["train"]))


def _parts(prepared: Prepared) -> tuple[Any, Any, Any]:
    return prepared.train, prepared.selection, prepared.test


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(len(targets)), targets]).mean())


def _squared_error(logits: np.ndarray, targets: np.ndarray) -> float:
    return float(((logits[:, 0] - targets) ** 2).mean())
