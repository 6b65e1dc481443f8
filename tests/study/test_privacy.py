"""A study whose sharers' modules are trained privately: what travels, what is stated, what is refused."""

import json
from pathlib import Path

import pytest

from prime_audit.config import PrivacyConfig, StudyConfig, TrainingConfig, load_study
from prime_audit.errors import ConfigError, ModelError
from prime_audit.modules import privacy as accounting
from prime_audit.modules import promised, read_guarantee, read_module
from prime_audit.results import Metric
from prime_audit.study.plan import describe_plan
from prime_audit.study.privacy import privacy_metrics
from prime_audit.study.runner import run_study
from prime_audit.study.units import Output
from tests.support import write_study

MADE_WITH = {"epsilon": 2.0, "delta": 1e-5, "unit": "example", "neighbours": "add-remove", "noise": 1.0}
GUARANTEE = {**MADE_WITH, "clip": 1.0, "steps": 9, "sample_rate": 0.5, "accountant": "prv"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "modules"


def study(folder: Path, privacy: dict[str, object] | None, *methods: str) -> StudyConfig:
    sharers = {"per_target": 2, "privacy": privacy}
    return load_study(write_study(folder, methods=["base", *methods], sharers=sharers))


def stated(metrics: tuple[Metric, ...]) -> dict[str | None, Metric]:
    return {metric.user: metric for metric in metrics if metric.id == "epsilon.training"}


def test_the_guarantee_travels_from_the_module_into_the_results(tmp_path: Path, store: Path) -> None:
    config = study(tmp_path, {"noise": 1.0, "clip": 0.5}, "uniform", "oppu")
    results = run_study(config, tmp_path / "run")
    read = [read_guarantee(folder) for folder in store.iterdir()]
    found = [guarantee for guarantee in read if guarantee is not None]
    # Four sharers; the base and the target's own module were trained plainly.
    assert (len(found), len(read)) == (4, 6)
    assert all(
        (guarantee.noise, guarantee.clip, guarantee.unit) == (1.0, 0.5, "example") for guarantee in found
    )
    metrics = stated(results.metrics)
    worst = metrics.pop(None)
    assert sorted(metric.value or 0 for metric in metrics.values()) == sorted(g.epsilon for g in found)
    assert set(metrics) == {f"sharer-0{number}" for number in range(1, 5)}
    assert worst.value == max(guarantee.epsilon for guarantee in found)
    for metric in (worst, *metrics.values()):
        assert (metric.subject, metric.method, metric.unit) == ("sharer", None, "epsilon")
        assert metric.slice == {"delta": 1e-5, "unit": "example"}
        assert metric.reason.startswith("covers the training of the module only; selection of sharers")
    report = (tmp_path / "run" / "results.json").read_text(encoding="utf-8")
    assert run_study(config, tmp_path / "run").metrics == results.metrics
    assert (tmp_path / "run" / "results.json").read_text(encoding="utf-8") == report


def test_privacy_changes_the_modules_of_sharers_alone(tmp_path: Path, store: Path) -> None:
    plain = run_study(study(tmp_path, None, "uniform"), tmp_path / "plain")
    assert stated(plain.metrics) == {}
    before = {folder.name: read_module(folder).digest for folder in store.iterdir()}
    private = run_study(study(tmp_path, {"noise": 2.0, "unit": "user"}, "uniform"), tmp_path / "private")
    new = [folder for folder in store.iterdir() if folder.name not in before]
    assert len(new) == 4
    assert not {read_module(folder).digest for folder in new} & set(before.values())
    overall = stated(private.metrics)[None]
    assert overall.slice == {"delta": 1e-5, "unit": "user"}
    settings = PrivacyConfig(noise=2.0, unit="user")
    assert overall.value == pytest.approx(promised(settings, TrainingConfig(), 9).epsilon)


def test_a_study_is_refused_before_anything_is_computed(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study(tmp_path, {"epsilon": 8.0}, "uniform")
    monkeypatch.setattr(accounting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="opacus, which is not installed") as caught:
        run_study(config, tmp_path / "run")
    assert caught.value.exit_code == 2
    assert "prime-audit[dp]" in caught.value.hint
    with pytest.raises(ConfigError, match="opacus"):
        describe_plan(config)
    assert list(store.iterdir()) == []
    assert not (tmp_path / "run" / "journal.jsonl").exists()
    # Without a merge no sharer's module is trained.
    assert describe_plan(study(tmp_path, {"epsilon": 8.0}))


def test_a_module_that_lost_its_guarantee_is_not_passed_over(tmp_path: Path, store: Path) -> None:
    config = study(tmp_path, {"noise": 2.0, "unit": "user"}, "uniform")
    run_study(config, tmp_path / "run")
    path = next(folder / "privacy.json" for folder in store.iterdir() if (folder / "privacy.json").exists())
    path.unlink()
    with pytest.raises(ModelError, match=r"has lost its privacy.json"):
        run_study(config, tmp_path / "other")


def test_the_largest_epsilon_is_stated_at_the_largest_delta() -> None:
    outputs: dict[str, Output] = {
        "train/a": {"items": 3, "privacy": {**GUARANTEE, "epsilon": 3.0, "delta": 1e-6}},
        "train/b": {"items": 3, "privacy": GUARANTEE},
        "train/target": {"items": 3},
        "select": {"selected": {}},
    }
    overall, *each = privacy_metrics(outputs)
    assert (overall.value, overall.user, overall.slice) == (3.0, None, {"delta": 1e-5, "unit": "example"})
    assert overall.n is not None
    assert overall.n.users == 2
    assert [(metric.user, metric.value) for metric in each] == [("a", 3.0), ("b", 2.0)]
    assert json.loads(overall.model_dump_json())["reason"] == "covers the training of the module only; " + (
        "selection of sharers and task adaptation are not covered"
    )
    assert privacy_metrics({"train/target": {"items": 3}}) == []
