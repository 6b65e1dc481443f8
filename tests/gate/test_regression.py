from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prime_audit.errors import ConfigError, DataError, IncompleteError
from prime_audit.gate import Gate, Run, judge, make_baseline, read_baseline, write_baseline
from prime_audit.gate.difference import interval_difference
from prime_audit.results import CI
from tests.gate.sets import PRIMARY, SECONDARY, Limit, world

ALL = (PRIMARY, *SECONDARY)
Change = Callable[[Run], Run]


def failures(pairs: int, rules: Sequence[Limit], *, more: float = 0.0, seeds: int = 5, first: int = 0) -> int:
    """How often the gate fails a run against a baseline of the same method, or of one that leaks more."""
    failed = 0
    for pair in range(pairs):
        rng = np.random.default_rng([20261127, first, pair])
        made = world(rng, attacks=tuple(rule.attack for rule in rules if rule.attack))
        baseline = made.baseline(rng, seeds, rules)
        failed += judge(made.train(rng, more=more, seed=99), rules, baseline).verdict == "fail"
    return failed


def test_an_unchanged_method_rarely_fails_and_a_leaking_one_does() -> None:
    assert failures(50, [PRIMARY]) <= 7
    assert failures(50, [PRIMARY], more=0.6) >= 45


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_unchanged_method_fails_at_most_as_often_as_it_should() -> None:
    assert failures(1000, [PRIMARY]) <= 73
    # Two families of tests share nothing: each has 5 %.
    assert failures(1000, ALL, first=1) <= 122


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_method_that_is_made_to_leak_fails() -> None:
    assert failures(1000, ALL, more=0.6, first=2) >= 950


def test_more_rules_take_nothing_from_the_primary_one() -> None:
    rng = np.random.default_rng(3)
    made = world(rng)
    baseline, run = made.baseline(rng), made.train(rng, more=0.3, seed=9)
    alone, among = judge(run, [PRIMARY], baseline), judge(run, ALL, baseline)
    assert alone.rules[0] == among.rules[0]


def test_training_seeds_widen_the_test() -> None:
    rng = np.random.default_rng(5)
    made = world(rng, wander=0.4)
    five, run = made.baseline(rng, 5), made.train(rng, seed=9)
    one = make_baseline([made.train(rng, seed=1)], ALL, "first")
    seen = [judge(run, [PRIMARY], baseline).rules[0].detectable for baseline in (five, one)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0] > 1.2 * seen[1]


def test_one_training_seed_says_that_this_run_differs() -> None:
    rng = np.random.default_rng(6)
    made = world(rng)
    gate = judge(made.train(rng, more=1.5, seed=9), [PRIMARY], made.baseline(rng, 1))
    assert gate.exit_code == 3
    assert gate.rules[0].reason.startswith("this run differs")


def test_the_same_run_again_changes_nothing() -> None:
    rng = np.random.default_rng(7)
    made = world(rng)
    run = made.train(rng, seed=1)
    gate = judge(run, ALL, make_baseline([run], ALL, "first"))
    assert gate.exit_code == 0
    assert [rule.delta for rule in gate.rules] == pytest.approx([0.0] * 4, abs=1e-9)


def test_members_that_are_ranked_last_leak_too() -> None:
    rng = np.random.default_rng(8)
    made = world(rng, gap=0.0)
    gate = judge(made.train(rng, more=-1.5, seed=9), [PRIMARY], made.baseline(rng))
    assert gate.exit_code == 3


def test_a_tolerance_is_allowed_and_a_larger_change_is_not() -> None:
    rng = np.random.default_rng(9)
    made = world(rng)
    baseline, run = made.baseline(rng), made.train(rng, more=1.0, seed=9)
    assert judge(run, [replace(PRIMARY, max_increase=0.4)], baseline).exit_code == 0
    assert judge(run, [replace(PRIMARY, max_increase=0.02)], baseline).exit_code == 3


def test_intervals_by_hand() -> None:
    # Standard errors of .05 each, as if independent: z = .2 / (.05 sqrt 2) = 2.83, one-sided .0023.
    half = 1.959964 * 0.05
    found = interval_difference(
        0.8,
        CI(low=0.8 - half, high=0.8 + half, how="x"),
        [(0.6, CI(low=0.6 - half, high=0.6 + half, how="x"))],
    )
    assert found.p(0.0, increase=True) == pytest.approx(0.00234, abs=1e-5)
    assert found.p(0.0, increase=False) == pytest.approx(1 - 0.00234, abs=1e-5)
    assert found.detectable(0.0, increase=True) == pytest.approx((1.6449 + 1.2816) * 0.0707, abs=1e-4)


