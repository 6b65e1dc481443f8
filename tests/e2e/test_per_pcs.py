"""Per-Pcs in a small study: gates are trained once per sharer, and only where a method asks for them."""

import json
import math
from pathlib import Path

import pytest

from prime_audit import load_results, load_study
from prime_audit.core import Seeds
from prime_audit.data import draw_holdout
from prime_audit.errors import ConfigError
from prime_audit.study.inputs import load_dataset
from prime_audit.study.plan import plan
from prime_audit.study.store import Store
from prime_audit.study.workbench import Workbench
from tests.support import run_cli, write_study

PER_PCS = {"kind": "per-pcs", "steps": 3, "lr": 0.01}


def test_a_study_trains_gates_and_audits_what_was_assembled(tmp_path: Path) -> None:
    study = write_study(tmp_path, methods=["base", PER_PCS])
    finished = run_cli("evaluate", study, home=tmp_path)
    assert finished.code == 0, finished.stderr
    run = tmp_path / "reports" / "small"
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    units = {entry["unit"]: entry for entry in map(json.loads, lines)}
    gates = [unit for unit in units if unit.startswith("gate/")]
    assert gates == [f"gate/sharer-{i:02d}" for i in range(1, 5)]
    for unit in gates:
        assert units[unit]["output"]["items"] == units[unit.replace("gate", "train")]["output"]["items"]
        assert (tmp_path / "cache" / "modules" / units[unit]["key"] / "gates.safetensors").is_file()
    results = load_results(run)
    (search,) = [search for search in results.search if search.method == "per-pcs"]
    assert not search.reverted
    assert len(search.weights) == len(search.sharers) == 2
    # Two weights that add up to 1, squared.
    assert 0.5 <= sum(search.weights) < 1
    bench = _bench(tmp_path, study)
    (target,) = bench.dataset.targets
    assert search.notes["batches"] == math.ceil(len(bench.seen(target).history) / 6)
    assert 0 < float(search.notes["entropy"]) <= 0.6932
    assert list((run / "modules" / "per-pcs").glob("*/adapter_model.safetensors"))
    assert [m for m in results.metrics if (m.id, m.method) == ("mia.auc", "per-pcs") and m.value is not None]


def _bench(folder: Path, study: Path) -> Workbench:
    config = load_study(study)
    dataset = load_dataset(config)
    holdout = draw_holdout(dataset, Seeds(config.seed))
    return Workbench(config, dataset, holdout, Store(folder / "store"), folder)


def _keys(folder: Path, *methods: object) -> dict[str, str]:
    """Keys of all units of a study with these methods, by name."""
    bench = _bench(folder, write_study(folder, methods=list(methods)))
    return {unit.name: unit.key for unit in plan(bench, {})}


def test_gates_depend_on_how_they_are_trained_and_not_on_the_assembly(tmp_path: Path) -> None:
    before = _keys(tmp_path, "base", PER_PCS)
    for change in ({"top_k": 1}, {"temperature": 2.0}, {"max_items": 4}):
        after = _keys(tmp_path, "base", {**PER_PCS, **change})
        assert after["gate/sharer-01"] == before["gate/sharer-01"]
        assert after["deploy/per-pcs/target-01"] != before["deploy/per-pcs/target-01"]
    for change in ({"steps": 4}, {"lr": 0.02}, {"batch_size": 5}):
        after = _keys(tmp_path, "base", {**PER_PCS, **change})
        assert after["gate/sharer-01"] != before["gate/sharer-01"]
        assert after["train/sharer-01"] == before["train/sharer-01"]


def test_gates_are_planned_only_where_a_method_needs_them_and_change_no_other_unit(tmp_path: Path) -> None:
    without, beside = _keys(tmp_path, "base", "uniform"), _keys(tmp_path, "base", "uniform", PER_PCS)
    assert not any(name.startswith("gate/") for name in without)
    assert {name: beside[name] for name in without} == without
    names = list(beside)
    assert names.index("train/sharer-04") < names.index("gate/sharer-04")
    assert names.index("gate/sharer-04") < names.index("deploy/per-pcs/target-01")


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="per-pcs, again would each train gates") as caught:
        _keys(tmp_path, "base", PER_PCS, {"kind": "per-pcs", "id": "again", "steps": 9})
    assert "keep one of them" in caught.value.hint
