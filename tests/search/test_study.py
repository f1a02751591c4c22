"""The search as a whole, on made-up learning curves."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest

from autopeft.errors import NoCandidateError
from autopeft.methods import METHODS
from autopeft.records import Candidate, Cause, Costs, RungPoint, TrialRecord, TrialState
from autopeft.search import by_method
from autopeft.search.compare import second_chances
from autopeft.search.load import load_space
from autopeft.search.portfolio import hand_made
from autopeft.search.space import Space
from autopeft.search.study import HOPELESS, MAX_ANSWERS, Proposal, Search, hopeless_of
from autopeft.search.thrift import Price
from autopeft.store import TrialStore
from tests.search.made_up import Killed, backbone, begin, evaluate, summary


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("quick").restrict(shape=backbone())


def search_of(
    space: Space,
    *,
    higher_is_better: bool = True,
    max_trials: int | None = None,
    seed: int = 0,
    price: Price | None = None,
) -> Search:
    directions = ["maximize" if higher_is_better else "minimize", "minimize"]
    return Search(
        trials=TrialStore(optuna.create_study(directions=directions)),
        space=space,
        higher_is_better=higher_is_better,
        max_trials=max_trials,
        seed=seed,
        first=list(hand_made(space)),
        price=price,
    )


def run_all(search: Search) -> list[TrialRecord]:
    for proposal in search.candidates():
        evaluate(search, proposal)
    return search.trials.records()


def test_the_order_of_trial(space: Space) -> None:
    records = run_all(search_of(space, max_trials=12))
    default, head = records[:2]
    assert (default.number, default.origin, default.state) == (0, "default", TrialState.COMPLETE)
    assert default.candidate.method == "lora"
    assert default.candidate.knobs["r"] == 8
    assert default.candidate.placement is not None
    assert default.candidate.placement.sites == ("attn.q", "attn.v")
    assert default.candidate.learning_rate == METHODS.get("lora").learning_rate.median
    assert default.candidate.epochs == 3
    assert (head.number, head.origin, head.state) == (1, "head", TrialState.COMPLETE)
    assert head.costs.trainable_params == 0
    first = [r.candidate.method for r in records if r.origin == "portfolio"]
    assert first == ["ia3", "ln_tuning", "bitfit"]  # the low-rank family had its default already
    assert {r.origin for r in records[5:]} == {"tpe"}


def test_references_run_whether_or_not_the_space_names_them() -> None:
    space = load_space("quick").restrict(shape=backbone(), methods=("ia3",))
    records = run_all(search_of(space, max_trials=4))
    assert [r.candidate.method for r in records] == ["lora", "head_only", "ia3", "ia3"]


def test_references_over_the_budget_do_not_run() -> None:
    space = load_space("quick").restrict(shape=backbone(), max_params=1_000)
    records = run_all(search_of(space, max_trials=6))
    assert all(r.costs.trainable_params <= 1_000 for r in records)
    assert records[0].origin == "head"


def test_the_same_seed_proposes_the_same(space: Space) -> None:
    one, same, other = (run_all(search_of(space, max_trials=16, seed=s)) for s in (1, 1, 2))
    assert summary(one) == summary(same) != summary(other)


def test_suggestions_are_thinned_by_their_price(space: Space) -> None:
    def price(one: Candidate) -> float:
        return 2.0 if one.method == "lora" else 0.1

    shares = []
    for own in (None, price):
        search = search_of(space, max_trials=40, price=own)
        suggested = [r.candidate.method for r in run_all(search) if r.origin == "tpe"]
        shares.append(suggested.count("lora") / len(suggested))
        reasons = [t.user_attrs.get("discarded", {}).get("reason", "") for t in search.trials.all()]
        assert any("turn of something cheap" in reason for reason in reasons) == (own is not None)
    plain, thrifty = shares
    assert 0 < thrifty < plain / 2


def test_where_all_is_dear_all_is_tried(space: Space) -> None:
    assert len(run_all(search_of(space, max_trials=30, price=lambda _: 1e6))) == 30


def test_no_candidate_is_trained_twice(space: Space) -> None:
    records = run_all(search_of(space, max_trials=40))
    assert len({r.candidate.fingerprint for r in records}) == 40


def test_the_total_holds_over_resumes(tmp_path: Path, space: Space) -> None:
    for total in (7, 7, 12):
        run, search = begin(tmp_path / "run", space, max_trials=total)
        with run:
            assert len(run_all(search)) == total
            assert search.ended == f"all {total} trials are done"


@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_the_uninterrupted_one(
    tmp_path: Path, space: Space
) -> None:
    total = 14
    whole = summary(run_all(search_of(space, max_trials=total)))
    chance = random.Random(4)
    kills = 0

    def dies(where: str) -> None:
        nonlocal kills
        if chance.random() < 0.12:
            kills += 1
            raise Killed(where)

    while True:
        run, search = begin(tmp_path / "run", space, max_trials=total)
        with run:
            try:
                for proposal in search.candidates():
                    dies("before the training")
                    evaluate(search, proposal, dies=dies)
                    dies("after the record")
                break
            except Killed:
                continue
    assert kills >= 5
    assert summary(search.trials.records()) == whole
    assert not [t for t in search.trials.all() if not t.state.is_finished()]


@pytest.mark.parametrize("call", range(1, 131, 6))
def test_a_kill_at_any_write_changes_nothing(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Kill the supervisor right before its nth write to the study, resume, and compare."""
    total = 14
    calls = 0
    storage = optuna.storages.InMemoryStorage
    writes = ("set_trial_user_attr", "set_trial_system_attr", "set_trial_state_values",
              "create_new_trial", "set_trial_param")  # fmt: skip

    def counted(name: str) -> None:
        plain = getattr(storage, name)

        def method(self: object, *args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call:
                raise Killed(name)
            return plain(self, *args, **options)

        monkeypatch.setattr(storage, name, method)

    whole = summary(run_all(search_of(space, max_trials=total)))
    for name in writes:
        counted(name)
    search = search_of(space, max_trials=total)
    with pytest.raises(Killed):
        run_all(search)
    resumed = Search(
        trials=search.trials,
        space=space,
        higher_is_better=True,
        max_trials=total,
        first=list(hand_made(space)),
    )
    assert summary(run_all(resumed)) == whole
    assert not [t for t in resumed.trials.all() if not t.state.is_finished()]


def test_eight_workers_out_of_order_train_distinct_candidates(space: Space) -> None:
    search = search_of(space, max_trials=160)
    chance = random.Random(4)
    busy: list[Proposal] = []
    begun: list[Proposal] = []
    while True:
        while len(busy) < 8 and (proposal := search.propose()) is not None:
            busy.append(proposal)
            begun.append(proposal)
        if not busy:
            break
        evaluate(search, busy.pop(chance.randrange(len(busy))))
    assert len({p.number for p in begun}) == len(begun)
    records, again = search.trials.records(), search.trials.superseded()
    assert len({p.candidate.fingerprint for p in begun}) == len(records) == 160
    assert len(begun) - len(again) == 160
    assert {r.state for r in again} == {TrialState.STOPPED}


def test_a_stopped_trial_that_would_now_go_on_is_trained_to_its_end(space: Space) -> None:
    search = search_of(space, max_trials=60)
    run_all(search)
    records, again = search.trials.records(), search.trials.superseded()
    assert again
    assert len(records) == 60, "a second chance is no further trial"
    standing = {r.candidate.fingerprint: r for r in records}
    for old in again:
        new = standing[old.candidate.fingerprint]
        assert old.state is TrialState.STOPPED
        assert new.state is TrialState.COMPLETE
        assert new.number > old.number
        assert (new.seed, new.origin) == (old.seed, old.origin)
        assert new.curve[: len(old.curve)] == old.curve
    assert not second_chances(records, True), "nobody is left who would go on"


def test_what_the_clock_cut_before_its_first_rung_is_begun_again(space: Space) -> None:
    search = search_of(space, max_trials=3)
    cut = None
    for proposal in search.candidates():
        if proposal.protected or cut is not None:
            evaluate(search, proposal)
            continue
        cut = proposal
        search.finished(
            TrialRecord(
                number=cut.number,
                candidate=cut.candidate,
                seed=cut.seed,
                state=TrialState.STOPPED,
                origin=cut.origin,
                costs=Costs(trainable_params=cut.trainable_params),
                cut_share=0.1,
            )
        )
    assert cut is not None
    (old,) = search.trials.superseded()
    (new,) = (r for r in search.trials.records() if r.candidate == cut.candidate)
    assert (old.number, new.state) == (cut.number, TrialState.COMPLETE)
    assert not search.trials.has_second_chance(new.number), "rungs may stop it as any other"


def test_without_second_chances_a_stop_is_for_good(space: Space) -> None:
    search = Search(
        trials=search_of(space).trials,
        space=space,
        higher_is_better=True,
        max_trials=60,
        second=lambda *_: (),
    )
    run_all(search)
    assert search.trials.superseded() == []


def test_a_second_chance_survives_a_kill(tmp_path: Path, space: Space) -> None:
    """Killed in a second attempt, the run goes on with it, to its end."""
    run, search = begin(tmp_path / "run", space, max_trials=60)
    with run, pytest.raises(Killed):
        for proposal in search.candidates():
            if search.trials.has_second_chance(proposal.number):
                raise Killed
            evaluate(search, proposal)
    run, search = begin(tmp_path / "run", space, max_trials=60)
    with run:
        (lost,) = search.lost
        run_all(search)
        standing = {r.candidate.fingerprint: r for r in search.trials.records()}
    assert standing[lost.candidate.fingerprint].state is TrialState.COMPLETE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["ia3", "lora", "ln_tuning"])
