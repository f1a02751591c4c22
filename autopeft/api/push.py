"""Putting a delivered model on a hub."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.delivery import ABOUT, About, about_of, load_code
from autopeft.errors import ConfigError, HubError
from autopeft.temporary import TemporaryFolder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

IGNORED = ("*.npy", "*.new")
_CODE = re.compile(r"(?<=```python\n).*?(?=\n```)", re.DOTALL)


def push(
    run: Path,
    repo: str,
    *,
    base_model: str | None = None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Upload the delivered model of a run, and return its address.

    What names folders of this machine is rewritten for the hub first: the backbone and the code
    that loads the model. The upload is one commit; a second one replaces what differs.

    Args:
        run: a run folder or a delivered one.
        repo: name on the hub, such as ``me/reviews``.
        base_model: the backbone's name on the hub; needed where the run used a folder.
        private: whether its owner alone may see it; a repository that is public is then refused.
        token: of the hub; None for the one that ``hf auth login`` keeps.

    Raises:
        ModelError: there is no tuned model.
        ConfigError: the backbone's name on the hub is not known.
        HubError: the hub refuses or cannot be reached, or the repository is public already.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # of whatever library speaks HTTP for the hub
    unreachable: type[Exception] = HfHubHTTPError.__bases__[0]
    best, about = about_of(run)
    about = replace(about, model=_hub_name(about.model, base_model))
    api = HfApi(token=token, library_name="autopeft")
    with TemporaryFolder("push") as folder:
        fresh = folder.path / "best"
        shutil.copytree(best, fresh, ignore=shutil.ignore_patterns(*IGNORED))
        try:
            return _upload(api, fresh, about, repo, private=private)
        except (HFValidationError, unreachable, OSError, RuntimeError) as error:
            said = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
            raise HubError(f"cannot push to {repo} at {api.endpoint}: {said[0]}") from error


def _hub_name(model: str, given: str | None) -> str:
    """Return the backbone's name on the hub.

    Raises:
        ConfigError: the run used a folder, and no name is given.
    """
    if given is None and Path(model).is_absolute():
        raise ConfigError(
            f"the backbone is a folder here ({model}), which nobody else has; "
            "say with --base-model what it is called on the hub"
        )
    return given or model


def _upload(api: HfApi, folder: Path, about: About, repo: str, *, private: bool) -> str:
    name = api.create_repo(repo, private=private, exist_ok=True).repo_id
    if private and not api.repo_info(name).private:
        raise HubError(f"{name} is public at {api.endpoint}: say --public, or take another name")
    _rewrite(folder, about, name)
    made = api.upload_folder(
        repo_id=name, folder_path=folder, commit_message="Add a model tuned by AutoPEFT"
    )
    return str(made.repo_url)


def _rewrite(folder: Path, about: About, repo: str) -> None:
    """Let the files speak of the hub instead of this machine."""
    _edit_json(folder / ABOUT, model=about.model)
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        _edit_json(adapter, base_model_name_or_path=about.model)
    code = load_code(folder, about).replace(json.dumps(str(folder)), json.dumps(repo))
    card = folder / "README.md"
    if card.is_file():
        text = _CODE.sub(lambda _: code, card.read_text(encoding="utf-8"), count=1)
    else:  # a member of the front, which has none
        text = f"# {repo}\n\n```python\n{code}\n```\n"
    card.write_text(_with_base_model(text, about.model), encoding="utf-8")


def _edit_json(file: Path, **changed: Any) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**values, **changed}, indent=2), encoding="utf-8")


def _with_base_model(text: str, model: str) -> str:
    from huggingface_hub import ModelCard

    card = ModelCard(text, ignore_metadata_errors=True)
    card.data["base_model"] = model
    return str(card)
