"""A study with many attacks: few columns beside a method, all of them in a table of their own."""

from prime_audit.report.sections import attacks, methods, roc
from prime_audit.report.source import Source
from prime_audit.report.words import DASH
from prime_audit.results import AttackInfo, Coverage, Curve, Method, Metric, Results, Study

NAMES = ["loss", "zlib", "reference", *(f"attack-{i}" for i in range(9))]


def run(names: list[str]) -> Source:
    listed = [Method(id=m, kind="uniform", family="merging", label=m) for m in ("one", "two")]
    metrics = [
        Metric(id="mia.auc", method=m.id, attack=name, subject="sharer", value=0.5 + 0.03 * place)
        for m in listed
        for place, name in enumerate(names)
        if (m.id, name) != ("two", "attack-8")
    ]
    curves = [
        Curve(method="one", attack=name, subject="sharer", fpr=(0.0, 1.0), tpr=(0.0, 1.0)) for name in names
    ]
    found = Results(
        status="complete",
        study=Study(
            name="s", task="lamp-4", seed=1, design="holdout", config_digest="d", primary="reference"
        ),
        methods=tuple(listed),
        attacks=tuple(
            AttackInfo(id=name, kind="membership", threat_model="A2", source="here", version=1)
            for name in names
        ),
        metrics=tuple(metrics),
        curves=tuple(curves),
        coverage=Coverage(requested=(), run=()),
    )
    return Source(found, {}, None)


def test_the_table_of_methods_keeps_five_attacks_the_primary_one_first() -> None:
    head = methods.methods_table(run(NAMES)).head
    assert [name for name in head if name.startswith("AUC")] == [
        "AUC reference",
        "AUC loss",
        "AUC zlib",
        "AUC attack-0",
        "AUC attack-1",
    ]


def test_every_attack_has_a_row_in_a_table_of_its_own() -> None:
    view = attacks.view(run(NAMES))
    assert view is not None
    table = attacks.matrix(run(NAMES))
    assert table.head == ("Attack", "Threat", "one", "two")
    assert [row[0] for row in table.rows] == ["reference", *(name for name in NAMES if name != "reference")]
    assert {row[0]: row[2:] for row in table.rows}["attack-8"] == ("0.830", DASH)


def test_few_attacks_need_no_second_table() -> None:
    assert attacks.view(run(NAMES[:5])) is None


def test_curves_are_drawn_of_the_primary_attack_and_the_strongest() -> None:
    drawn = roc.strongest(run(NAMES))
    assert drawn == ("reference", "attack-8", "attack-7", "attack-6", "attack-5", "attack-4")
    view = roc.view(run(NAMES))
    assert view is not None
    figures = view["figures"]
    assert isinstance(figures, list)
    assert len(figures) == 6
