"""What a study may say of its report and how it may look, and what a stylesheet may not do."""

import re
from collections.abc import Mapping

import pytest

from prime_audit.errors import ConfigError
from prime_audit.report import checked_stylesheet, render_html
from prime_audit.report.look import MOST_BYTES, Look, look_of
from prime_audit.results import Results

Manifest = Mapping[str, object]
CSS = """\
:root { --link: #7a0b4e; --c2: #7a0b4e }  /* the house's colour */
main > section h2 { font-family: Georgia, "Times New Roman", serif; align-content: center }
@media print { header::before { color: red } }
"""
REFUSED = (
    "a { color: red } </style><script>alert(1)</script>",
    "<!-- a {} -->",
    "a { background: url(https://x.invalid/p.png) }",
    "a { background: URL ('x') }",
    "a { background: u\\72l(x) }",
    "a { background: image-set('x' 1x) }",
    "@import 'https://x.invalid/a.css';",
    "@IMPORT\t'x';",
    "@/**/import 'x';",
    "@font-face { font-family: x; src: local('x') }",
    "@charset 'utf-7';",
    "a { width: expression(alert(1)) }",
    "a { width: expr/**/ession (1) }; b { behavior: x }",
    "a { -moz-binding: x }",
    "a { background: javascript:alert(1) }",
    ".banner .big::after { content: 'No leak' }",
    "a { cont\x00ent: x }",
    "a { width: attr(data-x) }",
    "a { color: red }" * (MOST_BYTES // 16 + 1),
)


def study(**look: object) -> dict[str, object]:
    return {"study": {"report": look}}


def test_title_organisation_and_notes_stand_on_the_page(results: Results) -> None:
    said = study(
        title="Spring audit", organisation="Hospital <North>", notes="First.\nStill.\n\n  \n\n" + "n" * 900
    )
    page = render_html(results, said)
    assert "<title>Spring audit</title>" in page
    assert "<h1>Spring audit</h1>" in page
    assert '<p class="organisation">Hospital &lt;North&gt;</p>' in page
    notes = re.search(r'<section class="notes".*?</section>', page, re.DOTALL)
    assert notes is not None
    assert re.findall(r"<p>(.*?)</p>", notes.group()) == ["First. Still.", "n" * 900]
    # What was computed comes first.
    assert page.index('id="verdict"') < notes.start() < page.index('id="coverage"')


@pytest.mark.parametrize(
    "manifest", [{}, {"study": "x"}, {"study": {"report": [1]}}, study(title=3, notes=None, stylesheet=" ")]
)
def test_a_manifest_without_a_look_gives_the_page_its_own(results: Results, manifest: Manifest) -> None:
    assert look_of(manifest) == Look()
    page = render_html(results, manifest)
    assert "<h1>Privacy audit: quickstart</h1>" in page
    assert page.count("<style>") == 1
    assert "Notes of the study" not in page
    assert "look was changed" not in page


def test_a_stylesheet_follows_the_pages_own_and_the_footer_says_so(results: Results) -> None:
    page = render_html(results, study(stylesheet=CSS))
    assert page.count("<style>") == page.count("</style>") == 2
    assert page.index(CSS) > page.index(":root { color-scheme")
    assert "Its look was changed by the study." in page
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


@pytest.mark.parametrize("css", REFUSED, ids=range(len(REFUSED)))
def test_a_stylesheet_that_fetches_runs_speaks_or_breaks_out_is_refused(css: str, results: Results) -> None:
    with pytest.raises(ConfigError, match=r"report\.stylesheet: ") as refused:
        checked_stylesheet(css)
    assert "x.invalid" not in str(refused.value)
    with pytest.raises(ConfigError):
        render_html(results, study(stylesheet=css))


def test_the_message_names_the_line() -> None:
    with pytest.raises(ConfigError, match=r"line 3: '@import' is refused: nothing is fetched"):
        checked_stylesheet("a {}\n/*\n*/ @/**/import 'x';")
