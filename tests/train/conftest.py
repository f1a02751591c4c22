"""A tiny BERT with a head, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.backbone.load import Backbone, load_backbone


@pytest.fixture(scope="session")
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(
        tiny_folder("bert"),
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 2},
        attention="eager",
    )
