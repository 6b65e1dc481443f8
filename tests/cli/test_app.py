"""Every end of a command becomes an exit code and a message on stderr."""

import os
import resource
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from prime_audit import __version__
from prime_audit.cli import app as module
from prime_audit.errors import ConfigError, DataError, GateFailure, IncompleteError, ModelError, OutputError
from tests.support import ROOT, run_cli

HEAVY = ("torch", "transformers", "peft", "numpy", "scipy", "matplotlib")


def end(*args: str) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        module.main(args)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `prime-audit schema study` raise."""

    def fail() -> dict[str, object]:
        raise error

    monkeypatch.setattr("prime_audit.config.study_schema", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError, 2),
        (DataError, 2),
        (ModelError, 2),
        (OutputError, 2),
        (GateFailure, 3),
        (IncompleteError, 4),
    ],
)
def test_an_expected_error_shows_message_hint_and_its_code(
    error: type[ConfigError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error("line one\n  line two\x1b[31m", hint="do this"))
    assert end("--quiet", "schema", "study") == code
    captured = capsys.readouterr()
    assert captured.err == "error: line one\n  line two\nhint: do this\n"
    assert captured.out == ""


def test_an_unexpected_error_is_short_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, RuntimeError("somebody's history"))
    assert end("schema", "study") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: unexpected RuntimeError in test_app.py, line ")
    assert "--debug" in err
    assert "history" not in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, RuntimeError("why"))
    assert end("--debug", "schema", "study") == 1
    assert "RuntimeError: why" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_stopped_command_says_that_its_work_is_kept(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert end("schema", "study") == code
    assert "what was finished is kept" in capsys.readouterr().err


def test_sigterm_leaves_with_143(monkeypatch: pytest.MonkeyPatch) -> None:
    def terminate() -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not delivered")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("prime_audit.config.study_schema", terminate)
    try:
        assert end("schema", "study") == 143
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("args", [("evalute",), ("evaluate", "--sed", "3"), ("list", "things"), ("report",)])
def test_wrong_usage_is_2(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert end(*args) == 2
    assert "Usage: prime-audit" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("--version") == 0
    assert capsys.readouterr().out == f"prime-audit {__version__}\n"


def test_a_reader_that_goes_away_causes_no_traceback(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m prime_audit schema study | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_help_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    seconds = []
    for _ in range(5):
        # Processor time, so that whatever else the machine does cannot make this fail.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_cli("--help", home=tmp_path).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert statistics.median(seconds) < 0.5
    code = (
        "import sys\nfrom prime_audit.cli.app import main\n"
        "try:\n    main(['evaluate', '--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded []\n")
