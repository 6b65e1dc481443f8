"""Whatever stands in names and reasons: Markdown and XML stay what they are."""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from prime_audit.gate import Gate
from prime_audit.report import render_console, render_gate, render_junit, render_markdown
from prime_audit.results import Results
from tests.report.hostile import HOSTILE, judged_with


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_and_xml_stay_well_formed(
    text: str, results: Results, gate: Gate, manifest: Mapping[str, object]
) -> None:
    bad = results.model_copy(
        update={
            "study": results.study.model_copy(update={"name": text}),
            "coverage": results.coverage.model_copy(
                update={"skipped": (results.coverage.skipped[0].model_copy(update={"reason": text}),)}
            ),
        }
    )
    judged = judged_with(text, gate)
    junit, markdown = (render(bad, manifest, judged) for render in (render_junit, render_markdown))
    root = ElementTree.fromstring(junit.encode())  # noqa: S314 - our own text
    suites = {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out"}
    assert {element.tag for element in root.iter()} <= suites
    outside = re.sub(r"`[^`\n]*`", "", markdown)
    assert not re.search(r"[<>@\x00-\x09\x0b-\x1f\x7f\u2028\u2029\u202e\ud800]|https?:|javascript:", outside)
    table = [line for line in markdown.split("### Gate")[1].split("###")[0].splitlines() if line[:1] == "|"]
    assert len(table) == 2 + len(gate.rules)
    assert {line.count("|") for line in table} == {8}
    assert len(markdown.encode()) < 60_000
    for line in (*render_gate(judged), *render_console(bad, judged, Path("run"))):
        assert len(line) <= 410
        assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029\u202e]", line)
    assert (junit, markdown) == (render_junit(bad, manifest, judged), render_markdown(bad, manifest, judged))


def test_a_summary_of_many_findings_is_cut_under_the_limit_of_a_comment(
    results: Results, gate: Gate, manifest: Mapping[str, object]
) -> None:
    gap = results.coverage.skipped[0]
    many = tuple(gap.model_copy(update={"id": f"m{i}", "reason": "x" * 200}) for i in range(1000))
    long = results.model_copy(update={"coverage": results.coverage.model_copy(update={"skipped": many})})
    text = render_markdown(long, manifest, gate)
    assert len(text.encode()) < 60_000
    assert text.endswith("Cut here: report.html holds the rest.\n")
    assert "### Gate" in text