def test_a_method_that_always_fails_is_left(space: Space, method: str, seed: int) -> None:
    search = search_of(space, max_trials=60, seed=seed)

    def fails(candidate: Candidate) -> Cause | None:
        return Cause.BUG if candidate.method == method else None

    for proposal in search.candidates():
        evaluate(search, proposal, fails=fails)
    later = search.trials.records()[30:]
    assert Counter(r.candidate.method for r in later)[method] <= 3, "10 % of 30"
    told = [t.state for t in search.trials.all()]
    failed = [r.number for r in search.trials.records() if r.state is TrialState.FAILED]
    assert failed
    assert all(told[number] == optuna.trial.TrialState.COMPLETE for number in failed)


def test_a_worker_that_dies_costs_no_trial(space: Space) -> None:
    search = search_of(space, max_trials=9)
    died: list[str] = []

    def fails(candidate: Candidate) -> Cause | None:
        if len(died) < 3 and candidate.fingerprint not in died:
            died.append(candidate.fingerprint)
            return Cause.WORKER_DIED
        return None

    for proposal in search.candidates():
        evaluate(search, proposal, fails=fails)
    records = search.trials.records()
    assert len(records) == 9
    assert all(r.state is not TrialState.FAILED for r in records)
    assert [r.origin for r in records[:2]] == ["default", "head"]
    assert len(search.trials.superseded()) == 3


