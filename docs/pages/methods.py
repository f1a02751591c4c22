"""The page of methods: a list, and a section for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from autopeft.methods import METHODS, Knob, MethodInfo
from autopeft.records import BackboneShape
from autopeft.search.portfolio import DEFAULT_METHOD, HEAD_METHOD
from docs.pages.markdown import codes, plain, sentence, table
from docs.pages.shapes import bert_base


def methods() -> Iterator[str]:
    """Yield the lines of methods/README.md."""
    infos = sorted(METHODS, key=lambda info: (info.family, info.name))
    base = bert_base()
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
    yield from table(
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
    yield from (
        "",
        "What cannot run on which backbone: [exclusions.md](exclusions.md). How they do on",
        "real data: [comparison.md](comparison.md).",
        "",
        "## Further tuners of peft",
        "",
    )
    yield from (
        "Each trains through peft's own tuner, alone, with the knobs of its peft configuration;",
        "name it in a space or after `--methods`. They are held to the same contract; where one",
        "cannot be built, the reason is told in peft's words.",
        "",
    )
    further = [METHODS.get(name) for name in METHODS.further()]
    yield from table(
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
    yield f"{sentence(info.description)} {sentence(info.paper)}"
    yield ""
    yield f"- Learning rate: {prior.median:g}, searched from {low:g} to {high:g}. {prior.source}."
    if info.placement is not None:
        yield f"- Sites: {codes(info.sites)}; by default {codes(info.placement.sites)}."
    yield f"- {' '.join(_abilities(info))}"
    if info.knobs:
        yield ""
        yield from table(("knob", "what it is", "default", "range"), _knobs(info))


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
        yield f"`{name}`", knob.help, plain(knob.default), knob_range(knob)


def knob_range(knob: Knob) -> str:
    """Return what values a knob may have."""
    if knob.choices is not None:
        return ", ".join(plain(choice) for choice in knob.choices)
    if knob.low is None or knob.high is None:
        return "any"
    return f"{knob.low:g} to {knob.high:g}" + (", logarithmic" if knob.log else "")


def _default_count(info: MethodInfo, shape: BackboneShape) -> int:
    knobs = {name: knob.default for name, knob in info.knobs.items()}
    return info.count(shape, info.placement, knobs)
