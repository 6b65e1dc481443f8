"""Page one: which method gives away most, about whom, and how sure that is."""

from prime_audit.report.sections import glance, verdict
from prime_audit.report.source import Source
from prime_audit.results import AttackInfo, Finding, Metric, Results


def test_the_strongest_case_stands_first_with_its_interval_and_the_most_exposed_person(
    results: Results,
) -> None:
    rows = glance.rows(Source(results, {}, None))
    assert [row.method for row in rows] == ["oppu", "prime", "uniform"]
    first, second, last = rows
    assert (first.right, first.interval, first.who) == ("93", "88 to 98", "the person it was made for")
    assert second.person == "77\n65 to 89"
    assert (first.most, first.seen) == ("", "")
    assert last.seen == "57 would have been seen"
    assert [row.method for row in glance.leads(rows)] == ["oppu", "prime"]


def test_one_lead_for_each_group_of_people_and_none_without_a_leak(results: Results) -> None:
    both = tuple(
        entry.model_copy(update={"subject": "sharer", "verdict": "leak"}) for entry in results.findings[:3]
    )
    about = tuple(
        metric.model_copy(update={"subject": "sharer"}) if metric.id.startswith("mia.") else metric
        for metric in results.metrics
    )
    update = {"findings": both, "metrics": about}
    rows = glance.rows(Source(results.model_copy(update=update), {}, None))
    assert [row.method for row in glance.leads(rows)] == ["oppu"]
    calm = tuple(finding.model_copy(update={"verdict": "none detected"}) for finding in both)
    assert glance.leads(glance.rows(Source(results.model_copy(update={"findings": calm}), {}, None))) == []


def test_the_strongest_attack_is_named_where_it_is_not_the_primary_one(results: Results) -> None:
    metrics = tuple(
        metric.model_copy(update={"value": 0.97, "ci": None})
        if (metric.id, metric.method, metric.attack, metric.user) == ("mia.auc", "oppu", "zlib", None)
        else metric
        for metric in results.metrics
    )
    first = glance.rows(Source(results.model_copy(update={"metrics": metrics}), {}, None))[0]
    assert (first.right, first.most) == ("93", "97 (zlib)")


def test_a_case_without_a_figure_is_listed_and_leads_nothing(results: Results) -> None:
    found = Finding(method="rag", subject="target", attack="reference", verdict="leak", p=0.001)
    none = Metric(id="mia.auc", method="rag", attack="reference", value=None, status="undefined", reason="no")
    update = {"findings": (found,), "metrics": (*results.metrics, none)}
    rows = glance.rows(Source(results.model_copy(update=update), {}, None))
    assert [(row.right, row.interval, row.most, row.person) for row in rows] == [("", "", "", "")]
    assert glance.leads(rows) == []


def test_what_was_found_about_planted_secrets_stands_beside_the_records(results: Results) -> None:
    exposure = AttackInfo(id="exposure", kind="canary", threat_model="A2", needs=(), source="", version=1)
    secrets = Finding(
        method="oppu", subject="target", attack="exposure", verdict="inconclusive", reason="too few"
    )
    update = {"findings": (*results.findings, secrets), "attacks": (*results.attacks, exposure)}
    source = Source(results.model_copy(update=update), {}, None)
    first, *others = glance.rows(source)
    assert (first.method, first.secrets) == ("oppu", secrets)
    assert [row.secrets for row in others] == [None, None]
    shown = verdict.view(source)
    assert shown["planted"] is True
    assert verdict.view(Source(results, {}, None))["planted"] is False


def test_designs_that_state_no_leak_have_no_glance(results: Results) -> None:
    for design in ("lists", "prime-paper", "pool"):
        study = results.study.model_copy(update={"design": design})
        assert glance.rows(Source(results.model_copy(update={"study": study}), {}, None)) == []
