"""The tables of planted secrets: claims beside bounds, and extrapolated bits with their counts."""

from prime_audit.report.html import render_html
from prime_audit.report.sections.canaries import view
from prime_audit.report.source import Source
from prime_audit.results import AttackInfo, Coverage, Finding, Method, Metric, N, Results, SliceValue, Study

OWN = "control-own-module"


def metric(
    name: str, value: float | None, status: str = "ok", reason: str = "", **part: SliceValue
) -> Metric:
    n = N(attempted=20, scored=20, failed=0, members=9, nonmembers=11)
    fields = {"method": OWN, "subject": "sharer", "slice": part or None, "n": n}
    return Metric.model_validate(
        {"id": name, "value": value, "status": status, "reason": reason, "unit": "bits", **fields}
    )


def run(*metrics: Metric) -> Source:
    own = Method(id=OWN, kind="own-module", family="control", label="Own module")
    exposure = AttackInfo(id="exposure", kind="canary", threat_model="A2", source="a paper", version=1)
    leak = Finding(
        method=OWN, subject="sharer", attack="exposure", verdict="leak", p=0.002, reason="secrets stand out"
    )
    results = Results(
        status="complete",
        study=Study(name="small", task="lamp-4", seed=1, design="holdout", config_digest="0" * 64),
        methods=(own,),
        attacks=(exposure,),
        metrics=(metric("exposure.bits", 3.0, repetitions=16), *metrics),
        findings=(leak,),
        coverage=Coverage(requested=(), run=()),
    )
    return Source(results, {}, None)


def bounds(status: str, value: float | None, reason: str) -> tuple[Metric, ...]:
    part: dict[str, SliceValue] = {"bound": "f-dp", "delta": 1e-5, "unit": "example", "level": 0.95}
    return (
        metric("epsilon.lower", 3.25, "ok", "", **part),
        metric("epsilon.ceiling", 4.5, "ok", "", **part),
        metric("epsilon.claimed", 1.0, "ok", "", **part),
        metric("epsilon.over_claim", value, status, reason, **part),
    )


def row(source: Source) -> tuple[str, ...]:
    table = (view(source) or {})["bounds"]
    return tuple(getattr(table, "rows")[0])  # noqa: B009


def test_a_bound_stands_beside_its_claim_with_what_it_says_of_it() -> None:
    assert row(run(*bounds("error", None, "at least 3.2 at 99.9 %")))[2:] == (
        "3.25",
        "4.50",
        "20 secrets",
        "1.00",
        "✖ refuted, at 99.9 %",
    )
    assert row(run(*bounds("ok", 2.25, "")))[-1] == "! refuted, at 95 %"
    assert row(run(*bounds("ok", -0.5, "")))[-1] == "not refuted"
    assert row(run(*bounds("undefined", None, "not compared: the claim is about one user")))[-1] == (
        "not compared"
    )
    assert row(run(*bounds("undefined", None, "the ceiling does not exceed it")))[-1] == "out of its reach"


def test_without_a_claim_there_is_no_column_for_one() -> None:
    assert len(row(run(*bounds("ok", 0.0, "")[:2]))) == 5


def test_the_page_says_what_was_found_of_planted_secrets() -> None:
    crowded = metric("canaries.token_share", 0.4, reason="planted secrets are up to 40 % of a training")
    beyond = metric(
        "exposure.extrapolated",
        14.0,
        reason="of 3 of 4 planted secrets, which outrank",
        repetitions=16,
        type="code",
    )
    source = run(
        crowded,
        beyond,
        metric("exposure.bits", 3.0, repetitions=16, type="code"),
        *bounds("ok", -0.5, ""),
    )
    page = render_html(source.results, {}, None)
    assert "14.0, of 3 of 4" in page
    assert "Here planted secrets are up to 40 % of a training" in page
    assert "Secrets stand out (p = 0.002)." in page
    assert "claims an ε that no bound may exceed" in page
