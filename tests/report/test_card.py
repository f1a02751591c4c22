"""The model card: what a hub reads first, harmless whatever the labels."""

from __future__ import annotations

import dataclasses

import yaml

from autopeft.report.card import CardFacts, model_card

FACTS = CardFacts(
    title="reviews",
    model="roberta-base",
    task="text-classification",
    labels=("bad", "good"),
    candidate="lora r=8",
    reason="Trial 3 was chosen because it is the smallest.",
    metric="accuracy",
    selection_score=0.91234,
    test_scores={"accuracy": 0.9, "macro-f1": 0.89},
    trainable_params=12345,
    head_params=678,
    rows={"training": 1000, "test": 200},
    versions={"torch": "2.13.0"},
    load_code="model = load()",
    adapter=True,
)


def front_matter(text: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(text.removeprefix("---\n").split("\n---\n")[0])
    return found


def test_front_matter_is_what_model_hubs_read() -> None:
    found = front_matter(model_card(FACTS))
    results = found.pop("model-index")
    assert found == {
        "library_name": "peft",
        "base_model": "roberta-base",
        "pipeline_tag": "text-classification",
        "tags": ["autopeft", "text-classification"],
        "metrics": ["accuracy", "macro-f1"],
    }
    assert results == [
        {
            "name": "reviews",
            "results": [
                {
                    "task": {"type": "text-classification"},
                    "dataset": {"name": "reviews", "type": "reviews", "split": "test"},
                    "metrics": [
                        {"type": "accuracy", "value": 0.9},
                        {"type": "macro-f1", "value": 0.89},
                    ],
                }
            ],
        }
    ]
    whole = model_card(dataclasses.replace(FACTS, adapter=False))
    assert front_matter(whole)["library_name"] == "transformers"


def test_facts_are_all_there() -> None:
    text = model_card(FACTS)
    for part in (
        "`bad`, `good`",
        "12,345, and 678 of the head",
        "accuracy on the selection split: 0.9123",
        "| macro-f1 | 0.8900 |",
        "1,000 training, 200 test rows",
        "Trial 3 was chosen",
        "```python\nmodel = load()\n```",
        "torch 2.13.0",
    ):
        assert part in text


def test_numbers_have_no_labels() -> None:
    assert "It predicts a number." in model_card(dataclasses.replace(FACTS, labels=()))


def test_labels_and_titles_cannot_break_out_of_the_card() -> None:
    bad = "<script>alert(1)</script>\n---\nx: `y`"
    text = model_card(dataclasses.replace(FACTS, labels=(bad,), title=bad, model='a"\nb: c'))
    assert "<script>" not in text
    assert front_matter(text)["base_model"] == 'a"\nb: c'
    assert text.count("\n---\n") == 1
