"""The page: one file, no script, no network."""

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from prime_audit.core import printable
from prime_audit.gate import Gate
from prime_audit.report.look import look_of
from prime_audit.report.page import SECTIONS
from prime_audit.report.source import Source
from prime_audit.results import Results

_LONGEST_TEXT = 500


def render_html(results: Results, manifest: Mapping[str, object], gate: Gate | None = None) -> str:
    """Render the report page.

    Args:
        results: What the run found.
        manifest: What manifest.json holds; its study says how the page looks.
        gate: The verdict of the gate, where rules were judged.

    Returns:
        The HTML document. Equal arguments give equal bytes.

    Raises:
        ConfigError: The study's stylesheet is refused.
    """
    look = look_of(manifest)
    source = Source(results, manifest, gate)
    sections = []
    for view, name, heading in SECTIONS:
        data = view(source)
        if data is not None:
            sections.append({"id": name, "heading": heading, "template": f"{name}.html.j2", "view": data})
    page = _environment().get_template("page.html.j2")
    return page.render(
        title=look.title or _title(results.study.name),
        look=look,
        results=results,
        sections=sections,
    )


def _title(study: str) -> str:
    """A title with the study's name, which may be blank once it is cleaned."""
    return ": ".join(part for part in ("Privacy audit", printable(study, _LONGEST_TEXT)) if part)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("prime_audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: object) -> object:
    """Strip what could steer a terminal or reorder a line from every text, before Jinja escapes it."""
    if isinstance(value, str) and not isinstance(value, Markup):
        # Cut first: cleaning a megabyte of text only to drop nearly all of it would take seconds.
        return printable(value[: 4 * _LONGEST_TEXT], _LONGEST_TEXT)
    return value
