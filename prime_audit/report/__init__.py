"""What people and other programs read: HTML, Markdown, JUnit and the terminal's summary."""

from prime_audit.report.comparison import render_comparison, render_gate
from prime_audit.report.console import render_console
from prime_audit.report.html import render_html
from prime_audit.report.junit import render_junit
from prime_audit.report.look import checked_stylesheet
from prime_audit.report.markdown import render_markdown

__all__ = [
    "checked_stylesheet",
    "render_comparison",
    "render_console",
    "render_gate",
    "render_html",
    "render_junit",
    "render_markdown",
]
