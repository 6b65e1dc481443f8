"""Who is in a merge, and what kind of person it is, through a whole small study."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit import evaluate, load_results
from prime_audit.config import load_study
from prime_audit.core import Seeds
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, read_module
from prime_audit.report.html import render_html
from prime_audit.results import Gap, Metric, Results
from prime_audit.study import black_box
from prime_audit.study.attributes import attribute_gaps
from prime_audit.study.black_box import (
    ask_about_sharers,
    black_box_gaps,
    black_box_metrics,
    black_box_unit,
)
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.opening import open_study
from prime_audit.study.plan import describe_plan
from prime_audit.study.work import score_adapter
from prime_audit.study.workbench import Workbench
from tests.support import write_study

METHODS = [
    "base",
    "uniform",
    {"kind": "fixed-weights", "id": "first", "weights": [1.0, 0.0]},
    {"kind": "fixed-weights", "id": "turned", "weights": [1.0, -1.0]},
]
SECTIONS: dict[str, Any] = {
    "methods": METHODS,
    "data": {"sharers": 9, "targets": 2, "public": 2, "max_input_words": 12},
    "audit": {
        "permutations": 1000,
        "attacks": ["loss", "reference"],
        "controls": ["without-sharer"],
        "linkage_black_box": {"targets": 2},
        "attributes": True,
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(home / "cache"))
        evaluate(load_study(str(write_study(home, **SECTIONS))), home / "run")
    return home / "run"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return load_results(run)


def one(results: Results, name: str, method: str | None, **part: object) -> Metric:
    (found,) = [m for m in results.metrics if (m.id, m.method, m.slice or {}) == (name, method, part)]
    return found


def outputs(run: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return {line["unit"]: line["output"] for line in lines}


def tokens(run: Path, name: str) -> TokenScores:
    (path,) = (run / "evidence").glob(f"{name}.*.safetensors")
    return TokenScores.load(path)


def test_the_gain_is_that_of_the_evidence(run: Path, results: Results) -> None:
    """Of merged sharers it follows from what the membership attacks read."""
    config = load_study(str(run.parent / "study.yaml"))
    flips = draw_design(config, load_dataset(config)).flips
    trained, held_out = [], []
    for target, selected in outputs(run)["select"]["selected"].items():
        merged = tokens(run, f"score.uniform.{target}").sum()
        base = np.concatenate([tokens(run, f"score.base.{user}").sum() for user in selected])
        member = np.concatenate([flips[user] for user in selected]).astype(bool)
        half = len(member) // 2
        sides = [(merged - base)[part][member[part]].mean() for part in (slice(half), slice(half, None))]
        trained.append(np.mean(sides))
        sides = [(merged - base)[part][~member[part]].mean() for part in (slice(half), slice(half, None))]
        held_out.append(np.mean(sides))
    part = {"sharers": "merged"}
    for score, expected in (("trained", trained), ("held-out", held_out)):
        found = one(results, "linkage.black_box.gain", "uniform", score=score, **part)
        assert found.value == pytest.approx(np.mean(expected), abs=1e-6)
    found = one(results, "linkage.black_box.gain", "uniform", score="difference", **part)
    assert found.value == pytest.approx(np.mean(trained) - np.mean(held_out), abs=1e-6)
    assert found.n is not None
    assert (found.n.attempted, found.n.scored, found.n.members, found.n.nonmembers) == (2, 2, 4, 14)


@pytest.mark.parametrize(
    ("batches", "groups"), [(0, [1] * 7), (5, [3, 3, 1]), (1000, [7])], ids=["one", "some", "all"]
)
def test_how_many_are_asked_about_at_a_time_changes_no_gain(
    run: Path, monkeypatch: pytest.MonkeyPatch, batches: int, groups: list[int]
) -> None:
    """Beside rounding, the gains are those of one pass over everybody; no more than a group is held."""
    config = load_study(str(run.parent / "study.yaml"))
    bench, _ = open_study(config, load_dataset(config), run.parent / "cache", run)
    done, target = outputs(run), "target-01"
    kept: dict[str, Any] = {}
    asked: list[int] = []

    def counted(
        bench: Workbench, users: list[str], modules: list[LoraModule], weights: NDArray[np.float64]
    ) -> TokenScores:
        asked.append(len(users))
        return score_adapter(bench, users, modules, weights)

    monkeypatch.setattr(black_box, "_BATCHES", batches)
    monkeypatch.setattr(black_box, "score_adapter", counted)
    monkeypatch.setattr(bench, "save_parts", lambda _, parts: kept.update(parts))
    selected = list(done["select"]["selected"][target])
    name, pool = black_box_unit("turned", target), done["select"]["pool"]
    said = ask_about_sharers(bench, name, done[f"deploy/turned/{target}"], selected, pool)
    assert asked == groups
    assert said == done[name]
    assert sorted(said["sharers"]) == sorted(pool)
    deployed = read_module(bench.adapter_path("turned", target))
    at_once = score_adapter(bench, said["sharers"], [deployed], np.ones(1)).sum()
    base = np.concatenate([tokens(run, f"score.base.{user}").sum() for user in said["sharers"]])
    np.testing.assert_allclose(kept["gain"], at_once - base, atol=1e-5, rtol=0)
    assert np.median(np.abs(kept["gain"])) > 1e-2, "gains that rounding would hide compare nothing"


def test_a_sharer_without_weight_is_one_of_the_others(run: Path, results: Results) -> None:
    found = one(results, "linkage.black_box.auc", "first", score="trained")
    assert found.n is not None
    assert (found.n.members, found.n.nonmembers) == (2, 16)
    # The model of `first` is the nearest sharer's module, so that to it the second is any other sharer.
    units = outputs(run)
    for target, selected in units["select"]["selected"].items():
        assert units[f"black-box/first/{target}"]["weights"][:2] == [1.0, 0.0]
        assert units[f"black-box/first/{target}"]["sharers"][:2] == list(selected)
        # Uniform, made again without the second sharer, is that module too: nothing of the second is in it.
        with_zero, without = (
            tokens(run, f"score.{name}.{target}").sum() for name in ("first", "control-without-sharer")
        )
        second = len(with_zero) // 2
        np.testing.assert_allclose(with_zero[second:], without[second:], atol=1e-3)


def test_a_negative_weight_stands_apart(results: Results) -> None:
    found = one(results, "linkage.black_box.auc", "turned", score="trained", sharers="turned")
    assert found.value is not None
    assert found.direction is None
    assert found.n is not None
    assert (found.n.scored, found.n.members, found.n.nonmembers) == (2, 2, 14)
    reason = one(results, "linkage.black_box.auc", "turned", score="trained").reason
    assert "2 pairs with a negative weight stand apart" in reason


def test_similarity_tells_them_apart_by_itself(results: Results) -> None:
    similarity = one(results, "linkage.black_box.auc", "uniform", score="similarity")
    assert (similarity.value, similarity.direction) == (1.0, None)
    adjusted = one(results, "linkage.black_box.adjusted_auc", "uniform", score="difference")
    assert adjusted.status == "undefined"
    assert "separates merged from other sharers fully" in adjusted.reason


def test_merges_without_them_stand_beside_the_method_that_was_made_again(results: Results) -> None:
    without = [m for m in results.metrics if (m.slice or {}).get("sharers") == "without"]
    assert {m.method for m in without} == {"uniform"}
    merged = one(results, "linkage.black_box.gain", "uniform", score="difference", sharers="merged")
    left = one(results, "linkage.black_box.gain", "uniform", score="difference", sharers="without")
    assert merged.value is not None
    assert left.value is not None
    # Half of each merge is the sharer's own module, and without it the other sharer's alone is left.
    assert merged.value != left.value
    found = one(results, "linkage.black_box.learnt", "uniform")
    assert found.value is not None
    assert found.direction == "lower"
    assert one(results, "linkage.black_box.learnt", "first").status == "undefined"


def test_what_was_asked_is_covered(results: Results) -> None:
    asked = {f"{method}/black-box" for method in ("uniform", "first", "turned")}
    assert {*asked, "attributes/modules"} <= set(results.coverage.run)


class Desk:
    """As much of a workbench as a unit without an adapter needs."""

    seeds = Seeds(1)

    def __init__(self) -> None:
        self.saved: dict[str, dict[str, Any]] = {}

    def save_parts(self, name: str, parts: dict[str, Any]) -> None:
        self.saved[name] = parts


def test_a_method_that_fell_back_is_a_gap_and_undefined() -> None:
    desk, name = Desk(), black_box_unit("prime", "t1")
    bench = cast(Workbench, desk)
    said = ask_about_sharers(bench, name, {"adapter": None}, ["ann"], ["ann", "bob"])
    assert desk.saved == {name: {}}
    fell_back = {name: said, black_box_unit("prime", "t2"): said}
    (gap,) = black_box_gaps(fell_back)
    assert gap == (Gap(id="prime/black-box", reason="run on 0 of 2 models; it fell back to the base"), 0)
    config = SimpleNamespace(audit=SimpleNamespace(run_controls=()))
    metrics = black_box_metrics(cast(Workbench, SimpleNamespace(seeds=Seeds(1), config=config)), fell_back)
    assert {metric.status for metric in metrics} == {"undefined"}
    assert all(m.n is not None and (m.n.attempted, m.n.scored) == (2, 0) for m in metrics)


def test_attributes_without_any_figure_are_a_gap() -> None:
    assert attribute_gaps({}) == []
    short = {"attributes/modules": {"found": {}, "skipped": "length is undefined: needs 2 classes"}}
    (gap,) = attribute_gaps(short)
    assert gap == (Gap(id="attributes/modules", reason="length is undefined: needs 2 classes"), 0)


def test_attributes_have_a_figure_or_a_reason(results: Results) -> None:
    family: dict[str, object] = {"attribute": "family", "from": "modules"}
    # Nine sharers in four families: one has three of them.
    found = one(results, "attribute.accuracy", None, **family)
    assert found.reason == "undefined: needs 2 classes of 3 users, has 1"
    length = one(results, "attribute.accuracy", None, **{**family, "attribute": "length"})
    assert length.value is not None
    assert (length.adversary, length.subject, length.ci) == ("A0", "sharer", None)
    assert one(results, "attribute.p", None, **{**family, "attribute": "length"}).value is not None


def test_what_the_choice_and_the_weights_say_stands_apart(run: Path, results: Results) -> None:
    part = {"attribute": "family"}
    choice = one(results, "attribute.accuracy", None, **part, **{"from": "choice"})
    family = {f"target-{place:02d}": place for place in (1, 2)}
    right = []
    for target, selected in outputs(run)["select"]["selected"].items():
        votes = [(int(user[-2:]) - 1) % 4 + 1 for user in selected]
        most = [vote for vote in set(votes) if votes.count(vote) == max(map(votes.count, votes))]
        right.append((family[target] in most) / len(most))
    assert choice.value == pytest.approx(np.mean(right))
    assert choice.subject == "target"
    weights = one(results, "attribute.accuracy", "uniform", **part, **{"from": "weights"})
    assert weights.reason == "undefined: the weights are the same for every target"
    assert one(results, "attribute.accuracy", "uniform", **part, **{"from": "both"}).value == choice.value


def test_the_report_shows_both_and_no_linkage_of_adapters(results: Results) -> None:
    page = render_html(results, {}, None)
    assert "Are sharers recognised by likelihood?" in page
    assert "What kind of person is it?" in page
    assert "Are sharers recognised in the adapters?" not in page


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"methods": ["base", "oppu"]}, "audit.linkage_black_box is about merges"),
        (
            {"methods": ["base", "oppu"], "audit": {"attributes": True}},
            "audit.attributes is about merges",
        ),
        (
            {"data": {"sharers": 2, "targets": 1}},
            "audit.linkage_black_box compares merged sharers with others, and each target merges all",
        ),
        (
            {"audit": {"linkage_black_box": {"methods": ["unifrom"]}}},
            "audit.linkage_black_box.methods: 'unifrom' is no method of this study",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    audit: dict[str, Any] = {"controls": [], "linkage_black_box": {}}
    path = write_study(tmp_path, **{**SECTIONS, "audit": audit, **sections})
    with pytest.raises(ConfigError, match=said):
        describe_plan(load_study(str(path)))


def test_the_published_design_has_no_held_out_records(tmp_path: Path) -> None:
    audit: dict[str, Any] = {"design": "prime-paper", "linkage_black_box": {}}
    path = write_study(tmp_path, **{**SECTIONS, "audit": audit})
    with pytest.raises(ConfigError, match="'linkage_black_box' needs 'design: holdout'"):
        load_study(str(path))
