"""What a study says of its report: title, organisation, notes, and a stylesheet that stays harmless."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from prime_audit.core import printable
from prime_audit.errors import ConfigError

MOST_BYTES = 20_000
_LONGEST_LINE = 200
_LONGEST_NOTES = 4000
# What fetches, runs or changes how the rest is read. A backslash could write any of them another way, and
# the page needs none.
_REFUSED = (
    ("<", re.compile("<"), "it could end the stylesheet"),
    ("\\", re.compile(r"\\"), "an escape can hide what is refused"),
    (
        "url()",
        re.compile(r"(?:url|src|image|image-set|cross-fade|element|paint|attr)\s*\("),
        "nothing is fetched",
    ),
    ("@import", re.compile(r"@\s*(?:import|font-face|charset|namespace|document)"), "nothing is fetched"),
    (
        "expression()",
        re.compile(r"expression\s*\(|javascript\s*:|behaviou?r\s*:|-moz-binding"),
        "nothing runs",
    ),
    ("content", re.compile(r"(?<![\w-])content\s*:"), "what the report says comes from the results alone"),
    ("control characters", re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]"), "they hide what is written"),
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Look:
    """What a study says of its report; every part may be missing."""

    title: str = ""
    organisation: str = ""
    notes: tuple[Markup, ...] = ()
    stylesheet: Markup | None = None


def look_of(manifest: Mapping[str, object]) -> Look:
    """Read the look that the study of a run asks for.

    Args:
        manifest: What manifest.json holds.

    Returns:
        The look, with everything cleaned and escaped.

    Raises:
        ConfigError: The stylesheet is refused.
    """
    study = manifest.get("study")
    section = study.get("report") if isinstance(study, Mapping) else None
    if not isinstance(section, Mapping):
        return Look()
    title, organisation, notes, stylesheet = (
        value if isinstance(value := section.get(name), str) else ""
        for name in ("title", "organisation", "notes", "stylesheet")
    )
    paragraphs = (printable(part, _LONGEST_NOTES) for part in re.split(r"\n\s*\n", notes[:_LONGEST_NOTES]))
    return Look(
        title=printable(title, _LONGEST_LINE),
        organisation=printable(organisation, _LONGEST_LINE),
        # Marked as safe once escaped, so that a long paragraph is not cut where others are.
        notes=tuple(escape(part) for part in paragraphs if part),
        stylesheet=checked_stylesheet(stylesheet) if stylesheet.strip() else None,
    )


def checked_stylesheet(text: str) -> Markup:
    """Check that a stylesheet can change how the report looks and do nothing else.

    The page's content policy already keeps it from fetching or running anything; this says so before a run.

    Args:
        text: CSS that stands behind the page's own.

    Returns:
        The same text, to be put into a style element.

    Raises:
        ConfigError: It is too long, or holds something that fetches, runs, writes text or leaves the element.
    """
    if (size := len(text.encode("utf-8", "surrogatepass"))) > MOST_BYTES:
        raise ConfigError(
            f"report.stylesheet: {size} bytes, more than {MOST_BYTES}",
            hint="keep to what differs from the page's own",
        )
    # A comment between two letters parts them in CSS as well, so without comments nothing new is spelt.
    for form in (text.lower(), _COMMENT.sub(_blank, text.lower())):
        for name, pattern, why in _REFUSED:
            if found := pattern.search(form):
                line = form.count("\n", 0, found.start()) + 1
                raise ConfigError(
                    f"report.stylesheet: line {line}: '{name}' is refused: {why}",
                    hint="colours, sizes, spacing and fonts of the reader's machine can be set",
                )
    return Markup(text)  # noqa: S704 - without a '<' it cannot leave the style element


def _blank(comment: re.Match[str]) -> str:
    """What a comment comes to: nothing but the lines that it is long."""
    return " " + "\n" * comment.group().count("\n")