def test_a_death_after_the_last_proposal_is_begun_again(space: Space) -> None:
    search = search_of(space, max_trials=1)
    proposal = search.propose()
    assert proposal is not None
    assert search.propose() is None
    evaluate(search, proposal, fails=lambda candidate: Cause.WORKER_DIED)
    again = search.propose()
    assert again is not None
    assert again.candidate == proposal.candidate
    assert again.protected


@pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_a_failure(space: Space, score: float | None) -> None:
    search = search_of(space)
    proposal = search.propose()
    assert proposal is not None
    search.finished(
        TrialRecord(
            number=proposal.number,
            candidate=proposal.candidate,
            seed=0,
            state=TrialState.COMPLETE,
            origin="default",
            costs=Costs(trainable_params=1),
            score=score,
        )
    )
    assert search.trials.records()[0].cause is Cause.NON_FINITE


def test_an_error_metric_is_minimised(space: Space) -> None:
    search = search_of(space, higher_is_better=False, max_trials=6)
    decisions: dict[str, bool] = {}
    for proposal in search.candidates():
        error = {"default": 0.3, "head": 0.9}.get(proposal.origin, 0.95)
        if proposal.candidate.method == "ln_tuning":
            error = 0.2
        point = RungPoint(rung=1, share=1 / 3, score=error, wall_seconds=1.0)
        decisions[proposal.candidate.method] = bool(search.rung({proposal.number: point}))
        search.finished(
            TrialRecord(
                number=proposal.number,
                candidate=proposal.candidate,
                seed=0,
                state=TrialState.COMPLETE,
                origin=proposal.origin,
                costs=Costs(trainable_params=proposal.trainable_params),
                score=error,
            )
        )
    assert decisions["ln_tuning"]
    assert not decisions["bitfit"], "worse than the head alone"
    best = [t.values[0] for t in search.trials.study.best_trials]
    assert min(best) == 0.2


