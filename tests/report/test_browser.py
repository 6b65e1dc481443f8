"""The page as a browser shows it: nothing runs, nothing is fetched, everything can be read."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from prime_audit.core import printable
from prime_audit.gate import Gate
from prime_audit.report import render_html
from prime_audit.results import Results
from tests.report.hostile import IN_RESULTS, full_of, judged_with, with_text

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
Manifest = Mapping[str, object]
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none the tests are skipped, but fail where `.ci/run` promised one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        missing = "no Chromium: install Debian's package `chromium`"
        (pytest.fail if os.environ.get("PRIME_AUDIT_CI") else pytest.skip)(missing)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found)
        yield chromium
        chromium.close()


class Opened:
    """A page in the browser, without a network, and everything that it should not have done."""

    def __init__(self, browser: Browser, folder: Path, width: int, scheme: Scheme = "light") -> None:
        self.faults: list[str] = []
        self.file = folder / "report.html"
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        self.page: Page = context.new_page()
        self.page.on("dialog", self._dismiss)
        self.page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("popup", lambda _: self.faults.append("popup"))
        self.page.on("request", self._asked)

    def _dismiss(self, dialog: Dialog) -> None:
        self.faults.append("dialog")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        if request.url.split("#")[0] != self.file.as_uri():
            self.faults.append(f"request: {request.url}")

    def show(self, text: str) -> Page:
        """Load a page and open everything that is folded."""
        self.file.write_text(text, encoding="utf-8")
        self.page.goto(self.file.as_uri(), wait_until="load")
        self.page.evaluate("document.querySelectorAll('details').forEach((fold) => fold.open = true)")
        return self.page

    def close(self) -> None:
        self.page.context.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """An empty page of the width, and in the colours, that a test asks for."""
    sheet = Opened(browser, tmp_path, *getattr(request, "param", (360,)))
    yield sheet
    sheet.close()


@pytest.fixture(scope="module")
def report(results: Results, manifest: Manifest, gate: Gate) -> str:
    return render_html(results, manifest, gate)


def overflow(page: Page) -> int:
    """How many pixels of the page lie beyond the window's right edge."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def violations(page: Page) -> list[dict[str, str]]:
    """What axe-core finds, with the first place of each fault."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [{"id": v["id"], "impact": v["impact"], "at": v["nodes"][0]["html"][:150]} for v in found]


@pytest.mark.parametrize(
    "opened", [(w, s) for w in (360, 1280) for s in ("light", "dark")], indirect=True, ids=str
)
def test_the_page_can_be_read_at_any_width_in_light_and_dark(opened: Opened, report: str) -> None:
    page = opened.show(report)
    assert opened.faults == []
    assert overflow(page) <= 0
    text = page.inner_text("body")
    assert "Gate failed: 2 of 4 limits broken" in text
    assert "Utility against leakage" in text
    seen = page.evaluate(CONTRAST)
    assert seen["count"] > 500
    assert seen["found"] == []
    assert violations(page) == []


@pytest.mark.parametrize("opened", [(1280, "light"), (1280, "dark")], indirect=True, ids=str)
def test_lines_and_marks_stand_out_from_the_page(opened: Opened, report: str) -> None:
    # 3 to 1 is what WCAG 2, 1.4.11 asks of graphics: every colour of the figures against the page's own.
    page = opened.show(report)
    names = [*(f"--c{index}" for index in range(6)), "--muted", "--bad", "--warn", "--good"]
    page.evaluate(
        "(names) => document.body.innerHTML ="
        " names.map((name) => `<p style='color: var(${name})'>${name}</p>`).join('')",
        names,
    )
    seen = page.evaluate(CONTRAST.replace("ratio < 4.5", "ratio < 3"))
    assert seen == {"count": len(names), "found": []}


@pytest.mark.parametrize("opened", [(1280, "light")], indirect=True, ids=str)
def test_the_checks_of_this_file_can_fail(opened: Opened, report: str) -> None:
    bad = report.replace("default-src 'none'", "default-src * 'unsafe-inline'").replace(
        "</main>",
        "<img src='https://x.invalid/p.png'><p style='color: #aaa; background: #fff'>pale</p>"
        "<div style='width: 200vw'>wide</div><script>alert(1); throw Error('x')</script></main>",
    )
    page = opened.show(bad)
    kinds = {fault.split(":")[0] for fault in opened.faults}
    assert {"dialog", "request", "error"} <= kinds
    assert overflow(page) > 0
    assert [text for text in page.evaluate(CONTRAST)["found"] if text.endswith("P pale")]
    assert {"image-alt", "color-contrast"} <= {fault["id"] for fault in violations(page)}


def test_hostile_texts_do_nothing_and_are_shown(
    opened: Opened, results: Results, manifest: Manifest, gate: Gate
) -> None:
    tags = "[...document.querySelectorAll('*')].map((element) => element.tagName).join()"
    page = opened.show(
        render_html(with_text(results, "plain"), full_of("plain", manifest), judged_with("plain", gate))
    )
    harmless = page.evaluate(tags)
    for text in IN_RESULTS:
        page = opened.show(
            render_html(with_text(results, text), full_of(text, manifest), judged_with(text, gate))
        )
        assert page.evaluate(tags) == harmless, text[:50]
        assert opened.faults == [], text[:50]
        assert overflow(page) <= 0, text[:50]
        shown = page.evaluate("document.querySelector('h1').textContent")
        assert shown == (printable(text) or "Privacy audit"), text[:50]


@pytest.mark.parametrize("opened", [(1280, "light")], indirect=True, ids=str)
def test_a_stylesheet_of_the_studys_takes_effect(opened: Opened, results: Results) -> None:
    look = {"stylesheet": "h1 { color: rgb(1, 2, 3) } main > section { padding: 1px }", "notes": "Said."}
    page = opened.show(render_html(results, {"study": {"report": look}}))
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("getComputedStyle(document.querySelector('#verdict')).paddingLeft") == "1px"
    assert opened.faults == []
    assert violations(page) == []


@pytest.mark.parametrize("opened", [(720, "dark")], indirect=True, ids=str)
def test_on_paper_it_is_dark_on_white_and_nothing_is_cut(opened: Opened, report: str) -> None:
    page = opened.show(report)
    page.emulate_media(media="print", color_scheme="dark")
    assert overflow(page) <= 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    seen = page.evaluate(CONTRAST)
    assert seen["found"] == []
    # An area that scrolls on a screen hides what it holds on paper.
    cut = (
        "[...document.querySelectorAll('.scroll')].filter((area) => area.scrollWidth > area.clientWidth + 1)"
    )
    assert page.evaluate(f"{cut}.map((a) => a.getAttribute('aria-label'))") == []
