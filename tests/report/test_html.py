import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

import prime_audit.report
from prime_audit.core import Seeds
from prime_audit.gate import Gate, Rule, Run, judge
from prime_audit.report import render_html
from prime_audit.report.html import _environment
from prime_audit.report.sections.ranking import COSTS
from prime_audit.results import Coverage, Gap, Method, Metric, Results
from prime_audit.study.comparing import compare
from tests.report.conftest import ATTACKS, WIDE, Row, make_results
from tests.report.hostile import IN_RESULTS, full_of, judged_with, with_text

Manifest = Mapping[str, object]
UTILITY = "utility.primary"


class Outline(HTMLParser):
    """Collects tags, attributes, ids and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page(results: Results, manifest: Manifest, gate: Gate) -> str:
    return render_html(results, manifest, gate)


def test_the_same_results_give_the_same_bytes(
    results: Results, manifest: Manifest, gate: Gate, page: str
) -> None:
    assert render_html(results, manifest, gate) == page


def test_the_page_loads_nothing_runs_nothing_and_is_small(page: str) -> None:
    seen = outline(page)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "img"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    loading = [value for name, value in seen.attributes if name in {"src", "href", "xlink:href"}]
    assert loading
    assert all(value.startswith("#") for value in loading)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'" in page
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert len(page.encode()) < 400_000


def test_ids_are_unique_and_every_reference_inside_the_page_has_its_goal(page: str) -> None:
    attributes = outline(page).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    goals = [value[1:] for name, value in attributes if name in {"href", "xlink:href"}]
    goals += re.findall(r"url\(#([^)]*)\)", page)
    labels = [value.split() for name, value in attributes if name == "aria-labelledby"]
    assert {*goals, *(goal for group in labels for goal in group)} <= set(ids)


def test_every_figure_has_a_name_a_description_and_a_table(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    # Two planes (sharers, targets), four of five attacks, the scores, the budget and front of one search.
    assert len(figures) == 9
    for figure in figures:
        assert re.search(r'<svg[^>]*role="img" aria-labelledby="[^"]+-title [^"]+-desc">', figure)
        assert re.search(r"<title id=[^>]*>[^<]{10,}</title><desc id=[^>]*>[^<]{40,}</desc>", figure)
        assert re.search(
            r"<details>.*<table class=\"t\d+\">.*<caption>.*<th scope=\"row\">.*</details>", figure, re.DOTALL
        )


def test_headings_go_down_one_level_at_a_time(page: str) -> None:
    levels = [int(tag[1]) for tag in outline(page).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_sections_stand_in_the_order_in_which_they_are_read(page: str) -> None:
    found = re.findall(r'<section id="(\w+)"', page)
    assert found == ["verdict", "coverage", "plane", "gate", "methods", "controls", "roc", "distributions",
                     "search", "premise", "users", "threat", "provenance"]  # fmt: skip


def test_the_numbers_of_the_run_are_on_the_page(page: str) -> None:
    text = " ".join("".join(outline(page).text).split())
    assert "Gate failed: 2 of 4 limits broken" in text
    assert (
        "figure of this run is that of Own module (OPPU), about the person it was made for: shown two" in text
    )
    assert "picks out the trained-on one 93 times in 100 (95 % interval 88 to 98), where guessing" in text
    assert (
        "About the people who shared their modules the largest is that of PriME merge: 66 times in 100"
        in text
    )
    assert "the attack reference picks the right one 66 times in 100; guessing gives 50." in text
    assert "An AUC of 0.57 would have been seen" in text
    assert "2 targets fell back to the base" in text
    assert "The run was made by this command" in text
    assert "prime-audit evaluate quickstart --seed 7" in text
    assert "from about half of each history" in text


def test_a_bare_run_without_gate_manifest_attacks_or_figures_renders(results: Results) -> None:
    metric = Metric(id="utility.primary", method="base", value=None, status="undefined", reason="no queries")
    bare = Results(
        status="incomplete",
        study=results.study,
        methods=(Method(id="base", kind="base", family="prompt", label="Base"),),
        metrics=(metric,),
        coverage=Coverage(requested=("base",), run=(), failed=(Gap(id="base", reason="out of memory"),)),
    )
    text = " ".join("".join(outline(render_html(bare, {}, None)).text).split())
    assert "Incomplete: do not read this run as a clean one" in text
    assert "out of memory" in text
    assert "undefined (no queries)" in text


@pytest.fixture(scope="module")
def harmless(results: Results, manifest: Manifest, gate: Gate) -> Outline:
    """The page that hostile texts must not change the structure of."""
    return outline(
        render_html(with_text(results, "plain"), full_of("plain", manifest), judged_with("plain", gate))
    )


@pytest.mark.parametrize("hostile", IN_RESULTS, ids=range(len(IN_RESULTS)))
def test_text_from_outside_stays_text(
    results: Results, manifest: Manifest, gate: Gate, harmless: Outline, hostile: str
) -> None:
    page = render_html(with_text(results, hostile), full_of(hostile, manifest), judged_with(hostile, gate))
    seen = outline(page)
    assert seen.tags == harmless.tags
    assert [name for name, _ in seen.attributes] == [name for name, _ in harmless.attributes]
    assert not set(page) & set("\x00\x08\x1b\x9b\u202e\u2066\u200f\u2028\u2029")
    assert len(page) < 700_000
    if hostile.startswith("{{"):
        assert "{{7*7}}" in "".join(seen.text)


def crowded() -> Results:
    """Twenty methods that are deployed, ten attacks, twelve targets: everything that such a study draws."""
    more: tuple[Row, ...] = (
        ("profile", "prompt", "Profile", 0.4, None),
        ("oppu-rag", "training", "Own module and retrieval", 0.55, 0.9),
        ("adapt-merged", "training", "Merge, then train", 0.5, 0.8),
    )
    made = make_results((*more, *WIDE), (*ATTACKS, "loss-sum", "ratio", "surp", "wbc", "ez"))
    deployed = [method.id for method in made.methods if not method.id.startswith("control-")]
    values = {
        name: np.array([m.value for m in made.metrics if (m.id, m.method) == (UTILITY, name) and m.target])
        for name in deployed
    }
    assert (len(deployed), len(made.attacks)) == (20, 10)
    costs = [Metric(id=f"cost.{what}", method=name, value=12345.0) for name in deployed for what, _ in COSTS]
    return made.model_copy(update={"metrics": (*made.metrics, *compare(values, Seeds(1)), *costs)})


def test_twenty_methods_and_ten_attacks_stay_under_the_limit(
    manifest: Manifest, rule: Callable[..., Rule]
) -> None:
    big = crowded()
    gate = judge(Run(big), [rule("mia.auc", max=0.7), rule(UTILITY, min=0.2)])
    page = render_html(big, manifest, gate)
    assert len(gate.rules) > 100
    assert page.count("<h2") >= 14
    assert len(page.encode()) < 500_000


def test_every_method_with_twelve_targets_and_forty_candidates_stays_under_the_limit(
    wide: Results, manifest: Manifest, gate: Gate
) -> None:
    page = render_html(wide, manifest, gate)
    assert len(page.encode()) < 450_000
    assert len(re.findall("<figure>", page)) == 2 + 4 + 1 + 4 + 2
    assert page.count('<table class="heat">') == 13
    folded = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    assert '<table class="heat">' not in folded
    seen = outline(page)
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_templates_escape_by_default_and_never_opt_out() -> None:
    folder = Path(prime_audit.report.__file__).parent
    for template in (folder / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"\|\s*safe|autoescape|<script", text), template.name
    marked = [path.name for path in folder.rglob("*.py") if re.search(r"Markup\(", path.read_text())]
    assert sorted(marked) == ["look.py", "svg.py"]


def test_a_name_that_a_template_misses_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        _environment().from_string("{{ nothing }}").render()