def test_an_interruption_does_not_speak_for_a_method_that_always_fails(space: Space) -> None:
    search = search_of(space)
    proposal = search.propose()
    assert proposal is not None

    def failed(number: int, cause: Cause) -> TrialRecord:
        return TrialRecord(
            number=number,
            candidate=proposal.candidate,
            seed=0,
            state=TrialState.FAILED,
            origin="tpe",
            costs=Costs(trainable_params=1),
            cause=cause,
        )

    failures = [failed(number, Cause.OUT_OF_MEMORY) for number in range(HOPELESS)]
    interrupted = failed(HOPELESS, Cause.INTERRUPTED)
    assert hopeless_of([*failures, interrupted]) == {proposal.candidate.method}
    assert hopeless_of([interrupted] * HOPELESS) == set()


def test_a_sampler_that_repeats_itself_does_not_end_the_search(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stubborn(**_: object) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=0)

    monkeypatch.setattr(by_method, "ByMethodSampler", stubborn)
    search = search_of(space, max_trials=30)
    assert len(run_all(search)) >= 30
    assert search.ended == "all 30 trials are done"


def test_an_exhausted_space_says_so(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("epochs: 3\nmethods: {ia3: {learning_rate: [1e-3, 1e-2]}}\n")
    search = search_of(load_space(file).restrict(shape=backbone()))
    records = run_all(search)
    assert len(records) == 4
    assert search.ended is not None
    assert "exhausted" in search.ended and "(the same as trial" in search.ended
    before, said = len(search.trials.all()), search.ended
    assert run_all(search) == records
    assert search.ended == said
    assert len(search.trials.all()) == before <= 4 + 2 * MAX_ANSWERS


def test_what_is_over_a_budget_is_not_begun_and_does_not_count(space: Space) -> None:
    def limit(candidate: Candidate) -> str | None:
        return "needs 9 GB" if candidate.method == "bitfit" else None

    study = optuna.create_study(directions=["maximize", "minimize"])
    search = Search(
        trials=TrialStore(study), space=space, higher_is_better=True, max_trials=30, limit=limit
    )
    records = run_all(search)
    assert len(records) == 30
    assert all(r.candidate.method != "bitfit" for r in records)
    rejected = [t for t in search.trials.all() if "discarded" in t.user_attrs]
    assert all(t.constraints for t in rejected if t.user_attrs["discarded"]["excess"])


def test_a_limit_that_nothing_passes_is_an_error(space: Space) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    search = Search(
        trials=TrialStore(study),
        space=space,
        higher_is_better=True,
        limit=lambda candidate: "needs 9 GB; 2 GB are allowed",
    )
    with pytest.raises(NoCandidateError, match="needs 9 GB"):
        search.propose()


def test_the_head_is_the_floor_and_slow_starters_are_spared_once(space: Space) -> None:
    search = search_of(space)
    for _ in range(2):
        proposal = search.propose()
        assert proposal is not None
        evaluate(search, proposal)
    weak = search.propose()
    assert weak is not None
    point = RungPoint(rung=0, share=1 / 9, score=0.4, wall_seconds=1.0)
    assert not search.rung({weak.number: point})
    assert search.trials.records()[-1].curve == (point,)


def test_search_imports_neither_torch_nor_train() -> None:
    code = (
        "import sys, autopeft.search.study, autopeft.search.select, autopeft.search.load;"
        "from autopeft.search.load import load_space; load_space('wide');"
        "import autopeft.search.schema as s; s.schema();"
        "print([m for m in ('torch', 'autopeft.train', 'transformers') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
