import pytest

from prime_audit.core import plural
from prime_audit.gate import Gate
from prime_audit.report import words
from prime_audit.report.headline import headline
from prime_audit.report.source import Source
from prime_audit.results import CI, Finding, Metric, Results


def changed(results: Results, **parts: object) -> Source:
    return Source(results.model_copy(update=parts), {}, None)


def verdict(results: Results, name: str) -> Finding:
    finding = results.findings[0]
    return finding.model_copy(update={"verdict": name, "reason": "too few records"})


@pytest.mark.parametrize(
    ("name", "tone", "said"),
    [
        ("leak", "bad", "Leak detected in 1 of 1 audited case"),
        ("none detected", "plain", "None detected in 1 audited case"),
        ("inconclusive", "warn", "Inconclusive: 1 of 1 audited case"),
        ("difference", "warn", "A difference was found in 1 of 1 audited case"),
    ],
)
def test_the_headline_follows_the_findings(results: Results, name: str, tone: str, said: str) -> None:
    head = headline(changed(results, findings=(verdict(results, name),)))
    assert (head.tone, head.words) == (tone, said)


def test_a_broken_run_never_reads_as_a_clean_one(results: Results) -> None:
    calm = (verdict(results, "none detected"),)
    for parts in ({"status": "incomplete"}, {"status": "cancelled"}):
        head = headline(changed(results, findings=calm, **parts))
        assert head.words.startswith("Incomplete")
    wrong = Metric(id="x", value=None, status="error", reason="boom")
    head = headline(changed(results, findings=calm, metrics=(*results.metrics, wrong)))
    assert head.words.startswith("Incomplete")
    assert "with 1 failure." in head.detail
    assert headline(changed(results, findings=())).words == "Nothing was audited"


def test_the_gate_comes_before_the_findings(results: Results, gate: Gate) -> None:
    passed = gate.model_copy(update={"verdict": "pass", "rules": gate.rules[2:3]})
    unjudged = gate.model_copy(update={"verdict": "error"})
    assert headline(Source(results, {}, gate)).words == "Gate failed: 2 of 4 limits broken"
    assert headline(Source(results, {}, unjudged)).words.startswith("Gate not judged")
    # A passed gate does not hide a leak that it allows, nor stand before it.
    head = headline(Source(results, {}, passed))
    assert head.words == "Leak detected in 2 of 3 audited cases"
    assert head.detail.endswith(
        "held to 1 limit of its own (the gate), and it is kept. That does not say that nothing leaks."
    )
    assert (head.tone, head.icon) == ("bad", "▲")
    quiet = headline(changed(results, findings=(verdict(results, "none detected"),)))
    assert quiet.words == "None detected in 1 audited case"
    calm = results.model_copy(update={"findings": (verdict(results, "none detected"),)})
    both = headline(Source(calm, {}, passed))
    assert (both.words, both.tone) == ("Gate passed. None detected in 1 audited case", "good")


def test_a_control_that_misbehaves_makes_a_quiet_run_inconclusive(results: Results) -> None:
    calm = verdict(results, "none detected")
    deaf = calm.model_copy(update={"method": "control-own-module"})
    head = headline(changed(results, findings=(calm, deaf)))
    assert head.words == "Inconclusive"
    assert "control-own-module" in head.detail


@pytest.mark.parametrize(
    ("name", "p", "value", "low", "said"),
    [
        ("control-placebo", 0.02, 0.5, 0.4, "as expected"),
        ("control-placebo", 0.0005, 0.5, 0.4, "NOT as expected"),
        ("control-placebo", None, 0.7, 0.6, "NOT as expected"),
        ("control-own-module", None, 0.7, 0.6, "as expected"),
        ("control-own-module", None, 0.7, 0.45, "NOT as expected"),
        ("control-base", None, None, None, "not measured"),
    ],
)
def test_controls_are_told_from_what_they_must_show(
    results: Results, name: str, p: float | None, value: float | None, low: float | None, said: str
) -> None:
    metrics: tuple[Metric, ...] = ()
    if value is not None and low is not None:
        ci = CI(low=low, high=0.8, how="x")
        metrics = (Metric(id="mia.auc", method=name, attack="reference", value=value, ci=ci),)
    findings = () if p is None else (Finding(method=name, verdict="none detected", p=p),)
    source = changed(results, metrics=metrics, findings=findings)
    control = next(method for method in source.controls if method.id == name)
    assert words.control_behaviour(source, control)[1] == said


def test_sentences_claim_no_more_than_was_found(results: Results) -> None:
    source = Source(results, {}, None)
    texts = [words.finding_sentence(source, finding) for finding in source.findings]
    assert not [text for text in texts if "private" in text or "no leak" in text.lower()]
    nothing = words.finding_sentence(source, verdict(results, "inconclusive"))
    assert nothing == "Nothing can be said: too few records."


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "p < 0.001"), (0.001, "p = 0.001"), (1.0, "p = 1.000"), (None, "p not available")],
)
def test_p_values(value: float | None, text: str) -> None:
    assert words.p_value(value) == text


def test_numbers_intervals_and_gaps() -> None:
    ci = CI(low=-0.0123, high=0.5, how="x")
    assert words.interval(ci) == "\u22120.012 to 0.500"
    assert words.cell(Metric(id="a", value=0.25, ci=ci), 2, plus=True) == "+0.25\n(\u22120.01 to 0.50)"
    assert words.cell(Metric(id="a", value=None, status="error", reason="boom")) == "error\n(boom)"
    assert words.cell(None) == "\u2013"
    assert [plural(count, "limit") for count in (0, 1, 2)] == ["0 limits", "1 limit", "2 limits"]