def _lost_attack(run: Run) -> Run:
    kept = tuple(m for m in run.results.metrics if m.attack != "reference")
    return replace(run, results=run.results.model_copy(update={"metrics": kept}))


def _no_scores(run: Run) -> Run:
    return replace(run, scores=None)


def _shorter(run: Run) -> Run:
    assert run.scores is not None
    users = {
        name: entry.model_copy(update={"records": entry.records[:-1], "member": entry.member[:-1]})
        for name, entry in run.scores.users.items()
    }
    sets = tuple(
        one.model_copy(
            update={
                "users": tuple(
                    rows.model_copy(update={"scores": tuple(row[:-1] for row in rows.scores)})
                    for rows in one.users
                )
            }
        )
        for one in run.scores.sets
    )
    return replace(run, scores=run.scores.model_copy(update={"users": users, "sets": sets}))


def _other_scores(run: Run) -> Run:
    assert run.scores is not None
    first = run.scores.sets[0]
    turned = tuple(
        rows.model_copy(
            update={"scores": tuple(tuple(-s for s in row if s is not None) for row in rows.scores)}
        )
        for rows in first.users
    )
    sets = (first.model_copy(update={"users": turned}), *run.scores.sets[1:])
    return replace(run, scores=run.scores.model_copy(update={"sets": sets}))


def _identity(**changed: object) -> Change:
    def change(run: Run) -> Run:
        assert run.identity is not None
        return replace(run, identity=run.identity.model_copy(update=changed))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_lost_attack, "no such metric"),
        (_no_scores, "keeps no scores"),
        (_shorter, "are not the baseline's"),
        (_other_scores, "scores.json does not give the value"),
        (_identity(data="other"), "the data"),
        (_identity(data=None), "the data"),
        (_identity(task="other"), "the task"),
        (_identity(design={"design.json": "other"}), "the design design.json"),
        (_identity(design={}), "the design design.json"),
        (_identity(attacks={"reference": 2, "loss": 1, "zlib": 1}), "version 2, the baseline's is 1"),
        (_identity(results_schema=2), "the schema"),
        (lambda run: replace(run, identity=None), "does not say what it was made from"),
    ],
)
def test_what_cannot_be_compared_is_never_a_pass(change: Change, words: str) -> None:
    rng = np.random.default_rng(10)
    made = world(rng)
    baseline, run = made.baseline(rng), made.train(rng, seed=9)
    assert judge(run, [PRIMARY], baseline).rules[0].verdict == "pass"
    gate: Gate = judge(change(run), [PRIMARY], baseline)
    assert gate.exit_code == 4
    assert words in gate.rules[0].reason


def test_a_baseline_comes_back_and_keeps_its_history(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    made = world(rng)
    path = tmp_path / "b.json"
    write_baseline(path, made.baseline(rng, 2))
    text = path.read_bytes()
    first = read_baseline(path)
    write_baseline(path, first)
    assert path.read_bytes() == text
    runs = [made.train(rng, seed=k) for k in range(3)]
    second = make_baseline(runs, ALL, "a better method", first)
    assert [change.reason for change in second.history] == ["first", "a better method"]
    assert [change.runs for change in second.history] == [2, 3]
    assert second.history[0].values != second.history[1].values


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"schema_version": 1', '"schema_version": 2', "schema version 2"),
        ('"history"', '"past"', "not a baseline"),
        ('"value": 0.', '"value": NaN, "was": 0.', "b.json"),
        ('"data": "d"', '"data": 7', "identity.data"),
        ("{", "", "b.json"),
    ],
)
def test_a_broken_baseline_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    rng = np.random.default_rng(12)
    path = tmp_path / "b.json"
    write_baseline(path, world(rng).baseline(rng, 1))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        read_baseline(path)


def test_runs_that_do_not_belong_together_make_no_baseline() -> None:
    rng = np.random.default_rng(13)
    made = world(rng)
    run = made.train(rng, seed=1)
    with pytest.raises(IncompleteError, match="repeats an earlier one"):
        make_baseline([run, run], ALL, "x")
    with pytest.raises(IncompleteError, match="other settings"):
        make_baseline([run, _identity(study="other")(made.train(rng, seed=2))], ALL, "x")
    with pytest.raises(IncompleteError, match="the data"):
        make_baseline([run, _identity(data="other")(made.train(rng, seed=2))], ALL, "x")
    with pytest.raises(ConfigError, match="--reason"):
        make_baseline([run], ALL, " \n")
    with pytest.raises(ConfigError, match="compares with a baseline"):
        make_baseline([run], [Limit("mia.auc", max=0.9)], "x")
