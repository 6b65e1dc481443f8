"""Writes what is computed from results.json, manifest.json and gate.json."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prime_audit.gate import Gate
    from prime_audit.results import Results

OUTPUTS = ("report.html", "summary.md", "junit.xml")


def write_outputs(run_dir: Path, results: "Results", gate: "Gate | None") -> list[Path]:
    """Write report.html, summary.md and junit.xml, each in one step.

    Args:
        run_dir: A run directory with its manifest.json.
        results: What the run found.
        gate: The verdict, if the study has rules.

    Returns:
        The files.

    Raises:
        DataError: The manifest is missing or broken.
        OutputError: A file cannot be written.
    """
    from prime_audit.core import atomic_write_text, read_json
    from prime_audit.errors import DataError
    from prime_audit.report import render_html, render_junit, render_markdown

    manifest = read_json(run_dir / "manifest.json")
    if not isinstance(manifest, dict):
        raise DataError(f"{run_dir / 'manifest.json'}: this is not a manifest", hint="run the study again")
    texts = (
        render_html(results, manifest, gate),
        render_markdown(results, manifest, gate),
        render_junit(results, manifest, gate),
    )
    paths = [run_dir / name for name in OUTPUTS]
    for path, text in zip(paths, texts, strict=True):
        atomic_write_text(path, text)
    return paths
