"""The report of two lists: attacks side by side, no utility, and words that fit who drew the records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prime_audit
from prime_audit.report import render_console, render_html, render_junit, render_markdown
from prime_audit.results import Results


def brought(folder: Path, *, gain: float, randomised: bool) -> tuple[Results, Mapping[str, object]]:
    """An audit of generated log-probabilities; members gain that much per token."""
    rng = np.random.default_rng(3)
    lines = []
    for number in range(120):
        base = -rng.exponential(2, 12) - 1
        record: dict[str, Any] = {"id": number, "member": number % 2, "base_logp": base.tolist()}
        record["logp"] = (base + gain * (number % 2) + rng.normal(0, 0.1, 12)).clip(max=0).tolist()
        record["text"] = " ".join(map(str, rng.integers(0, 99, 12)))
        lines.append(json.dumps(record))
    path = folder / "tokens.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    results = prime_audit.attack(scores=path, randomised=randomised, out=folder / "out")
    return results, json.loads((folder / "out" / "manifest.json").read_text())


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Results, Mapping[str, object]]:
    return brought(tmp_path, gain=0.3, randomised=False)


def test_the_page_shows_attacks_and_no_utility(lists: tuple[Results, Mapping[str, object]]) -> None:
    page = render_html(*lists)
    assert "Attacks side by side" in page
    assert "A difference was found in 1 of 1 audited case" in page
    assert "it cannot call a difference a leak" in page
    assert "Nobody flipped a coin" in page
    assert "compared over all records" in page
    for word in ("Utility", "Leak detected", "merged modules", "coin was flipped", "sharer", "Task <b>"):
        assert word not in page, word
    # Beside each of the six curves that are drawn, and in the table.
    assert page.count("control-blind") > 6
    # The blind control attacks nothing, so nobody is named as its adversary.
    assert "<b>A2</b>" in page
    assert "<b>A3</b>" not in page


def test_markdown_and_junit_hold_every_attack(lists: tuple[Results, Mapping[str, object]]) -> None:
    text = render_markdown(*lists)
    table = [line for line in text.split("### Attacks")[1].splitlines() if line.startswith("| `")]
    run = [name for name in lists[0].coverage.run if "/" in name]
    assert len(table) == len(run)
    assert "### Methods" not in text
    assert "task" not in text.partition("### Findings")[0]
    assert "mia.auc_above_blind reference" in render_junit(*lists)


def test_the_terminal_names_no_utility(lists: tuple[Results, Mapping[str, object]]) -> None:
    lines = render_console(lists[0], None, Path("out"))
    assert lines[2].split() == ["method", "AUC", "reference", "finding", "largest", "AUC"]
    assert lines[3].startswith("  model   ")
    assert "difference" in lines[3]
    assert not any("utility" in line for line in lines)


def test_a_coin_that_was_flipped_is_stated(tmp_path: Path) -> None:
    page = render_html(*brought(tmp_path, gain=0.3, randomised=True))
    assert "Leak detected in 1 of 1 audited case" in page
    assert "whoever did so states that a fair coin decided" in page
    assert page.count("as expected") >= 2
    assert "NOT as expected" not in page


def test_nothing_seen_is_said_of_the_texts(tmp_path: Path) -> None:
    results, manifest = brought(tmp_path, gain=0.0, randomised=False)
    page = render_html(results, manifest)
    assert "No increase over what the texts alone show was detected" in page
    assert "a weaker difference could have gone unnoticed" in page
    assert "p not available" not in page
