"""Progress is a bar on a terminal and plain lines elsewhere."""

import io
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from prime_audit.cli.progress import BarProgress, PlainProgress
from prime_audit.cli.terminal import Terminal


def test_plain_lines_count_reused_units_and_list_computed_ones() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.start(4, ["a", "b", "c", "d"])
    progress.unit("a", 1.0, True)
    progress.unit("b", 1.0, True)
    progress.unit("c", 2.25, False)
    progress.note("careful")
    progress.unit("d", 1.0, True)
    assert lines == [
        "4 units of work",
        "2 finished units are reused",
        "[3/4] c 2.2 s",
        "note: careful",
        "1 finished units are reused",
    ]


def test_the_bar_shows_count_and_last_unit() -> None:
    text = io.StringIO()
    with Progress(console=Console(file=text, force_terminal=True, width=100)) as bar:
        progress = BarProgress(bar)
        progress.start(2, ["train/[u1]", "b"])
        progress.unit("train/[u1]", 0.1, False)
        progress.note("[bold]careful")
        assert bar.tasks[0].completed == 1
        assert bar.tasks[0].total == 2
        assert bar.tasks[0].description == "train/[u1]"
    assert "note: [bold]careful" in text.getvalue()


@pytest.mark.parametrize(("tty", "ci", "bar"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_a_bar_only_on_a_terminal_outside_ci(
    tty: bool, ci: str, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: tty)
    monkeypatch.setenv("CI", ci)
    with Terminal().progress() as progress:
        assert isinstance(progress, BarProgress) is bar


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.say("prose")
    with terminal.progress() as progress:
        progress.start(1, ["a"])
        progress.unit("a", 1.0, False)
    assert capsys.readouterr().err == ""


def test_prose_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("  kept \x1b]0;title\x07in \u202eline\x00")
    assert capsys.readouterr().err == "  kept in line\n"
