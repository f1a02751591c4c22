"""The model card of a delivered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PIPELINE = "text-classification"
"""What hubs call the work of every task so far: a number per class, or one number, for a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a model card says.

    Args:
        title: name of the data set.
        model: name of the backbone.
        task: name of the task.
        labels: class names; empty for numbers.
        candidate: the chosen candidate in one line.
        reason: why it was chosen.
        metric: name of the metric that was chosen by.
        selection_score: of the delivered weights on the selection split.
        test_scores: every metric on the test split.
        trainable_params: trained parameters without the head.
        head_params: parameters of the head.
        rows: rows per split.
        versions: of the packages that matter, by name.
        load_code: Python that loads the model.
        adapter: whether the folder holds a peft adapter, or a whole model.
    """

    title: str
    model: str
    task: str
    labels: Sequence[str]
    candidate: str
    reason: str
    metric: str
    selection_score: float
    test_scores: Mapping[str, float]
    trainable_params: int
    head_params: int
    rows: Mapping[str, int]
    versions: Mapping[str, str]
    load_code: str
    adapter: bool


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown with the front matter that model hubs read."""
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in facts.test_scores.items())
    rows = ", ".join(f"{count:,} {split}" for split, count in facts.rows.items())
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    labels = ", ".join(f"`{_inline(label)}`" for label in facts.labels) or "a number"
    return f"""---
{_front_matter(facts)}
---

# {_inline(facts.title)}

A model for {facts.task}, tuned by AutoPEFT from `{facts.model}`. It predicts {labels}.

- Candidate: `{facts.candidate}`
- Trained parameters: {facts.trainable_params:,}, and {facts.head_params:,} of the head
- {facts.metric} on the selection split: {facts.selection_score:.4f}
- Data: {rows} rows

{facts.reason}

## Scores on the test split

The test split was read after the choice and had no part in it.

| metric | score |
|---|---|
{scores}

## Load it

```python
{facts.load_code}
```

Made with {versions}.
"""


def _front_matter(facts: CardFacts) -> str:
    """Return what hubs read: how to load it, what it was made from, its results."""
    from huggingface_hub import EvalResult, ModelCardData

    title = _inline(facts.title)
    results = [
        EvalResult(
            task_type=PIPELINE,
            dataset_type=title,
            dataset_name=title,
            dataset_split="test",
            metric_type=name,
            metric_value=round(value, 6),
        )
        for name, value in facts.test_scores.items()
    ]
    about = ModelCardData(
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag=PIPELINE,
        base_model=facts.model,
        tags=["autopeft", facts.task],
        metrics=list(facts.test_scores) or None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return str(about.to_yaml())


def _inline(text: str) -> str:
    """Return text that stays one harmless line of Markdown."""
    return " ".join(text.split()).replace("`", "'").replace("<", "&lt;")
