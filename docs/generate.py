"""Write the pages that follow from the registries: methods.md, tasks.md and settings.md.

python docs/generate.py          writes them
python docs/generate.py --check  tells whether they are up to date
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from autopeft.config import SearchConfig  # noqa: E402
from autopeft.methods import METHODS, Knob, MethodInfo  # noqa: E402
from autopeft.records import BackboneShape, Scalar  # noqa: E402
from autopeft.search.portfolio import DEFAULT_METHOD, HEAD_METHOD  # noqa: E402
from autopeft.search.space_check import TRAINING  # noqa: E402
from autopeft.tasks import TASKS  # noqa: E402
from autopeft.tasks.metric import METRICS, MetricInfo  # noqa: E402

LONGEST = 24
"""Tokens of the inputs for which exclusions are listed, as in the method contract's tests."""

MASK_TOKEN = 103
"""Any number will do: that there is a token for a gap is what a tokenizer says, not the shape."""

NOTE = "<!-- Written by docs/generate.py from the registries; do not edit. -->"


def main() -> int:
    """Write the pages, or with ``--check`` return 1 if one differs."""
    pages = render()
    stale = [name for name, text in pages.items() if _read(DOCS / name) != text]
    if "--check" in sys.argv[1:]:
        if stale:
            print(f"stale: {', '.join(stale)}; run: python docs/generate.py", file=sys.stderr)
        return int(bool(stale))
    for name in stale:
        (DOCS / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def render() -> dict[str, str]:
    """Return the text of every generated page by file name."""
    pages = {"methods.md": methods(), "tasks.md": tasks(), "settings.md": settings()}
    return {name: "\n".join([NOTE, "", *lines]) + "\n" for name, lines in pages.items()}


def methods() -> Iterator[str]:
    """Yield the lines of methods.md."""
    infos = sorted(METHODS, key=lambda info: (info.family, info.name))
    base = _bert_base()
    yield from (
        "# Methods",
        "",
        f"{len(infos)} methods, each one record in one file of `autopeft/methods/`. The first of a",
        "family in a search space is tried with its defaults before the sampler has a say; "
        f"`{DEFAULT_METHOD}` and",
        f"`{HEAD_METHOD}` are the references of every search. `autopeft methods` prints this list.",
        "",
        "The parameters are those of the record's defaults on BERT-base (12 layers × 768), without",
        f"the head, which has {base.head_params:,} for two classes.",
        "",
    )
    yield from _table(
        ("method", "family", "what it does", "parameters", "learning rate"),
        (
            (
                f"[`{info.name}`](#{anchor})",
                info.family,
                info.description,
                f"{_default_count(info, base):,}",
                f"{info.learning_rate.median:g}",
            )
            for info, anchor in zip(infos, _anchors(infos), strict=True)
        ),
    )
    yield from ("", "## Where a method cannot run", "")
    yield from (
        "Told before training, from the backbone's numbers alone. Of the ten architectures that",
        f"the tests run on, with inputs of up to {LONGEST} tokens:",
        "",
    )
    yield from _table(("method", "architecture", "reason"), _exclusions(infos))
    yield from ("", "And on BERT-base with inputs of up to 512 tokens, all of its positions:", "")
    yield from _table(
        ("method", "reason"),
        ((f"`{i.name}`", reason) for i in infos if (reason := i.excluded(base, 512))),
    )
    yield from ("", "## Further tuners of peft", "")
    yield from (
        "Each trains through peft's own tuner, alone, with the knobs of its peft configuration;",
        "name it in a space or after `--methods`. They are held to the same contract; where one",
        "cannot be built, the reason is told in peft's words.",
        "",
    )
    further = [METHODS.get(name) for name in METHODS.further()]
    yield from _table(
        ("method", "what it does", "paper", "parameters"),
        ((f"`{i.name}`", i.description, i.paper, f"{_default_count(i, base):,}") for i in further),
    )
    for info in infos:
        yield from ("", f"## {info.name}", "", *_method(info))


def _anchors(infos: Sequence[MethodInfo]) -> list[str]:
    """Return the anchors of the methods' sections: names without signs, numbered where alike."""
    seen: dict[str, int] = {}
    anchors = []
    for info in infos:
        plain = re.sub(r"[^\w-]", "", info.name)
        seen[plain] = seen.get(plain, -1) + 1
        anchors.append(f"{plain}-{seen[plain]}" if seen[plain] else plain)
    return anchors


def _method(info: MethodInfo) -> Iterator[str]:
    prior = info.learning_rate
    low, high = prior.median / prior.spread, prior.median * prior.spread
    yield f"{_sentence(info.description)} {_sentence(info.paper)}"
    yield ""
    yield f"- Learning rate: {prior.median:g}, searched from {low:g} to {high:g}. {prior.source}."
    if info.placement is not None:
        yield f"- Sites: {_codes(info.sites)}; by default {_codes(info.placement.sites)}."
    yield f"- {' '.join(_abilities(info))}"
    if info.knobs:
        yield ""
        yield from _table(("knob", "what it is", "default", "range"), _knobs(info))


def _abilities(info: MethodInfo) -> Iterator[str]:
    if info.config is None:
        yield "Its artifact is a whole model."
    elif info.native:
        yield "Its artifact loads with plain peft."
    else:
        yield "Its artifact loads with peft after `import autopeft`."
    yield "It can be merged." if info.mergeable else "It cannot be merged."
    if info.trains_base not in ("none", "all"):
        yield f"It trains weights of the backbone: {info.trains_base}."
    if not info.low_precision:
        yield "It needs a backbone in 32 bit."


def _knobs(info: MethodInfo) -> Iterator[tuple[str, ...]]:
    for name, knob in info.knobs.items():
        yield f"`{name}`", knob.help, _plain(knob.default), _range(knob)


def _range(knob: Knob) -> str:
    if knob.choices is not None:
        return ", ".join(_plain(choice) for choice in knob.choices)
    if knob.low is None or knob.high is None:
        return "any"
    return f"{knob.low:g} to {knob.high:g}" + (", logarithmic" if knob.log else "")


def _exclusions(infos: Sequence[MethodInfo]) -> Iterator[tuple[str, ...]]:
    from tests.tiny import ARCHITECTURES, head_for, tiny_config

    shapes = [
        _shape(tiny_config(name, num_labels=2, pad_token_id=0), head_for(name)["auto_class"])
        for name in ARCHITECTURES
    ]
    for info in infos:
        for shape in shapes:
            reason = info.excluded(shape, LONGEST)
            if reason is not None:
                yield f"`{info.name}`", shape.architecture, reason


def _bert_base() -> BackboneShape:
    from transformers import BertConfig

    return _shape(BertConfig(num_labels=2))


def _shape(config: object, auto_class: str = "AutoModelForSequenceClassification") -> BackboneShape:
    """Return the numbers of a model with all of its backbone stored, built without weights."""
    import torch
    import transformers

    from autopeft.backbone.head import head_modules
    from autopeft.backbone.outline import backbone_shape
    from autopeft.backbone.quiet import quiet

    with quiet(), torch.device("meta"):
        model = getattr(transformers, auto_class).from_config(config)
    shape = backbone_shape(model, head_modules(model, ()))
    return dataclasses.replace(shape, mask_token=MASK_TOKEN)


def _default_count(info: MethodInfo, shape: BackboneShape) -> int:
    knobs = {name: knob.default for name, knob in info.knobs.items()}
    return info.count(shape, info.placement, knobs)


def tasks() -> Iterator[str]:
    """Yield the lines of tasks.md."""
    yield from (
        "# Tasks",
        "",
        "Each task is one record in one file of `autopeft/tasks/` and recognises its own columns;",
        "`--task` overrides what is inferred. `autopeft tasks` prints this list.",
        "",
    )
    paired = {"never": "one", "optional": "one or two", "always": "two"}
    yield from _table(
        ("task", "what it takes", "texts", "labels", "metrics, the default first", "model class"),
        (
            (
                f"`{info.name}`",
                info.description,
                paired[info.paired],
                "classes" if info.categorical else "numbers",
                _codes(info.metrics),
                f"`{info.auto_class}`",
            )
            for info in sorted(TASKS, key=lambda info: info.name)
        ),
    )
    yield from ("", "## Metrics", "", "`--metric` chooses the one that the search goes by.", "")
    yield from _table(
        ("metric", "what it is", "better", "range", "for"), (_metric(info) for info in METRICS)
    )


def _metric(info: MetricInfo) -> tuple[str, ...]:
    better = "higher" if info.higher_is_better else "lower"
    high = "∞" if info.high == float("inf") else f"{info.high:g}"
    wanted = {"categorical": "classes", "numeric": "numbers"}[info.needs]
    return f"`{info.name}`", info.description, better, f"{info.low:g} to {high}", wanted


def settings() -> Iterator[str]:
    """Yield the lines of settings.md."""
    yield from (
        "# Settings",
        "",
        "The options of `autopeft search` are the keyword arguments of `autopeft.search` and the",
        "fields of `autopeft.config.SearchConfig`. A run's *identity* is what must be the same to",
        "resume it: the settings marked here, the data, the model and the space.",
        "",
    )
    yield from _table(
        ("option", "Python", "default", "identity", "what it does"),
        (
            (
                f"`{option}`",
                f"`{field.name}`",
                "" if field.default is None or field.default is False else f"`{field.default}`",
                "yes" if field.metadata["identity"] else "",
                field.metadata["help"],
            )
            for field in dataclasses.fields(SearchConfig)
            for option in [_option(field)]
        ),
    )
    yield from (
        "",
        "## Settings of a training",
        "",
        "Every method has these beside its knobs; a search space may give them values or ranges",
        "([spaces.md](spaces.md)).",
        "",
    )
    yield from _table(
        ("setting", "what it is", "default", "range"),
        (
            (
                f"`{name}`",
                knob.help,
                "the method's prior" if name == "learning_rate" else _plain(knob.default),
                _range(knob),
            )
            for name, knob in TRAINING.items()
        ),
    )


def _option(field: dataclasses.Field[object]) -> str:
    metavar = "" if isinstance(field.default, bool) else f" {field.metadata['metavar'] or 'VALUE'}"
    short = f"{field.metadata['short']}, " if field.metadata["short"] else ""
    return f"{short}--{field.name.replace('_', '-')}{metavar}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _plain(value: Scalar) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


if __name__ == "__main__":
    raise SystemExit(main())
