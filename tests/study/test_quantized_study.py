"""A study on a base in 4 bits: nothing of it is mixed with one in full, and the manifest says what it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prime_audit import evaluate
from prime_audit.config import StudyConfig, load_study
from prime_audit.errors import ConfigError
from prime_audit.models import quantizing as quantizing_module
from prime_audit.results import Results
from prime_audit.study import identity
from prime_audit.study.disk import estimate
from prime_audit.study.identity import version
from prime_audit.study.inputs import load_dataset
from prime_audit.study.opening import open_study
from prime_audit.study.plan import describe_plan, describe_room
from tests.support import needs_bitsandbytes, write_study


def study(home: Path, quantize: str | None) -> StudyConfig:
    model = {"base": "tiny", "device": "cpu", "dtype": "float32", "quantize": quantize}
    methods = ["pretrained", "base", "oppu", "uniform", {"kind": "prime", "budget": 12}]
    home.mkdir(exist_ok=True)
    path = write_study(
        home, model=model, methods=methods, audit={"controls": ["own-module"], "permutations": 1000}
    )
    return load_study(path)


def test_a_study_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantizing_module, "find_spec", lambda name: None)
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    config = study(tmp_path, "4bit")
    # What `validate` looks at, and what `evaluate` does.
    for refused in (lambda: describe_plan(config), lambda: evaluate(config, tmp_path / "run")):
        with pytest.raises(ConfigError, match=r"model\.quantize is 4bit, which needs bitsandbytes") as caught:
            refused()
        assert "pip install 'prime-audit[gpu]'" in caught.value.hint
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not (tmp_path / "run" / "results.json").exists()


def test_another_width_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.quantize"):
        study(tmp_path, "8bit")


def keys(home: Path, quantize: str | None) -> dict[str, str]:
    (home / "run").mkdir(parents=True)
    config = study(home, quantize)
    _, units = open_study(config, load_dataset(config), home / "store", home / "run")
    return {unit.name: unit.key for unit in units}


@needs_bitsandbytes
def test_no_unit_keeps_its_key(tmp_path: Path) -> None:
    full, packed = keys(tmp_path / "full", None), keys(tmp_path / "packed", "4bit")
    assert full.keys() == packed.keys()
    assert {"adapt", "select"} <= full.keys()
    assert not set(full.values()) & set(packed.values())
    assert keys(tmp_path / "again", "4bit") == packed


@needs_bitsandbytes
def test_another_version_of_the_quantiser_changes_every_key_in_4_bits_and_none_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {quantize: keys(tmp_path / f"{quantize}", quantize) for quantize in (None, "4bit")}
    monkeypatch.setattr(identity, "version", lambda name: "9.9" if name == "bitsandbytes" else version(name))
    after = {quantize: keys(tmp_path / f"{quantize}-later", quantize) for quantize in (None, "4bit")}
    assert after[None] == before[None]
    assert not set(after["4bit"].values()) & set(before["4bit"].values())


@needs_bitsandbytes
def test_the_room_on_disk_is_that_of_the_full_base(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    config = study(tmp_path, "4bit")
    bench, units = open_study(config, load_dataset(config), tmp_path / "store", tmp_path / "run")
    assert estimate(bench, units, bench.pretrained.model) == describe_room(config)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Results]]]:
    """One study in full and in 4 bits, with one store."""
    home = tmp_path_factory.mktemp("quantized")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(home / "cache"))
        found = {"full": evaluate(study(home / "a", None), home / "full")}
        found["packed"] = evaluate(study(home / "b", "4bit"), home / "packed")
        yield home, found
    torch.set_num_threads(threads)


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


@needs_bitsandbytes
def test_a_study_runs_whole_and_shares_no_module(runs: tuple[Path, dict[str, Results]]) -> None:
    home, found = runs
    for results in found.values():
        assert results.status == "complete"
        assert not [metric.id for metric in results.metrics if metric.status == "error"]
    full, packed = (manifest(home / name)["modules"] for name in ("full", "packed"))
    assert full["adaptation"] != packed["adaptation"]
    assert not set(full["sharers"].values()) & set(packed["sharers"].values())
    stored = {path.name for path in (home / "cache" / "modules").iterdir()}
    assert {full["adaptation"], packed["adaptation"], *full["sharers"].values()} <= stored

    def auc(results: Results) -> list[float | None]:
        return [metric.value for metric in results.metrics if metric.id == "mia.auc"]

    assert len(auc(found["full"])) == len(auc(found["packed"])) > 0
    assert auc(found["full"]) != auc(found["packed"])
    assert found["full"].study.config_digest != found["packed"].study.config_digest


@needs_bitsandbytes
def test_the_manifest_says_how_weights_were_held(runs: tuple[Path, dict[str, Results]]) -> None:
    full, packed = (manifest(runs[0] / name) for name in ("full", "packed"))
    assert full["model"]["quantization"] is None
    assert packed["model"]["quantization"] == {"bits": 4, "type": "nf4", "double": True}
    assert packed["dtype"] == "float32"
    assert packed["study"]["model"]["quantize"] == "4bit"
    assert "bitsandbytes" in packed["packages"]
    assert "bitsandbytes" not in full["packages"]
