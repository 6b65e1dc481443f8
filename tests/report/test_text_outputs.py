import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from prime_audit.gate import Gate
from prime_audit.report import render_console, render_junit, render_markdown
from prime_audit.report.markdown import code
from prime_audit.results import Results

Manifest = Mapping[str, object]
HOSTILE = "`|<b>@all #1 \x1b[31m\x00\u202e\ufffe\n| x | \\| ]]> </testcase> https://x.invalid"


def hostile(results: Results) -> Results:
    """The run with a bad text in labels, reasons and names."""
    return results.model_copy(
        update={
            "study": results.study.model_copy(update={"name": HOSTILE, "task": HOSTILE}),
            "findings": tuple(
                entry.model_copy(update={"verdict": "inconclusive", "reason": HOSTILE})
                for entry in results.findings
            ),
            "coverage": results.coverage.model_copy(
                update={"skipped": (results.coverage.skipped[0].model_copy(update={"reason": HOSTILE}),)}
            ),
        }
    )


def test_markdown_holds_verdict_coverage_and_methods(
    results: Results, manifest: Manifest, gate: Gate
) -> None:
    text = render_markdown(results, manifest, gate)
    assert text.startswith("## \u2716 Gate failed: 2 of 4 limits broken\n")
    assert "45 requested, 44 run, 0 undefined, 0 failed, 1 skipped; status complete." in text
    assert "| `prime` | `merging` | `0.560 (0.510 to 0.610)` |" in text
    assert len(text.encode()) < 60_000


def test_markdown_and_console_hold_seventeen_methods(wide: Results, manifest: Manifest) -> None:
    text = render_markdown(wide, manifest)
    table = [line for line in text.split("### Methods")[1].splitlines() if line.startswith("|")]
    assert len(table) == 2 + 17
    assert len({line.count("|") for line in table}) == 1
    assert "| `norm-matched` | `control of prime` |" in text
    assert len(text.encode()) < 60_000
    lines = render_console(wide, None, Path("runs/a"))
    assert len(lines) <= 12
    # Seventeen less the three controls among them and the five that are shown.
    assert "  and 9 more methods in the report" in lines


def test_markdown_text_from_outside_stands_in_code_spans(results: Results, manifest: Manifest) -> None:
    text = render_markdown(hostile(results), manifest)
    outside = re.sub(r"`[^`\n]*`", "", text)
    for mark in ("@all", "#1", "<b>", "https:", "\x1b", "\u202e", "`"):
        assert mark not in outside
    widths = {line.count("|") for line in text.split("### Methods")[1].splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_code_spans_cannot_be_left() -> None:
    assert code("a`b|c\\") == "`a'b\u00a6c/`"
    assert code("\n") == "\u2013"


def test_junit_counts_and_tells_failures_from_errors(
    results: Results, manifest: Manifest, gate: Gate
) -> None:
    root = ElementTree.fromstring(render_junit(results, manifest, gate))  # noqa: S314 - our own text
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["run", "gate", *(method.id for method in results.methods)]
    assert (suites["gate"].get("tests"), suites["gate"].get("failures")) == ("4", "2")
    assert (root.get("failures"), root.get("errors")) == ("2", "0")
    assert int(root.get("tests", "0")) == len(root.findall(".//testcase"))
    assert int(root.get("skipped", "0")) == len(root.findall(".//skipped")) > 1
    names = [case.get("name") for case in suites["prime"]]
    assert "mia.auc reference A2 sharer targets=merged" in names
    assert "finding sharer reference" in names


def test_junit_shows_a_broken_run_as_errors(results: Results, manifest: Manifest, gate: Gate) -> None:
    broken = hostile(results).model_copy(update={"status": "incomplete"})
    unjudged = gate.model_copy(update={"verdict": "error", "rules": gate.rules[2:3]})
    text = render_junit(broken, manifest, unjudged)
    assert not set(text) & set("\x00\x1b\u202e\ufffe")
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    # The status, the gate of an incomplete run, and one inconclusive finding per audited method and control.
    assert root.get("errors") == str(2 + len(results.findings))
    assert root.get("failures") == "0"


def test_console_is_short_and_ends_with_a_command(results: Results, gate: Gate) -> None:
    lines = render_console(results, gate, Path("runs/a b"))
    assert len(lines) <= 12
    assert lines[0] == "\u2716 Gate failed: 2 of 4 limits broken"
    assert lines[2:4] == [
        "  method   utility  AUC reference        finding        largest AUC",
        "  oppu     0.58     0.93 (0.89 to 0.98)  leak",
    ]
    assert lines[-1] == "Next: open the report in a browser"


@pytest.mark.parametrize("count", [0, 1, 6, 7, 30])
def test_console_stays_short_with_any_number_of_methods(results: Results, count: int) -> None:
    methods = tuple(results.methods[0].model_copy(update={"id": f"m{index}"}) for index in range(count))
    small = results.model_copy(
        update={"methods": methods, "metrics": (), "findings": (), "status": "incomplete"}
    )
    lines = render_console(small, None, Path("runs/a"))
    assert len(lines) <= 12
    assert lines[-1] == "Next: prime-audit evaluate runs/a/config.resolved.yaml --out runs/a"


def test_console_drops_terminal_codes(results: Results) -> None:
    text = "\n".join(render_console(hostile(results), None, Path("runs/\x1b[31mred")))
    assert "\x1b" not in text
