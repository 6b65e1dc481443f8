"""junit.xml, for build servers: a test suite per method and one for the gate."""

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from prime_audit.core import printable
from prime_audit.gate import Gate
from prime_audit.report import words
from prime_audit.report.comparison import found_words, limit_words
from prime_audit.report.source import Source
from prime_audit.results import Metric, Results

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_TEXT = 500


def render_junit(results: Results, manifest: Mapping[str, object], gate: Gate | None = None) -> str:
    """Render junit.xml.

    A broken limit is a failure. A finding or a metric that is inconclusive or went wrong, a limit that could
    not be judged and a part of the run that failed are errors; an undefined metric is skipped. A leak by
    itself is a result, not a failure: only a limit says how much is too much.

    Args:
        results: What the run found.
        manifest: What manifest.json holds.
        gate: The verdict of the gate, where rules were judged.

    Returns:
        The XML document.
    """
    source = Source(results, manifest, gate)
    root = ElementTree.Element("testsuites", name=text(f"prime-audit {results.study.name}"))
    _suite(root, "run", _run_cases(source))
    if gate is not None and gate.rules:
        _suite(root, "gate", _gate_cases(gate))
    for method in results.methods:
        _suite(root, method.id, _method_cases(source, method.id))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def text(value: str) -> str:
    """Keep only characters that XML 1.0 allows and a terminal shows.

    Args:
        value: Any text.

    Returns:
        One line.
    """
    return _NOT_XML.sub("", printable(value, _LONGEST_TEXT))


_Case = tuple[str, str, str, str]  # name, outcome tag or "", short message, text


def _suite(root: ElementTree.Element, name: str, cases: Iterator[_Case]) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=text(name))
    tags = []
    for case_name, tag, message, body in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=text(name), name=text(case_name))
        tags.append(tag)
        if tag:
            ElementTree.SubElement(case, tag, message=text(message)).text = text(body)
        elif body:
            ElementTree.SubElement(case, "system-out").text = text(body)
    counted = {"tests": len(tags), "failures": tags.count("failure"), "errors": tags.count("error")}
    for key, count in {**counted, "skipped": tags.count("skipped")}.items():
        suite.set(key, str(count))


def _run_cases(source: Source) -> Iterator[_Case]:
    status = source.results.status
    yield "status", "" if status == "complete" else "error", f"the run is {status}", status
    for gap in source.results.coverage.failed:
        yield gap.id, "error", "failed", gap.reason
    for gap in source.results.coverage.skipped:
        yield gap.id, "skipped", "skipped", gap.reason


def _gate_cases(gate: Gate) -> Iterator[_Case]:
    tags = {"pass": "", "warn": "", "fail": "failure", "error": "error"}
    for rule in gate.rules:
        name = " ".join(
            part for part in (rule.metric, rule.method, rule.attack, rule.subset, rule.side) if part
        )
        body = f"{found_words(rule)}, {limit_words(rule)}"
        if rule.verdict == "warn":
            body = f"warning: {rule.reason}; {body}"
        yield name, tags[rule.verdict], rule.reason, body
    if gate.verdict == "error" and all(rule.verdict in ("pass", "warn") for rule in gate.rules):
        yield "gate", "error", "the run is not complete", "the rules of an incomplete run cannot be judged"


def _method_cases(source: Source, method: str) -> Iterator[_Case]:
    for metric in source.results.metrics:
        if metric.method == method and metric.user is None and metric.target is None:
            yield _metric_case(metric)
    for finding in source.results.findings:
        if finding.method == method:
            tag = "error" if finding.verdict == "inconclusive" else ""
            name = " ".join(part for part in ("finding", finding.subject, finding.attack) if part)
            yield name, tag, finding.verdict, words.finding_sentence(source, finding)


def _metric_case(metric: Metric) -> _Case:
    part = " ".join(f"{name}={value}" for name, value in (metric.slice or {}).items())
    name = " ".join(
        text for text in (metric.id, metric.attack, metric.adversary, metric.subject, part) if text
    )
    tag = {"ok": "", "undefined": "skipped"}.get(metric.status, "error")
    return name, tag, metric.reason, words.cell(metric)
