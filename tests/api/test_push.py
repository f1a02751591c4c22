"""Pushing: private by default, one commit, and nothing of this machine in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopeft.api.push import push
from autopeft.errors import ConfigError, HubError, ModelError
from autopeft.report.card import model_card
from tests.delivered import deliver
from tests.hub import TOKEN, Hub, serving
from tests.report.test_card import FACTS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the hub's own client


@pytest.fixture(scope="module")
def best(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, _, best, about = deliver(tmp_path_factory.mktemp("run"), tiny_folder("bert"))
    assert Path(about.model).is_absolute()
    (best / "README.md").write_text(model_card(FACTS), encoding="utf-8")
    (best / "selection.npy").write_bytes(b"not for others")
    return best


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which needs another server
        yield found


def test_what_is_uploaded_is_the_delivered_folder_as_the_hub_knows_it(best: Path, hub: Hub) -> None:
    address = push(best.parent, "me/reviews", base_model="google/bert", token=TOKEN)
    assert address == f"{hub.address}/me/reviews"
    assert hub.private == {"me/reviews": True}
    assert hub.commits == 1
    files = hub.files["me/reviews"]
    weights = "adapter_model.safetensors"
    assert files[weights] == (best / weights).read_bytes()
    assert "selection.npy" not in files
    assert {"tokenizer.json", "config.json", "autopeft.json", "README.md"} <= files.keys()
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "google/bert"
    assert json.loads(files["autopeft.json"])["model"] == "google/bert"
    card = files["README.md"].decode()
    assert 'PeftModel.from_pretrained(model, "me/reviews")' in card
    assert "base_model: google/bert" in card
    for name, content in files.items():
        if name.endswith((".json", ".md")):
            assert str(best.parent.parent).encode() not in content, name


def test_a_second_push_goes_to_the_same_repository(best: Path, hub: Hub) -> None:
    for _ in range(2):
        push(best, "me/reviews", base_model="google/bert", private=False, token=TOKEN)
    assert hub.private == {"me/reviews": False}


def test_what_is_to_be_private_does_not_go_where_everybody_sees_it(best: Path, hub: Hub) -> None:
    push(best, "me/reviews", base_model="google/bert", private=False, token=TOKEN)
    with pytest.raises(HubError, match=r"me/reviews is public .*--public"):
        push(best, "me/reviews", base_model="google/bert", token=TOKEN)
    assert hub.commits == 1


def test_a_backbone_that_nobody_else_has_must_be_named(best: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError, match="--base-model"):
        push(best, "me/reviews", token=TOKEN)
    assert not hub.private


def test_refusals_are_told_with_the_address(best: Path, hub: Hub) -> None:
    with pytest.raises(HubError, match=f"cannot push to me/reviews at {hub.address}: .*401"):
        push(best, "me/reviews", base_model="google/bert", token="wrong")
    with pytest.raises(HubError, match="cannot push to no good name"):
        push(best, "no good name", base_model="google/bert", token=TOKEN)


def test_a_hub_that_cannot_be_reached_is_an_error_of_ours(
    best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with serving() as gone:
        monkeypatch.setattr(constants, "ENDPOINT", gone.address)
    with pytest.raises(HubError, match=gone.address):
        push(best, "me/reviews", base_model="google/bert", token=TOKEN)


def test_a_folder_without_a_model_is_refused(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(ModelError, match="no tuned model"):
        push(tmp_path, "me/reviews", base_model="google/bert", token=TOKEN)


def test_a_member_of_the_front_has_no_card_and_gets_a_plain_one(
    best: Path, hub: Hub, tmp_path: Path
) -> None:
    member = shutil.copytree(best, tmp_path / "1-lora", ignore=shutil.ignore_patterns("README.md"))
    push(member, "me/reviews", base_model="google/bert", token=TOKEN)
    card = hub.files["me/reviews"]["README.md"].decode()
    assert 'PeftModel.from_pretrained(model, "me/reviews")' in card
    assert "base_model: google/bert" in card
