"""The page as text: what it holds, what it lets through, how large it is."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest

from autopeft.records import Placement, TrialState
from autopeft.report import wording
from autopeft.report.page import Importance, Mistake, MistakesView, RunView, render
from autopeft.report.page.document import harmless_json
from autopeft.report.page.front import front_figure
from autopeft.report.page.prices import prices_figure
from autopeft.search.front import front_of
from tests.report.page.made_up import HOSTILE, LINK, choice, records, replicate, view

MOST_BYTES = 10_000_000


class Elements(HTMLParser):
    """Collects a page's elements, attributes and the text of some."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "td": [], "blockquote": []}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.texts:
            self.texts[tag].append("")
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside[-1]][-1] += data


@pytest.fixture(scope="module")
def page() -> str:
    return render([view()])


def figures_of(page: str) -> dict[str, dict]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def body_of(page: str) -> str:
    """Return what a reader sees: the page without scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)


def test_every_section_is_there(page: str) -> None:
    body = body_of(page)
    for name in (
        *("choice", "front", "curves", "matter", "gates", "costs", "certainty", "failures"),
        *("data", "mistakes", "trials", "again"),
    ):
        assert f'<section id="{name}"' in body
        assert f'href="#{name}"' in body
    titles = re.findall(r'<section id="(\w+)"[^>]*>\s*<h2[^>]*>(.+?)</h2>', body)
    assert len(titles) == 11
    for name, title in titles:
        assert f'<a href="#{name}">{title}</a>' in body


def test_the_choice_its_reason_and_its_code_are_there(page: str) -> None:
    body = html.unescape(body_of(page))
    assert "Trial 2 was chosen because it trains the fewest parameters." in body
    assert "75.3 %" in body  # on the test split
    assert "model = PeftModel.from_pretrained(base, 'best')" in body
    assert "autopeft search reviews.csv --model minilm --time-limit 180" in body


def test_a_percentage_is_not_broken_across_lines() -> None:
    made = records(12)
    reason = "It is the best. Score 80.0 %; beside it 64.3 %."
    page = render([view(records=made, choice=choice(made, reason=reason))])
    assert "Score 80.0\u00a0%; beside it 64.3\u00a0%." in html.unescape(body_of(page))


def test_every_figure_has_a_sentence_and_its_numbers(page: str) -> None:
    body = body_of(page)
    figures = figures_of(page)
    assert set(figures) == {
        *("front", "curves", "importance", "placement", "gates", "prices", "certainty"),
        *("labels", "lengths", "confusion"),
    }
    for name in figures:
        said = re.search(rf'<figcaption id="{name}-said">(.+?)</figcaption>', body)
        assert said is not None and len(said[1]) > 20
        assert f'aria-labelledby="{name}-said"' in body
        assert re.search(rf'id="{name}-said".+?<summary>Numbers.+?<table ', body, re.S)


def test_the_cost_of_the_front_can_be_switched_among_the_six(page: str) -> None:
    front = figures_of(page)["front"]
    assert list(front["switch"]) == [
        *("trainable_params", "head_params", "artifact_bytes", "peak_memory_bytes"),
        *("train_seconds", "latency_seconds"),
    ]
    assert page.count('name="front-switch"') == 6
    for change in front["switch"].values():
        assert len(change["data"]) == len(front["data"])
        assert change["xaxis"]["type"] == "log"


def test_the_front_shows_each_scored_trial_once_and_seeds_as_bars(page: str) -> None:
    made = view()
    front = figures_of(page)["front"]["data"][1:]
    scored = [r for r in made.records if r.curve and r.state is not TrialState.FAILED]
    assert sum(len(trace["x"]) for trace in front) == len(scored)
    mine = next(trace for trace in front if trace["name"] == "the choice")
    assert mine["error_y"]["array"][0] > 0
    assert made.records[2].candidate.describe() in mine["hovertext"][0]


def test_a_price_of_nothing_has_a_place_on_the_logarithmic_axis(page: str) -> None:
    front = figures_of(page)["front"]
    head = next(trace for trace in front["data"] if trace["name"] == "head alone")
    others = [x for t in front["data"][1:] if t is not head for x in t["x"]]
    assert 0 < head["x"][0] < min(others)
    assert front["layout"]["xaxis"]["ticktext"][0] == "0"


def test_a_single_score_is_not_lost_on_an_axis_from_minus_to_plus_one() -> None:
    alone = view(records=records(1), choice=None, replicates={})
    low, high = figures_of(render([alone]))["front"]["layout"]["yaxis"]["range"]
    assert low < alone.records[0].score < high < 1.1 * low
    many = figures_of(render([view()]))
    assert all("range" not in many[name]["layout"]["yaxis"] for name in ("front", "curves"))


def test_the_list_of_trials_and_the_figure_mark_the_same_front() -> None:
    made = view(replicates={})
    best = int(front_figure(made).table.rows[-1][0])
    unlucky = {best: [replicate(made.records[best], 1, 0.0)]}
    fallen = view(replicates=unlucky)
    listed = re.findall(r"<tr><td[^>]*>(\d+)(?:(?!</tr>).)*complete, front<", render([fallen]))
    assert str(best) not in listed
    assert set(listed) == {row[0] for row in front_figure(fallen).table.rows}


def test_equal_trials_are_on_the_front_together_as_on_the_leaderboard() -> None:
    made = records(3)
    best = dataclasses.replace(made[2], score=0.99)
    like = [dataclasses.replace(best, number=number) for number in (3, 4)]
    twins = view(records=(*made[:2], best, *like), replicates={}, choice=None)
    figure = front_figure(twins)
    assert figure is not None
    ours = [row[0] for row in figure.table.rows]
    assert ours == [str(record.number) for record in front_of(twins.records, True)]
    assert {"2", "3", "4"} <= set(ours)
    alone = dataclasses.replace(twins, records=(best, *like))
    assert "which nothing larger beats" in front_figure(alone).summary


def test_what_has_not_ended_is_not_said_to_be_stopped() -> None:
    made = records(30)
    at = next(r for r in made if r.state is TrialState.STOPPED)
    running = dataclasses.replace(at, state=TrialState.RUNNING)
    trials = tuple(running if r is at else r for r in made)
    figures = figures_of(render([view(records=trials)]))
    for name in ("front", "curves"):
        found = [t["name"] for t in figures[name]["data"] for text in t.get("hovertext", ())
                 if f"<b>trial {at.number}<" in text]  # fmt: skip
        assert set(found) == {"not ended"}, name


def test_what_the_time_limit_cut_was_not_beaten_by_others() -> None:
    made = records(30)
    stopped = [r for r in made if r.state is TrialState.STOPPED]
    cut = dataclasses.replace(stopped[0], cut_share=0.5)
    said = html.unescape(body_of(render([view(records=(cut,), replicates={}, choice=None)])))
    assert "1 was cut short by the time limit." in said
    assert "because others were better" not in said
    both = tuple(cut if r is stopped[0] else r for r in made)
    said = html.unescape(body_of(render([view(records=both)])))
    assert f"{len(stopped) - 1} were stopped because others were better" in said
    assert "of the training; 1 was cut short by the time limit." in said


def test_the_best_that_may_be_chosen_is_not_called_the_best() -> None:
    made = records(30)
    best = choice(made)
    assert "has the best mean of 4 finalists" in body_of(render([view(choice=best)]))
    best["finalists"][2] |= {"behind": -0.05}
    said = body_of(render([view(choice=best)]))
    assert "has the best mean of those that may be chosen" in said


def test_placements_that_begin_alike_stay_apart() -> None:
    sites = ("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out", "norm")
    placed = [
        dataclasses.replace(
            record,
            candidate=dataclasses.replace(
                record.candidate, placement=Placement(sites=sites, layers=f"top:{number}")
            ),
        )
        for number, record in enumerate(records(3), start=1)
    ]
    figure = figures_of(render([view(records=tuple(placed), replicates={}, choice=None)]))
    assert len(set(figure["placement"]["data"][0]["x"])) == 3


def test_percentages_close_together_are_told_apart_on_their_axis(page: str) -> None:
    figures = figures_of(render([view(), view()])) | figures_of(page)
    axes = [figures[name]["layout"]["yaxis"] for name in ("front", "curves", "labels", "fronts-1")]
    assert {axis["tickformat"] for axis in axes} == {".1~%"}


def test_only_what_the_page_brings_along_may_run(page: str) -> None:
    found = Elements(page)
    meta = dict(found.tags)["meta"]
    policies = [a["content"] for t, a in found.tags if a.get("http-equiv") is not None]
    assert meta is not None and len(policies) == 1
    rules = dict(rule.split(" ", 1) for rule in policies[0].split("; "))
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'none'"
    allowed = set(rules["script-src"].split())
    kinds = [attributes.get("type") for tag, attributes in found.tags if tag == "script"]
    for kind, text in zip(kinds, found.texts["script"], strict=True):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert (f"'sha256-{digest}'" in allowed) == (kind is None)
    assert len(allowed) == 2
    assert "unsafe-inline" not in policies[0] and "unsafe-eval" not in policies[0]


def test_nothing_is_fetched_and_nothing_has_a_style_of_its_own(page: str) -> None:
    for tag, attributes in Elements(page).tags:
        assert not {"src", "srcset", "style", "action"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert tag not in ("link", "iframe", "object", "embed", "form", "base", "img"), tag
        assert (attributes.get("href") or "#").startswith("#")


def hostile_view() -> RunView:
    made = records(30)
    bad = dataclasses.replace(made[8], message=HOSTILE)
    return view(
        name=HOSTILE,
        folder=f"runs/{HOSTILE}",
        labels=(HOSTILE, LINK),
        records=(*made[:8], bad, *made[9:]),
        choice=choice(made, reason=HOSTILE),
        load_code=HOSTILE,
        mistakes=MistakesView(
            rows=2,
            counts={(HOSTILE, LINK): 1, (LINK, LINK): 1},
            worst=[
                Mistake(
                    row=1,
                    text=f"{HOSTILE} {LINK} \x00 \u2028 \ud800",
                    text_pair=LINK,
                    label=HOSTILE,
                    prediction=LINK,
                    probability=0.5,
                )
            ],
        ),
        importance=Importance(note=HOSTILE),
        settings={HOSTILE: HOSTILE},
        versions={HOSTILE: LINK},
    )


def test_hostile_texts_stay_texts() -> None:
    plain, hostile = Elements(render([view()])), Elements(render([hostile_view()]))
    kinds = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in hostile.tags} <= kinds
    assert not any(tag in ("img", "b", "a") and "src" in found for tag, found in hostile.tags)
    assert any(HOSTILE in text for text in hostile.texts["blockquote"])
    assert any(LINK in text for text in hostile.texts["td"])


def test_plotly_is_given_no_markup_of_others() -> None:
    for figure in figures_of(render([hostile_view()])).values():
        said = json.dumps(figure)
        assert "<img" not in said and "<a href" not in said
        assert "&lt;a href" in said or "click" not in said


def test_json_cannot_end_its_element() -> None:
    text = harmless_json({"</script>": "\u2028<!--<script>&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "\u2028<!--<script>&"}


def test_an_unfinished_run_says_so_and_shows_what_is_there() -> None:
    page = render([view(choice=None, load_code="", mistakes=None)])
    body = body_of(page)
    assert "Nothing was delivered" in body
    assert "front" in figures_of(page) and "certainty" not in figures_of(page)
    assert 'href="#mistakes"' not in body


def test_a_run_without_any_trial_has_a_page() -> None:
    empty = view(
        records=(), replicates={}, choice=None, mistakes=None, gates={}, splits=(), facts={},
        importance=Importance(note="too few"), wall_seconds=None,
    )  # fmt: skip
    page = render([empty])
    assert figures_of(page) == {}
    assert "no trial was begun" in body_of(page)


def test_an_older_run_without_facts_has_a_page() -> None:
    body = body_of(render([view(facts={})]))
    assert "of the backbone" not in body
    assert "75.3 %" in body


def test_where_less_is_better_the_front_falls() -> None:
    made = tuple(
        dataclasses.replace(record, score=None if record.score is None else 2 - record.score)
        for record in records(30)
    )
    turned = view(records=made, replicates={}, metric="rmse", percent=False, choice=None)
    figures = figures_of(render([dataclasses.replace(turned, higher_is_better=False)]))
    line = figures["front"]["data"][0]
    assert line["y"] == sorted(line["y"], reverse=True) and line["x"] == sorted(line["x"])
    assert line["y"][-1] == min(r.score for r in made if r.score is not None)
    assert figures["placement"]["data"][0]["reversescale"] is True


def test_a_run_of_failures_alone_lists_them_and_draws_nothing_of_scores() -> None:
    failed = tuple(record for record in records(30) if record.cause is not None)
    page = render([view(records=failed, replicates={}, gates={}, choice=None, mistakes=None)])
    assert set(figures_of(page)) == {"importance", "labels", "lengths"}
    assert "out-of-memory" in body_of(page)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (wording.share(61, 100_000), "0.061 %"),
        (wording.share(11, 100_000_000), "0.000011 %"),
        (wording.share(997, 1000), "100 %"),
        (wording.share(5, 2), "250 %"),
        (wording.score(23_456.7, False), "23,457"),
        (wording.points(-0.0000114, False), "-0.000011"),
        (wording.seconds(0.9996), "1 s"),
    ],
)
def test_numbers_for_people_have_no_exponent(said: str, expected: str) -> None:
    assert said == expected


def test_prices_far_from_the_default_have_no_exponent() -> None:
    made = view()
    dear = dataclasses.replace(made.records[2].costs, trainable_params=10**9, artifact_bytes=1)
    trials = [dataclasses.replace(r, costs=dear) if r.number == 2 else r for r in made.records]
    figure = prices_figure(dataclasses.replace(made, records=tuple(trials)))
    said = [*figure.layout["xaxis"]["ticktext"], figure.summary, *figure.data[1]["customdata"]]
    assert "13,563× its trained parameters" in figure.summary
    assert any("13,563× the default" in text for text in figure.data[1]["customdata"])
    assert not any(re.search(r"\de[+-]?\d", text) for text in said)


def test_without_a_default_the_prices_are_a_table() -> None:
    made = tuple(record for record in records(30) if record.number > 1)
    page = render([view(records=made, choice=None)])
    assert "prices" not in figures_of(page)
    assert "The six prices" in body_of(page)


def test_numbers_instead_of_classes_are_scattered() -> None:
    pairs = [(row / 10, row / 10 + 0.1) for row in range(50)]
    worst = [
        Mistake(row=1, text="far", text_pair="off", label=4.5, prediction=1.25, probability=None),
        Mistake(row=2, text="a", text_pair=None, label=249_900, prediction=3e5, probability=None),
    ]
    made = view(
        metric="pearson",
        percent=False,
        choice=choice(records(30), metric="pearson", test_scores={"pearson": 0.8}),
        mistakes=MistakesView(rows=50, pairs=pairs, worst=worst),
    )
    page = render([dataclasses.replace(made, labels=(), splits=())])
    confusion = figures_of(page)["confusion"]
    assert confusion["data"][1]["mode"] == "markers"
    body = body_of(page)
    assert "off by 0.1" in body
    for said in ("<b>4.5</b>", "<b>1.25</b>", "<b>249,900</b>", "<b>300,000</b>"):
        assert said in body
    dear = MistakesView(rows=2, pairs=[(9e5, 1e5), (0, 0)])
    far = dataclasses.replace(made, mistakes=dear, labels=(), splits=())
    assert "off by 400,000 on average" in body_of(render([far]))


@pytest.mark.parametrize("labels", [("x" * 50 + "1", "x" * 50 + "2"), ("a  b", "a b")])
def test_classes_that_are_shown_alike_stay_apart(labels: tuple[str, str]) -> None:
    figures = figures_of(render([view(labels=labels)]))
    matrix, bars = figures["confusion"]["data"][0], figures["labels"]["data"][0]
    assert len(set(matrix["x"])) == len(set(bars["x"])) == 2
    assert matrix["y"] == matrix["x"][::-1]


def test_failures_are_counted_by_cause(page: str) -> None:
    made = [record for record in view().records if record.cause is not None]
    body = body_of(page)
    for cause in {record.cause for record in made}:
        count = sum(record.cause is cause for record in made)
        assert re.search(rf'{cause.value}</th><td class="number">{count}<', body)


def test_several_runs_stand_side_by_side() -> None:
    other = view(
        20,
        name="questions",
        choice=None,
        mistakes=None,
        settings={"seed": 3},
        folder="runs/questions",
    )
    page = render([view(), other])
    body = body_of(page)
    assert "2 runs side by side" in body
    assert "Where they differ" in body and "runs/questions" in body
    figures = figures_of(page)
    assert [trace["name"] for trace in figures["fronts-1"]["data"]] == [
        "1: reviews",
        "2: questions",
    ]
    assert {"r1-front", "r2-front", "r1-certainty"} <= set(figures)
    ids = [a["id"] for _, a in Elements(page).tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_runs_of_two_metrics_do_not_share_a_picture() -> None:
    figures = figures_of(render([view(), view(metric="mcc", percent=False, choice=None)]))
    assert {"fronts-1", "fronts-2"} <= set(figures)


def test_two_thousand_trials_stay_below_ten_megabytes() -> None:
    page = render([view(2_000)])
    assert len(page.encode()) < MOST_BYTES
    assert page.count('<td class="number">1999</td>') >= 1


def test_a_failure_after_a_rung_is_no_early_stop() -> None:
    made = view()
    failed = [r for r in made.records if r.state is TrialState.FAILED and r.curve]
    assert failed
    for trace in figures_of(render([made]))["curves"]["data"]:
        assert f"trial {failed[0].number}<" not in " ".join(trace["hovertext"])
