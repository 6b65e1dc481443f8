"""The sharers' section in a study: who is selected, who is in the pool, what the audit leaves out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prime_audit.config import MethodSettings, StudyConfig, load_study
from prime_audit.core import Seeds
from prime_audit.data import draw_holdout, make_dataset
from prime_audit.errors import ConfigError, DataError, ModelError
from prime_audit.models import score_tokens
from prime_audit.personalize import METHODS, Personalisation, TargetContext
from prime_audit.results import Results
from prime_audit.study import deploying, work
from prime_audit.study.inputs import load_dataset
from prime_audit.study.plan import plan
from prime_audit.study.runner import run_study
from prime_audit.study.store import Store
from prime_audit.study.workbench import Workbench
from tests.sentence_folder import write_sentence_folder
from tests.support import write_study

SHARE = 0.3


def study(folder: Path, **sections: object) -> StudyConfig:
    return load_study(write_study(folder, **sections))


def bench_of(folder: Path, **sections: object) -> Workbench:
    config = study(folder, **sections)
    dataset = load_dataset(config)
    holdout = draw_holdout(dataset, Seeds(config.seed), config.sharers.calibration)
    return Workbench(config, dataset, holdout, Store(folder / "store"), folder / "run")


def embedders(folder: Path) -> tuple[str, ...]:
    return ("base", "tfidf", str(write_sentence_folder(folder / "encoder")))


def test_the_choice_for_a_target_ignores_the_other_targets(tmp_path: Path) -> None:
    people = {"sharers": 6, "targets": 3}
    for embedder in embedders(tmp_path):
        sharers = {"per_target": 2, "representatives": 4, "embedder": embedder}
        bench = bench_of(tmp_path, data=people, sharers=sharers)
        whole = work.select(bench)
        assert len(whole["pool"]) == 4
        for target in bench.dataset.targets:
            users = [u for u in bench.dataset.users if u.role != "target" or u.id == target.id]
            alone = replace(bench, dataset=make_dataset(bench.dataset.task, users))
            assert work.select(alone) == {
                "selected": {target.id: whole["selected"][target.id]},
                "pool": whole["pool"],
            }


def test_every_embedder_selects_from_the_pool_by_its_own_cosines(tmp_path: Path) -> None:
    cosines = []
    for embedder in embedders(tmp_path):
        sharers = {"per_target": 2, "representatives": 3, "embedder": embedder}
        (found,) = (out := work.select(bench_of(tmp_path, sharers=sharers)))["selected"].values()
        assert set(found) <= set(out["pool"])
        assert list(found.values()) == sorted(found.values(), reverse=True)
        cosines.append(tuple(found.values()))
    assert len(set(cosines)) == 3


def test_without_representatives_everyone_is_in_the_pool(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    assert work.select(bench)["pool"] == [sharer.id for sharer in bench.dataset.sharers]


def test_held_out_records_do_not_move_the_choice(tmp_path: Path) -> None:
    for embedder in embedders(tmp_path):
        bench = bench_of(tmp_path, sharers={"per_target": 2, "embedder": embedder, "representatives": 3})
        users = [
            u
            if u.role == "public"
            else replace(
                u,
                history=tuple(
                    i if flip else replace(i, input="other words", answer="x")
                    for i, flip in zip(u.history, bench.holdout.flips[u.id], strict=True)
                ),
            )
            for u in bench.dataset.users
        ]
        other = replace(bench, dataset=make_dataset(bench.dataset.task, users))
        assert work.select(other) == work.select(bench)


def keys(folder: Path, **sections: object) -> dict[str, str]:
    bench = bench_of(folder, **sections)
    return {unit.name: unit.key for unit in plan(bench, {})}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert set(before) == set(after)
    return {name.rpartition("/")[0] or name for name in before if before[name] != after[name]}


def test_keys_follow_what_the_units_depend_on(tmp_path: Path) -> None:
    plain = keys(tmp_path)
    assert keys(tmp_path, sharers={"per_target": 2, "calibration": 0.0}) == plain
    merged = {"select", "deploy/uniform", "score/uniform"}
    assert changed(plain, keys(tmp_path, sharers={"per_target": 2, "representatives": 3})) == merged
    assert changed(plain, keys(tmp_path, sharers={"per_target": 2, "embedder": "tfidf"})) == merged
    calibrated = changed(plain, keys(tmp_path, sharers={"per_target": 2, "calibration": SHARE}))
    # Training and selection use the IN half as before.
    assert calibrated == {"deploy/uniform", "score/uniform", "score/base", "score/control-own-module"}


def test_the_key_of_a_sentence_encoder_follows_its_files_and_not_its_place(tmp_path: Path) -> None:
    folders = [
        write_sentence_folder(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = (keys(tmp_path, sharers={"per_target": 2, "embedder": str(f)}) for f in folders)
    assert a == b
    assert "select" in changed(a, c)


def refusal(folder: Path, error: type[Exception], message: str, **sections: object) -> None:
    with pytest.raises(error, match=message):
        plan(bench_of(folder, **sections), {})


def test_a_pool_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    refusal(
        tmp_path,
        ConfigError,
        "representatives is 1, but each target gets 2",
        sharers={"per_target": 2, "representatives": 1},
    )
    refusal(
        tmp_path,
        ConfigError,
        "representatives is 5, but the data hold 4",
        sharers={"per_target": 2, "representatives": 5},
    )
    audit = {"permutations": 1000, "controls": ["placebo"]}
    refusal(
        tmp_path,
        ConfigError,
        "placebo merges sharers that a target did not select",
        sharers={"per_target": 2, "representatives": 2},
        audit=audit,
    )
    plan(bench_of(tmp_path, sharers={"per_target": 2, "representatives": 3}, audit=audit), {})


def test_an_embedder_that_is_not_there_is_refused_before_any_compute(tmp_path: Path) -> None:
    refusal(tmp_path, ModelError, "nowhere: no such folder", sharers={"per_target": 2, "embedder": "nowhere"})


def test_calibration_must_leave_enough_to_audit(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, sharers={"per_target": 2, "calibration": 0.5})
    users = list(bench.dataset.users)
    # Three records, of which 0.5 rounds to two: one is left.
    short = [replace(u, history=u.history[:3]) if u.id == "sharer-02" else u for u in users]
    bench.dataset = make_dataset(bench.dataset.task, short)
    for seed in range(20):
        bench.holdout = draw_holdout(bench.dataset, Seeds(seed), 0.5)
        if all(map(any, bench.holdout.flips.values())):
            break
    with pytest.raises(DataError, match=r"fewer than 2 records to audit of: sharer-02$"):
        plan(bench, {})
    bench.holdout = draw_holdout(bench.dataset, Seeds(seed), 0.3)
    plan(bench, {})


def test_a_membership_gap_needs_calibration_records(tmp_path: Path) -> None:
    methods = [{"kind": "prime", "privacy": "membership-gap"}]
    refusal(tmp_path, ConfigError, "method prime: 'privacy: membership-gap' needs", methods=methods)
    plan(bench_of(tmp_path, methods=methods, sharers={"per_target": 2, "calibration": SHARE}), {})


# One finished run with calibration records, a pool of three and all controls.
SECTIONS: dict[str, Any] = {
    "sharers": {"per_target": 2, "representatives": 3, "calibration": SHARE, "embedder": "tfidf"},
    "data": {"sharers": 5, "targets": 2},
    # Strong enough that a sharer's own module leaks.
    "training": {
        **{"rank": 8, "alpha": 16, "lr": 1e-2, "epochs": 8},
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
    "audit": {"permutations": 1000, "controls": ["base", "own-module", "placebo"]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, Results, list[TargetContext]]]:
    folder = tmp_path_factory.mktemp("run")
    contexts: list[TargetContext] = []

    def spy(context: TargetContext, settings: MethodSettings) -> Personalisation:
        contexts.append(context)
        return METHODS[settings.kind].personalise(context, settings)

    spied = {kind: replace(method, personalise=spy) for kind, method in METHODS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(folder / "cache"))
        patch.setattr(deploying, "METHODS", spied)
        results = run_study(study(folder, **SECTIONS), folder / "run")
        bench = bench_of(folder, **SECTIONS)
        bench.store = Store(folder / "cache")
        plan(bench, bench.model_part())
        yield bench, results, contexts


def design(bench: Workbench) -> dict[str, list[dict[str, Any]]]:
    read = json.loads((bench.out / "evidence" / "design.json").read_text(encoding="utf-8"))
    return {entry["id"]: entry["records"] for entry in read["users"]}


def audited(bench: Workbench, user: str) -> list[dict[str, Any]]:
    """The records of a user that are not set aside, read from the file that was published first."""
    return [record for record in design(bench)[user] if not record.get("calibration")]


def test_evidence_holds_the_audited_records_in_order(
    run: tuple[Workbench, Results, list[TargetContext]],
) -> None:
    bench, _, _ = run
    for sharer in bench.dataset.sharers:
        kept = {record["id"] for record in audited(bench, sharer.id)}
        assert len(sharer.history) - len(kept) == round(SHARE * len(sharer.history))
        examples = [bench.example(item) for item in sharer.history if item.id in kept]
        expected = score_tokens(bench.base, examples, loss=bench.config.training.loss)
        found = bench.evidence(f"score/base/{sharer.id}")
        np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)
        np.testing.assert_array_equal(found.offsets, expected.offsets)


def test_flips_stay_aligned_with_the_evidence(run: tuple[Workbench, Results, list[TargetContext]]) -> None:
    bench, results, _ = run
    own = {
        m.user: m
        for m in results.metrics
        if (m.id, m.method, m.attack) == ("mia.auc", "control-own-module", "reference") and m.user
    }
    assert own
    expected = []
    for user, metric in own.items():
        member = [record["member"] for record in audited(bench, str(user))]
        score = bench.evidence(f"score/control-own-module/{user}").mean()
        score = score - bench.evidence(f"score/base/{user}").mean()
        expected.append(roc_auc_score(member, score))
        assert metric.value == pytest.approx(expected[-1])
        assert metric.n is not None
        assert metric.n.attempted == len(member)
    # A misaligned mask would give one half.
    assert np.mean(expected) > 0.65


def test_the_placebo_merges_the_rest_of_the_pool(
    run: tuple[Workbench, Results, list[TargetContext]],
) -> None:
    bench, _, _ = run
    entries = [json.loads(line) for line in (bench.out / "journal.jsonl").read_text().splitlines()]
    (out,) = [entry["output"] for entry in entries if entry["unit"] == "select"]
    assert len(out["pool"]) == 3
    for target, selected in out["selected"].items():
        (rest,) = set(out["pool"]) - set(selected)
        name = f"score/control-placebo/{target}"
        found = bench.evidence(name)
        work.score_merge(bench, name, [rest], [1.0], list(selected))
        np.testing.assert_array_equal(bench.evidence(name).logp, found.logp)


def test_methods_about_sharers_get_the_calibration_records(
    run: tuple[Workbench, Results, list[TargetContext]],
) -> None:
    bench, _, contexts = run
    assert {bool(context.sharers) for context in contexts} == {True, False}
    for context in contexts:
        assert (context.calibration is not None) == bool(context.sharers)
        for sharer in context.sharers:
            assert context.calibration is not None
            found = context.calibration(sharer)
            user, records = bench.dataset.user(sharer), design(bench)[sharer]
            ids = {(r["id"], r["member"]) for r in records if r.get("calibration")}
            assert {(i.id, True) for i in found.members} | {(i.id, False) for i in found.nonmembers} == ids
            assert set(found.members) <= set(bench.holdout.members(user))
            assert not {i.id for i in (*found.members, *found.nonmembers)} & {
                r["id"] for r in audited(bench, sharer)
            }


def test_modules_are_trained_on_all_members(run: tuple[Workbench, Results, list[TargetContext]]) -> None:
    bench, _, _ = run
    entries = [json.loads(line) for line in (bench.out / "journal.jsonl").read_text().splitlines()]
    trained = {e["unit"]: e["output"]["items"] for e in entries if e["unit"].startswith("train/")}
    assert trained == {
        f"train/{user}": sum(record["member"] for record in records)
        for user, records in design(bench).items()
        if bench.dataset.user(user).role == "sharer"
    }


def test_without_calibration_a_method_is_given_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TargetContext] = []

    class Seen(Exception):
        pass

    def spy(context: TargetContext, settings: MethodSettings) -> Personalisation:
        seen.append(context)
        raise Seen

    monkeypatch.setattr(deploying, "METHODS", {"uniform": replace(METHODS["uniform"], personalise=spy)})
    bench = bench_of(tmp_path)
    with pytest.raises(Seen):
        deploying.deploy(bench, bench.config.methods[1], "target-01", {"sharer-01": 1.0}, {})
    assert [context.calibration for context in seen] == [None]
