"""Scoring as LaMP's evaluator does, against scikit-learn and rouge-score on sets with invalid outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import BootstrapAggregator
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error

from prime_audit.config import DataConfig
from prime_audit.data import FORMS, TASKS, Task, read_dataset
from prime_audit.errors import DataError
from prime_audit.utility import lamp_scores, score_file
from prime_audit.utility.lamp_scorer import bootstrap_middle
from tests.lamp_files import write_lamp

SETS = 500
LABELLED = ("lamp-1", "lamp-2", "lamp-2n", "lamp-3")
NO_LABEL = (
    "",
    " ",
    "[3]",
    "[1",
    "Comedy",
    "comedy!",
    "the label is comedy",
    "sportsy",
    "😀",
    "نعم",
    "[1] [2]",
)
NO_NUMBER = ("", "five", "5 stars", "4/5", "4,5", "1 2", "--3", "🌟", "None")
WORDS = (
    "big",
    "fire",
    "Town",
    "runs",
    "running",
    "42",
    "café",
    "",
    "the",
    "a-b",
    "news",
    "\n",
    "{x}",
    "البحر",
)


def outputs(task: Task, golds: list[str], rng: Generator) -> list[str]:
    """Predictions of which about half are right and a fifth are not valid at all."""
    said = []
    for gold in golds:
        draw = rng.random()
        if draw < 0.5:
            said.append(f" {gold} " if draw < 0.1 else gold)
        elif draw < 0.8:
            said.append(str(rng.choice(task.labels)))
        else:
            said.append(str(rng.choice(NO_NUMBER if task.kind == "number" else NO_LABEL)))
    if task.kind == "number":
        said = [f"{text}.0" if text.isdecimal() and rng.random() < 0.1 else text for text in said]
    return said


def classes(texts: list[str], labels: tuple[str, ...]) -> list[int]:
    return [labels.index(text.strip()) if text.strip() in labels else -1 for text in texts]


def rating(text: str, gold: str) -> float:
    """LaMP's rule, written down a second time: what is no number is the end that is further away."""
    try:
        return float(text)
    except ValueError:
        return 1.0 if abs(1 - float(gold)) > abs(5 - float(gold)) else 5.0


@pytest.mark.parametrize("sets", [SETS // 4, pytest.param(SETS, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", LABELLED)
def test_labels_and_ratings_equal_scikit_learn(name: str, sets: int) -> None:
    task, rng = TASKS[name], np.random.default_rng(1)
    for _ in range(sets):
        size = int(rng.integers(1, 60))
        golds = [str(label) for label in rng.choice(task.labels, size=size)]
        said = outputs(task, golds, rng)
        found = lamp_scores(task, dict(enumerate_ids(said)), dict(enumerate_ids(golds)))
        if task.kind == "number":
            stars, given_stars = [float(gold) for gold in golds], list(map(rating, said, golds))
            expected = {
                "mae": mean_absolute_error(stars, given_stars),
                "rmse": mean_squared_error(stars, given_stars) ** 0.5,
            }
        else:
            right, given = classes(golds, task.labels), classes(said, task.labels)
            every = list(range(len(task.labels)))
            macro = f1_score(right, given, labels=every, average="macro", zero_division=0)
            expected = {"accuracy": accuracy_score(right, given), "f1": macro}
        assert found == pytest.approx(expected, abs=1e-12)


def enumerate_ids(texts: list[str]) -> list[tuple[str, str]]:
    return [(f"q{i}", text) for i, text in enumerate(texts)]


def texts(rng: Generator, size: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=int(rng.integers(0, 9)))) for _ in range(size)]


@pytest.mark.parametrize("sets", [SETS // 4, pytest.param(SETS, marks=pytest.mark.long)])
def test_plain_means_equal_rouge_score(sets: int) -> None:
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
    rng = np.random.default_rng(2)
    for _ in range(sets):
        size = int(rng.integers(1, 20))
        golds, said = texts(rng, size), texts(rng, size)
        found = lamp_scores(TASKS["lamp-4"], dict(enumerate_ids(said)), dict(enumerate_ids(golds)))
        each = [scorer.score(gold.strip(), one.strip()) for gold, one in zip(golds, said, strict=True)]
        for name, key in (("rouge_1_mean", "rouge1"), ("rouge_l_mean", "rougeL")):
            assert found[name] == pytest.approx(np.mean([one[key].fmeasure for one in each]), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_bootstrap_is_that_of_rouge_score(seed: int) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    rng = np.random.default_rng(seed)
    golds, said = texts(rng, 40), texts(rng, 40)
    each = [scorer.score(gold, one) for gold, one in zip(golds, said, strict=True)]
    aggregator = BootstrapAggregator()
    for one in each:
        aggregator.add_scores(one)
    np.random.seed(seed)
    expected = aggregator.aggregate()["rougeL"].mid.fmeasure
    values = np.array([[one["rougeL"].fmeasure] for one in each])
    assert bootstrap_middle(values, seed)[0] == pytest.approx(expected, abs=1e-12)
    # The middle of the bootstrap differs from the mean by resampling alone.
    assert abs(expected - values.mean()) < 0.01


def test_every_query_has_one_prediction_and_no_other() -> None:
    golds = {f"q{i}": "1" for i in range(9)}
    with pytest.raises(DataError) as caught:
        lamp_scores(TASKS["lamp-3"], {"q0": "1", "x": "1"}, golds)
    assert "8 queries have no prediction (q1, q2, q3, q4, q5, ...)" in str(caught.value)
    assert "1 predictions are about no query (x)" in str(caught.value)


@pytest.mark.parametrize("task", list(FORMS))
def test_scoring_files_per_user_and_overall(tmp_path: Path, task: str) -> None:
    folder = write_lamp(tmp_path, task)
    golds = folder / "dev_outputs.json"
    content = json.loads(golds.read_text())
    content["golds"][0]["output"] = ""
    said = tmp_path / "said.json"
    said.write_text(json.dumps(content))
    data = read_dataset(DataConfig(path=str(folder)), TASKS[task])
    found = score_file(said, golds, TASKS[task], data)
    users, metrics = found["users"], found["metrics"]
    assert isinstance(users, dict)
    assert isinstance(metrics, dict)
    best = {"accuracy": 1.0, "mae": 0.0, "rouge_l_mean": 1.0}
    name = next(name for name in best if name in metrics)
    # One of four answers is empty; it is the first target's.
    assert users["t1"][name] == best[name]
    assert users["t0"][name] != best[name]
    assert metrics[name] == pytest.approx((users["t0"][name] + users["t1"][name]) / 2)
    assert found["queries"] == 4


def test_broken_predictions_are_refused(tmp_path: Path) -> None:
    folder = write_lamp(tmp_path, "lamp-3")
    golds, said = folder / "dev_outputs.json", tmp_path / "said.json"
    for content, message in (
        ({"task": "LaMP_4", "golds": []}, "not of task lamp-3"),
        ({"task": "LaMP_3", "golds": [{"id": "t0-q0", "output": ["5"]}]}, "expected text, found a list"),
        ({"task": "LaMP_3", "golds": [{"id": "t0-q0"}]}, "output: missing"),
        ({"task": "LaMP_3", "golds": []}, "4 queries have no prediction"),
    ):
        said.write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            score_file(said, golds, TASKS["lamp-3"])
    other = read_dataset(DataConfig(path=str(folder), targets=1), TASKS["lamp-3"])
    said.write_text(golds.read_text())
    with pytest.raises(DataError, match="not those of the users' queries"):
        score_file(said, golds, TASKS["lamp-3"], other)
