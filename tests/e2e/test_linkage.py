"""`prime-audit attack --kind linkage` through the real command line."""

import json
from pathlib import Path

import pytest
import torch

from prime_audit.modules import LoraModule, export, write_module
from prime_audit.report.words import MINUS
from prime_audit.results import Results
from tests.support import run_cli

NAMES = ("ann", "bob", "cyd", "dee")


def module(seed: int, width: int = 24) -> LoraModule:
    generator = torch.Generator().manual_seed(seed)
    layers = [f"model.layers.{k}.self_attn.q_proj" for k in range(7)]
    factors = {
        layer: (torch.randn(4, width, generator=generator), torch.randn(20, 4, generator=generator))
        for layer in layers
    }
    return LoraModule(4, 8.0, False, factors)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_module(module(seed), tmp_path / "pool" / name, "base")
    write_module(export([module(0), module(2)], [0.6, -0.3]), tmp_path / "merged", "base")
    return tmp_path / "pool"


def test_a_merge_is_linked_and_reported(pool: Path, tmp_path: Path) -> None:
    args = ("attack", "--kind", "linkage", "--adapter", tmp_path / "merged", "--pool", pool)
    done = run_cli(*args, "--json", home=tmp_path)
    assert done.code == 0, done.stderr
    results = Results.model_validate_json(done.stdout)
    weights = {m.user: m for m in results.metrics if m.id == "linkage.weight"}
    assert {name: round(m.value or 0, 4) for name, m in weights.items()} == {
        "ann": 0.6,
        "bob": 0.0,
        "cyd": -0.3,
        "dee": 0.0,
    }
    assert all(m.ci is not None and m.ci.how == "jackknife over 7 layers" for m in weights.values())
    assert [m.user for m in results.metrics if m.id == "linkage.score"] == list(NAMES)
    assert "2 of 4 candidate modules found in the adapter" in done.stderr
    assert "ann, cyd" in done.stderr
    for word in ("AUC", "utility", "nothing was audited"):
        assert word not in done.stderr
    out = tmp_path / "reports" / "attack"
    written = {path.name for path in out.iterdir()}
    assert written == {"results.json", "manifest.json", "report.html", "summary.md", "junit.xml"}
    page = (out / "report.html").read_text()
    for words in ("Whose modules are in it", "not what leaked about the person", "2 modules of 4 candidates"):
        assert words in page
    for words in ("Attacks side by side", "records that could not be scored", "AUC", "No finding was made"):
        assert words not in page
    table = (out / "summary.md").read_text().partition("### Whose modules are in it")[2]
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(rows[:2]) == [["| `ann`", "`yes`"], ["| `cyd`", "`yes`"]]
    assert sorted(rows[2:]) == [["| `bob`", "`no`"], ["| `dee`", "`no`"]]
    assert "`-0.300 (-0.300 to -0.300)`" in table.replace(MINUS, "-")
    assert "`0.000 (0.000 to 0.000)`" in table
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["design"] == {"name": "pool", "candidates": 4}
    # Equal input gives an equal file, and no path of this machine is in it.
    again = run_cli(*args, "--out", tmp_path / "again", "--json", home=tmp_path)
    assert again.stdout == done.stdout
    assert str(tmp_path) not in done.stdout
    # `report` draws the run again.
    assert run_cli("report", out, home=tmp_path).code == 0


def test_bad_input_ends_with_2_and_says_what_to_do(pool: Path, tmp_path: Path) -> None:
    write_module(module(9, width=25), pool / "eve", "other")
    done = run_cli(
        "attack", "--kind", "linkage", "--adapter", tmp_path / "merged", "--pool", pool, home=tmp_path
    )
    assert done.code == 2
    said = " ".join(done.stderr.split())
    assert "'eve' is for another base than" in said
    assert "20 x 25 in one and 20 x 24 in the other" in said
    assert "take it out of the pool" in said
    assert done.stdout == ""
    assert not (tmp_path / "reports").exists()
